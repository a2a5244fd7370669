"""Replaying what PyTorch computed for functions of `nn.functional` (and a few others): pure Python.

An entry of `oracle.json` is plain data: the function, its arguments (tensors by their number), PyTorch's
results, its gradients for a given cotangent, and the derivative of those along a direction. `oracle.py` makes
the file where PyTorch is installed; this file needs nothing but tabgrad.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import tabgrad.nn.functional as F
from tabgrad import special as public_special
from tabgrad.ops import scan, sorting, special
from tabgrad.tensor import elementary, softmax
from tabgrad.transforms import backward
from tests.ops import replay

PATH = pathlib.Path(__file__).parent / "oracle.json"
Entry = dict[str, Any]


def entries() -> dict[str, Entry]:
    """Return the entries of `oracle.json` by name."""
    return {e["name"]: e for e in json.loads(PATH.read_text())}


INNER = {
    "logsumexp": softmax.logsumexp, "sort": sorting.sort, "topk": sorting.topk, "kthvalue": sorting.kthvalue,
    "median": sorting.median, "searchsorted": sorting.searchsorted, "logit": elementary.logit,
    "cumsum": lambda x, dim: scan.cumsum.bind(x, axis=dim, reverse=False),
    "cumprod": lambda x, dim: scan.cumprod(x, dim),
    "logcumsumexp": lambda x, dim: scan.logcumsumexp.bind(x, axis=dim, reverse=False),
    "cummax": lambda x, dim: scan.cumextreme(x, dim, False),
    "cummin": lambda x, dim: scan.cumextreme(x, dim, True),
    "erfinv": special.erfinv, "lgamma": special.lgamma, "digamma": special.digamma, "sinc": elementary.sinc,
    "polygamma": special.polygamma, "xlogy": special.xlogy,
}  # fmt: skip
"""Functions outside `nn.functional`, by PyTorch's name."""


def function(name: str) -> Any:
    """Return tabgrad's function of this name."""
    return INNER.get(name) or getattr(F, name, None) or getattr(public_special, name)


def tensor(record: dict[str, Any], device: str, double: bool, grad: bool = False) -> Any:
    """Return the tensor of a record, in float64 if `double`."""
    if double and record["dtype"] == "float32":
        record = {**record, "dtype": "float64"}
    return replay.build(record, device, grad)


def _argument(value: Any, tensors: list[Any]) -> Any:
    if isinstance(value, dict):
        return tensors[value["tensor"]]
    return tuple(_argument(v, tensors) for v in value) if isinstance(value, list) else value


def run(entry: Entry, device: str, double: bool) -> list[Any]:
    """Return results, gradients and second derivatives in the order of `entry["expected"]`."""
    leaves = [tensor(r, device, double, r.get("differentiable", False)) for r in entry["inputs"]]
    # not leaves: gradients must flow on through them
    seen = [x * 1 if x.requires_grad else x for x in leaves]
    args = [_argument(a, seen) for a in entry["args"]]
    kwargs = {k: _argument(a, seen) for k, a in entry["kwargs"].items()}
    out = function(entry["function"])(*args, **kwargs)
    found = list(out) if isinstance(out, tuple | list) else [out]
    wanted = [x for x in leaves if x.requires_grad]
    if not wanted:
        return found
    ct = tensor(entry["cotangent"], device, double)
    second = "directions" in entry
    grads = backward.grad(found[0], wanted, ct, create_graph=second, materialize_grads=True)
    found += grads
    if second:
        along = [tensor(r, device, double) for r in entry["directions"]]
        pairs = [(g, v) for g, v in zip(grads, along, strict=True) if g.requires_grad]
        if not pairs:
            return found + [x.detach() * 0 for x in wanted]
        outs, cts = zip(*pairs, strict=True)
        found += backward.grad(outs, wanted, cts, materialize_grads=True)
    return found


def complaint(entry: Entry, results: list[Any], double: bool) -> str:
    """Return what is wrong with the (shape, numbers) of an entry, "" if nothing is."""
    rtol, atol = (1e-6, 1e-7) if double else (2e-3, 2e-4)
    if double and "rtol" in entry:
        rtol, atol = entry["rtol"], entry["rtol"]
    case = {"expected": entry["expected"], "rtol": rtol, "atol": atol}
    return replay.complaint(case, results)


def check(entry: Entry, device: str) -> str:
    """Run an entry on `device`, in float64 on the CPU, and return what is wrong."""
    double = device == "cpu"
    results = [(y.shape, replay.flat(y.detach().tolist())) for y in run(entry, device, double)]
    return complaint(entry, results, double)


async def check_async(entry: Entry, device: str) -> str:
    """Return what `check` returns, with awaited reads."""
    double = device == "cpu"
    results = [
        (y.shape, replay.flat(await y.detach().tolist_async())) for y in run(entry, device, double)
    ]
    return complaint(entry, results, double)
