"""Rebuilds a graph from the JSON of `files.described`; every part is checked, and errors name the place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from tabgrad.core import dtype as dt, tree
from tabgrad.core.errors import ExportError, FileFormatError
from tabgrad.core.op import REGISTRY
from tabgrad.exporting.formulas import Formula, Term
from tabgrad.exporting.program import Filled, Graph, Input, Step

FACTOR = re.compile(r"-?\d{1,400}(/\d{1,400})?")
DEEPEST = 100
"""The deepest nesting of containers of arguments or results."""
NUMBERS = (int, float, bool)


def rebuilt(text: dict[str, Any]) -> Graph:
    """Rebuild the graph. Raises FileFormatError with the place of an error, ExportError for an unknown op."""
    parts = {name: _part(text, name, kind) for name, kind in _KINDS.items()}
    in_structure = _structure(parts["in_structure"], "in_structure")
    out_structure = _structure(parts["out_structure"], "out_structure")
    sizes: set[str] = set()
    inputs = tuple(_all(parts["inputs"], "inputs", _input))
    named = {n for x in inputs for n in x.shape if isinstance(n, str)}
    bounds = {name: _bounds(pair, f"bounds of {name!r}") for name, pair in parts["bounds"].items()}
    if bounds.keys() != named:
        raise FileFormatError(
            f"bounds: of the sizes {sorted(bounds)}, but inputs name {sorted(named)}"
        )
    sizes |= named
    derived = {}
    for name, formula in parts["derived"].items():
        place = f"derived {name!r}"
        if name in sizes:
            raise FileFormatError(f"{place}: is a size already")
        derived[name] = _formula(formula, place, sizes)
        sizes.add(name)
    constants = tuple(_all(parts["constants"], "constants", lambda c, p: _filled(c, p, sizes)))
    state = tuple(_all(parts["state"], "state", _name))
    if len({*state}) != len(state):
        raise FileFormatError(f"state: a name is there twice: {_short(list(state))}")
    first = len(inputs) + len(constants) + len(state)
    found = enumerate(parts["steps"])
    steps = tuple([_step(s, f"step {k}", first + k, sizes) for k, s in found])
    last = first + len(steps)
    outputs = _references(parts["outputs"], "outputs", last)
    if len(outputs) != tree.count(out_structure):
        raise FileFormatError(
            f"outputs: {len(outputs)} of them, but out_structure has {tree.count(out_structure)}"
        )
    writes = tuple(_all(parts["writes"], "writes", lambda w, p: _write(w, p, state, last)))
    leaves = tree.count(in_structure)
    statics = dict(_static(i, value, leaves) for i, value in parts["statics"].items())
    if len(inputs) + len(statics) != leaves:
        raise FileFormatError(
            f"in_structure: {leaves} arguments, but {len(inputs)} inputs and {len(statics)} statics"
        )
    return Graph(
        inputs, constants, state, steps, outputs, writes, bounds, derived, statics, in_structure,
        out_structure,
    )  # fmt: skip


_KINDS: dict[str, type] = {
    "inputs": list, "constants": list, "state": list, "steps": list, "outputs": list, "writes": list,
    "bounds": dict, "derived": dict, "statics": dict, "in_structure": object, "out_structure": object,
}  # fmt: skip


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _wrong(place: str, expected: str, got: object) -> FileFormatError:
    return FileFormatError(f"{place}: expected {expected}, got {_short(got)}")


def _part(text: dict[str, Any], name: str, kind: type) -> Any:
    if name not in text:
        raise FileFormatError(f"there is no {name}")
    if not isinstance(text[name], kind):
        raise _wrong(name, f"a {kind.__name__}", text[name])
    return text[name]


def _all(parts: list[Any], place: str, read: Callable[[Any, str], Any]) -> Iterator[Any]:
    for i, part in enumerate(parts):
        yield read(part, f"{place} {i}")


def _several(part: object, place: str, what: str) -> list[Any]:
    """Check that a list has the entries that `what` names, and return it."""
    if type(part) is not list or len(part) != what.count(",") + 1:
        raise _wrong(place, f"[{what}]", part)
    return part


def _name(part: object, place: str) -> str:
    if type(part) is not str:
        raise _wrong(place, "a name", part)
    return part


def _input(part: object, place: str) -> Input:
    sizes, dtype = _several(part, place, "shape, dtype")
    if type(sizes) is not list or not all(type(n) is str or _whole(n) for n in sizes):
        raise _wrong(place, "sizes from 0 and names of sizes", sizes)
    return Input(tuple(sizes), _dtype(dtype, place))


def _whole(n: object) -> bool:
    return type(n) is int and 0 <= n < 1 << 63


def _bounds(part: object, place: str) -> tuple[int, int | None]:
    low, high = _several(part, place, "smallest, largest")
    if not _whole(low) or not (high is None or (_whole(high) and high >= low)):
        raise _wrong(place, "the smallest and the largest size or null", part)
    return low, high


def _dtype(part: object, place: str) -> dt.DType:
    name = part.get("dtype") if type(part) is dict and len(part) == 1 else None
    if type(name) is not str or name not in dt.NAMES:
        raise _wrong(place, "a dtype", part)
    return dt.NAMES[name]


def _filled(part: object, place: str, sizes: set[str]) -> Filled:
    number, shape, dtype = _several(part, place, "number, shape, dtype")
    found = _value(number, f"{place}, number", sizes)
    if type(found) not in (*NUMBERS, Formula):
        raise _wrong(f"{place}, number", "a number", number)
    return Filled(found, _values(shape, f"{place}, shape", sizes), _dtype(dtype, place))


def _step(part: object, place: str, before: int, sizes: set[str]) -> Step:
    name, params, args = _several(part, place, "op, parameters, arguments")
    if type(name) is not str:
        raise _wrong(place, "the name of an op", name)
    if name not in REGISTRY:
        raise ExportError(f"{place}: this version has no op {_short(name)}")
    place = f"{place} ({name})"
    if type(params) is not dict or [*params] != ["dict"] or type(params["dict"]) is not dict:
        raise _wrong(place, "parameters by name", params)
    found = {k: _value(v, f"{place}, {k}", sizes) for k, v in params["dict"].items()}
    refs = _references(args, f"{place}, arguments", before)
    if not refs and name != "random_bits":
        raise _wrong(place, "arguments", args)
    return Step(REGISTRY[name], found, refs)


def _references(part: object, place: str, before: int) -> tuple[int, ...]:
    if type(part) is not list:
        raise _wrong(place, "a list of values", part)
    for r in part:
        if type(r) is not int or not 0 <= r < before:
            raise FileFormatError(f"{place}: there is no value {_short(r)} before it")
    return tuple(part)


def _write(part: object, place: str, state: tuple[str, ...], last: int) -> tuple[str, int]:
    name, ref = _several(part, place, "state, value")
    if type(name) is not str or name not in state:
        raise FileFormatError(f"{place}: there is no state {_short(name)}")
    return name, _references([ref], place, last)[0]


def _static(i: str, value: object, leaves: int) -> tuple[int, Any]:
    place = f"statics {_short(i)}"
    if not i.isdecimal() or len(i) > 9 or int(i) >= leaves:
        raise FileFormatError(f"{place}: there is no such argument among {leaves}")
    if not isinstance(value, int | float | str):
        raise _wrong(place, "a number or text", value)
    return int(i), value


def _value(part: object, place: str, sizes: set[str], depth: int = 0) -> Any:
    """Decode a parameter: numbers, strings, dtypes, formulas, and tuples of them."""
    if type(part) is list:
        return _values(part, place, sizes, depth + 1)
    if type(part) is not dict:
        return part
    if [*part] == ["formula"]:
        return _formula(part["formula"], place, sizes)
    return _dtype(part, place)


def _values(part: object, place: str, sizes: set[str], depth: int = 0) -> tuple[Any, ...]:
    if type(part) is not list or depth > 4:
        raise _wrong(place, "a list of numbers", part)
    return tuple([_value(v, place, sizes, depth) for v in part])


def _formula(part: object, place: str, sizes: set[str]) -> Formula:
    over, under, whole, inverse = _several(part, place, "over, under, whole, inverse")
    if type(whole) is not bool or type(inverse) is not bool:
        raise _wrong(place, "whether a formula is whole and inverse", [whole, inverse])
    return Formula(_terms(over, place, sizes), _terms(under, place, sizes), whole, inverse)


def _terms(part: object, place: str, sizes: set[str]) -> list[Term]:
    if type(part) is not list:
        raise _wrong(place, "terms of a formula", part)
    found: list[Term] = []
    for term in part:
        factor, names = _several(term, place, "factor, names")
        if type(factor) is not str or not FACTOR.fullmatch(factor):
            raise _wrong(place, "a factor", factor)
        if type(names) is not list or len(names) > 16:
            raise _wrong(place, "names of sizes", names)
        for name in names:
            if type(name) is not str or name not in sizes:
                raise FileFormatError(f"{place}: there is no size {_short(name)}")
        try:
            found.append((Fraction(factor), tuple(names)))
        except ZeroDivisionError:
            raise _wrong(place, "a factor", factor) from None
    return found


def _structure(part: object, place: str, depth: int = 0) -> Any:
    """Decode the structure of arguments or results: tuples, lists and dicts."""
    if part is None or part == "*":
        return None if part is None else tree.LEAF
    if type(part) is not dict or len(part) != 1 or depth > DEEPEST:
        raise _wrong(place, "a tuple, list or dict", part)
    ((name, inner),) = part.items()
    keys = None
    if name == "dict":
        keys, inner = _several(inner, place, "keys, parts")
        simple = type(keys) is list and all(k is None or type(k) in (str, *NUMBERS) for k in keys)
        if not simple or len({*keys}) != len(keys):
            raise _wrong(place, "keys", keys)
        keys = tuple(keys)
    elif name not in ("tuple", "list"):
        raise _wrong(place, "a tuple, list or dict", name)
    if type(inner) is not list or (keys is not None and len(keys) != len(inner)):
        raise _wrong(place, "parts of a container", inner)
    kind = {"dict": dict, "tuple": tuple, "list": list}[name]
    return (kind, keys, tuple([_structure(x, place, depth + 1) for x in inner]))


__all__ = ["rebuilt"]
