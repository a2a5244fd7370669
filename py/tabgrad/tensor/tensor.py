"""Tensor: an array with operators, methods, and gradients."""

from __future__ import annotations

import builtins
import weakref
from collections.abc import Iterator
from copy import deepcopy
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tabgrad import dispatch
from tabgrad.core import dtype as dt, trace
from tabgrad.core.capture import clear_grad
from tabgrad.core.dtype import DType
from tabgrad.core.errors import GradientError, warn
from tabgrad.core.naming import is_own
from tabgrad.core.shape import Size, size_of
from tabgrad.core.spec import Spec
from tabgrad.core.trace import Box
from tabgrad.hosts.devices import Device, is_accelerator
from tabgrad.tensor import (
    aliasing,
    arithmetic,
    comparison,
    conversion,
    creation,
    diagonals,
    elementary,
    indexing,
    joining,
    late,
    linear,
    literals,
    nonzero,
    norms,
    operators,
    ordering,
    ranges,
    reading,
    rearranging,
    reductions,
    selecting,
    shaping,
    softmax,
    ternary,
    writing,
)  # fmt: skip
from tabgrad.tensor.public import takes_numpy_names
from tabgrad.transforms import backward as reverse, hooks, node as nodes
from tabgrad.transforms.autograd import add_to_grad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.core.trace import Interpreter
    from tabgrad.tensor.types import DeviceLike, Number

FLOAT = dt.FLOAT


