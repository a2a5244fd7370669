"""Exported graphs as files: JSON for the graph, safetensors for its state. Nothing in a file is ever run."""

from __future__ import annotations

import json
from typing import Any

from tabgrad.core import dtype as dt, tree
from tabgrad.core.errors import ExportError, FileFormatError
from tabgrad.core.op import REGISTRY
from tabgrad.exporting.formulas import Formula
from tabgrad.exporting.program import ExportedProgram, Filled, Graph, Input, Step
from tabgrad.serialization import (
    File,
    load as load_tensors,
    name_of,
    parsed,
    save as save_tensors,
    save_async as save_tensors_async,
)

FORMAT = 1
KEY = "tabgrad.export"


def save(program: ExportedProgram, f: File) -> None:
    """Write a graph and its state to a file, a path or an open one.

    Raises ExportError for a graph whose arguments or results are in containers other than tuples, lists
    and dicts, or whose fixed arguments are no numbers or strings.

    >>> import io, tabgrad as tg
    >>> program = tg.export(lambda x: x * 2, (tg.export.TensorSpec(("n",), device="cpu"),))
    >>> file = io.BytesIO()
    >>> tg.export.save(program, file)
    >>> tg.export.load(io.BytesIO(file.getvalue()))(tg.ones(2, device="cpu"))
    tensor([2., 2.])
    """
    save_tensors(_contents(program), f)


async def save_async(program: ExportedProgram, f: File) -> None:
    """Write what `save` writes, awaiting the state: works where Python can't wait."""
    await save_tensors_async(_contents(program), f)


def _contents(program: ExportedProgram) -> dict[str, Any]:
    state = {name: t.detach() for name, t in program.state.items()}
    trained = [name for name, _ in program.named_parameters()]
    text = json.dumps({"format": FORMAT, **described(program.graph)})
    return {KEY: text, "trained": trained, "state": state}


def load(f: File, map_location: Any = None) -> ExportedProgram:
    """Return the graph that `save` wrote, with its state on `map_location`, or the default device.

    Raises FileFormatError for a file of another kind or a broken one, ExportError for one of another version.
    """
    found = load_tensors(f, map_location)
    if not isinstance(found, dict) or not isinstance(found.get(KEY), str):
        raise FileFormatError(
            f"export.load: {name_of(f)}: no exported graph in the file; tabgrad.load reads other things"
        )
    try:
        return _program(parsed(found[KEY], KEY), found)
    except FileFormatError as fault:
        raise FileFormatError(f"export.load: {name_of(f)}: {fault}") from None
    except ExportError:
        raise
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as fault:
        raise FileFormatError(
            f"export.load: {name_of(f)}: {KEY}: the graph is broken, {type(fault).__name__}: {fault}"
        ) from None


def _program(text: Any, found: dict[str, Any]) -> ExportedProgram:
    """Return the program of a graph's text and its state."""
    if text["format"] != FORMAT:
        raise ExportError(
            f"export.load: the file is of format {text['format']}, this version reads {FORMAT}"
        )
    graph = rebuilt(text)
    _check(graph)
    state = {name: found["state"][name] for name in text["state"]}
    for name in found["trained"]:
        state[name].requires_grad_()
    return ExportedProgram(graph, state)


def _check(graph: Graph) -> None:
    """Raise FileFormatError where a graph refers to values that are not there, or not yet."""
    first = len(graph.inputs) + len(graph.constants) + len(graph.state)
    last = first + len(graph.steps)
    uses = [(f"step {k}", first + k, step.args) for k, step in enumerate(graph.steps)]
    uses += [("outputs", last, graph.outputs), ("writes", last, tuple(r for _, r in graph.writes))]
    for what, n, refs in uses:
        for r in refs:
            if type(r) is not int or not 0 <= r < n:
                raise FileFormatError(f"{KEY}: {what}: there is no value {r!r} before it")
    for name, _ in graph.writes:
        if name not in graph.state:
            raise FileFormatError(f"{KEY}: writes: there is no state {name!r}")


def described(graph: Graph) -> dict[str, Any]:
    """Return a graph as JSON."""
    plain = {name: _encoded(getattr(graph, name)) for name in _PLAIN}
    for value in graph.statics.values():
        if not isinstance(value, int | float | str | None):
            raise ExportError(f"export.save: a file can't hold the argument {value!r}")
    return {
        **plain,
        "state": list(graph.state),
        "steps": [[s.op.name, _encoded(s.params), list(s.args)] for s in graph.steps],
        "bounds": {name: list(pair) for name, pair in graph.bounds.items()},
        "derived": {name: formula.encoded() for name, formula in graph.derived.items()},
        "statics": {str(i): value for i, value in graph.statics.items()},
        "in_structure": _structure(graph.in_structure),
        "out_structure": _structure(graph.out_structure),
    }


_PLAIN = ("inputs", "constants", "outputs", "writes")


def rebuilt(text: dict[str, Any]) -> Graph:
    """Return the graph that `described` wrote."""
    plain = {name: _decoded(text[name]) for name in _PLAIN}
    unknown = sorted({name for name, _, _ in text["steps"] if name not in REGISTRY})
    if unknown:
        raise ExportError(f"export.load: this version has no op {', '.join(unknown)}")
    return Graph(
        tuple([Input(*x) for x in plain["inputs"]]),
        tuple([Filled(*c) for c in plain["constants"]]),
        tuple(text["state"]),
        tuple([Step(REGISTRY[n], _decoded(p), tuple(args)) for n, p, args in text["steps"]]),
        plain["outputs"],
        plain["writes"],
        {name: tuple(pair) for name, pair in text["bounds"].items()},
        {name: Formula.decoded(formula) for name, formula in text["derived"].items()},
        {int(i): value for i, value in text["statics"].items()},
        _rebuilt_structure(text["in_structure"]),
        _rebuilt_structure(text["out_structure"]),
    )


def _encoded(value: Any) -> Any:
    """Return nested tuples and dicts of numbers, names, dtypes and formulas as JSON."""
    if isinstance(value, tuple):
        return [_encoded(v) for v in value]
    if isinstance(value, dict):
        return {"dict": {k: _encoded(v) for k, v in value.items()}}
    if isinstance(value, dt.DType):
        return {"dtype": value.name}
    if isinstance(value, Formula):
        return {"formula": value.encoded()}
    if value is None or isinstance(value, int | float | str):
        return value
    raise ExportError(f"export.save: a file can't hold a {type(value).__name__}")


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return tuple([_decoded(v) for v in value])
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "dict":
        return {k: _decoded(v) for k, v in inner.items()}
    return dt.by_name(inner) if kind == "dtype" else Formula.decoded(inner)


def _structure(structure: Any) -> Any:
    if structure is None or structure is tree.LEAF:
        return None if structure is None else "*"
    kind, keys, children = structure
    parts = [_structure(c) for c in children]
    if kind is dict:
        return {"dict": [list(keys), parts]}
    if kind in (tuple, list):
        return {kind.__name__: parts}
    raise ExportError(
        f"export.save: arguments and results may be in tuples, lists and dicts, not in a {kind.__name__}"
    )


def _rebuilt_structure(text: Any) -> Any:
    if not isinstance(text, dict):
        return None if text is None else tree.LEAF
    ((name, parts),) = text.items()
    if name == "dict":
        return (dict, tuple(parts[0]), tuple([_rebuilt_structure(p) for p in parts[1]]))
    kind = {"tuple": tuple, "list": list}[name]
    return (kind, None, tuple([_rebuilt_structure(p) for p in parts]))
