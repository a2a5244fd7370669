"""Tensor: an array with operators, methods, and gradients."""

from __future__ import annotations

from typing import Any

from tabgrad import dispatch
from tabgrad.core import trace
from tabgrad.core.dtype import DType
from tabgrad.core.errors import GradientError
from tabgrad.core.shape import axes_tuple, with_ones
from tabgrad.core.spec import Spec
from tabgrad.core.trace import Box
from tabgrad.functions import literals
from tabgrad.ops import elementwise as e
from tabgrad.ops import linalg, reduction, view
from tabgrad.ops import rounding as r
from tabgrad.transforms import tape
from tabgrad.transforms.autograd import pullback


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
    __matmul__ = lambda x, y: linalg.matmul.bind(x, y)
    __gt__ = lambda x, y: r.gt(x, y)
    __lt__ = lambda x, y: r.lt(x, y)
    __eq__ = lambda x, y: r.eq(x, y)
    __hash__ = object.__hash__
    eq = __eq__

    @property
    def requires_grad(self) -> bool:
        """Whether gradients of this tensor are wanted."""
        return self.tracked

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not tape.is_leaf(self):
            raise GradientError("requires_grad: can only be changed on leaf tensors; use detach()")
        if value and not self.spec.dtype.is_differentiable:
            raise GradientError(
                f"requires_grad: only floating-point tensors can, this is {self.spec.dtype!r}"
            )
        self.tracked = bool(value)

    @property
    def grad(self) -> Any:
        """The gradient that backward() has added up, None before."""
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        self._grad = value

    def _set_grad(self, value: Any) -> None:
        self._grad = value

    def detach(self) -> Tensor:
        """Return the same values as a constant."""
        return wrap(self.value, self.spec, self.device)

    def clone(self) -> Any:
        """Return a copy."""
        return e.copy.bind(self)

    def to(self, dtype: Any = None, device: Any = None) -> Any:
        """Return the values as another dtype."""
        return self if dtype in (None, self.spec.dtype) else e.cast.bind(self, dtype=dtype)

    def sum(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Return the sum over `dim`."""
        axes = axes_tuple("sum", dim, len(self.spec.shape))
        y = reduction.reduce_sum.bind(self, axes=axes)
        return view.reshape.bind(y, shape=with_ones(self.spec.shape, axes)) if keepdim else y

    def backward(self, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False) -> None:
        """Add the gradients of this scalar to the `.grad` of the leaves."""
        if gradient is None:
            gradient = trace.constant(1.0, self.spec, self.device)
        keep = create_graph if retain_graph is None else retain_graph
        pullback([tape.edge(self, None)], [gradient], None, keep, create_graph)

    def tolist(self) -> Any:
        """Return the values as nested lists."""
        data = self.device.backend.read(self.value, self.spec)
        return literals.nest(literals.decode(data, self.spec.dtype), self.spec.shape)

    def item(self) -> Any:
        """Return the one value as a Python number."""
        x = self.tolist()
        while isinstance(x, list):
            (x,) = x
        return x

    def __repr__(self) -> str:
        return f"tensor({self.tolist()})"


_new = object.__new__


def wrap(value: Any, spec: Spec, device: Any, owner: Any = None) -> Tensor:
    """Return a new Tensor around a payload."""
    t: Tensor = _new(Tensor)
    t.value = value
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
