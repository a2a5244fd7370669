"""Views and writing in place, on values that never change.

A tensor that is written to takes a new value; the old one lives on wherever it was saved. Two objects carry
PyTorch's sharing of memory. A `View` says by which steps its tensor comes from a base: a write to the view
becomes a write to the base, and a view whose base has changed takes its steps again when it is next used. A
`Storage` is what a tensor and its detached siblings share: values, but no history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tabgrad.core.capture import capturing
from tabgrad.core.dtype import DType
from tabgrad.core.errors import DTypeError, GradientError, ShapeError, TransformError
from tabgrad.core.graph import Value
from tabgrad.core.promotion import cast, the_device
from tabgrad.core.spec import NO_PARAMS, Params, intern_params, shape_params
from tabgrad.core.trace import MODE, Box, bind, using, wrap
from tabgrad.core.undoing import Before
from tabgrad.ops.elementwise import attached, conj, copy, stop_gradient
from tabgrad.ops.view import expand, reshape
from tabgrad.tensor import strides
from tabgrad.tensor.writers import Step, write_through
from tabgrad.transforms.ambiguous import AMBIGUOUS, refused
from tabgrad.transforms.levels import check_written
from tabgrad.transforms.node import is_leaf
from tabgrad.transforms.saving import parts_of
from tabgrad.transforms.tape import moved

if TYPE_CHECKING:
    from tabgrad.core.op import Op
    from tabgrad.core.spec import Spec
    from tabgrad.core.trace import Mode
    from tabgrad.hosts.devices import Device
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints

B = TypeVar("B", bound=Box)


class View:
    """Ties a tensor to its base: the tensor is what `steps`, (op, params) each, make of `base`.

    `seen` is the version of the base that the tensor's value belongs to. `made` is None if derivatives flow
    from the base through the steps, else a key of AMBIGUOUS that says why they don't. `detached` says that
    the tensor shares only values with its base, and no history.
    """

    __slots__ = ("_strides", "base", "detached", "made", "seen", "spec", "steps")

    def __init__(self, base: Tensor, steps: tuple[Step, ...], seen: int, made: str | None) -> None:
        self.base = base
        self.spec = base.spec
        self.steps = steps
        self.seen = seen
        self.made = made
        self.detached = False
        self._strides: tuple[Ints, int] | None = None

    def refresh(self, x: Tensor) -> None:
        """Bring `x` up to date with its base."""
        base = self.base
        if base.alias is not None:
            if base._version == self.seen and (memory := memory_behind(x)) is not None:
                # of a large memory only what the view shows is compared
                memory.look_at(x)
                return
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
        base = self.base
        with using(mode.replace(grad=self.made is None)):
            y = base
            for op, params in self.steps:
                y = bind(op, (y,), params)
        x.value, x.owner = y.value, y.owner
        before = x.node
        if self.made is None:
            if not (x.tracked and is_leaf(x)):
                x.tracked, x.node = y.tracked, y.node
        elif base.tracked and not self.detached:
            x.tracked, x.node = True, refused(x, base, self.made)
        if before is not None and before is not x.node:
            moved(x, before)
        self.seen = x._version = base._version

    def rebase(self, x: Tensor) -> None:
        """Give the base the history of `x`. Its value has been written already, without recording."""
        if self.detached:
            return
        y = wrap(x.value, x.spec, x.device, x.owner)
        y.tracked, y.node = x.tracked, x.node
        _store_through(x, y, MODE.get())

    @staticmethod
    def along(x: Tensor, steps: tuple[Step, ...]) -> Tensor:
        """Apply `steps` to `x`, each as a view."""
        for op, params in steps:
            x = view(op, x, params)
        return x

    @property
    def strides(self) -> tuple[Ints, int]:
        """The strides and the offset of the tensor in PyTorch's memory, in elements."""
        if self._strides is None:
            its = self.base.alias
            start = its.strides if its.__class__ is View else None
            self._strides = strides.along(self.spec.shape, self.spec.dtype, self.steps, start)
        return self._strides


class Storage:
    """The value that a tensor and its detached siblings share.

    `memory` is there where other code sees the elements: arrays of NumPy, and whoever knows their address.
    """

    __slots__ = ("memory", "owner", "value", "version")

    def __init__(self, x: Tensor) -> None:
        self.value = x.value
        self.owner = x.owner
        self.version = x._version
        self.memory: Any = None

    def refresh(self, x: Tensor) -> None:
        """Bring `x` up to date with what was written to a sibling, or to its memory."""
        if self.memory is not None:
            self.memory.look(self)
        if self.version != x._version:
            x.value, x.owner, x._version = self.value, self.owner, self.version

    def rebase(self, x: Tensor) -> None:
        """Siblings share no history."""


class Severed:
    """Marks a tensor that was detached inside a transform: it shares nothing, so it can't be written to."""

    __slots__ = ()

    def refresh(self, x: Tensor) -> None:
        """Nothing is shared."""

    def rebase(self, x: Tensor) -> None:
        """Nothing is shared."""


