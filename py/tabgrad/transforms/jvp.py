"""Forward mode: the interpreter whose tensors carry a tangent beside the primal."""

from __future__ import annotations

from typing import Any

from tabgrad.core.op import Op
from tabgrad.core.spec import Params
from tabgrad.core.trace import MODE, bind, wrap
from tabgrad.transforms.levels import Level
from tabgrad.transforms.tape import record


class Forward(Level):
    """One level of forward mode: the payload of its tensors is (primal, tangent), both of the level below.

    Its tensors can be tracked as those of the base can, so reverse mode runs over forward mode.
    """

    name = "func.jvp"

    def lower(self, x: Any) -> Any:
        """Return the primal of `x`."""
        return self.parts(x)[0]

    def lift(self, primal: Any, tangent: Any) -> Any:
        """Return the tensor of this level with these parts."""
        return wrap((primal, tangent), primal.spec, primal.device, self)

    def parts(self, x: Any) -> tuple[Any, Any]:
        """Return the primal and the tangent of `x`, None where the tangent is zero."""
        if x.owner is self:
            primal, tangent = x.value
            return primal, tangent
        return x, None

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Apply `op` to the primals and its jvp to the tangents; without a tangent the result stays below."""
        mode = self.entered(MODE.get())
        parts = [a.value if a.owner is self else (a, None) for a in args]
        primals = tuple([p[0] for p in parts])
        token = MODE.set(self.below(mode))
        try:
            y = bind(op, primals, params)
            tangent = None
            if op.differentiable and y.spec.dtype.is_differentiable:
                tangent = op.jvp(primals, [p[1] for p in parts], y, params)
        finally:
            MODE.reset(token)
        if tangent is None:
            return y
        out = wrap((y, tangent), y.spec, y.device, self)
        if mode.grad:
            values = tuple([a.value if a.owner is self else a for a in args])
            record(op, params, args, values, tuple([a.spec for a in args]), out, self, mode)
        return out
