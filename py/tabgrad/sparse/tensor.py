"""SparseTensor: a tensor of which only some elements are stored.

No function for dense tensors may take one for what it is not: it has neither `value` nor `spec`, and each
method that has no form of its own here raises.
"""

from __future__ import annotations

from operator import ge, is_
from typing import Any

from tabgrad.core.capture import refuse
from tabgrad.core.errors import GradientError, ShapeError, SparseError
from tabgrad.core.shape import size_of
from tabgrad.core.trace import MODE
from tabgrad.sparse.parts import ROWS, Compressed, Coo, Parts, coalesced, empty, masked
from tabgrad.sparse.printing import text
from tabgrad.tensor import Tensor
from tabgrad.tensor.arguments import axis
from tabgrad.tensor.layout import sparse_coo, sparse_csr

_new = object.__new__


def made(parts: Parts) -> Any:
    """Return a sparse tensor of these parts; it has the history of its values."""
    x: Any = _new(SparseTensor)
    x._parts = parts
    x.device = parts.values.device
    x.owner = x.alias = None
    x._version = 0
    x.born = parts.values.born
    return x


def is_sparse(x: Any) -> bool:
    """Return whether `x` is a sparse tensor."""
    return isinstance(x, SparseTensor)


class SparseTensor(Tensor):
    """A tensor of which only some elements are stored, made by `sparse_coo_tensor`, `to_sparse` and the like.

    >>> import tabgrad as tg
    >>> x = tg.tensor([[0.0, 2.0], [3.0, 0.0]], device="cpu").to_sparse()
    >>> x @ tg.ones(2, 1, device="cpu")
    tensor([[2.],
            [3.]])
    """

    __slots__ = ("_parts",)
    _parts: Any  # type: ignore[misc]

    # -- what dense tensors have and this one has not

    @property
    def value(self) -> Any:
        """Raises: no dense function may read it."""
        raise refused(self, "this function")

    @property
    def spec(self) -> Any:  # type: ignore[override]
        """Raises: no dense function may read it."""
        raise refused(self, "this function")

    # -- gradients: those of the values

    @property
    def tracked(self) -> bool:  # type: ignore[override]
        """Whether the values require grad."""
        return bool(self._parts.values.requires_grad)

    @property
    def node(self) -> Any:  # type: ignore[override]
        """The tape node of the values."""
        return self._parts.values.node

    @property
    def _grad(self) -> Any:
        values = self._parts.values
        return None if values._grad is None else self.around(values._grad)

    @_grad.setter
    def _grad(self, grad: Any) -> None:
        its = self._parts.values
        if grad is not None:
            if grad._parts is None or grad._parts.values.shape != its.shape:
                raise SparseError("the gradient of a sparse tensor is one of the same elements")
            grad = grad._parts.values
        its._grad = grad

    @property
    def grad(self) -> Any:
        """The gradient, a sparse tensor of the same elements; can be set to None."""
        found = self._parts.values.grad
        return None if found is None else self.around(found)

    @grad.setter
    def grad(self, grad: Any) -> None:
        self._grad = grad

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def requires_grad(self) -> bool:
        """Whether gradients of the values are wanted; can be set on leaves."""
        return bool(self._parts.values.requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._parts.values.requires_grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Say whether gradients of this leaf are wanted; return self."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad_fn(self) -> Any:
        """The tape node that made the values, None for a leaf."""
        return self._parts.values.grad_fn

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made the values."""
        return bool(self._parts.values.is_leaf)

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called."""
        return bool(self._parts.values.retains_grad)

    def retain_grad(self) -> None:
        """Keep the gradient in `.grad` though this is no leaf."""
        self._parts.values.retain_grad()

    def backward(
        self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
        inputs: Any = None,
    ) -> None:  # fmt: skip
        """Add the gradients of this tensor to the `.grad` of the leaves; `gradient` is dense or sparse."""
        if gradient is None:
            raise GradientError("grad can be implicitly created only for scalar outputs")
        if gradient.shape != self.shape:
            raise GradientError(
                f"Mismatch in shape: grad_output has a shape of {tuple(gradient.shape)} and output has a "
                f"shape of {self._parts.shape}"
            )
        ct = masked(gradient.to_dense(), self._parts)
        self._parts.values.backward(ct, retain_graph, create_graph, inputs)

    def around(self, values: Tensor) -> Any:
        """Return a sparse tensor of other values at the same places."""
        return made(self._parts.over(values))

    def detach(self) -> Any:
        """Return the tensor without its history; the values are shared."""
        return self.around(self._parts.values.detach())

    def detach_(self) -> Any:
        """Forget the history; return self."""
        self.become(self._parts.over(self._parts.values.detach()))
        return self

    @property
    def data(self) -> Any:
        """The tensor without its history."""
        return self.detach()

    @data.setter
    def data(self, new: Any) -> None:
        if not isinstance(new, SparseTensor):
            raise SparseError("data: a sparse tensor takes the data of another sparse tensor")
        wants = self.requires_grad
        self.become(new.detach().requires_grad_(wants)._parts)

    # -- what it is

    @property
    def shape(self) -> Any:
        """The sizes of the dims."""
        return size_of(self._parts.shape)

    @property
    def dtype(self) -> Any:
        """The element type."""
        return self._parts.values.dtype

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return len(self._parts.shape)

    def dim(self) -> int:
        """Return the number of dims."""
        return len(self._parts.shape)

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """Return the sizes of the dims, or that of one."""
        return self.shape if dim is None else self.shape[axis("size", dim, self.ndim)]

    def numel(self) -> int:
        """Return the number of elements, those included that are not stored."""
        return int(self._parts.spec.size)

    nelement = numel

    @property
    def itemsize(self) -> int:
        """The size of an element in bytes."""
        return int(self.dtype.itemsize)

    def element_size(self) -> int:
        """Return the size of an element in bytes."""
        return int(self.dtype.itemsize)

    @property
    def layout(self) -> Any:
        """The layout, as tabgrad.sparse_coo."""
        return self._parts.layout

    @property
    def is_sparse(self) -> bool:
        """Whether the layout is tabgrad.sparse_coo."""
        return self._parts.layout is sparse_coo

    @property
    def is_sparse_csr(self) -> bool:
        """Whether the layout is tabgrad.sparse_csr."""
        return self._parts.layout is sparse_csr

    def __len__(self) -> int:
        if not self._parts.shape:
            raise TypeError("len() of a 0-d tensor")
        return self._parts.shape[0]

    def _repr_html_(self) -> None:
        """Say that notebooks show the plain text."""

    def __repr__(self) -> str:
        return text(self)

    def numpy(self, *, force: bool = False) -> Any:
        """Raises: NumPy has no such arrays."""
        raise TypeError(
            f"can't convert {self.layout.title} layout tensor to numpy. Use Tensor.to_dense() first."
        )

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec)

    def _nnz(self) -> int:
        return int(self._parts.nnz)

    def sparse_dim(self) -> int:
        """Return the number of dims that have coordinates."""
        return int(self._parts.sparse_dim)

    def dense_dim(self) -> int:
        """Return the number of dims that each stored element has."""
        return len(self._parts.shape) - int(self._parts.sparse_dim)

    def sparse_resize_(self, size: Any, sparse_dim: int, dense_dim: int) -> Any:
        """Change the sizes, which may not shrink where there are elements; return self."""
        c, shape = self._coo("sparse_resize_"), tuple(size)
        fits = len(shape) == len(c.shape) and all(map(ge, shape, c.shape))
        dense = shape[sparse_dim:] == c.shape[c.sparse_dim :]
        if c.nnz and not (fits and dense and sparse_dim == c.sparse_dim):
            raise SparseError(
                f"sparse_resize_: a tensor of size {list(c.shape)} with elements keeps its dense dims, "
                f"and the sparse ones may only grow; got {list(shape)} with {sparse_dim} sparse dims"
            )
        if c.nnz:
            self.become(Coo(c.indices, c.values, shape, c.coalesced))
            return self
        return self.sparse_resize_and_clear_(size, sparse_dim, dense_dim)

    def sparse_resize_and_clear_(self, size: Any, sparse_dim: int, dense_dim: int) -> Any:
        """Take other sizes, without elements; return self."""
        self._coo("sparse_resize_and_clear_")
        shape = tuple(size)
        if len(shape) != sparse_dim + dense_dim:
            raise ShapeError(
                f"number of dimensions must be sparse_dim ({sparse_dim}) + dense_dim ({dense_dim}), but got "
                f"{len(shape)}"
            )
        if self.requires_grad:
            raise GradientError("cannot resize variables that require grad")
        self.become(empty(shape, sparse_dim, shape[sparse_dim:], self.dtype, self.device))
        return self

    # -- its parts

    def is_coalesced(self) -> bool:
        """Return whether the coordinates are known to ascend, each at most once."""
        return self._coo("is_coalesced").coalesced

    def coalesce(self) -> Any:
        """Return the tensor with the elements of one place added up, in ascending order; reads their number."""
        c = self._coo("coalesce")
        return self if c.coalesced else made(coalesced(c))

    def indices(self) -> Tensor:
        """Return the coordinates [sparse dims, elements] of a coalesced tensor."""
        return self._tidy("indices").indices.detach()

    def values(self) -> Any:
        """Return the stored elements; of the COO layout the tensor must be coalesced."""
        its = self._parts.values if self._compressed() else self._tidy("values").values
        return its.view_as(its)

    def _indices(self) -> Tensor:
        return self._coo("_indices").indices

    def _values(self) -> Any:
        return self._coo("_values").values.detach()

    def crow_indices(self) -> Tensor:
        """Return where each row begins."""
        return self._outer("crow_indices", True).detach()

    def ccol_indices(self) -> Tensor:
        """Return where each column begins."""
        return self._outer("ccol_indices", False).detach()

    def col_indices(self) -> Tensor:
        """Return the column of each element, or block."""
        self._outer("col_indices", True)
        return self._parts.plain.detach()

    def row_indices(self) -> Tensor:
        """Return the row of each element, or block."""
        self._outer("row_indices", False)
        return self._parts.plain.detach()

    def _compressed(self) -> bool:
        return isinstance(self._parts, Compressed)

    def _coo(self, name: str) -> Coo:
        if self._compressed():
            raise wrong_layout(name, "sparse coordinate", self)
        its: Coo = self._parts
        return its

    def _tidy(self, name: str) -> Coo:
        c = self._coo(name)
        if not c.coalesced:
            raise SparseError(
                f"Cannot get {name} on an uncoalesced tensor, please call .coalesce() first"
            )
        return c

    def _outer(self, name: str, rows: bool) -> Any:
        if not self._compressed() or (self._parts.layout in ROWS) is not rows:
            raise wrong_layout(name, f"sparse {'row' if rows else 'column'} compressed", self)
        return self._parts.compressed

    # -- Python's protocols

    def __reduce_ex__(self, protocol: Any) -> Any:
        p = self._parts
        state = p.layout, p.tensors, p.values.detach(), p.shape, p.coalesced, self.requires_grad
        return rebuilt, state

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if not self.is_leaf:
            raise GradientError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol"
            )
        found = memo.get(id(self))
        if found is None:
            p = self._parts
            found = memo[id(self)] = rebuilt(
                p.layout, tuple([t.__deepcopy__(memo) for t in p.tensors]),
                p.values.__deepcopy__(memo), p.shape, p.coalesced, self.requires_grad,
            )  # fmt: skip
        return found

    def __copy__(self) -> Any:
        return made(self._parts)

    # -- writing

    def become(self, parts: Parts) -> None:
        """Take other parts."""
        refuse("changes a sparse tensor in place")
        self._parts = parts
        self.device = parts.values.device
        self._version += 1

    def hold(self, parts: Parts, name: str) -> Any:
        """Take parts that a function computed, in place; return self."""
        if MODE.get().grad and self.requires_grad and self.is_leaf:
            raise GradientError(
                "a leaf Variable that requires grad is being used in an in-place operation. "
                "Do it under no_grad(), or on a clone()"
            )
        if parts.spec is not self._parts.spec:
            raise ShapeError(
                f"{name}: the result {parts.spec} can't be stored in a sparse tensor {self._parts.spec}"
            )
        mine = self._parts
        if len(parts.tensors) == len(mine.tensors) and all(map(is_, parts.tensors, mine.tensors)):
            mine.values.copy_(parts.values)
            return self
        if not MODE.get().grad and parts.values.owner is None:
            parts = parts.over(parts.values.detach().requires_grad_(self.requires_grad))
        self.become(parts)
        return self


