"""confined: numbers unchanged; one that breaks its rule is noted in the buffer of errors."""

from __future__ import annotations

from tabgrad.lower import checks
from tabgrad.lower.emit import Emitter
from tabgrad.lower.ir import Node
from tabgrad.lower.record import Index, Record, register

BREAKS = {
    "from 0 to 1": "{x} < {zero} || {x} > {one}",
    "not negative": "{x} < {zero}",
    "positive": "{x} <= {zero}",
    "finite and not negative": "{x} < {zero} || {x} > {most}",
}
"""The test that a number breaks each rule of `ops/checked.py`; a nan breaks all of them."""
LARGEST = 3.4028234663852886e38


def _element(e: Emitter, n: Node, index: Index, kind: str) -> str:
    x = e.value(n.srcs[0], index)
    zero, one = e.d.literal(0, kind), e.d.literal(1, kind)
    if kind == "bool":
        # a bool is 0 or 1
        test = f"!{x}" if n.params["rule"] == "positive" else "false"
    else:
        real = n.spec.dtype.is_floating_point
        most = (
            e.d.literal(LARGEST if kind == "f32" else 1.7976931348623157e308, kind) if real else x
        )
        test = BREAKS[str(n.params["rule"])].format(x=x, zero=zero, one=one, most=most)
        test = f"is_nan({x}) || {test}" if real else test
    checks.note(e, n, test)
    return x


register(
    Record(
        op="confined",
        heavy=lambda n: False,
        checks=True,
        sources=lambda n, index: [(s, index) for s in n.srcs],
        element=_element,
    )
)
