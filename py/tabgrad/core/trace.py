"""The interpreter stack, which decides who handles the application of an op.

`bind` passes an op to the innermost interpreter that owns one of its arguments. That interpreter does its part
and binds ops on the values of the level below. At the bottom, the base interpreter runs or records the op on a
device. The interpreters are in `Mode.levels`; a tensor's `owner` is the interpreter that made it, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tabgrad.core.errors import EscapedTensorError
from tabgrad.core.settings import on_restore
from tabgrad.core.spec import NO_PARAMS, Params, ShapeOnly, Spec

if TYPE_CHECKING:
    from tabgrad.amp.autocast_mode import Casting
    from tabgrad.compiler.capture import Capture
    from tabgrad.core.dtype import DType
    from tabgrad.core.op import Op
    from tabgrad.hosts.devices import Device
    from tabgrad.tensor import Tensor
    from tabgrad.transforms.node import Node


class Box:
    """The fields of a Tensor that the core and the transforms use.

    `value` is the payload: a device's value at the base, a Tensor of the level below under an autograd level,
    and the interpreter's own data at other levels. `node` is the tape node that made the tensor. `alias` links
    a view to its base, or a tensor to its detached siblings; `alias.refresh(x)` updates `x` after writes to
    them, and `bind` calls it. `_version` counts in-place writes. `born` is the `birth` of the mode in which the
    tensor was made; a tensor that shares values with an older one has the `born` of that one. `_parts` is what
    a sparse tensor is made of (`sparse/parts.py`), which has neither `value` nor `spec`; None for a dense one.
    """

    __slots__ = (
        "__weakref__", "_grad", "_version", "alias", "born", "device", "node", "owner", "spec", "tracked",
        "value",
    )  # fmt: skip

    _parts: ClassVar[Any] = None

    value: Any
    spec: Spec
    device: Device
    owner: Interpreter | None
    tracked: bool
    node: Node | None
    alias: Any
    born: int
    _grad: Tensor | None
    _version: int


class Interpreter(Protocol):
    """One level of the stack."""

    level: int
    serial: int
    """Grows with time: an outer level has a smaller number than the levels inside it."""
    name: str
    walks: bool
    """Whether `backward` may be called inside."""
    rewrites: bool
    """Whether the payload of a tensor is made of tensors below, to which writes to it go."""

    @property
    def outlive(self) -> Callable[..., None] | None:
        """Converts a tensor of this level, which has ended, to one of the levels below; None if impossible."""
        ...

    def below(self, mode: Mode) -> Mode:
        """Return the mode for the level below, given the mode of this level."""
        ...

    def process(self, op: Op, args: tuple[Tensor, ...], params: Params) -> Tensor:
        """Apply `op` to `args`, some of which this interpreter owns."""
        ...


@dataclass(eq=False, slots=True)
class Mode:
    """The settings of the current task. Immutable: `replace` makes another Mode."""

    grad: bool = True
    """Whether ops are recorded for gradients: `no_grad`."""
    inference: bool = False
    """Whether tensors made now are inference tensors: `inference_mode`."""
    levels: tuple[Interpreter, ...] = ()
    """The interpreter stack, the outermost first."""
    capture: Capture | None = None
    """The capture of a `compile` in progress."""
    autocast: Casting | None = None
    """Casts the operands of each op: `amp.autocast`."""
    autocast_dtypes: dict[str, DType] | None = None
    """The half precision chosen for a type of device: `amp.set_autocast_dtype`."""
    saved_tensors: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None
    """Pack and unpack what is saved for backward: `autograd.graph.saved_tensors_hooks`."""
    saved_tensors_refused: str | None = None
    """Why there may be no such hooks: `disable_saved_tensors_hooks`."""
    anomaly: Any = None
    """Watches rules for NaN: `autograd.detect_anomaly`."""
    around: Callable[..., Any] | None = None
    """Runs each op of the base in its own way: `dispatch.process`."""
    device: Device | None = None
    """The device of tensors that name none: `with device(...)`."""
    draw: Any = None
    """The level that random draws ask first: `transforms.vmap.draw`."""
    generator: Any = None
    """Draws where no generator is named, in place of the default one: `Generator.Mark`."""
    one_thread: bool = False
    """What `autograd.set_multithreading_enabled` was told."""
    tapes: int = 0
    """How many of `autograd.GradientTape` record."""
    plain: bool = field(init=False)
    """Whether ops go to the base as they are, and only compute."""
    birth: int = field(init=False)
    """Stamp for new tensors: 2 × the innermost level's serial number, plus 1 in inference mode."""

    def __post_init__(self) -> None:
        others = (self.capture, self.autocast, self.around)
        self.plain = not self.levels and others == (None, None, None)
        self.birth = 2 * (self.levels[-1].serial if self.levels else 0) + self.inference

    def replace(self, **changes: Any) -> Mode:
        """Return a copy with the named fields changed."""
        if not _NAMES.issuperset(changes):
            raise TypeError(f"Mode: has no field {', '.join(changes.keys() - _NAMES)}")
        values: Any = map(changes.get, _FIELDS, _values(self))
        return Mode(*values)


