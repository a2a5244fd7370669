"""Recurrent layers over all times at once, where NumPy computes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.core import dtype as dt
from tabgrad.core.lazy_numpy import Late
from tabgrad.core.spec import spec
from tabgrad.core.trace import MODE, wrap

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

recurrent_numpy: Any = Late("tabgrad.ops.recurrent_numpy")
Loop = Callable[..., tuple["Tensor", "Tensor"]]
"""The same by ops: (gates, h, c, weight) -> (outputs, cell)."""


def suits(*tensors: Any) -> bool:
    """Whether NumPy may run a layer over these tensors of one dtype: nothing but gradients may be recorded."""
    mode = MODE.get()
    if not mode.plain or mode.saved_tensors is not None or mode.anomaly is not None:
        return False
    dtype = tensors[0].spec.dtype
    return dtype in (dt.float32, dt.float64) and all(
        [
            x._parts is None
            and x.is_cpu
            and x.owner is None
            and x.spec.dtype is dtype
            and x.spec.size
            for x in tensors
        ]
    )


def _array(x: Tensor) -> Any:
    if x.alias is not None:
        x.alias.refresh(x)
    return x.value


class LSTMSweep(tg.autograd.Function):
    """An LSTM over the times of its gates; derivatives of its gradient come from the ops of `loop`."""

    @staticmethod
    def forward(ctx: Any, loop: Loop, gates: Tensor, h: Tensor, c: Tensor, weight: Tensor) -> Any:
        """Return the outputs and the last cell."""
        given = (gates, h, c, weight)
        done = recurrent_numpy.Sweep(*map(_array, given))
        ctx.save_for_backward(*given)
        ctx.set_materialize_grads(False)
        ctx.loop, ctx.done = loop, done
        return tuple([_tensor(x, gates) for x in (done.outputs, done.cell)])

    @staticmethod
    def backward(ctx: Any, outputs: Any, cell: Any) -> Any:
        """Return the gradients of the tensors."""
        given = ctx.saved_tensors
        known = [x for x in (outputs, cell) if x is not None]
        if not MODE.get().grad and suits(*known, *given):
            found = ctx.done.pull(*[None if x is None else _array(x) for x in (outputs, cell)])
            return None, *[_tensor(x, given[0]) for x in found]
        ys, pull = tg.func.vjp(ctx.loop, *given)
        cts = [
            tg.zeros_like(y) if x is None else x for x, y in zip((outputs, cell), ys, strict=True)
        ]
        return None, *pull(tuple(cts))


def _tensor(x: Any, like: Tensor) -> Tensor:
    return wrap(x, spec(x.shape, like.spec.dtype), like.device)


__all__: list[str] = []
