"""A stand-in for `IPython.display` where IPython is not installed: what a notebook displays is printed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class DisplayObject:
    """Something to display, by its data or the file that has it."""

    def __init__(
        self, data: Any = None, url: str | None = None, filename: str | None = None, **_: Any
    ) -> None:
        self.data, self.url, self.filename = data, url, filename

    def __repr__(self) -> str:
        return f"<IPython.core.display.{type(self).__name__} object>"


class DisplayHandle:
    """What `display` returns with a `display_id`: updates are printed too."""

    def display(self, obj: Any, **_: Any) -> None:
        """Display another object in the place of the first."""
        display(obj)

    update = display


def display(*objs: Any, display_id: Any = None, **_: Any) -> DisplayHandle | None:
    """Print objects, each on its lines."""
    for obj in objs:
        print(obj if isinstance(obj, str) else repr(obj))
    return None if display_id is None else DisplayHandle()


def clear_output(wait: bool = False) -> None:
    """Do nothing: what is printed stays."""


def get_ipython() -> None:
    """Return None, as IPython does outside of its own sessions."""


def stand_in() -> None:
    """Let `IPython` and `IPython.display` be imported, unless they are installed."""
    if "IPython" in sys.modules or find_spec("IPython") is not None:
        return
    root, inner, pylab = (
        ModuleType(n) for n in ("IPython", "IPython.display", "IPython.core.display")
    )
    kinds = "Audio HTML IFrame Image JSON Javascript Latex Markdown Math Pretty SVG Video YouTubeVideo".split()
    shown: dict[str, Any] = {k: type(k, (DisplayObject,), {}) for k in kinds}
    shown |= {"DisplayObject": DisplayObject, "DisplayHandle": DisplayHandle}
    shown |= {"display": display, "clear_output": clear_output}
    vars(inner).update(shown)
    vars(pylab).update(shown)
    # packages that draw ask which version it is, and whether it runs
    vars(root).update(version_info=(9, 0, 0), __version__="9.0.0", __path__=[])
    vars(root).update(display=inner, get_ipython=get_ipython)
    core = ModuleType("IPython.core")
    vars(core).update(display=pylab, __path__=[])
    for module in (root, inner, core, pylab):
        sys.modules[module.__name__] = module
