"""Tensor: an array with operators, methods, and gradients."""

from __future__ import annotations

from typing import Any

from tabgrad import dispatch
from tabgrad.core import trace
from tabgrad.core.dtype import DType
from tabgrad.core.spec import Spec
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e
from tabgrad.ops import rounding as r


class Tensor(Box):
    """An n-dimensional array on a device; made by `tabgrad.tensor` and the other creation functions."""

    __slots__ = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.spec.dtype

    __add__ = __radd__ = lambda x, y: e.add(x, y)
    __mul__ = __rmul__ = lambda x, y: e.mul(x, y)
    __sub__ = lambda x, y: e.sub(x, y)
    __rsub__ = lambda x, y: e.sub(y, x)
    __truediv__ = lambda x, y: e.div(x, y)
    __rtruediv__ = lambda x, y: e.div(y, x)
    __neg__ = lambda x: e.neg(x)
    __pow__ = lambda x, y: e.pow_(x, y)
    __gt__ = lambda x, y: r.gt(x, y)
    __lt__ = lambda x, y: r.lt(x, y)
    __eq__ = lambda x, y: r.eq(x, y)
    __hash__ = object.__hash__


_new = object.__new__


def wrap(data: Any, spec: Spec, device: Any, owner: Any = None) -> Tensor:
    """Return a new Tensor around a payload."""
    t: Tensor = _new(Tensor)
    t.value = data
    t.spec = spec
    t.device = device
    t.owner = owner
    t.tracked = False
    t.node = None
    t.index = 0
    t.view = None
    t._grad = None
    t._version = 0
    return t


trace.install(dispatch.process, wrap, dispatch.constant)