def rebuilt(
    layout: Any, tensors: tuple[Tensor, ...], values: Tensor, shape: Any, tidy: bool, grad: bool
) -> Any:
    """Return a leaf of these parts, as a pickle or a file has them."""
    values = values.detach()
    if layout is sparse_coo:
        x = made(Coo(tensors[0], values, shape, tidy))
    else:
        x = made(Compressed(layout, tensors[0], tensors[1], values, shape))
    return x.requires_grad_() if grad else x


def refused(x: Any, name: str) -> SparseError:
    """Return the error for a function without a form for sparse tensors."""
    return SparseError(
        f"{name} has no form for sparse tensors (layout {x._parts.layout}); use x.to_dense(), or work on its "
        f"values: x.{'coalesce().' if x._parts.layout is sparse_coo else ''}values()"
    )


def wrong_layout(name: str, wanted: str, x: Any) -> SparseError:
    """Return PyTorch's error for a method of another layout."""
    return SparseError(f"{name} expected {wanted} tensor layout but got {x.layout.title}")


KEPT = frozenset((
    "__class_getitem__", "__dict__", "__doc__", "__hash__", "__init__", "__module__", "__new__",
    "__slots__", "__weakref__", "__array_priority__", "_version", "alias", "born", "device", "get_device",
    "is_cpu", "is_cuda", "owner", "_parts", "_check_grad", "_set_grad", "_make_subclass",
    "__annotations__", "__static_attributes__", "__firstlineno__",
))  # fmt: skip
"""What a sparse tensor has as it is."""


def refusing(name: str, was_property: bool) -> Any:
    """Return a method, or a property, that raises."""

    def method(self: Any, *args: Any, **named: Any) -> Any:
        raise refused(self, f"Tensor.{name}")

    method.__name__, method.__qualname__ = name, f"SparseTensor.{name}"
    return property(method) if was_property else method
