"""Cases: every op, with every thing that can be asked of it, as plain data with the results to expect.

Results are computed on `cpu` in float64, where `test_ops.py` checks them against differences; `replay.py` then
asks the same of any device. `write` puts the cases into a JSON file for a device that has no NumPy.
"""

from __future__ import annotations

import functools
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tabgrad.core import dtype as dt
from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.several import Several
from tests.ops import replay
from tests.ops.samples import Sample, generator, samples, uniform
from tests.sampling import takes_samples

Case = replay.Case
Record = dict[str, Any]

BATCH = 3
BOUNDS = {
    "forward": (2e-5, 2e-6),
    "jvp": (1e-4, 1e-5),
    "reverse": (1e-4, 1e-5),
    "second": (1e-3, 1e-4),
    "vmap": (2e-5, 2e-6),
    "jvp of grad": (1e-3, 1e-4),
    "vmap of grad": (1e-4, 1e-5),
    "op of op": (1e-3, 1e-4),
}
"""Relative and absolute error allowed in float32."""
COMPLEX = ("eig.0", "eig.1", "complex", "real", "imag", "magnitude")
"""Ops of complex numbers, which `test_complex.py` and `tests/linalg` test."""
HOST = ("ldl", "ldl_solve")
"""Ops that no kernel computes; see `linalg/on_host.py`."""


def plain(value: Any) -> Any:
    """Return a parameter as JSON has it; the inverse of `replay.frozen`."""
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    if isinstance(value, dt.DType):
        return {"dtype": value.name}
    return value


def record(x: Any, **more: Any) -> Record:
    """Return an array as plain data."""
    return {"shape": list(x.shape), "dtype": x.dtype.name, "data": x.reshape(-1).tolist(), **more}


def array(r: Record) -> Any:
    """Return the array of a record."""
    return np.array(r["data"], dtype=r["dtype"]).reshape(r["shape"])


def widened(case: Case) -> Case:
    """Return the case in float64."""

    def wide(r: Record) -> Record:
        return {**r, "dtype": "float64"} if r["dtype"] == "float32" else r

    out = dict(case)
    single = {"dtype": "float32"}
    out["params"] = {
        k: {"dtype": "float64"} if v == single else v for k, v in case["params"].items()
    }
    for key in ("inputs", "tangents"):
        if key in case:
            out[key] = [wide(r) for r in case[key]]
    if "cotangent" in case:
        out["cotangent"] = wide(case["cotangent"])
    return out


def results(case: Case) -> list[Any]:
    """Return the results of a case on `cpu`, in float64, as arrays."""
    return [np.asarray(y.value) for y in replay.run(widened(case), "cpu")]


# -- layouts ---------------------------------------------------------------------------------------


def permuted(x: Any) -> Record:
    """Return a record whose memory has the axes the other way round."""
    n = x.ndim
    return record(
        np.ascontiguousarray(np.transpose(x)),
        views=[["permute", {"dims": list(reversed(range(n)))}]],
    )


def sliced(x: Any) -> Record:
    """Return a record that takes every second element out of the middle of a larger array."""
    large = np.zeros(tuple(2 * n + 1 for n in x.shape), dtype=x.dtype)
    large[...] = 1
    inner = tuple(slice(1, 2 * n + 1, 2) for n in x.shape)
    large[inner] = x
    params = {
        "starts": [1] * x.ndim,
        "stops": [2 * n + 1 for n in x.shape],
        "steps": [2] * x.ndim,
    }
    return record(large, views=[["slice", params]])


# -- making ----------------------------------------------------------------------------------------


def spread(x: Any) -> bool:
    """Whether an array has differentiable elements."""
    return bool(x.dtype.kind == "f")


def base(op: Op, sample: Sample, check: str, name: str) -> Case:
    """Return a case without expectations."""
    rtol, atol = BOUNDS[check]
    tolerance = getattr(op, "tolerance", None) or 0.0
    pairs = {} if sample.pairs is None else {"pairs": list(sample.pairs)}
    return {
        **pairs,
        "id": f"{op.name}/{name}/{check}",
        "op": op.name,
        "check": check,
        "params": {k: plain(v) for k, v in sample.params.items()},
        "inputs": [record(x) for x in sample.arrays],
        "rtol": max(rtol, tolerance),
        "atol": max(atol, tolerance),
    }


def expecting(case: Case) -> Case:
    """Return the case with what `cpu` gives in float64."""
    case["expected"] = [
        {"shape": list(y.shape), "data": y.reshape(-1).tolist()} for y in results(case)
    ]
    return case


