"""The interpreter stack: where the application of an op goes.

`bind` hands an op to the innermost interpreter that owns one of its arguments. An interpreter does its
part and binds ops on the values below, until the base interpreter runs or records the op on a device.
Interpreters live in `Mode.levels`; a tensor's `owner` is the interpreter that made it, or None.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Protocol

from tabgrad.core.errors import EscapedTensorError
from tabgrad.core.settings import on_restore
from tabgrad.core.spec import NO_PARAMS, Params, Spec

if TYPE_CHECKING:
    from tabgrad.core.dtype import DType
    from tabgrad.core.op import Op


class Box:
    """The fields of a Tensor that the core and the transforms work with.

    `value` is the payload: a device's value at the base, a lower Tensor under an autograd level, and
    whatever its interpreter keeps at other levels. `node` is the tape node that made it. `alias` is what
    ties a view to its base, or a tensor to its detached siblings: `alias.refresh(x)` brings `x` up to date
    with them, and `bind` calls it. `_version` counts the writes in place. `born` is the `birth` of the mode
    that it was made in, or for what shares values with an older tensor the one of that.
    """

    __slots__ = (
        "__weakref__", "_grad", "_version", "alias", "born", "device", "node", "owner", "spec", "tracked",
        "value",
    )  # fmt: skip

    value: Any
    spec: Spec
    device: Any
    owner: Interpreter | None
    tracked: bool
    node: Any
    alias: Any
    born: int
    _grad: Any
    _version: int


class Interpreter(Protocol):
    """One level of the stack."""

    level: int
    serial: int
    """A number that grows with time: a level above has a greater one."""
    name: str
    walks: bool
    """Whether `backward` may be called inside."""

    @property
    def outlive(self) -> Callable[..., None] | None:
        """What makes of a tensor of this level, which has ended, one of the levels below."""
        ...

    def below(self, mode: Mode) -> Mode:
        """Return the mode of the level below, given the one of this level."""
        ...

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Return the tensor that `op` makes of `args`, some of which this interpreter owns."""
        ...


@dataclass(eq=False, slots=True)
class Mode:
    """What the current task has switched on. Immutable: `replace` makes another Mode."""

    grad: bool = True
    """Whether ops are recorded for gradients: `no_grad`."""
    inference: bool = False
    """Whether tensors made now are inference tensors: `inference_mode`."""
    levels: tuple[Interpreter, ...] = ()
    """The interpreter stack, the outermost first."""
    capture: Any = None
    """The capture of a `compile` in progress."""
    autocast: Any = None
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
    device: Any = None
    """The device of tensors that name none: `with device(...)`."""
    draw: Any = None
    """The level that random draws ask first: `transforms.vmap.draw`."""
    generator: Any = None
    """Draws where no generator is named, in place of the default one: `Generator.Mark`."""
    one_thread: bool = False
    """What `autograd.set_multithreading_enabled` was told."""
    tapes: int = 0
    """How many of `autograd.GradientTape` record."""
    birth: int = field(init=False)
    """Stamp for new tensors: 2 × the innermost level's serial number, plus 1 in inference mode."""

    def __post_init__(self) -> None:
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
    """The slots that `tensor.py` fills: the core needs no import of Tensor."""

    process: Callable[[Any, tuple[Any, ...], Params, Mode], Any]
    wrap: Callable[..., Any]
    operand: Callable[..., Any]


def install(
    process: Callable[..., Any], wrap: Callable[..., Any], operand: Callable[..., Any]
) -> None:
    """Set the base interpreter, the constructor of tensors, and the one of constants.

    `wrap(value, spec, device, owner)` makes a Tensor; `operand(value, spec, device)` a Tensor filled
    with a Python number.
    """
    _Base.process = staticmethod(process)
    _Base.wrap = staticmethod(wrap)
    _Base.operand = staticmethod(operand)


def wrap(value: Any, spec: Spec, device: Any, owner: Interpreter | None = None) -> Any:
    """Return a new Tensor around `value`."""
    return _Base.wrap(value, spec, device, owner)


def constant(value: Any, spec: Spec, device: Any) -> Any:
    """Return a Tensor of `spec` filled with the Python number `value`; it costs no memory."""
    shared = _Base.operand(value, spec, device)
    # a tensor of its own: whoever gets it may write to it
    x = _Base.wrap(shared.value, spec, device)
    x._version, x.born = shared._version, shared.born
    return x


def operand(value: Any, spec: Spec, device: Any) -> Any:
    """Return the Tensor of `constant`, shared with others: for an operand of an op, which nobody else sees."""
    return _Base.operand(value, spec, device)


def filled(value: Any, spec: Spec, device: Any) -> Any:
    """Return a Tensor of `spec` filled with a number for a user to keep: one that no plan takes as fixed."""
    return _Base.wrap(device.backend.constant(value, spec), spec, device)


def zeros_like(x: Any) -> Any:
    """Return zeros of the shape, dtype and device of `x`."""
    return filled(0, x.spec, x.device)


def bind(op: Op, args: tuple[Any, ...], params: Params = NO_PARAMS) -> Any:
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
        # what no level had a part in was made below, and is handed out here
        y.born = mode.birth
    return y


def descend(mode: Mode, level: int) -> Mode:
    """Return the mode under which interpreter number `level` works, 0 being the base, given that of the top."""
    for interpreter in reversed(mode.levels[level:]):
        mode = interpreter.below(mode)
    return mode


def check_alive(x: Any, mode: Mode, what: str) -> Interpreter | None:
    """Return the owner of `x`. Raise EscapedTensorError where that is not on the stack of `mode`.

    A level whose tensors outlive it makes what is left of `x` first.
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
