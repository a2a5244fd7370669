"""Files of graphs that were changed: refused with file and place, or they run, or say what file they are of."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.core.errors import FileFormatError, OutOfRangeError
from tabgrad.nn import functional as F
from tabgrad.serialization import safetensors

Spec = tg.export.TensorSpec


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    with tg.device("cpu"):
        yield


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.linear = nn.Embedding(11, 8), nn.Linear(8, 8)

    def forward(self, tokens: Any) -> Any:
        x = self.table(tokens)
        y = (self.linear(x) @ x.transpose(1, 2) / x.shape[1] ** 0.5).softmax(-1) @ x
        ordered, index = F.dropout(y, 0.5, True).sort(-1)
        z = tg.cat([ordered.cumsum(1), y.flip(1)], 1)
        return {
            "z": z,
            "i": index.argmax(1),
            "w": (z > 0).any(-1),
            "g": z[:, 1:].roll(1, 0).amax(1),
        }


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.back = nn.ConvTranspose2d(4, 2, 2, stride=2)

    def forward(self, x: Any) -> Any:
        y = self.back(F.max_pool2d(self.norm(self.conv(x)).relu(), 2))
        more = F.unfold(x, 2), x.cummax(0).values, x.to(tg.int32).view(tg.uint8)
        return y.pow(2).mean((2, 3)), x.logcumsumexp(0), *more


def indexed(x: Any, index: Any, k: Any) -> Any:
    places = tg.arange(x.shape[0]) / x.shape[0]
    return [
        x.scatter_add(0, index, x),
        x.gather(0, index),
        places,
        x.pow(k),
        x.prod(0),
        x.unfold(1, 2, 1),
    ]


def programs() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    with tg.device("cpu"):
        index = tg.zeros(3, 4, dtype=tg.int64)
        two = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        specs = (Spec(("n", 4)), Spec(("n", 4), tg.int64), 2)
        return {
            "layers": (tg.export(two, (Spec(("b", 3)),)), (tg.ones(2, 3),)),
            "block": (tg.export(Block(), (Spec(("b", 5), tg.int64),)), (index[:, :1].expand(3, 5) + 1,)),
            "conv": (tg.export(Convolved(), (Spec(("b", 2, 6, 6)),)), (tg.ones(2, 2, 6, 6),)),
            "index": (tg.export(indexed, specs), (tg.ones(3, 4), index, 2)),
        }  # fmt: skip


PROGRAMS = programs()


def contents(program: Any) -> dict[str, Any]:
    file = io.BytesIO()
    tg.export.save(program, file)
    found = safetensors.load(io.BytesIO(file.getvalue()))
    return {**found, "tabgrad.export": json.loads(found["tabgrad.export"])}


def loaded(found: dict[str, Any]) -> Any:
    file = io.BytesIO()
    safetensors.save({**found, "tabgrad.export": json.dumps(found["tabgrad.export"])}, file)
    return tg.export.load(io.BytesIO(file.getvalue()))


def paths(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each part of JSON."""
    for k in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        yield (*path, k)
        yield from paths(part[k], (*path, k))


def at(part: Any, path: tuple[Any, ...]) -> Any:
    for k in path:
        part = part[k]
    return part


PARTS = [
    0, 1, 2, 3, -1, 4, 5, 65, 1 << 40, 1 << 62, 10**30, 1.5, 1e9, float("nan"), True, None, "x", "n", "b", [],
    {}, "matmul", "add", "float32", "int64", "bool", "complex64", "*", "1/0", [["1", []]],
]  # fmt: skip


def changed(graph: Any, rnd: random.Random) -> Any:
    """Return a graph with one or two parts replaced, left out or doubled."""
    graph = json.loads(json.dumps(graph))
    for _ in range(rnd.choice((1, 1, 1, 2))):
        every = list(paths(graph))
        # most lie within the steps
        *before, last = rnd.choice(every)
        holder, other = at(graph, tuple(before)), at(graph, rnd.choice(every))
        how = rnd.randrange(6)
        if how == 4:
            del holder[last]
        elif how == 5 and isinstance(holder, list):
            holder.insert(last, json.loads(json.dumps(holder[last])))
        else:
            new = rnd.choice(PARTS) if how < 3 else other
            holder[last] = json.loads(json.dumps(new))
    return graph


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_changed_graph_is_refused_or_runs(name: str) -> None:
    program, args = PROGRAMS[name]
    found, rnd, refused, ran = contents(program), random.Random(name), 0, 0
    for _ in range(400):
        graph = changed(found["tabgrad.export"], rnd)
        try:
            again = loaded({**found, "tabgrad.export": graph})
        except (FileFormatError, tg.ExportError) as fault:
            assert str(fault).startswith("export.load: BytesIO: tabgrad.export: ")  # noqa: PT017
            refused += 1
            continue
        try:
            again(*args)
        except OutOfRangeError as fault:
            # which indices are in range is a number of the graph
            assert "exported program BytesIO" in str(fault.__notes__)  # noqa: PT017
        except Exception as fault:
            assert str(fault).startswith("exported program"), repr(fault)  # noqa: PT017
        ran += 1
    assert refused > 200
    assert ran


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_unchanged_graph_is_loaded(name: str) -> None:
    program, args = PROGRAMS[name]
    again = loaded(contents(program))
    assert str(again) == str(program)
    assert again.graph == program.graph._replace(
        steps=again.graph.steps, constants=again.graph.constants, derived=again.graph.derived
    )
    again(*args)