def differentiable(op: Op, sample: Sample) -> bool:
    """Whether derivatives of this application can be asked for."""
    if not op.differentiable or not any(spread(x) for x in sample.arrays):
        return False
    out = infer(op, sample)
    return out.dtype.is_differentiable


def infer(op: Op, sample: Sample, paired: bool = True) -> Any:
    """Return the spec of the result of a sample, complex numbers being pairs unless not `paired`."""
    from tabgrad.core.spec import intern_params, spec

    specs = tuple(spec(x.shape, dt.by_name(x.dtype.name)) for x in sample.operands)
    found = op.infer(specs, intern_params(sample.params))
    return found if sample.pairs is None or not paired else made_real(found)


def made_real(s: Any) -> Any:
    """Return the spec of complex numbers as pairs, any other as it is."""
    from tabgrad.core.spec import spec

    return spec((*s.shape, 2), dt.real_of(s.dtype)) if s.dtype.is_complex else s


def forwards(op: Op, sample: Sample) -> Iterator[Case]:
    """The value; also through permuted and sliced inputs, where there are axes."""
    yield base(op, sample, "forward", sample.name)
    if any(x.ndim > 1 and x.size for x in sample.arrays) and sample.smooth:
        for layout in (permuted, sliced):
            case = base(op, sample, "forward", f"{sample.name}/{layout.__name__}")
            case["inputs"] = [layout(x) if x.ndim else record(x) for x in sample.arrays]
            yield case


def derivatives(op: Op, sample: Sample) -> Iterator[Case]:
    """Reverse, forward and second order."""
    if not differentiable(op, sample):
        return
    rng = generator(op, f"{sample.name}/derivatives")
    tangents = [uniform(rng, -1, 1, x.shape) for x in sample.arrays if spread(x)]
    ct = record(uniform(rng, -1, 1, infer(op, sample).shape))
    halves = [
        record((x / 2).astype(np.float32), differentiable=True) if spread(x) else record(x)
        for x in sample.arrays
    ]
    case = base(op, sample, "reverse", sample.name)
    yield {**case, "inputs": halves, "cotangent": ct}
    if not sample.smooth:
        return
    case = base(op, sample, "second", sample.name)
    yield {**case, "inputs": halves, "cotangent": ct, "tangents": [record(t) for t in tangents]}
    case = base(op, sample, "jvp", sample.name)
    inputs = [record(x, differentiable=True) if spread(x) else record(x) for x in sample.arrays]
    yield {**case, "inputs": inputs, "tangents": [record(t) for t in tangents]}


def mixed(op: Op, sample: Sample) -> Iterator[Case]:
    """Transforms of gradients: forward mode over reverse, batches of them, and second order of op∘op."""
    rng = generator(op, f"{sample.name}/mixed")
    variables = [x for x in sample.arrays if spread(x)]
    tangents = [record(uniform(rng, -1, 1, x.shape)) for x in variables]
    shape = infer(op, sample).shape
    ct = record(uniform(rng, -1, 1, shape))
    inputs = [record(x, differentiable=True) if spread(x) else record(x) for x in sample.arrays]
    for check in ("jvp of grad", "op of op"):
        case = base(op, sample, check, sample.name)
        yield {**case, "inputs": inputs, "cotangent": ct, "tangents": tangents}
    cts = record(uniform(rng, -1, 1, (BATCH, *shape)))
    case = base(op, sample, "vmap of grad", f"{sample.name}/cotangent")
    yield {**case, "inputs": inputs, "cotangent": cts, "dims": [0, *[None] * len(variables)]}
    case = base(op, sample, "vmap of grad", f"{sample.name}/all")
    case["inputs"] = [
        record(np.stack([_like(rng, x, b) for b in range(BATCH)], -1), differentiable=True)
        if spread(x)
        else record(x)
        for x in sample.arrays
    ]
    yield {**case, "cotangent": cts, "dims": [0, *[x.ndim for x in variables]]}


def batched(op: Op, sample: Sample) -> Iterator[Case]:
    """Batches along every axis: all operands, and each operand alone."""
    n = len(sample.arrays)
    shapes = [x.ndim for x in sample.arrays]
    choices: list[tuple[int | None, ...]] = []
    for axis in range(max(shapes, default=0) + 1):
        choices.append(tuple(min(axis, s) for s in shapes))
    if n > 1:
        for k in range(n):
            choices.append(tuple(shapes[i] if i == k else None for i in range(n)))
    for dims in dict.fromkeys(choices):
        rng = generator(op, f"{sample.name}/{dims}")
        case = base(op, sample, "vmap", f"{sample.name}/{dims}".replace(" ", ""))
        case["inputs"] = [
            record(x if d is None else np.stack([_like(rng, x, b) for b in range(BATCH)], axis=d))
            for x, d in zip(sample.arrays, dims, strict=True)
        ]
        yield {**case, "dims": list(dims)}


