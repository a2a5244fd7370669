"""What Sphinx needs to know: `npm run docs` builds the pages from here into web/dist/docs."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "py")]

import tabgrad  # noqa: E402
from docs import pages  # noqa: E402

project = "tabgrad"
author = "tabgrad contributors"
version = release = tabgrad.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["README.md"]
# `add` in a docstring is a link where the reference has such a name, and code where it has not
default_role = "py:obj"
smartquotes = False
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 88
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
# several names may end alike, as `nn.functional.relu` and `relu`: a link goes to the nearest
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"tabgrad {version}"
html_favicon = "../web/pages/favicon.svg"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}


def write_pages(app: Any) -> None:
    """Write the pages of the reference; those that stay as they are keep their time."""
    folder = pathlib.Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    made = {f"{name}.rst": text for name, text in pages.written().items()}
    for path in folder.iterdir():
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        path = folder / name
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def as_restructured(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Turn a docstring, plain text with `code` in it, into reStructuredText."""
    lines[:] = pages.docstring(lines)


def setup(app: Any) -> None:
    """Join the steps of the build; where docstrings are turned otherwise, every page is read again."""
    app.add_config_value("turned_by", (HERE / "pages.py").read_text("utf-8"), "env")
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", as_restructured)
