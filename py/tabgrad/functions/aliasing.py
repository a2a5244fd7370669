"""Views and writing in place, on values that never change.

A tensor that is written to takes a new value; the old one lives on wherever it was saved. Two objects carry
PyTorch's sharing of memory. A `View` says by which steps its tensor comes from a base: a write to the view
becomes a write to the base, and a view whose base has changed takes its steps again when it is next used. A
`Storage` is what a tensor and its detached siblings share: values, but no history.
"""

from __future__ import annotations

from typing import Any

from tabgrad.core.dtype import DType, bool_
from tabgrad.core.errors import DTypeError, GradientError, ShapeError, TransformError
from tabgrad.core.op import Op
from tabgrad.core.promotion import cast
from tabgrad.core.spec import Params, intern_params, spec
from tabgrad.core.trace import MODE, bind, constant, using, wrap
from tabgrad.functions import strides
from tabgrad.ops.elementwise import copy, stop_gradient, where
from tabgrad.ops.indexing import cat, iota, scatter
from tabgrad.ops.view import expand, pad, permute, reshape, rewindow, slice_
from tabgrad.transforms.levels import check_written
from tabgrad.transforms.tape import is_leaf, moved

Tensor = Any
Ints = tuple[int, ...]
Step = tuple[Op, Params]


class View:
    """Ties a tensor to its base: the tensor is what `steps`, (op, params) each, make of `base`.

    `seen` is the version of the base that the tensor's value belongs to; `graph` says whether derivatives
    flow from the base to the tensor; `detached` that the tensor is a root of its own for derivatives, and
    shares only values with its base.
    """

    __slots__ = ("_strides", "base", "detached", "graph", "seen", "spec", "steps")

    def __init__(self, base: Tensor, steps: tuple[Step, ...], seen: int, graph: bool) -> None:
        self.base = base
        self.spec = base.spec
        self.steps = steps
        self.seen = seen
        self.graph = graph
        self.detached = False
        self._strides: tuple[Ints, int] | None = None

    def refresh(self, x: Tensor) -> None:
        """Bring `x` up to date with its base."""
        base = self.base
        if base.alias is not None:
            base.alias.refresh(base)
        if base._version != self.seen:
            self.follow(x)

    def follow(self, x: Tensor) -> None:
        """Make `x` anew from its base."""
        if self.base.spec is not self.spec:
            raise GradientError(
                f"a view of shape {x.spec.shape} lost its base: the base's shape was changed in place; "
                "make the view again"
            )
        mode = MODE.get()
        with using(mode.replace(grad=self.graph)):
            y = self.base
            for op, params in self.steps:
                y = bind(op, (y,), params)
        x.value, x.owner = y.value, y.owner
        if self.graph and not (x.tracked and is_leaf(x)):
            x.tracked, x.node = y.tracked, y.node
        self.seen = x._version = self.base._version

    @property
    def strides(self) -> tuple[Ints, int]:
        """The strides and the offset of the tensor in PyTorch's memory, in elements."""
        if self._strides is None:
            its = self.base.alias
            start = its.strides if its.__class__ is View else None
            self._strides = strides.along(self.spec.shape, self.steps, start)
        return self._strides


class Storage:
    """The value that a tensor and its detached siblings share."""

    __slots__ = ("owner", "value", "version")

    def __init__(self, x: Tensor) -> None:
        self.value = x.value
        self.owner = x.owner
        self.version = x._version

    def refresh(self, x: Tensor) -> None:
        """Bring `x` up to date with what was written to a sibling."""
        if self.version != x._version:
            x.value, x.owner, x._version = self.value, self.owner, self.version


class Severed:
    """Marks a tensor that was detached inside a transform: it shares nothing, so it can't be written to."""

    __slots__ = ()

    def refresh(self, x: Tensor) -> None:
        """Nothing is shared."""


SEVERED = Severed()


def refreshed(x: Tensor) -> Tensor:
    """Return `x` itself, up to date: whoever reads `x.value` without binding an op asks for this."""
    if x.alias is not None:
        x.alias.refresh(x)
    return x


def view(op: Any, x: Tensor, params: Params) -> Tensor:
    """Return op(x) as a view of `x`."""
    y = bind(op, (x,), params)
    its = x.alias
    if its.__class__ is View and not its.detached:
        base, steps = its.base, its.steps
        if op is reshape and steps[-1][0] is reshape:
            steps = steps[:-1]
        steps = (*steps, (op, params))
    else:
        base, steps = x, ((op, params),)
    version = base._version
    y.alias = View(base, steps, version, MODE.get().grad)
    y._version = version
    y.born = base.born
    return y


def view_with(op: Any, x: Tensor, **params: Any) -> Tensor:
    """Return op(x, **params) as a view of `x`."""
    return view(op, x, intern_params(params))


