"""The bits of numbers, read as another dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.families import Elementwise
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Operand
from tabgrad.core.spec import Spec, spec

if TYPE_CHECKING:
    from tabgrad.core.families import Declared


class Bits(Elementwise):
    """An element-wise op while the item sizes agree; else the last axis grows or shrinks by their ratio."""

    raw = True

    def infer_spec(self, *specs: Spec, **params: Any) -> Spec:
        """Keep the number of bytes."""
        (x,) = specs
        dtype: dt.DType = params["dtype"]
        shape = x.shape
        if dtype.itemsize != x.dtype.itemsize:
            shape = (*shape[:-1], shape[-1] * x.dtype.itemsize // dtype.itemsize)
        return spec(shape, dtype)


def _declared(fn: Any) -> Declared[Any, Any]:
    made: Any = Bits(fn, code="bitcast", derivative=None, kinds="f")
    return made


@_declared
def bitcast(x: Operand, *, dtype: dt.DType) -> Array:
    """Read the bits of `x` as `dtype`, lowest bits first; a bool is true if any bit is set."""
    stored = np.array(x, order="C")
    if dtype is dt.bool_:
        return stored.view("uint8") != 0
    return stored.view("uint16" if dtype is dt.bfloat16 else dtype.name)
