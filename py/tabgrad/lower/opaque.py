"""Values that a driver may not see through.

A WebGPU driver may replace `x - x` by 0, `(x + y) - x` by y and `sqrt(x) * sqrt(x)` by |x|: right for real
numbers, wrong where rounding, an infinity or a nan matters. Where an op could be simplified like that, the
other operand is exclusive-ored with a zero that no driver knows, because it is a uniform word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tabgrad.core.op import REGISTRY
from tabgrad.lower.dialect import C64, F32, U32
from tabgrad.lower.ir import Node

if TYPE_CHECKING:
    from tabgrad.lower.emit import Emitter

BARRIER, ADD, SUB, NEG, MUL, SQUARE = (
    REGISTRY[name] for name in ("barrier", "add", "sub", "neg", "mul", "square")
)
SUMS = (ADD, SUB, NEG)
ROOTS = (REGISTRY["sqrt"], REGISTRY["radius"])
MEETS = (ADD, SUB, *(REGISTRY[name] for name in ("lt", "le", "gt", "ge", "eq", "ne")))


def opaque(e: Emitter, value: str, kind: str = F32) -> str:
    """Write a float, or a complex number, that equals `value` and that a driver can't simplify."""
    if kind == C64:
        zero = f"vec2<u32>({e.number(0)})"
        return f"bitcast<vec2<f32>>(bitcast<vec2<u32>>({value}) ^ {zero})"
    return e.d.bits(f"{e.d.bits(value, F32, U32)} ^ {e.number(0)}", U32, F32)


def operands(e: Emitter, n: Node, args: list[str]) -> list[str]:
    """Give the operands of an element-wise op; make those opaque that a driver could simplify with."""
    kind = e.d.compute_type(n.srcs[-1].spec.dtype) if e.d.simplifies else ""
    if kind not in (F32, C64):
        return args
    if n.op is BARRIER:
        return [opaque(e, args[0], kind)]
    if n.op in MEETS:
        x, y = args
        for i, (one, other) in enumerate(((x, y), (y, x))):
            op, inner = e.made.get(one, (None, ()))
            if op in SUMS and other in inner:
                return [opaque(e, a, kind) if k == i else a for k, a in enumerate(args)]
        return [x, opaque(e, y, kind)] if x == y and n.op is SUB else args
    roots = [e.made.get(a, (None, ()))[0] in ROOTS for a in args]
    if roots[0] and (n.op is SQUARE or (n.op is MUL and args[0] == args[1])):
        return [opaque(e, a, kind) for a in args]
    return args


__all__ = ["operands"]