SEVERED = Severed()


def refreshed(x: B) -> B:
    """Bring `x` up to date and return it. Code that reads `x.value` without binding an op calls this first."""
    if x.alias is not None:
        x.alias.refresh(x)
    return x


def memory_behind(x: Tensor) -> Any:
    """Return the memory that others see and that has the elements of `x`, None if `x` has a history."""
    if x.alias is None or x.tracked or x.owner is not None or MODE.get().capture is not None:
        return None
    root = root_of(x)
    its = root.alias
    memory = its.memory if its.__class__ is Storage else None
    if memory is None or root.tracked or any(conjugated(x)) or not memory.held():
        return None
    return memory


def view(op: Op, x: Tensor, params: Params) -> Tensor:
    """Return op(x) as a view of `x`."""
    memory, mode = memory_behind(x), MODE.get()
    if memory is not None:
        y = bind(op, (memory.now(x),), params)
        y.value = memory.copied(y.value)
    elif mode.plain and x.owner is None and not (x.tracked and mode.grad):
        device = refreshed(x).device  # what `bind` comes to
        y = wrap(*device.backend.run(op, (x.value,), (x.spec,), params), device)
    else:
        y = bind(op, (x,), params)
    its = x.alias
    made = None
    if its.__class__ is View and not its.detached:
        base, steps, made = its.base, its.steps, its.made
        if op is reshape and steps[-1][0] is reshape:
            steps = steps[:-1]
        steps = (*steps, (op, params))
    else:
        base, steps = x, ((op, params),)
    if not mode.grad:
        made = made or ("inference" if mode.inference else "no_grad")
        if base.tracked and y.owner is base.owner:
            # it has no history, but requires grad as its base does, so it is a leaf
            y.tracked = True
    version = base._version
    y.alias = View(base, steps, version, made)
    y._version = version
    y.born = base.born
    return y


def view_with(op: Op, x: Tensor, **params: Any) -> Tensor:
    """Return op(x, **params) as a view of `x`."""
    return view(op, x, intern_params(params))


def reshaped(x: Tensor, shape: Ints) -> Tensor:
    """Return `x` in another shape, as a view."""
    return view(reshape, x, shape_params(shape))


def conjugate(x: Tensor) -> Tensor:
    """Return the conjugates of complex numbers as a view."""
    return view(conj, x, NO_PARAMS)


def conjugated(x: Box) -> tuple[bool, bool]:
    """Return whether the memory behind a view has the conjugates of its elements, and whether the negatives."""
    its: Any = x.alias
    steps: tuple[Step, ...] = ()
    while its.__class__ is View:
        # the base of a view of a detached one is a view itself
        steps, its = (*its.steps, *steps), its.base.alias
    flipped = negative = False
    for op, _ in steps:
        if op is conj:
            flipped = not flipped
        elif op.name in ("real", "imag"):
            flipped, negative = False, flipped and op.name == "imag"
    return flipped, negative


def detach(input: Tensor) -> Tensor:
    """Return `input` without its history; what is written to either is seen in both."""
    if input.owner is not None:
        y = stop_gradient.bind(input)
        y.alias = SEVERED
        return y
    capture = MODE.get().capture
    its = input.alias
    if its.__class__ is View:
        its.refresh(input)
        base = detach(its.base)
        y = wrap(input.value, input.spec, input.device)
        y.alias = View(base, its.steps, base._version, "no_grad")
        y.alias.detached = True
        y._version = base._version
        y.born = base.born
        if capture is not None:
            capture.note_sibling(input, y)
        return y
    if its is None:
        its = input.alias = Storage(input)
    else:
        its.refresh(input)
    y = wrap(input.value, input.spec, input.device)
    y.alias = its
    y._version = input._version
    y.born = input.born
    if capture is not None:
        capture.note_sibling(input, y)
    return y


def present(x: Tensor, what: str) -> Tensor:
    """Bring `x` up to date, so that another tensor can share its value. Raises if its device was lost."""
    value, backend = refreshed(x).value, x.device.recorder
    if value.__class__ is Value and (backend is None or value.graph is not backend.graph):
        from tabgrad.hosts.faults import lost_tensor

        raise lost_tensor(what)
    return x


def own(y: Tensor) -> Tensor:
    """Return a tensor with the values of `y` that another tensor can take over: tape nodes are not shared."""
    return copy.bind(y) if y.tracked else present(y, "copy")


# -- writing ---------------------------------------------------------------------------------------


def check_writable(x: Tensor) -> None:
    """Raise an error if `x` can't be written to in place now."""
    its = x.alias
    if its is not None:
        its.refresh(x)
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
    level: Any = x.owner
    if level is not None and level.rewrites:
        for part in x.value:
            if part is not None:
                check_writable(part)
    if MODE.get().grad:
        check_history(x)


