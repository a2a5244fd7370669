"""The README of a folder names every file in it, and no other; what it may import is what is imported."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = ("lower", "hosts", "transforms", "tensor", "compiler")


def written(folder: str) -> str:
    return (ROOT / "py" / "tabgrad" / folder / "README.md").read_text("utf-8")


def files(folder: str) -> set[str]:
    here = ROOT / "py" / "tabgrad" / folder
    return {p.name for p in here.glob("*.py")} - {"__init__.py"}


def named(folder: str) -> set[str]:
    """Return the files of its own that a README names; those of other folders come with their path."""
    return {n for n in re.findall(r"`([\w/]+\.py)", written(folder)) if "/" not in n} - {
        "__init__.py"
    }


def topics() -> set[str]:
    """Return the topics of `tensor`, of which its README names a few: files that say what is public."""
    return {
        p.name
        for p in (ROOT / "py" / "tabgrad" / "tensor").glob("*.py")
        if re.search(r"^__all__ = |^class \w+Methods", p.read_text("utf-8"), re.M)
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_is_named(folder: str) -> None:
    spare = topics() if folder == "tensor" else set()
    assert files(folder) - named(folder) - spare == set()


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_name_is_a_file(folder: str) -> None:
    assert named(folder) - files(folder) == set()
    for path in re.findall(r"`((?:\w+/)+\w*(?:\.py|\.js|\.cu|\.md)?)[`:]", written(folder)):
        around = [ROOT / "py" / "tabgrad" / folder, ROOT / "py" / "tabgrad", ROOT / "py", ROOT]
        assert any((at / path).exists() for at in around), path


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_imports_what_the_readme_allows(folder: str) -> None:
    allowed = re.search(r"may import ([^.;]*)", written(folder).replace("\n", " "))
    assert allowed is not None
    known = set(re.findall(r"`(\w+)`", allowed[1])) | {folder}
    if "ops" in allowed[1]:
        known.add("ops")
    found = set()
    for path in (ROOT / "py" / "tabgrad" / folder).rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        ifs = [n for n in ast.walk(tree) if isinstance(n, ast.If)]
        typing = [n for n in ifs if ast.unparse(n.test) == "TYPE_CHECKING"]  # runs nowhere
        spared = {n for branch in typing for n in ast.walk(branch)}
        for node in set(ast.walk(tree)) - spared:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tabgrad."):
                found.add(str(node.module).split(".")[1])
    assert found - known == set()


def test_the_map_names_every_folder() -> None:
    text = (ROOT / "py" / "README.md").read_text("utf-8")
    there = {p.parent.name for p in (ROOT / "py" / "tabgrad").glob("*/__init__.py")}
    assert there - set(re.findall(r"`(\w+)`", text)) == set()


def test_links_of_readmes_lead_somewhere() -> None:
    pages = [
        *ROOT.glob("*.md"),
        *ROOT.glob("py/**/*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("tests/*.md"),
    ]
    assert len(pages) > 12
    for page in pages:
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)}: {link}"