_FIELDS = tuple([f.name for f in fields(Mode) if f.init])
_NAMES = frozenset(_FIELDS)
_values = attrgetter(*_FIELDS)

MODE: ContextVar[Mode] = ContextVar("tabgrad_mode", default=Mode())  # noqa: B039 (Mode is immutable)
on_restore(lambda: MODE.set(Mode()))


class using:
    """Run a block under `mode`."""

    __slots__ = ("mode", "token")

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.token: Token[Mode] | None = None

    def __enter__(self) -> Mode:
        self.token = MODE.set(self.mode)
        return self.mode

    def __exit__(self, *exc: object) -> None:
        assert self.token is not None
        MODE.reset(self.token)


class _Base:
    """What `tensor.py` installs, so that the core needs no import of Tensor."""

    process: Callable[[Op, tuple[Tensor, ...], Params, Mode], Tensor]
    wrap: Callable[..., Tensor]
    operand: Callable[..., Tensor]
    formed: Callable[[Op, tuple[Any, ...], Params], Any]
    at_once: Callable[[Callable[..., Any], tuple[Any, ...]], Any]


def install(
    process: Callable[..., Tensor], wrap: Callable[..., Tensor], operand: Callable[..., Tensor]
) -> None:
    """Install the base interpreter, the constructor of tensors, and the constructor of constants.

    `wrap(value, spec, device, owner)` makes a Tensor; `operand(value, spec, device)` a Tensor filled
    with a Python number.
    """
    _Base.process = staticmethod(process)
    _Base.wrap = staticmethod(wrap)
    _Base.operand = staticmethod(operand)


def wrap(value: Any, spec: Spec, device: Device, owner: Interpreter | None = None) -> Tensor:
    """Make a new Tensor around `value`."""
    return _Base.wrap(value, spec, device, owner)


def constant(value: complex, spec: Spec, device: Device) -> Tensor:
    """Make a Tensor of `spec` filled with the Python number `value`; it takes no memory."""
    shared = _Base.operand(value, spec, device)
    # a tensor of its own, because the caller may write to it
    x = _Base.wrap(shared.value, spec, device)
    x._version, x.born = shared._version, shared.born
    return x


def operand(value: complex, spec: Spec, device: Device) -> Tensor:
    """Return a constant Tensor that is shared: only for an operand of an op, which nobody else sees."""
    return _Base.operand(value, spec, device)


def filled(value: complex, spec: Spec, device: Device) -> Tensor:
    """Make a Tensor of `spec` filled with a number, for a user to keep: no plan treats its value as fixed."""
    return _Base.wrap(device.backend.constant(value, spec), spec, device)


def at_once(fn: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Return fn(*args), or None where a formula of ops is no faster as one: call it then."""
    return _Base.at_once(fn, args)


def formed(op: Op, args: tuple[Any, ...], params: Params) -> Any:
    """Compute a form of these tensors, or return None where its ops must do it."""
    return _Base.formed(op, args, params)


def zeros_like(x: Box | ShapeOnly) -> Tensor:
    """Make zeros of the shape, dtype and device of `x`."""
    return filled(0, x.spec, x.device)


def bind(op: Op, args: tuple[Any, ...], params: Params = NO_PARAMS) -> Tensor:
    """Apply `op` to Tensors through the interpreter stack."""
    mode = MODE.get()
    if mode.autocast is not None:
        args = mode.autocast(op, args)
    top: Interpreter | None = None
    for a in args:
        if a.alias is not None:
            a.alias.refresh(a)
        owner = a.owner
        if owner is not None:
            owner = check_alive(a, mode, op.name)
            if owner is not None and (top is None or owner.level > top.level):
                top = owner
    if top is None:
        return _Base.process(op, args, params, descend(mode, 0) if mode.levels else mode)
    y = top.process(op, args, params)
    if y.owner is not top:
        # a tensor that no level took part in was made below: it counts as made in this mode
        y.born = mode.birth
    return y


def descend(mode: Mode, level: int) -> Mode:
    """Return the mode for interpreter number `level` (0 is the base), given the mode of the top."""
    for interpreter in reversed(mode.levels[level:]):
        mode = interpreter.below(mode)
    return mode


def check_alive(x: Box, mode: Mode, what: str) -> Interpreter | None:
    """Return the owner of `x`. Raises EscapedTensorError if the owner is not on the stack of `mode`.

    If tensors may outlive the level, `x` first becomes a tensor of the levels below.
    """
    levels = mode.levels
    owner: Interpreter | None = x.owner
    while owner is not None and (owner.level > len(levels) or levels[owner.level - 1] is not owner):
        if owner.outlive is None:
            raise EscapedTensorError(
                f"{what}: a tensor made inside {owner.name} was used after it had ended; "
                "return it from the function instead of storing it outside"
            )
        owner.outlive(x)
        owner = x.owner
    return owner