def reshaped(x: Tensor, shape: Ints) -> Tensor:
    """Return `x` in another shape, as a view."""
    return view(reshape, x, intern_params({"shape": shape}))


def detach(x: Tensor) -> Tensor:
    """Return `x` without its history; what is written to either is seen in both."""
    if x.owner is not None:
        y = stop_gradient.bind(x)
        y.alias = SEVERED
        return y
    capture = MODE.get().capture
    if capture is not None:
        capture.note((x,))
    its = x.alias
    if its.__class__ is View:
        its.refresh(x)
        base = detach(its.base)
        y = wrap(x.value, x.spec, x.device)
        y.alias = View(base, its.steps, base._version, False)
        y.alias.detached = True
        y._version = base._version
        y.born = base.born
        return y
    if its is None:
        its = x.alias = Storage(x)
    else:
        its.refresh(x)
    y = wrap(x.value, x.spec, x.device)
    y.alias = its
    y._version = x._version
    y.born = x.born
    return y


def own(y: Tensor) -> Tensor:
    """Return the values of a user's tensor for another tensor to take: the node must not be shared."""
    return copy.bind(y) if y.tracked else y


# -- writing ---------------------------------------------------------------------------------------


def check_writable(x: Tensor) -> None:
    """Raise GradientError where `x` can't be written to in place here and now."""
    its = x.alias
    if x.born & 1 and not MODE.get().inference:
        raise GradientError(
            "Inplace update to inference tensor outside InferenceMode is not allowed. You can make a clone to "
            "get a normal tensor before doing inplace update."
        )
    if its is SEVERED or (its.__class__ is View and its.base.alias is SEVERED):
        raise TransformError(
            "inside a transform a detached tensor shares nothing with its source, so writing to it would do "
            "less than elsewhere; clone() it first"
        )
    if its.__class__ is View and _overlaps(x):
        raise ShapeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single "
            "memory location. Please clone() the tensor before performing the operation."
        )
    if not MODE.get().grad:
        return
    if x.tracked and is_leaf(x):
        raise GradientError(
            "a leaf Variable that requires grad is being used in an in-place operation. "
            "Do it under no_grad(), or on a clone()"
        )
    if its.__class__ is View and its.graph and its.base.tracked and is_leaf(its.base):
        raise GradientError(
            "a view of a leaf Variable that requires grad is being used in an in-place operation. "
            "Do it under no_grad(), or on a clone()"
        )


def _overlaps(x: Tensor) -> bool:
    """Whether `x`, or a view that it is a view of, may show one element twice."""
    its = x.alias
    while its.__class__ is View:
        if strides.overlap(x.spec.shape, its.strides[0]):
            return True
        x = its.base
        its = x.alias
    return False


def write(x: Tensor, y: Tensor, name: str = "copy_") -> Tensor:
    """Give `x` the value and the history of `y`, broadcast and cast to fit; return `x`.

    A view hands the write on to its base.
    """
    mode = MODE.get()
    check_writable(x)
    y = fitting(x, y, name)
    if y.owner is not None and y.owner is not x.owner:
        check_written(_root(x), y, name)
    if mode.grad and x.tracked and not y.tracked:
        # a derivative of zero, so that the history goes on, as in PyTorch
        no = constant(False, spec(x.spec.shape, bool_), x.device)
        y = where(no, x, y)
    if mode.capture is not None:
        mode.capture.note((x,))
    _store(x, y, mode)
    return x


def _root(x: Tensor) -> Tensor:
    """Return the tensor that `x` is a view of, views of detached bases included, or `x` if it is none."""
    while x.alias.__class__ is View:
        x = x.alias.base
    return x


def _store(x: Tensor, y: Tensor, mode: Any) -> None:
    """Give `x` the value and the history of `y`, of the same spec, and what it is a view of too."""
    its = x.alias
    if its.__class__ is not View:
        _take(x, y, mode)
        return
    its.refresh(x)
    base = its.base
    if mode.capture is not None:
        mode.capture.note((base,))
    below = mode.replace(grad=False) if its.detached else mode
    with using(below):
        _store(base, write_through(base, its.steps, y), below)
    _take(x, y, mode)
    its.seen = x._version = base._version


def _take(x: Tensor, y: Tensor, mode: Any) -> None:
    """Give `x` the value of `y`, of the same spec, and where gradients are on its history."""
    its = x.alias
    if its.__class__ is Storage:
        its.value, its.owner = y.value, y.owner
        its.version += 1
        x._version = its.version
    else:
        x._version += 1
    x.value, x.owner = y.value, y.owner
    if mode.grad:
        before = x.node
        x.tracked, x.node = y.tracked, y.node
        if before is not None:
            moved(x, before)