class Tensor(
    arithmetic.ArithmeticMethods,
    comparison.ComparisonMethods,
    conversion.ConversionMethods,
    creation.CreationMethods,
    diagonals.DiagonalsMethods,
    elementary.ElementaryMethods,
    joining.JoiningMethods,
    late.LateMethods,
    linear.LinearMethods,
    nonzero.NonzeroMethods,
    norms.NormsMethods,
    operators.OperatorsMethods,
    ordering.OrderingMethods,
    ranges.RangesMethods,
    reading.ReadingMethods,
    rearranging.RearrangingMethods,
    reductions.ReductionsMethods,
    selecting.SelectingMethods,
    shaping.ShapingMethods,
    softmax.SoftmaxMethods,
    ternary.TernaryMethods,
    writing.WritingMethods,
    Box,
):
    """An n-dimensional array on a device, made by `tabgrad.tensor` and the other creation functions.

    Values never change: an in-place method gives the tensor new ones, and its views see them.

    >>> import tabgrad as tg
    >>> x = tg.tensor([1.0, 2.0], device="cpu", requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])

    Attributes of any other name can be set; results of ops don't inherit them.
    """

    __slots__ = ("__dict__",)
    __module__ = "tabgrad"  # where users find it; what is printed of its type says so
    device: Device
    __array_priority__ = 1000  # NumPy leaves mixed operators to the tensor

    def __new__(cls, *args: Any, device: DeviceLike | None = None) -> Any:
        """Return a float tensor of the given numbers, or zeros of the given sizes: PyTorch's old way."""
        if len(args) == 1 and not isinstance(args[0], builtins.int):
            made = creation.tensor(args[0], dtype=dt.get_default_dtype(), device=device)
        else:
            made = creation.empty(*args, device=device)
        return made if cls is Tensor else cls._make_subclass(cls, made)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not is_own(cls):
            import_module("tabgrad.overrides").welcome(cls)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, and return its tensors as ones of this class; a subclass may replace it."""
        return import_module("tabgrad.overrides").as_this_class(cls, func, types, args, kwargs)

    @staticmethod
    def _make_subclass(cls: Any, data: Any, require_grad: builtins.bool = False) -> Any:
        """Return a leaf of the class `cls` with the values of `data`."""
        aliasing.refreshed(data)
        made = wrap(data.value, data.spec, data.device, data.owner, cls)
        if require_grad:
            made.requires_grad = True
        return made

    # -- what it is

    @property
    def shape(self) -> Size:
        """The sizes of the dims."""
        return size_of(self.spec.shape)

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.spec.dtype

    @property
    def ndim(self) -> builtins.int:
        """The number of dims."""
        return len(self.spec.shape)

    def dim(self) -> builtins.int:
        """Return the number of dims."""
        return len(self.spec.shape)

    ndimension = dim

    def numel(self) -> builtins.int:
        """Return the number of elements."""
        return self.spec.size

    nelement = numel

    @property
    def itemsize(self) -> builtins.int:
        """The size of an element in bytes."""
        return self.spec.dtype.itemsize

    def element_size(self) -> builtins.int:
        """Return the size of an element in bytes."""
        return self.spec.dtype.itemsize

    @property
    def nbytes(self) -> builtins.int:
        """The size of all elements in bytes."""
        return self.spec.size * self.spec.dtype.itemsize

    @property
    def is_cuda(self) -> builtins.bool:
        """Whether the tensor is on a CUDA device; under the alias `torch` on any accelerator."""
        return is_accelerator(self.device)

    @property
    def is_cpu(self) -> builtins.bool:
        """Whether the tensor is on the CPU."""
        return bool(self.device.type == "cpu")

    @property
    def is_maia(self) -> builtins.bool:
        """Whether the tensor is on a device of another vendor's: it is not."""
        return False

    def record_stream(self, s: Any) -> None:
        """Do nothing: each device has one queue, and memory is used again in its order."""

    def get_device(self) -> builtins.int:
        """Return the index of the device, -1 for the CPU."""
        return -1 if self.device.index is None else self.device.index

    def _is_view(self) -> builtins.bool:
        its = self.alias
        return its.__class__ is aliasing.View and not its.detached

    @property
    def _base(self) -> Tensor | None:
        """The tensor that this one is a view of, None if it is none."""
        aliasing.look_behind(self, "_base")
        return self.alias.base if self._is_view() else None

    # -- gradients

    @property
    def requires_grad(self) -> builtins.bool:
        """Whether gradients of this tensor are wanted; can be set on leaves."""
        return builtins.bool(aliasing.refreshed(self).tracked)

    @requires_grad.setter
    def requires_grad(self, value: builtins.bool) -> None:
        if not nodes.is_leaf(aliasing.refreshed(self)) and value is not self.tracked:
            raise GradientError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed "
                "variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        if value and not self.spec.dtype.is_differentiable:
            raise GradientError(
                "only Tensors of floating point and complex dtype can require gradients, this one is "
                f"{self.spec.dtype!r}"
            )
        if value and self.born & 1 and not trace.MODE.get().inference:
            raise GradientError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed; "
                "make a clone() first"
            )
        self.tracked = builtins.bool(value)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward() has added up, None before; can be set."""
        capture = trace.MODE.get().capture
        if capture is not None:
            capture.note_grad(self)
        found = self._grad
        if found is None and self.tracked and not nodes.is_leaf(self):
            if self.node is not None and "retain" not in (self.node.notes or ()):
                warn(
                    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
                    "attribute won't be populated during autograd.backward(). Use .retain_grad() on it first.",
                )
        return found

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            clear_grad(self)
        else:
            self._check_grad(value)
            self._set_grad(value)

    @grad.deleter
    def grad(self) -> None:
        clear_grad(self)

    def _check_grad(self, value: Any) -> None:
        if not isinstance(value, Box):
            raise TypeError(
                f"assigned grad expected to be a Tensor or None but got {type(value).__name__}"
            )
        if value is self:
            raise GradientError("can't assign Variable as its own grad")
        its = value.spec if value._parts is None else value._parts.spec
        if its.dtype is not self.spec.dtype:
            raise GradientError(
                f"assigned grad has data of a different type: {its.dtype!r}, not {self.spec.dtype!r}"
            )
        if value.device is not self.device:
            raise GradientError(
                f"assigned grad has data located on a different device: {value.device}, not {self.device}"
            )
        if its is not self.spec:
            raise GradientError(
                f"assigned grad has data of a different size: {its.shape}, not {self.spec.shape}"
            )

    def _set_grad(self, value: Tensor) -> None:
        capture = trace.MODE.get().capture
        if capture is not None:
            capture.note_grad(self)
        self._grad = value

    @property
    def grad_fn(self) -> Any:
        """The tape node of the op that made this tensor, None for a leaf."""
        aliasing.refreshed(self)
        return nodes.grad_fn(self)

    @property
    def is_leaf(self) -> builtins.bool:
        """Whether no recorded op made this tensor."""
        return not aliasing.refreshed(self).tracked or nodes.is_leaf(self)

    @property
    def output_nr(self) -> builtins.int:
        """Which output of its `grad_fn` this tensor is."""
        node = self.node
        return builtins.int(node.op_params) if node is not None and node.rule is nodes.OUTPUT else 0

    @property
    def retains_grad(self) -> builtins.bool:
        """Whether `retain_grad` was called on this tensor, which is no leaf."""
        aliasing.refreshed(self)
        return self.node is not None and "retain" in (self.node.notes or ())

    def retain_grad(self) -> None:
        """Keep the gradient of this tensor in `.grad` though it is no leaf."""
        if not self.requires_grad:
            raise GradientError("can't retain_grad on Tensor that has requires_grad=False")
        node = self.node
        if node is None or nodes.is_leaf(self) or self.retains_grad:
            return
        ref = weakref.ref(self)

        def keep(ct: Tensor) -> None:
            x = ref()
            if x is not None:
                add_to_grad(x, ct, ct.tracked or x._grad is not None)

        nodes.add_hook(node, "retain", keep)

    register_hook = hooks.register_hook
    register_post_accumulate_grad_hook = hooks.register_post_accumulate_grad_hook

    def backward(
        self, gradient: Tensor | None = None, retain_graph: builtins.bool | None = None,
        create_graph: builtins.bool = False, inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Add the gradients of this tensor to the `.grad` of the leaves, or of `inputs`.

        A tensor with more than one element needs its cotangent, `gradient`. The graph is freed unless
        `retain_graph`; with `create_graph` the gradients can be differentiated again.
        """
        aliasing.refreshed(self)
        reverse.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    @property
    def data(self) -> Tensor:
        """The tensor without its history, sharing its values; can be set."""
        return aliasing.detach(self)

    @data.setter
    def data(self, new: Tensor) -> None:
        writing.set_data(self, new)

    # -- Python's protocols

    def __repr__(self) -> str:
        from tabgrad import printing

        shown = printing.text(self)
        return f"Parameter({shown})" if self.__dict__.get("_is_param") is True else shown

    def __format__(self, spec: str) -> str:
        if not self.spec.shape and (type(self) is Tensor or spec):
            return str(format(reading.item(self), spec))
        return object.__format__(self, spec)

    def __len__(self) -> builtins.int:
        if not self.spec.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.spec.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.spec.shape:
            raise TypeError("iteration over a 0-d tensor")
        return iter(joining.unbind(self))

    def __contains__(self, element: Tensor | Number) -> builtins.bool:
        return bool(reading.to_bool(reductions.any(comparison.eq(self, element))))

    def __reversed__(self) -> Tensor:
        return rearranging.flip(self, 0) if self.spec.shape else self

    def __reduce_ex__(self, protocol: Any) -> Any:
        raw = reading.data(self, "pickle")
        if protocol >= 5:
            from pickle import PickleBuffer

            raw = PickleBuffer(raw)  # which may go beside the pickle, uncopied
        else:
            raw = bytes(raw)
        s = self.spec
        parts = type(self), raw, s.shape, s.dtype, str(self.device), self.tracked
        return (_rebuild, parts, self.__dict__) if self.__dict__ else (_rebuild, parts)

    def __deepcopy__(self, memo: dict[builtins.int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradientError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol"
            )
        found = memo.get(id(self))
        if found is None:
            from tabgrad.tensor import copying

            found = memo[id(self)] = copying.copied(self, memo, wrap, Tensor.__deepcopy__)
            if self._grad is not None:
                found._grad = self._grad.__deepcopy__(memo)
            if self.__dict__:
                found.__dict__.update(deepcopy(self.__dict__, memo))
        return found

    def __copy__(self) -> Tensor:
        found = self.view_as(self)
        found.__dict__.update(self.__dict__)
        return found

    __hash__ = object.__hash__
    __bool__ = reading.to_bool
    __int__ = reading.to_int
    __float__ = reading.to_float
    __complex__ = reading.to_complex
    __index__ = reading.to_index
    __array__ = reading.to_array
    __array_wrap__ = conversion.array_wrap
    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem

    detach = aliasing.detach


takes_numpy_names(Tensor)

_new = object.__new__
current = trace.MODE.get


def wrap(
    value: Any, spec: Spec, device: Device, owner: Interpreter | None = None,
    kind: type[Tensor] = Tensor,
) -> Tensor:  # fmt: skip
    """Return a new Tensor around a payload."""
    t = _new(kind)
    t.value = value
    t.spec = spec
    t.device = device
    t.owner = owner
    t.tracked = False
    t.node = None
    t.alias = None
    t._grad = None
    t._version = 0
    t.born = current().birth
    return t


def _rebuild(
    kind: type[Tensor], raw: Any, shape: tuple[int, ...], dtype: DType, device: str, tracked: bool
) -> Tensor:
    """Return the tensor that was pickled; it goes back to its device."""
    where = creation.place(device)
    target = where.canonical(dtype)
    if target is not dtype:
        raw = literals.encode(literals.decode(raw, dtype), target)
    made = creation.upload(raw, shape, target, where)
    out = wrap(made.value, made.spec, made.device, None, kind)
    out.tracked = tracked
    return out


trace.install(dispatch.process, wrap, dispatch.operand)
