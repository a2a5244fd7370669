"""Writes `oracle.json`: what PyTorch computes for the functions that tabgrad has under the same names.

Run as `python -m tests.ops.oracle` where PyTorch (CPU) is installed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from tests.ops.arguments import Input, Maker
from tests.ops.recorded import PATH


def calls() -> Iterator[tuple[str, Any]]:
    """Yield (name, function of a Maker that returns (PyTorch function, args, kwargs))."""
    from tests.ops import oracle_calls

    for function, make, label in oracle_calls.CALLS:
        yield f"{function}{':' + label if label else ''}", (function, make)


def _torch(name: str) -> Any:
    return getattr(F, name, None) or getattr(torch, name, None) or getattr(torch.special, name)


def _plain(value: Any, inputs: list[Input]) -> Any:
    if isinstance(value, Input):
        inputs.append(value)
        return {"tensor": len(inputs) - 1}
    return [_plain(v, inputs) for v in value] if isinstance(value, tuple | list) else value


def _given(value: Any, tensors: list[Any]) -> Any:
    if isinstance(value, dict):
        return tensors[value["tensor"]]
    return tuple(_given(v, tensors) for v in value) if isinstance(value, list) else value


def _record(x: Any, **more: Any) -> dict[str, Any]:
    return {"shape": list(x.shape), "dtype": x.dtype.name, "data": x.reshape(-1).tolist(), **more}


def _result(y: Any) -> dict[str, Any]:
    y = torch.zeros(y.shape) if y._is_zerotensor() else y.detach()
    numbers = [float(f"{v:.10g}") if y.is_floating_point() else v for v in y.reshape(-1).tolist()]
    return {"shape": list(y.shape), "data": numbers}


SINGLE = frozenset({"hardsigmoid", "hardswish"})
"""Where PyTorch's own derivative has a constant in float32."""


def entry(name: str, function: str, make: Any) -> dict[str, Any]:
    """Return one entry: arguments, and what PyTorch makes of them in float64."""
    maker = Maker(name)
    args, kwargs = make(maker)
    inputs: list[Input] = []
    plain_args = [_plain(a, inputs) for a in args]
    plain_kwargs = {k: _plain(a, inputs) for k, a in kwargs.items()}
    tensors = []
    for i in inputs:
        t = torch.tensor(i.values)
        t = t.double() if t.is_floating_point() else t
        tensors.append(t.requires_grad_(i.differentiable))
    out = _torch(function)(*[_given(a, tensors) for a in plain_args],
                           **{k: _given(a, tensors) for k, a in plain_kwargs.items()})  # fmt: skip
    found = list(out) if isinstance(out, tuple) else [out]
    made = {
        "name": name, "function": function, "args": plain_args, "kwargs": plain_kwargs,
        "inputs": [
            _record(i.values, differentiable=True) if i.differentiable else _record(i.values) for i in inputs
        ],
    }  # fmt: skip
    if function in SINGLE:
        made["rtol"] = 1e-6
    leaves = [t for t in tensors if t.requires_grad]
    results = [_result(y) for y in found]
    if leaves:
        ct = maker.normal(*found[0].shape).values
        made["cotangent"] = _record(ct)
        grads = torch.autograd.grad(
            found[0], leaves, torch.tensor(ct).double(), create_graph=True, materialize_grads=True
        )
        results += map(_result, grads)
        results += _second(made, maker, leaves, grads)
    made["expected"] = results
    return made


def _second(made: dict[str, Any], maker: Maker, leaves: list[Any], grads: Any) -> list[Any]:
    directions = [maker.normal(*g.shape).values for g in grads]
    pairs = [
        (g, torch.tensor(v).double())
        for g, v in zip(grads, directions, strict=True)
        if g.requires_grad
    ]
    if not pairs:
        return []
    outs, cts = zip(*pairs, strict=True)
    try:
        found = torch.autograd.grad(outs, leaves, cts, allow_unused=True)
    except RuntimeError:
        # PyTorch has no second derivative of this function
        return []
    if all(g is None for g in found):
        return []
    made["directions"] = [_record(v) for v in directions]
    return [
        _result(torch.zeros_like(x) if g is None else g) for x, g in zip(leaves, found, strict=True)
    ]


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    found = [entry(name, *what) for name, what in calls()]
    assert len({e["name"] for e in found}) == len(found), "two entries have one name"
    PATH.write_text(
        "[\n" + ",\n".join(json.dumps(e, separators=(",", ":")) for e in found) + "\n]\n"
    )
    print(f"{len(found)} entries, {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
