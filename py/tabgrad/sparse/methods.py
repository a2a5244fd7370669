"""Which functions and methods have a form for sparse tensors, by PyTorch's names, and how it is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.core import dtype as dt, tree
from tabgrad.core.errors import SparseError
from tabgrad.core.promotion import result_dtype
from tabgrad.sparse import creation, elementwise as e, products, reductions, shapes
from tabgrad.sparse.tensor import KEPT, SparseTensor, is_sparse, refused, refusing
from tabgrad.tensor import Tensor, arithmetic, comparison, elementary

Form = Callable[..., Any]


def _found(name: str) -> Any:
    for home in (arithmetic, elementary, comparison):
        if hasattr(home, name):
            return getattr(home, name)
    raise AttributeError(name)


_ZERO_FOR_ZERO = (
    "abs arcsin arcsinh arctan arctanh asin asinh atan atanh ceil erf erfinv expm1 fix floor "
    "frac isinf isnan isneginf isposinf log1p nan_to_num relu round sgn sign signbit sin sinh "
    "sqrt square tan tanh trunc absolute"
).split()
_LINEAR = "deg2rad neg negative positive rad2deg".split()

ELEMENTWISE: dict[str, Form] = {
    **{name: e.on_values(_found(name)) for name in _ZERO_FOR_ZERO},
    **{name: e.on_all_values(_found(name)) for name in _LINEAR},
    "add": e.add, "sub": e.sub, "subtract": e.sub, "mul": e.mul, "multiply": e.mul, "div": e.div,
    "divide": e.div, "true_divide": e.div, "pow": e.pow, "sspaddmm": products.sspaddmm,
}  # fmt: skip
"""The forms that have in-place twins."""

_TWINS = {
    f"{name}_": e.written(form, name)
    for name, form in ELEMENTWISE.items()
    if not name.startswith("is") and name not in ("signbit", "sspaddmm")
}


def floor_divide(input: Any, other: Any) -> Any:
    """Return each element divided by a number, rounded down."""
    return e.div(input, other, rounding_mode="floor")


BOTH: dict[str, Form] = {
    **ELEMENTWISE,
    "addmm": products.addmm, "any": reductions.any, "bmm": products.bmm, "clone": e.clone,
    "floor_divide": floor_divide,
    "index_select": shapes.index_select, 
    "matmul": products.matmul, "mm": products.mm, "mv": products.mv,
    "narrow_copy": shapes.narrow_copy, "norm": reductions.norm, "permute": shapes.permute,
    "select": shapes.select, "smm": products.smm, 
    "squeeze": shapes.squeeze, "sum": reductions.total, "swapaxes": shapes.transpose,
    "swapdims": shapes.transpose, "t": shapes.t, "transpose": shapes.transpose,
    "unbind": shapes.unbind, "unsqueeze": shapes.unsqueeze, "zero_": e.zero_,
    "is_complex": lambda input: input.dtype.is_complex,
    "is_floating_point": lambda input: input.dtype.is_floating_point,
    "is_signed": lambda input: input.dtype.signed,
    "is_inference": lambda input: bool(input.born & 1),
    "numel": lambda input: input.numel(), "detach": lambda input: input.detach(),
    "detach_": lambda input: input.detach_(),
}  # fmt: skip
"""The functions at the root that are methods, too."""


def empty_like(input: Any, **named: Any) -> Any:
    """Return a tensor of the shape and layout of a sparse one without elements."""
    return creation.zeros_like(input, **named)


def result_type(tensor: Any = None, other: Any = None, **named: Any) -> Any:
    """Return the dtype that arithmetic gives; a sparse tensor counts as a dense one."""
    given = [x for x in (tensor, other, *named.values()) if x is not None]
    return result_dtype(*[x._parts.values.reshape(-1) if is_sparse(x) else x for x in given])


FUNCTIONS: dict[str, Form] = {
    **BOTH,
    "cat": shapes.cat, "concat": shapes.cat, "concatenate": shapes.cat, "stack": shapes.stack,
    "zeros_like": creation.zeros_like, "empty_like": empty_like, "result_type": result_type,
}  # fmt: skip
"""The functions at the root."""


def relu(input: Any, inplace: bool = False) -> Any:
    """Return max(x, 0) of each element."""
    return (_TWINS["relu_"] if inplace else ELEMENTWISE["relu"])(input)


NEURAL: dict[str, Form] = {"linear": products.linear, "relu": relu}
"""The functions of `nn.functional`."""


def _reflected(form: Form) -> Form:
    return lambda self, other: form(other, self)


def _operator(form: Form) -> Form:
    def method(self: Any, other: Any) -> Any:
        return form(self, other)

    return method


_CASTS = {
    "bfloat16": dt.bfloat16, "bool": dt.bool_, "byte": dt.uint8, "cdouble": dt.complex128,
    "cfloat": dt.complex64, "char": dt.int8, "double": dt.float64, "float": dt.float32,
    "half": dt.float16, "int": dt.int32, "long": dt.int64, "short": dt.int16,
}  # fmt: skip

METHODS: dict[str, Any] = {
    **BOTH,
    **_TWINS,
    **{name: e.cast_to(dtype) for name, dtype in _CASTS.items()},
    "copy_": e.copy_, "cpu": e.cpu, "cuda": e.cuda, "sparse_mask": creation.sparse_mask,
    "to": e.to, "to_dense": creation.to_dense, "to_sparse": creation.to_sparse,
    "to_sparse_bsc": creation.to_sparse_bsc, "to_sparse_bsr": creation.to_sparse_bsr,
    "to_sparse_coo": creation.to_sparse_coo, "to_sparse_csc": creation.to_sparse_csc,
    "to_sparse_csr": creation.to_sparse_csr,
    "__add__": _operator(e.add), "__sub__": _operator(e.sub), "__mul__": _operator(e.mul),
    "__truediv__": _operator(e.div), "__pow__": _operator(e.pow),
    "__floordiv__": _operator(floor_divide),
    "__matmul__": _operator(products.matmul), "__neg__": ELEMENTWISE["neg"],
    "__pos__": ELEMENTWISE["positive"], "__abs__": ELEMENTWISE["abs"],
    "__radd__": _reflected(e.add), "__rsub__": _reflected(e.sub), "__rmul__": _reflected(e.mul),
    "__rtruediv__": _reflected(e.div), "__rmatmul__": _reflected(products.matmul),
    "__iadd__": _TWINS["add_"], "__isub__": _TWINS["sub_"], "__imul__": _TWINS["mul_"],
    "__itruediv__": _TWINS["div_"], "__getitem__": shapes.getitem,
    "__iter__": lambda self: iter(shapes.unbind(self)),
    "T": property(shapes.t), "pin_memory": lambda self, device=None: self,
    "type_as": lambda self, other: e.convert(self, other.dtype, other.device),
}  # fmt: skip
"""The methods of SparseTensor that are not in its class."""


def close() -> None:
    """Give SparseTensor a method that raises for each of Tensor's that has no form of its own."""
    for name, form in METHODS.items():
        if name not in vars(SparseTensor):
            setattr(SparseTensor, name, form)
    for owner in Tensor.__mro__[:-1]:
        for name, its in vars(owner).items():
            if name not in KEPT and name not in vars(SparseTensor):
                setattr(SparseTensor, name, refusing(name, isinstance(its, property)))


_FORMS: dict[Any, Any] = {}


def plain(fn: Any) -> Any:
    """Return the function that a public form stands for."""
    while (inner := getattr(fn, "__wrapped__", getattr(fn, "fn", None))) is not None:
        fn = inner
    return fn


def _forms() -> dict[Any, Any]:
    if not _FORMS:
        _FORMS.update(
            {
                plain(getattr(tg, name)): form
                for name, form in FUNCTIONS.items()
                if hasattr(tg, name)
            }
        )
        _FORMS.update(
            {plain(getattr(tg.nn.functional, name)): form for name, form in NEURAL.items()}
        )
    return _FORMS


def answer(fn: Any, error: SparseError, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what the form of `fn` for sparse tensors gives; raise SparseError where there is none."""
    form = _forms().get(plain(fn))
    given = [x for x in tree.leaves((args, kwargs)) if is_sparse(x)]
    if not given:
        raise error
    if form is None:
        raise refused(given[0], f"{fn.__name__}()") from None
    return form(*args, **kwargs)
