"""Saves and loads exported graphs: JSON for the graph, safetensors for its state, and no code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt, tree
from tabgrad.core.errors import ExportError, FileFormatError
from tabgrad.core.trace import Box
from tabgrad.exporting.decoding import rebuilt
from tabgrad.exporting.formulas import Formula
from tabgrad.exporting.program import ExportedProgram, Graph
from tabgrad.exporting.verifying import sizes_to_try, verify
from tabgrad.hosts.devices import Device, device as device_of, get_default_device
from tabgrad.serialization.safetensors import (
    File,
    load as load_tensors,
    name_of,
    parsed,
    save as save_tensors,
    save_async as save_tensors_async,
)

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

FORMAT = 1
KEY = "tabgrad.export"


def save(program: ExportedProgram, f: File) -> None:
    """Write a graph and its state to a file, a path or an open one.

    Raises ExportError if arguments or results are in containers other than tuples, lists and dicts, or if fixed
    arguments are not numbers or strings.

    >>> import io, tabgrad as tg
    >>> program = tg.export(lambda x: x * 2, (tg.export.TensorSpec(("n",), device="cpu"),))
    >>> file = io.BytesIO()
    >>> tg.export.save(program, file)
    >>> tg.export.load(io.BytesIO(file.getvalue()))(tg.ones(2, device="cpu"))
    tensor([2., 2.])
    """
    save_tensors(_contents(program), f)


async def save_async(program: ExportedProgram, f: File) -> None:
    """Do what `save` does, without blocking."""
    await save_tensors_async(_contents(program), f)


def _contents(program: ExportedProgram) -> dict[str, Any]:
    state = {name: t.detach() for name, t in program.state.items()}
    trained = [name for name, _ in program.named_parameters()]
    text = json.dumps({"format": FORMAT, **described(program.graph)})
    return {KEY: text, "trained": trained, "state": state}


def load(f: File, map_location: str | Device | None = None) -> ExportedProgram:
    """Load a graph that `save` wrote, with its state on `map_location`, or on the default device.

    Raises FileFormatError for a file that is broken or of another kind, and ExportError for another version;
    both name the file and the place.
    """
    found = load_tensors(f, map_location)
    name = name_of(f)
    if not isinstance(found, dict) or not isinstance(found.get(KEY), str):
        raise FileFormatError(
            f"export.load: {name}: no exported graph in the file; tabgrad.load reads other things"
        )
    device = get_default_device() if map_location is None else device_of(map_location)
    try:
        return _program(parsed(found[KEY], KEY), found, name, device)
    except FileFormatError as fault:
        raise FileFormatError(f"export.load: {name}: {fault}") from None
    except ExportError as fault:
        raise ExportError(f"export.load: {name}: {fault}") from None


def _program(text: Any, found: dict[str, Any], name: str, device: Device) -> ExportedProgram:
    """Make a program of a graph's JSON and its state, checked at two choices of the unknown sizes."""
    version = text.get("format") if type(text) is dict else None
    if type(version) is not int:
        raise FileFormatError(f"{KEY}: expected a graph with the number of its format")
    if version != FORMAT:
        raise ExportError(
            f"{KEY}: the file is of format {version}, this version of tabgrad reads {FORMAT}"
        )
    try:
        graph = rebuilt(text)
        state = _state(graph, found)
        specs = {n: t.spec for n, t in state.items()}
        for sizes in sizes_to_try(graph):
            verify(graph, specs, sizes, device)
    except FileFormatError as fault:
        raise FileFormatError(f"{KEY}: {fault}") from None
    except ExportError as fault:
        raise ExportError(f"{KEY}: {fault}") from None
    return ExportedProgram(graph, state, name)


def _state(graph: Graph, found: dict[str, Any]) -> dict[str, Tensor]:
    """Return the graph's state by name; trained tensors require grad."""
    held, trained = found.get("state"), found.get("trained")
    if not isinstance(held, dict) or not isinstance(trained, list):
        raise FileFormatError("expected the state beside the graph, and a list of what is trained")
    for name in graph.state:
        if not isinstance(held.get(name), Box):
            raise FileFormatError(f"state {name!r}: there is no such tensor in the file")
    state = {name: held[name] for name in graph.state}
    for name in trained:
        if not isinstance(name, str) or name not in state:
            raise FileFormatError(f"trained: there is no state {name!r}")
        if not state[name].dtype.is_differentiable:
            raise FileFormatError(f"trained: {name!r} is of {state[name].dtype!r}")
        state[name].requires_grad_()
    return state


def described(graph: Graph) -> dict[str, Any]:
    """Convert a graph to JSON."""
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


def _encoded(value: object) -> Any:
    """Convert nested tuples and dicts of numbers, names, dtypes and formulas to JSON."""
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


def _structure(structure: tree.Structure) -> Any:
    if structure is None or structure is tree.LEAF:
        return None if structure is None else "*"
    kind, keys, children = structure
    parts = [_structure(c) for c in children]
    if kind is dict:
        strange = [k for k in keys if k is not None and type(k) not in (str, int, float, bool)]
        if strange or any(k != k for k in keys):
            raise ExportError(f"export.save: a file can't hold a dict with the keys {keys}")
        return {"dict": [list(keys), parts]}
    if kind in (tuple, list):
        return {kind.__name__: parts}
    raise ExportError(
        f"export.save: arguments and results may be in tuples, lists and dicts, not in a {kind.__name__}"
    )