def first(graph: Any, op: str) -> Any:
    return next(step for step in graph["steps"] if step[0] == op)


def number(graph: Any, op: str) -> str:
    return rf"step {graph['steps'].index(first(graph, op))} \({op}\)"


CHANGES: dict[str, tuple[Any, str]] = {
    "op": (lambda g: g["steps"][2].__setitem__(0, "matmu"), "step 2: this version has no op 'matmu'"),
    "op no text": (lambda g: g["steps"][2].__setitem__(0, []), r"step 2: expected the name of an op, got \[\]"),
    "format": (lambda g: g.update(format=2), "the file is of format 2, this version"),
    "format no number": (lambda g: g.update(format={}), "expected a graph with the number"),
    "no format": (lambda g: g.pop("format"), "expected a graph with the number"),
    "no steps": (lambda g: g.pop("steps"), "there is no steps"),
    "steps": (lambda g: g.update(steps={}), "steps: expected a list"),
    "step": (lambda g: g["steps"][1].pop(), "step 1: expected .op, parameters, arguments"),
    "size": (lambda g: g["inputs"][0][0].__setitem__(0, -1), "inputs 0: expected sizes from 0"),
    "dtype": (lambda g: g["inputs"][0][1].update(dtype="f"), "inputs 0: expected a dtype"),
    "constant": (lambda g: g["constants"][0].__setitem__(0, "x"), "constants 0, number: expected a number"),
    "value": (lambda g: g["steps"][1].__setitem__(2, [999]), "step 1 .*there is no value 999 before it"),
    "no size": (lambda g: g["bounds"].clear(), "bounds: of the sizes"),
    "bounds": (lambda g: g["bounds"].update(b=[5, 4]), "bounds of 'b': expected"),
    "state": (lambda g: g["state"].__setitem__(0, "none"), "state 'none': there is no such tensor"),
    "write": (lambda g: g["writes"][0].__setitem__(1, 0), "writes 0: .*can't be written to"),
    "output": (lambda g: g["outputs"].append(0), "outputs: 2 of them, but out_structure has 1"),
    "argument": (lambda g: g.update(in_structure={"tuple": []}), "in_structure: 0 arguments, but 1 inputs"),
    "static": (lambda g: g["statics"].update({"0": 1}), "in_structure: 1 arguments, but 1 inputs and 1"),
    "structure": (lambda g: g.update(out_structure={"set": []}), "out_structure: expected a tuple"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_wrong_part_is_named(what: str) -> None:
    found = contents(PROGRAMS["layers"][0])
    change, message = CHANGES[what]
    change(found["tabgrad.export"])
    with pytest.raises(
        (FileFormatError, tg.ExportError), match=f"^export.load: BytesIO: .*{message}"
    ):
        loaded(found)


@pytest.mark.parametrize(
    ("program", "op", "param", "value", "message"),
    [
        ("layers", "permute", "dims", [0, 2], "dims"),
        ("layers", "permute", "dims", [0.0, 1.0], "dims can't be"),
        ("layers", "reduce_sum", "axes", [7], "axes"),
        ("layers", "reduce_sum", "axes", None, "axes can't be None"),
        ("layers", "expand", "shape", [1 << 62, 1 << 62], "does not broadcast|too large"),
        ("conv", "conv", "groups", 0, "groups"),
        ("conv", "conv", "strides", [0, 1], "strides"),
        ("block", "argsort", "descending", 1, "descending can't be 1"),
        ("block", "argsort", "axis", 9, "axis 9"),
        ("block", "cat", "axis", -1, "axis -1"),
        ("index", "gather", "axis", 2, "axis 2"),
        ("index", "gather", "other", 2, "there is no parameter 'other'"),
    ],
)
def test_a_wrong_parameter_is_named(
    program: str, op: str, param: str, value: Any, message: str
) -> None:
    found = contents(PROGRAMS[program][0])
    graph = found["tabgrad.export"]
    step = first(graph, op)
    place = number(graph, op)
    step[1]["dict"][param] = value
    with pytest.raises(FileFormatError, match=f"export.load: BytesIO: .*{place}.*({message})"):
        loaded(found)


def test_a_size_at_which_a_graph_does_not_run_is_named() -> None:
    found = contents(tg.export(lambda x: x.reshape(-1), (Spec(("n", 2)),)))
    (step,) = found["tabgrad.export"]["steps"]
    (shape,) = step[1]["dict"]["shape"]
    formula = shape["formula"]
    formula[:2] = [[["2", ["n"]], ["-2", []]], [["1", []]]]
    with pytest.raises(FileFormatError, match=r"step 0 \(reshape\): .* \(where n = 5\)"):
        loaded(found)
    # 2n + (n - 5)(n - 7): right at the sizes that are tried when it is loaded
    formula[:2] = [[["1", ["n", "n"]], ["-10", ["n"]], ["35", []]], [["1", []]]]
    again = loaded(found)
    assert again(tg.ones(5, 2)).shape == (10,)
    for _ in range(2):
        with pytest.raises(
            FileFormatError, match=r"program of BytesIO: step 0 \(reshape\): .*n = 4"
        ):
            again(tg.ones(4, 2))


def test_containers_that_a_file_can_not_hold() -> None:
    program = tg.export(lambda x: {(1, 2): x}, (Spec((2,)),))
    with pytest.raises(tg.ExportError, match="can't hold a dict with the keys"):
        tg.export.save(program, io.BytesIO())