def replace(x: Tensor, value: Any, spec: Any = None, device: Any = None) -> None:
    """Give `x` a payload of the base level, and where they change spec and device; its siblings follow.

    The way of `compile` and of whoever else changes a tensor from outside.
    """
    its = x.alias
    if its.__class__ is Storage:
        its.value = value
        its.version += 1
        x._version = its.version
    else:
        x._version += 1
    x.value = value
    if spec is not None:
        x.spec = spec
    if device is not None:
        x.device = device


def fitting(x: Tensor, y: Tensor, name: str) -> Tensor:
    """Return `y` with the shape and dtype of `x`; raise where it can't be written there."""
    want = x.spec
    if y.spec is want:
        return y
    if y.spec.shape != want.shape:
        shape = y.spec.shape
        tail = want.shape[len(want.shape) - len(shape) :] if len(shape) <= len(want.shape) else ()
        if len(shape) > len(want.shape) or any(
            a not in (1, b) for a, b in zip(shape, tail, strict=True)
        ):
            raise ShapeError(
                f"{name}: output with shape {want.shape} doesn't match the broadcast shape {shape}"
            )
        y = expand.bind(y, shape=want.shape)
    return cast(y, want.dtype)


def check_castable(name: str, source: DType, target: DType) -> None:
    """Raise unless an in-place result of dtype `source` may be stored as `target`: no category is lost."""
    if source.category > target.category:
        raise DTypeError(
            f"{name}: result type {source!r} can't be cast to the desired output type {target!r}"
        )


def write_through(base: Tensor, steps: tuple[Step, ...], new: Tensor) -> Tensor:
    """Return `base` with what `steps` show of it replaced by `new`."""
    if not new.spec.size:
        return base
    if any(op in _REPEATING for op, _ in steps):
        return _write_places(base, steps, new)
    values = [base]
    for op, params in steps[:-1]:
        values.append(bind(op, (values[-1],), params))
    for (op, params), x in zip(reversed(steps), reversed(values), strict=True):
        new = _WRITERS[op](x, new, **params)
    return new


_REPEATING: tuple[Any, ...] = (expand, rewindow)
"""Steps that can show an element in many places, of which later steps may choose one."""


def _write_places(base: Tensor, steps: tuple[Step, ...], new: Tensor) -> Tensor:
    """Write each element of `new` to the place in `base` that the same steps lead to from there."""
    size = base.spec.size
    at = reshape.bind(iota(size, base.device.index_dtype, base.device), shape=base.spec.shape)
    for op, params in steps:
        at = bind(op, (at,), params)
    line, index, source = (
        reshape.bind(y, shape=(n,))
        for y, n in ((base, size), (at, at.spec.size), (new, at.spec.size))
    )
    return reshape.bind(scatter.bind(line, index, source, axis=0), shape=base.spec.shape)


def _unpermute(x: Tensor, new: Tensor, *, dims: Ints) -> Tensor:
    order = [0] * len(dims)
    for i, d in enumerate(dims):
        order[d] = i
    return permute.bind(new, dims=tuple(order))


def _write_slice(x: Tensor, new: Tensor, *, starts: Ints, stops: Ints, steps: Ints) -> Tensor:
    shape = x.spec.shape
    if not new.spec.size:
        return x
    partial = [
        k
        for k, n in enumerate(shape)
        if not (starts[k] == 0 and steps[k] == 1 and new.spec.shape[k] == n)
    ]
    if not partial:
        return new
    if len(partial) == 1 and steps[partial[0]] == 1:
        return _splice(x, new, partial[0], starts[partial[0]])
    last = tuple(a + (n - 1) * s for a, n, s in zip(starts, new.spec.shape, steps, strict=True))
    high = tuple(n - 1 - e for n, e in zip(shape, last, strict=True))
    where_to = {"low": starts, "high": high, "interior": tuple(s - 1 for s in steps)}
    yes = constant(True, spec(new.spec.shape, bool_), new.device)
    return where(pad.bind(yes, **where_to), pad.bind(new, **where_to), x)


def _splice(x: Tensor, new: Tensor, axis: int, start: int) -> Tensor:
    n = x.spec.shape[axis]
    stop = start + new.spec.shape[axis]
    parts = [new]
    if start:
        parts.insert(0, _band(x, axis, 0, start))
    if stop < n:
        parts.append(_band(x, axis, stop, n))
    return cat.bind(*parts, axis=axis)


def _band(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    shape = x.spec.shape
    starts = tuple(start if k == axis else 0 for k in range(len(shape)))
    stops = tuple(stop if k == axis else n for k, n in enumerate(shape))
    return slice_.bind(x, starts=starts, stops=stops, steps=(1,) * len(shape))


_WRITERS: dict[Any, Any] = {
    reshape: lambda x, new, shape: reshape.bind(new, shape=x.spec.shape),
    permute: _unpermute,
    slice_: _write_slice,
}
