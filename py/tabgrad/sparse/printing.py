"""Sparse tensors as text, as PyTorch prints them."""

from __future__ import annotations

from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.hosts.devices import get_default_device
from tabgrad.printing import get_printoptions
from tabgrad.sparse.parts import ROWS, Compressed


def text(x: Any) -> str:
    """Format a sparse tensor with its indices and values; this waits for them."""
    p = x._parts
    if isinstance(p, Compressed):
        outer, inner = ("crow", "col") if p.layout in ROWS else ("ccol", "row")
        names = [f"{outer}_indices", f"{inner}_indices"]
    else:
        names = ["indices"]
    items = [_item(name, t) for name, t in zip(names, p.tensors, strict=True)]
    items.append(_item("values", p.values.detach()))
    out = "tensor(" + (",\n" + " " * 7).join(items)
    return _with_suffixes(out, _suffixes(x, isinstance(p, Compressed))) + ")"


def _item(name: str, t: Any) -> str:
    shown = repr(t.detach())
    if not t.spec.size:
        shown = f"tensor([], size={tuple(t.spec.shape)})"
    elif ", dtype=" in shown:
        shown = shown[: shown.rindex(", dtype=")].rstrip() + ")"
    lead = " " * (len("tensor(") + len(name) + 1)
    return f"{name}={shown}".replace("\n", "\n" + lead)


def _suffixes(x: Any, compressed: bool) -> list[str]:
    p = x._parts
    out = [f"size={tuple(p.shape)}", f"nnz={p.nnz}"]
    if x.device.type != "cpu" and x.device is not get_default_device():
        out.insert(0, f"device='{x.device}'")
    usual = [dt.bool_, x.device.index_dtype, dt.get_default_dtype()]
    usual.append(dt.complex_of(dt.get_default_dtype()))
    if x.dtype not in usual:
        out.append(f"dtype={x.dtype!r}")
    out.append(f"layout={p.layout!r}")
    node = x.grad_fn
    if node is not None:
        out.append(f"grad_fn=<{node.name()}>")
    elif x.requires_grad:
        out.append("requires_grad=True")
    return [",\n" + " " * 7 + out[0], *out[1:]] if not compressed else out


def _with_suffixes(out: str, suffixes: list[str]) -> str:
    width = get_printoptions()["linewidth"]
    last = len(out) - out.rfind("\n") + 1
    for suffix in suffixes:
        if suffix.startswith(",\n"):
            out += suffix
            last = len(suffix) - 2
        elif last + len(suffix) + 2 > width:
            out += ",\n" + " " * 7 + suffix
            last = 7 + len(suffix)
        else:
            out += ", " + suffix
            last += len(suffix) + 2
    return out
