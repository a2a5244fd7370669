"""Every public function, method, module and optimizer takes what PyTorch's takes: names, order, defaults.

`signatures.txt` holds PyTorch's (`record.py` writes it), `differences.txt` what differs, with the reason.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import pathlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.surface import names, record

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
    """Return the thing of tabgrad that has this name: a function, a class, or a method of one."""
    place = max((m for m in names.MODULES if f"{full}.".startswith(f"{m}." if m else "")), key=len)
    found: Any = names.module(place)
    for part in full.removeprefix(place).strip(".").split("."):
        found = getattr(found, part)
    return found


def differences(full: str, overloads: list[ast.arguments]) -> Iterator[str]:
    """Yield in what our signature differs from PyTorch's overloads."""
    try:
        given = inspect.signature(ours(full))
    except ValueError:
        yield "has no signature"
        return
    mine = list(given.parameters.values())
    bound = full.startswith("Tensor.") or "self" in list(given.parameters)[:1]
    if mine and mine[0].kind in POSITIONAL and bound:
        # what stands for the tensor itself may have any name
        mine = mine[1:]
    theirs = [Overload(one) for one in overloads]
    known = {p.name: p for p in mine if p.kind is not p.VAR_POSITIONAL}
    placed = [p.name for p in mine if p.kind in POSITIONAL]
    starred = len(known) < len(mine)
    for one in theirs:
        for i, (name, _) in enumerate(one.placed):
            slot = {other.placed[i][0] for other in theirs if i < len(other.placed)}
            if i < len(one.unnamed):
                if i >= len(placed) and not starred:
                    yield f"{name} is not argument {i}"
            elif name not in known:
                yield f"{name} is missing"
            elif not starred and (i >= len(placed) or placed[i] not in slot):
                yield f"{name} is not argument {i}"
            elif known[name].kind is inspect.Parameter.POSITIONAL_ONLY:
                yield f"{name} has no name"
        for name in one.keywords:
            if name not in known:
                yield f"{name} is missing"
            elif known[name].kind in POSITIONAL and not any(name in dict(o.placed) for o in theirs):
                yield f"{name} is not for keywords only"
        if one.star and not starred:
            yield f"*{one.star} is missing"
    yield from _defaults(theirs, known)
    if not any(one.star for one in theirs):
        told = {name for one in theirs for name in (*dict(one.placed), *one.keywords)}
        for p in known.values():
            if p.name not in told and p.kind is not p.VAR_KEYWORD:
                yield f"{p.name} is not PyTorch's"


class Overload:
    """One signature of PyTorch: places with names and defaults, keywords with defaults, the name of a star."""

    def __init__(self, given: ast.arguments) -> None:
        places = [a.arg for a in (*given.posonlyargs, *given.args) if a.arg != "self"]
        pad: list[Any] = [None] * (len(places) - len(given.defaults))
        self.placed = list(zip(places, [*pad, *given.defaults], strict=True))
        self.unnamed = [a.arg for a in given.posonlyargs if a.arg != "self"]
        self.keywords = {a.arg: v for a, v in zip(given.kwonlyargs, given.kw_defaults, strict=True)}
        self.star = given.vararg.arg if given.vararg else ""


def _defaults(theirs: list[Overload], known: dict[str, inspect.Parameter]) -> Iterator[str]:
    """Yield which of our defaults no overload has, and which should be there or not."""
    for name, p in known.items():
        given = [{**dict(one.placed), **one.keywords} for one in theirs]
        holders = [parameters[name] for parameters in given if name in parameters]
        told = [v for v in holders if v is not None]
        if told:
            if not any(same(p.default, v) for v in told):
                yield f"{name}={names.spelled(p.default)} for {ast.unparse(told[0])}"
        elif len(holders) == len(theirs):
            if p.default is not NONE:
                yield f"{name} has a default"
        elif holders and p.default is NONE:
            yield f"{name} has no default, and PyTorch's function has a form without it"
        elif holders and p.default is not None and names.spelled(p.default) != "...":
            yield f"{name}={names.spelled(p.default)}, and PyTorch's function has forms without it"


def same(mine: Any, value: ast.expr) -> bool:
    """Return whether our default is theirs; `...` in a stub is any default."""
    if mine is NONE:
        return False
    theirs = ast.unparse(value)
    if theirs == "..." or theirs.rsplit(".", 1)[-1] == names.spelled(mine):
        return True
    try:
        told = ast.literal_eval(value)
    except ValueError:
        return False
    return bool(mine == told or (isinstance(told, list) and mine == tuple(told)))


def found() -> list[str]:
    """Return all differences, as lines."""
    lines = []
    for full, overloads in theirs().items():
        lines += [f"{full}: {what}" for what in dict.fromkeys(differences(full, overloads))]
    return lines


def listed() -> dict[str, str]:
    """Return the reason of each difference that is known, by a pattern of such lines."""
    lines = (HERE / "differences.txt").read_text().splitlines()
    entries = (line.split(" | ") for line in lines if line and not line.startswith("#"))
    return {what: reason for what, reason in entries}


def test_signatures_are_those_of_pytorch() -> None:
    seen, known = found(), listed()
    assert [x for x in seen if not any(fnmatchcase(x, pattern) for pattern in known)] == []
    assert [pattern for pattern in known if not any(fnmatchcase(x, pattern) for x in seen)] == []


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="PyTorch, the source of the recording, is absent",
)
def test_what_was_recorded_is_what_pytorch_says() -> None:
    assert record.text() == record.PATH.read_text()
