"""In-place twins: `x.add_(y)` gives `x` the value of `add(x, y)`.

Values never change: a tensor takes a new one, and its views and siblings follow (see aliasing).
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, overload

from tabgrad.core.errors import SparseError
from tabgrad.core.locks import WRITING
from tabgrad.core.trace import MODE
from tabgrad.tensor.aliasing import View, check_castable, check_leaf, check_writable, own, write
from tabgrad.tensor.public import sparse_form

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.public import WithOut

P = ParamSpec("P")
Method = Callable[Concatenate[Any, P], "Tensor"]


class Function(Protocol[P]):
    """A function in Python, which takes no `out`."""

    __code__: CodeType
    __name__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any: ...


@overload
def in_place(fn: WithOut[Concatenate[Any, P], Any]) -> Method[P]: ...


@overload
def in_place(fn: Function[Concatenate[Any, P]]) -> Method[P]: ...


def in_place(fn: Any) -> Any:
    """Return the method that gives its tensor the value of `fn`, and returns the tensor."""
    name = f"{fn.__name__.removesuffix('_method').rstrip('_')}_"

    def method(input: Any, *args: Any, **params: Any) -> Any:
        with WRITING:
            check_writable(input)
            try:
                y = fn(input, *args, **params)
            except SparseError as error:
                y = sparse_form(fn, error, (input, *args), params)
            if y.spec is not input.spec:
                check_castable(name, y.spec.dtype, input.spec.dtype)
            return write(input, y if y is not input else own(y), name)

    return _named(method, fn, name, "changes the tensor and returns it.")


def reshaped_in_place(fn: Callable[Concatenate[Any, P], Any]) -> Method[P]:
    """Return the method that gives its tensor the shape that `fn` gives, and returns the tensor."""

    def method(self: Any, *args: P.args, **params: P.kwargs) -> Any:
        y = fn(self, *args, **params)
        if y is self:
            return self
        if MODE.get().grad:
            check_leaf(self)
        # siblings keep the old shape, so nothing is shared with them from here on
        self.alias = y.alias if self.alias.__class__ is View else None
        self.value, self.spec = y.value, y.spec
        if MODE.get().grad:
            self.tracked, self.node = y.tracked, y.node
        return self

    name = f"{fn.__name__.removesuffix('_method')}_"
    return _named(method, fn, name, "changes the tensor's shape and returns it.")


def _named(method: Any, fn: Any, name: str, what: str) -> Any:
    method.__name__ = method.__qualname__ = name
    # the parameters are those of the function
    method.__wrapped__ = fn
    method.__doc__ = f"In-place version of `{fn.__name__}`: {what}"
    return method
