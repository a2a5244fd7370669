"""The wheel, packed as tightly as its format allows: hatchling has no setting for it."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import pathlib
import re
import tokenize
import zipfile
from collections.abc import Iterator
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

REMARK = re.compile(rb"^[ \t]*//(?![!@]).*\n", re.MULTILINE)
"""A line of a shader that only its author reads: no front matter, and no mark of a block."""
HEAD = re.compile(rb"^(//! [^\n]*\n)(?://![^\n]*\n)+", re.MULTILINE)
"""The head of a kernel or function, and its first line, which names it: the rest is for authors and tests."""
EMPTY = re.compile(rb"^(?:[ \t]*\n|[ \t]+(?!\}\n))+", re.MULTILINE)
"""Indentation and empty lines of a shader. A `}` keeps a space of it: the first without any ends a function."""
TOLD = re.compile(rb"^[ \t]*(?://.*|/\*(?:(?!\*/)[\s\S])*\*/[ \t]*)\n", re.MULTILINE)
"""Lines of JavaScript that are nothing but a comment."""
SPACE = re.compile(rb"^[ \t\n]+|/\*\*.*?\*/ ?", re.MULTILINE)
"""Indentation, empty lines and types within lines of JavaScript; no string of the bridge has several lines."""
READ = "tabgrad/examples/"
"""Programs that the page shows."""


class Tighter(BuildHookInterface):
    """Packs each file of a wheel that has been built again, with the most thorough search for repeats.

    Shaders go without remarks and indentation, the bridge without comments, indentation and types, Python without
    comments, texts beside names and docstrings of what is private; but for programs that the page shows. Lines of
    Python keep their numbers.
    """

    PLUGIN_NAME = "custom"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Replace the wheel."""
        made = pathlib.Path(artifact_path)
        packed = made.with_suffix(".packed")
        changed: dict[bytes, bytes] = {}
        with zipfile.ZipFile(made) as old, zipfile.ZipFile(packed, "w") as new:
            for file in old.infolist():
                data = old.read(file)
                if file.filename.endswith((".wgsl", ".cu", ".py", ".js")):
                    short = shortened(file.filename, data)
                    changed[_told(file.filename, data)] = _told(file.filename, short)
                    data = short
                elif file.filename.endswith(".dist-info/RECORD"):  # which is the last
                    data = b"\n".join([changed.get(line, line) for line in data.split(b"\n")])
                new.writestr(file, data, zipfile.ZIP_DEFLATED, compresslevel=9)
        packed.replace(made)


def shortened(name: str, data: bytes) -> bytes:
    """Return a source file without what only its author reads."""
    if name.endswith((".wgsl", ".cu")):
        return EMPTY.sub(b"", HEAD.sub(rb"\1", REMARK.sub(b"", data)))
    if name.endswith(".js"):
        return SPACE.sub(b"", TOLD.sub(b"", data))
    if name.startswith(READ):
        return data
    lines = data.decode().split("\n")
    for node in remarks(ast.parse(data)):
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        lines[first:last] = [""] * (last - first)
    for token in tokenize.generate_tokens(io.StringIO(data.decode()).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    return "\n".join(lines).encode()


def remarks(tree: ast.AST) -> Iterator[ast.stmt]:
    """Yield the texts that only authors read: those beside names, and docstrings of what is private.

    What a statement of a module or class assigns or hands on may be public by that.
    """
    places = [n.body for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef)]
    uses = [n for body in places for n in body if isinstance(n, ast.Assign | ast.Expr)]
    named = {n.id for use in uses for n in ast.walk(use) if isinstance(n, ast.Name)}
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            name = getattr(node, "name", None) or ""
            private = name[:1] == "_" and name[-2:] != "__" and name not in named and len(body) > 1
            for text in body[not private :]:
                its = text.value if isinstance(text, ast.Expr) else None
                if isinstance(its, ast.Constant) and isinstance(its.value, str):
                    yield text


def _told(name: str, data: bytes) -> bytes:
    """Return the line of a wheel's record for a file."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}".encode()