def _like(rng: np.random.Generator, x: Any, b: int) -> Any:
    """Return another array of the same domain: `x` in another order."""
    if not b or not x.ndim:
        return x
    return rng.permutation(x.reshape(-1)).reshape(x.shape)


def broadcasts(op: Op) -> Iterator[Case]:
    """The public front: shapes that broadcast both ways, for ops of more than one operand."""
    if op.family != "elementwise" or len(op.operands) < 2:
        return
    for sample in samples(op):
        if sample.name != "float[3,4]":
            continue
        cut = [x[:1] if i % 2 else x[:, :1] for i, x in enumerate(sample.arrays)]
        for name, arrays in (
            ("both", cut),
            ("scalar", [sample.arrays[0], *(x[0, 0] for x in sample.arrays[1:])]),
            ("rank", [sample.arrays[0][0], *sample.arrays[1:]]),
        ):
            made = Sample(f"broadcast-{name}", [np.asarray(x) for x in arrays], sample.params)
            case = base(op, made, "forward", made.name)
            yield {**case, "front": True}
            yield from _broadcast_derivative(op, made)


def _broadcast_derivative(op: Op, sample: Sample) -> Iterator[Case]:
    if not op.differentiable:
        return
    rng = generator(op, sample.name)
    shape = np.broadcast_shapes(*(x.shape for x in sample.arrays))
    case = base(op, sample, "reverse", sample.name)
    case["inputs"] = [
        record((x / 2).astype(np.float32), differentiable=True) if spread(x) else record(x)
        for x in sample.arrays
    ]
    yield {**case, "front": True, "cotangent": record(uniform(rng, -1, 1, shape))}


def unexpected(op: Op) -> Iterator[Case]:
    """Yield the cases of an op without expectations."""
    if op.name in COMPLEX:
        return
    for i, sample in enumerate(samples(op)):
        yield from forwards(op, sample)
        yield from derivatives(op, sample)
        # batching has one rule for all values: the first samples and the odd shapes show it
        if sample.smooth and i < 8:
            yield from batched(op, sample)
    # transforms of gradients are made of rules that the cases above have shown: one sample will do
    shown = [s for s in samples(op) if s.smooth and differentiable(op, s)]
    for sample in shown[:1]:
        yield from mixed(op, sample)
    yield from broadcasts(op)


@functools.cache
def cases(op: Op) -> dict[str, Case]:
    """Return the cases of an op by id."""
    return {c["id"]: c for c in map(expecting, unexpected(op))}


def every() -> Iterator[Case]:
    """Yield the cases of every op."""
    return itertools.chain.from_iterable(cases(op).values() for op in REGISTRY if tested(op))


def written() -> list[Op]:
    """Return the ops whose cases can be written down: the parameters of `loop` hold a recorded program.

    That op is under test in `tests/transforms/test_loops.py`, on every host.
    """
    return [op for op in REGISTRY if op.lowering not in ("loop", *HOST) and tested(op)]


def tested(op: Op) -> bool:
    """Whether an op has cases: of one with several results its parts have; JSON has no complex numbers."""
    return not isinstance(op, Several) and op.name not in COMPLEX


COMPOSED = ("second", "jvp of grad", "vmap of grad", "op of op")
"""Checks that run the ops of the rules that forward, reverse, jvp and vmap run too."""


def cases_of_device(op: Op, device: str) -> dict[str, Case]:
    """Return the cases of an op that a device runs.

    Of `COMPOSED` these are the first second derivative alone, of batches those of one sample: a rule of
    batching asks for shapes and axes, never for the values or the device.
    """
    found = cases(op)
    if not takes_samples(device):
        return found
    second = next((name for name, c in found.items() if c["check"] == "second"), None)
    batches = [name for name, c in found.items() if c["check"] == "vmap"]
    kept = [second, *(name for name in batches if sample_of(name) == sample_of(batches[0]))]
    sampled = (*COMPOSED, "vmap")
    return {name: c for name, c in found.items() if name in kept or c["check"] not in sampled}


def sample_of(case: str) -> str:
    """Return the op and the sample in the id of a case of batches; the axes and "vmap" follow them."""
    return case.rsplit("/", 2)[0]


def write(path: pathlib.Path) -> int:
    """Write the cases of those ops that a device runs as JSON; return how many there are."""
    found = [case for op in written() for case in cases_of_device(op, "webgpu").values()]
    path.write_text(json.dumps(found, separators=(",", ":")))
    return len(found)
