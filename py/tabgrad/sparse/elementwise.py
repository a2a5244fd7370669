"""Functions of each element: those that give 0 for 0, so that what is not stored stays so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, ShapeError, SparseError
from tabgrad.core.promotion import the_device
from tabgrad.core.trace import Box
from tabgrad.hosts.devices import device as device_of
from tabgrad.ops import elementwise as e, indexing as i, view as v
from tabgrad.sparse.parts import (
    Compressed,
    Coo,
    Parts,
    coalesced,
    compress,
    masked,
    nothing,
    pairs,
    picked,
)
from tabgrad.sparse.tensor import is_sparse, made, refused
from tabgrad.tensor import arithmetic, conversion

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType

Form = Callable[..., Any]


def tidied(x: Any) -> Parts:
    """Return the parts of a sparse tensor with each place at most once."""
    p: Parts = x._parts
    return coalesced(p) if isinstance(p, Coo) else p


def on_values(fn: Form) -> Form:
    """Return the form of a function of each element, for a sparse tensor alone."""

    def form(input: Any, *args: Any, **named: Any) -> Any:
        p = tidied(input)
        return made(_like(p, fn(p.values, *args, **named), fn))

    form.__name__ = form.__qualname__ = fn.__name__
    form.__doc__ = fn.__doc__
    return form


def _like(p: Parts, values: Any, fn: Form) -> Parts:
    if values.spec.shape != p.values.spec.shape:
        raise SparseError(f"{fn.__name__}: of sparse tensors other arguments must be numbers")
    return p.over(values)


def on_all_values(fn: Form) -> Form:
    """Return the form of a linear function of each element: sums of one place need not be added up first."""

    def form(input: Any, *args: Any, **named: Any) -> Any:
        p = input._parts
        return made(_like(p, fn(p.values, *args, **named), fn))

    form.__name__ = form.__qualname__ = fn.__name__
    form.__doc__ = fn.__doc__
    return form


def written(form: Form, name: str) -> Form:
    """Return the in-place twin of a form."""

    def method(self: Any, *args: Any, **named: Any) -> Any:
        y = form(self, *args, **named)
        if not is_sparse(y):
            raise refused(self, f"{name}_ with a dense result")
        return self.hold(y._parts, f"{name}_")

    method.__name__ = method.__qualname__ = f"{name}_"
    method.__doc__ = f"In-place version of `{name}`: changes the tensor and returns it."
    return method


# -- sums ------------------------------------------------------------------------------------------


def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """Return input + alpha · other: sparse for two sparse tensors, dense for a dense and a sparse one."""
    if not is_sparse(input):
        return _onto_dense(input, other, alpha)
    if not is_sparse(other):
        raise SparseError(
            "add(sparse, dense) is not supported. Use add(dense, sparse) instead: what is not stored would "
            "become nonzero"
        )
    return made(_sum(input, other, alpha, "add"))


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """Return input - alpha · other, as `add`."""
    return add(input, other, alpha=-alpha)


def _same_shape(name: str, x: Any, y: Any) -> None:
    if x.shape != y.shape:
        raise ShapeError(
            f"{name}: expected sizes of 'self' and 'other' to match, but {list(x.shape)} != {list(y.shape)}; "
            "sparse tensors don't broadcast here"
        )


def _onto_dense(x: Any, y: Any, alpha: Any) -> Any:
    _same_shape("add", x, y)
    return arithmetic.add(x, y.to_dense(), alpha=alpha)


def _sum(x: Any, y: Any, alpha: Any, name: str) -> Parts:
    the_device(name, [x, y])
    _same_shape(name, x, y)
    p, q = x._parts, y._parts
    if p.sparse_dim != q.sparse_dim:
        raise SparseError(
            f"{name}: expected 'self' and 'other' to have same number of sparse dimensions, but "
            f"{p.sparse_dim} != {q.sparse_dim}"
        )
    a, b = p.coo(), q.coo()
    dtype = dt.promote(x.dtype, y.dtype)
    other = b.values.to(dtype)
    scaled = other if alpha == 1 else arithmetic.mul(other, alpha)
    indices = i.cat.bind(a.indices, b.indices, axis=1)
    total = Coo(indices, i.cat.bind(a.values.to(dtype), scaled, axis=0), a.shape)
    if isinstance(p, Compressed):
        return compress(total, p.layout, p.block)
    return coalesced(total) if a.coalesced and b.coalesced else total


# -- products --------------------------------------------------------------------------------------


def mul(input: Any, other: Any) -> Any:
    """Return the product of each element; sparse if one of the two is sparse and the other broadcasts to it."""
    x, y = (input, other) if is_sparse(input) else (other, input)
    if not isinstance(y, Box) or (not is_sparse(y) and not y.spec.shape):
        return made(x._parts.over(arithmetic.mul(x._parts.values, y)))
    the_device("mul", [x, y])
    if is_sparse(y):
        return made(_both(x, y))
    return made(x._parts.over(arithmetic.mul(x._parts.values, masked(y, x._parts))))


def _both(x: Any, y: Any) -> Parts:
    """Return the product of two sparse tensors, stored where both are."""
    _same_shape("mul", x, y)
    p = tidied(x)
    a, b = coalesced(p.coo()), coalesced(y._parts.coo())
    if a.sparse_dim != b.sparse_dim:
        raise SparseError("mul: expected both to have the same number of sparse dims")
    left, right = pairs(a.places("mul"), b.places("mul"))
    values = arithmetic.mul(picked(a.values, left), picked(b.values, right))
    indices = v.permute.bind(picked(v.permute.bind(a.indices, dims=(1, 0)), left), dims=(1, 0))
    c = Coo(indices, values, a.shape, True)
    return compress(c, p.layout, p.block) if isinstance(p, Compressed) else c


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """Return each element divided by a number, or a dense 0-d tensor."""
    if not is_sparse(input) or is_sparse(other) or (isinstance(other, Box) and other.spec.shape):
        raise SparseError("Sparse division requires a scalar or zero-dim dense tensor divisor")
    p = input._parts if rounding_mode is None else tidied(input)
    return made(p.over(arithmetic.div(p.values, other, rounding_mode=rounding_mode)))


def pow(input: Any, exponent: Any) -> Any:
    """Return each element to the power of a positive number."""
    if not is_sparse(input) or isinstance(exponent, Box):
        raise SparseError("pow: a sparse tensor takes a number as exponent")
    if not exponent > 0:
        raise ArgumentError(
            "cannot raise to zeroth power on sparse tensor; it would make the result tensor dense: the "
            f"exponent must be positive, got {exponent}"
        )
    return on_values(arithmetic.pow)(input, exponent)


# -- copies and casts ------------------------------------------------------------------------------


def clone(input: Any, *, memory_format: Any = None) -> Any:
    """Return a copy."""
    return made(input._parts.over(e.copy.bind(input._parts.values)))


def convert(x: Any, dtype: DType | None, where: Any, copy: bool = False) -> Any:
    """Return `x` as `dtype` on a device, None keeping what it has; itself where nothing changes."""
    p = x._parts
    values = conversion.convert(p.values, dtype, where, copy)
    if values is p.values:
        return x
    if where is None or where is x.device:
        return made(p.over(values))
    tensors = [conversion.convert(t, None, where, False) for t in p.tensors]
    if isinstance(p, Coo):
        return made(Coo(tensors[0], values, p.shape, p.coalesced))
    return made(Compressed(p.layout, tensors[0], tensors[1], values, p.shape))


def to(
    self: Any, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False,
    copy: bool = False, memory_format: Any = None, other: Any = None,
) -> Any:  # fmt: skip
    """Return the tensor as another dtype, on another device, or both, as `Tensor.to`."""
    rest = list(args)
    while rest:
        a = rest.pop(0)
        if isinstance(a, dt.DType | type):
            dtype = a
        elif isinstance(a, Box):
            other = a
        elif isinstance(a, bool):
            copy = bool(rest.pop(0)) if rest else copy
        elif a is not None:
            device = a
    if other is not None:
        dtype, device = other.dtype, other.device
    return convert(self, dtype, None if device is None else device_of(device), copy)


def cast_to(dtype: DType) -> Form:
    """Return the method that casts to a dtype."""
    return lambda self, memory_format=None: convert(self, dtype, None)


def cpu(self: Any, memory_format: Any = None) -> Any:
    """Return the tensor on the CPU."""
    return convert(self, None, device_of("cpu"))


def cuda(
    self: Any, device: Any = None, non_blocking: bool = False, memory_format: Any = None
) -> Any:
    """Return the tensor on a CUDA device."""
    return convert(self, None, device_of("cuda" if device is None else device))


def copy_(self: Any, other: Any, non_blocking: bool = False) -> Any:
    """Take the elements of a sparse tensor of the same layout; return self."""
    if not is_sparse(self):
        return self.copy_(other.to_dense())
    if not is_sparse(other):
        raise SparseError(
            "copy_() between dense and sparse Tensors is not implemented! Use x.to_sparse() of the dense one"
        )
    if other.layout is not self.layout:
        raise SparseError(f"copy_: expected layout {self.layout}, got {other.layout}")
    return self.hold(convert(other, self.dtype, self.device, True)._parts, "copy_")


def zero_(input: Any) -> Any:
    """Forget all elements, so that each is 0; return the tensor."""
    return input.hold(nothing(input._parts), "zero_")