def check_history(x: Tensor) -> None:
    """Raise GradientError if a write to `x` can't be recorded: to a leaf, or a view made without gradients."""
    its = x.alias
    base = its.base if its.__class__ is View and not its.detached else None
    if base is not None and base.tracked and its.made in ("no_grad", "inference"):
        raise GradientError(AMBIGUOUS[its.made].format("is being"))
    if base is not None and base.tracked and is_leaf(base):
        raise GradientError(
            "a view of a leaf Variable that requires grad is being used in an in-place operation. "
            "Do it under no_grad(), or on a clone()"
        )
    check_leaf(x)


def check_leaf(x: Tensor) -> None:
    """Raise GradientError if `x` is a leaf that requires grad."""
    if x.tracked and is_leaf(x):
        raise GradientError(
            "a leaf Variable that requires grad is being used in an in-place operation. "
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
        check_written(root_of(x), y, name)
    if mode.grad and x.tracked and not y.tracked:
        # the history goes on, as in PyTorch
        y = attached(y, x)
    if mode.capture is not None:
        mode.capture.note_write(x)
    _store(x, y, mode)
    return x


def root_of(x: Box) -> Tensor:
    """Return the tensor that `x` is a view of, views of detached bases included, or `x` if it is none."""
    root: Any = x
    while root.alias.__class__ is View:
        root = root.alias.base
    return root


def look_behind(x: Tensor, what: str) -> None:
    """Tell a capture that the program asked about the base of `x`: the capture holds for this base only."""
    capture = MODE.get().capture
    if capture is not None and x.alias.__class__ is View:
        capture.behind.append((root_of(x), what))


def _store(x: Tensor, y: Tensor, mode: Mode) -> None:
    """Give `x` the value and the history of `y`, which has the same spec; a view writes to its base, too."""
    its = x.alias
    if its.__class__ is not View:
        _take(x, y, mode)
        return
    its.refresh(x)
    _take(x, y, mode)
    _store_through(x, y, mode)


def _store_through(x: Tensor, y: Tensor, mode: Mode) -> None:
    """Write `y` to the base of the view `x`, which has the value of `y` already."""
    its = x.alias
    base = its.base
    if mode.capture is not None:
        mode.capture.note_write(base)
    below = mode.replace(grad=False) if its.detached else mode
    with using(below):
        _store(base, write_through(base, its.steps, y), below)
    its.seen = x._version = base._version
    if mode.grad and base.tracked and its.made is None and not its.detached:
        # from now on its history is the base's; the view is made again when it is next used
        its.seen = -1
        if x.node is not None and x.node.notes:
            # `retain_grad` must follow it
            its.refresh(x)


def _take(x: Tensor, y: Tensor, mode: Mode) -> None:
    """Give `x` the value of `y`, which has the same spec, and with gradients on also its history."""
    its = x.alias
    if its.__class__ is Storage:
        if its.memory is not None:
            y = its.memory.taken(its, y)
        its.value, its.owner = y.value, y.owner
        its.version += 1
        x._version = its.version
    else:
        x._version += 1
    level: Any = x.owner
    above: Any = y.owner
    if level is not None and level.rewrites:
        level.rewrite(x, y, lambda part, new: write(part, own(new)))
    elif above is not None and above.rewrites:
        x.value, x.owner = parts_of(y.value), y.owner
    else:
        x.value, x.owner = y.value, y.owner
    if mode.grad:
        before = x.node
        x.tracked, x.node = y.tracked, y.node
        if before is not None:
            moved(x, before)


def replace(x: Tensor, value: Any, spec: Spec | None = None, device: Device | None = None) -> None:
    """Give `x` another payload of the base level, and another spec or device if given; its siblings follow.

    `compile` and others that change a tensor from outside use this.
    """
    its = x.alias
    if its.__class__ is Storage:
        its.value = value
        if its.memory is not None:
            its.memory.store(its)
            value = its.value
        its.version += 1
        x._version = its.version
    else:
        x._version += 1
    x.value = value
    if spec is not None:
        x.spec = spec
    if device is not None:
        x.device = device


def whole(*tensors: Tensor | None) -> Before:
    """Return a context in which these are all written or, where it raises or finds no memory, none."""
    roots = [refreshed(root_of(x)) for x in tensors if x is not None]
    if capturing() is None:
        for x in roots:
            if x.owner is None:
                x.device.backend.remember((x,), replace)
    return Before(roots)


def fitting(x: Tensor, y: Tensor, name: str) -> Tensor:
    """Return `y` with the shape and dtype of `x`. Raises if it can't be written there."""
    want, shape = x.spec, y.spec.shape
    if y.device is not x.device:
        the_device(name, (x, y))
    if y.spec is want:
        return y
    if shape != want.shape:
        pairs = zip(reversed(shape), reversed(want.shape), strict=False)
        if len(shape) > len(want.shape) or any(a not in (1, b) for a, b in pairs):
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
