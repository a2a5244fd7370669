"""Every public function, method, module and optimizer takes what PyTorch's takes: names, order, defaults and kinds.

`signatures.txt` holds PyTorch's (`record.py` writes it), `differences.txt` what differs, with the reason.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pathlib
from collections.abc import Iterator
from typing import Any

from tests.surface import names

HERE = pathlib.Path(__file__).parent
NONE: Any = inspect.Parameter.empty
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def theirs() -> dict[str, list[ast.arguments]]:
    """Return PyTorch's signatures by name."""
    found: dict[str, list[ast.arguments]] = {}
    for line in (HERE / "signatures.txt").read_text().splitlines():
        name, _, rest = line.partition("(")
        given = ast.parse(f"def f({rest[:-1]}): 0").body[0]
        assert isinstance(given, ast.FunctionDef)
        found.setdefault(name, []).append(given.args)
    return found


def ours(full: str) -> Any:
    """Return the thing of tabgrad that has this name; the last part is an attribute."""
    place, _, name = full.rpartition(".")
    if place == "Tensor":
        import tabgrad as tg

        return getattr(tg.Tensor, name)
    return getattr(importlib.import_module(f"tabgrad.{place}" if place else "tabgrad"), name)


def default(text: Any) -> str:
    """Return a default as text, alike however it was written."""
    written = names.spelled(text) if not isinstance(text, ast.expr) else ast.unparse(text)
    return {"1.0": "1", "0.0": "0"}.get(written, written)


def differences(full: str, overloads: list[ast.arguments]) -> Iterator[str]:
    """Yield in what our signature differs from PyTorch's overloads."""
    try:
        given = inspect.signature(ours(full))
    except ValueError:
        yield "has no signature"
        return
    mine = list(given.parameters.values())
    if full.startswith("Tensor.") and mine and mine[0].kind in POSITIONAL:
        # what stands for the tensor itself may have any name
        mine = mine[1:]
    placed = [p for p in mine if p.kind in POSITIONAL]
    starred = any(p.kind is p.VAR_POSITIONAL for p in mine)
    known = {p.name: p for p in mine}
    told: set[str] = set()
    for one in overloads:
        one.args = [a for a in (*one.posonlyargs, *one.args) if a.arg != "self"]
        told |= {a.arg for a in (*one.args, *one.kwonlyargs)}
        told |= {a.arg for a in (one.vararg, one.kwarg) if a}
        pad: list[Any] = [None] * (len(one.args) - len(one.defaults))
        for i, (a, value) in enumerate(zip(one.args, [*pad, *one.defaults], strict=True)):
            if a.arg not in known:
                yield f"{a.arg} is missing"
            elif i >= len(placed) or placed[i].name != a.arg:
                if not starred:
                    yield f"{a.arg} is not argument {i}"
            elif value is not None and not same(known[a.arg].default, value):
                yield f"{a.arg}={names.spelled(known[a.arg].default)} for {ast.unparse(value)}"
            elif value is None and len(overloads) == 1 and known[a.arg].default is not NONE:
                yield f"{a.arg} has a default"
        for a, value in zip(one.kwonlyargs, one.kw_defaults, strict=True):
            if a.arg not in known:
                yield f"{a.arg} is missing"
            elif value is not None and not same(known[a.arg].default, value):
                yield f"{a.arg}={names.spelled(known[a.arg].default)} for {ast.unparse(value)}"
            elif known[a.arg].kind in POSITIONAL and len(overloads) == 1:
                yield f"{a.arg} is not for keywords only"
        if one.vararg and not starred:
            yield f"*{one.vararg.arg} is missing"
    for p in mine:
        if p.name not in told and p.kind is not p.VAR_KEYWORD:
            yield f"{p.name} is not PyTorch's"


def same(mine: Any, value: ast.expr) -> bool:
    """Return whether our default is theirs; `...` in a stub is any default."""
    theirs = ast.unparse(value)
    if mine is NONE:
        return False
    return theirs in ("...", names.spelled(mine)) or default(mine) == default(value)


def found() -> list[str]:
    """Return all differences, as lines."""
    lines = []
    for full, overloads in theirs().items():
        lines += [f"{full}: {what}" for what in dict.fromkeys(differences(full, overloads))]
    return lines


def listed() -> dict[str, str]:
    """Return the reason of each difference that is known."""
    lines = (HERE / "differences.txt").read_text().splitlines()
    entries = (line.split(" | ") for line in lines if line and not line.startswith("#"))
    return {what: reason for what, reason in entries}


def test_signatures_are_those_of_pytorch() -> None:
    seen, known = set(found()), set(listed())
    assert sorted(seen - known) == []
    assert sorted(known - seen) == []
