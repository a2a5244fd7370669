"""Choosing for each op the precision it runs in; PyTorch's `autocast`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tabgrad as tg
from tabgrad.autograd.grad_mode import ModeChange
from tabgrad.core import dtype as dt
from tabgrad.core.errors import DeviceError, DTypeError, warn
from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.trace import MODE, Box, Mode
from tabgrad.hosts.devices import kind_of, names_nothing

HALF = frozenset(("matmul", "conv"))
"""Ops that run in half precision: products, which are fast in it and add up in single precision."""
SINGLE = frozenset((
    "acos", "asin", "atanh", "acosh", "cosh", "cumprod", "cumsum", "erfinv", "exp", "exp2", "expm1",
    "linear_scan", "log", "log10", "log1p", "log2", "logaddexp", "logcumsumexp", "pow", "prod", "reciprocal",
    "reduce_prod", "reduce_sum", "rsqrt", "sinh", "tan",
))  # fmt: skip
"""Ops that run in single precision: half has too little range or too few digits for them."""
SINGLE_ON_CPU = frozenset(("prod", "reduce_prod"))
"""Those on the CPU, whose half precision is bfloat16 with the range of single; PyTorch's lists say the same."""
DTYPES = {"cpu": dt.bfloat16, "webgpu": dt.float16, "cuda": dt.float16}


class Casting:
    """What `bind` asks under autocast, for one type of device."""

    def __init__(self, kind: str, dtype: dt.DType) -> None:
        self.kind = kind
        self.dtype = dtype

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Casting) and (self.kind, self.dtype) == (other.kind, other.dtype)

    def __hash__(self) -> int:
        return hash((self.kind, self.dtype))

    def __call__(self, op: Op, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments of `op` in the precision it is to run in."""
        if op.name in HALF:
            return self.lowered(args)
        if op.name in (SINGLE_ON_CPU if self.kind == "cpu" else SINGLE):
            return tuple([self.to(a, dt.float32) if self.is_half(a) else a for a in args])
        return args

    def lowered(self, tensors: Sequence[Any]) -> tuple[Any, ...]:
        """Return the tensors with those of single precision in half."""
        return tuple([self.to(t, self.dtype) if self.is_single(t) else t for t in tensors])

    def is_single(self, x: Any) -> bool:
        """Whether `x` is a float32 tensor of the device."""
        return isinstance(x, Box) and x.spec.dtype is dt.float32 and x.device.type == self.kind

    def is_half(self, x: Any) -> bool:
        """Whether `x` is a tensor of half precision of the device."""
        return x.spec.dtype in (dt.float16, dt.bfloat16) and x.device.type == self.kind

    def to(self, x: Any, dtype: dt.DType) -> Any:
        """Return `x` as another dtype."""
        return REGISTRY["cast"].bind(x, dtype=dtype)


def _check(name: str, device_type: str, dtype: Any = dt.float16) -> None:
    if device_type not in DTYPES:
        raise ValueError(f"{name}: device_type is one of {', '.join(DTYPES)}, not {device_type!r}")
    if dtype not in (dt.float16, dt.bfloat16):
        raise ValueError(f"{name}: dtype is float16 or bfloat16, not {dtype!r}")


def _preferred(device_type: str) -> dt.DType:
    """Return the dtype that autocast takes for a type of device where none is said."""
    chosen: dict[str, dt.DType] = MODE.get().autocast_dtypes or DTYPES
    return chosen.get(device_type, DTYPES[device_type])


def _has(kind: str, dtype: dt.DType) -> bool:
    try:
        tg.device(kind).canonical(dtype)
    except (DTypeError, DeviceError):
        return False
    return True


class autocast(ModeChange):
    """Run matrix products and convolutions in half precision, and what needs it in single.

    `device_type` is "cpu", "webgpu" or "cuda", `dtype` float16 or bfloat16, unless told bfloat16 on cpu and
    float16 elsewhere. float32 tensors are cast where an op asks for it; float64 and others stay. Where the
    device lacks the dtype one warning says so, and nothing is cast. Leave the context before backward, which
    runs each op in the precision of its forward.

    >>> import tabgrad as tg
    >>> a = tg.ones(2, 2, device="cpu")
    >>> with tg.autocast("cpu"):
    ...     b = a @ a
    >>> b.dtype
    tabgrad.bfloat16
    """

    def __init__(
        self, device_type: str, dtype: dt.DType | None = None, enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if enabled and names_nothing(device_type):
            warn(
                f"autocast: there is no accelerator for {device_type!r} here; nothing is cast",
            )
            enabled = False
        device_type = kind_of(device_type)
        _check("autocast", device_type)
        self.device_type = device_type
        self.dtype = _preferred(device_type) if dtype is None else dtype
        if enabled:
            _check("autocast", device_type, self.dtype)
        if enabled and not _has(device_type, self.dtype):
            warn(
                f"autocast: {device_type} has no {self.dtype.name} here; nothing is cast",
            )
            enabled = False
        self.enabled = enabled

    def changed(self, mode: Mode) -> Mode:
        """Return the mode with ops cast, or as they are."""
        casting = Casting(self.device_type, self.dtype) if self.enabled else None
        return mode.replace(autocast=casting)

    def restored(self, mode: Mode, before: Mode) -> Mode:
        """Return the mode with the casting of before."""
        return mode.replace(autocast=before.autocast)

    def again(self) -> ModeChange:
        """Return a context manager like this one."""
        return autocast(self.device_type, self.dtype, self.enabled)


def _current(device_type: str | None) -> Casting | None:
    found: Casting | None = MODE.get().autocast
    device_type = device_type and kind_of(device_type)
    return found if found is not None and device_type in (None, found.kind) else None


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Return whether autocast is on, for a type of device, "cuda" if none is named.

    >>> import tabgrad as tg
    >>> with tg.autocast("cpu"):
    ...     tg.amp.is_autocast_enabled(), tg.amp.is_autocast_enabled("cpu")
    (False, True)
    """
    return _current("cuda" if device_type is None else device_type) is not None


def get_autocast_dtype(device_type: str) -> dt.DType:
    """Return the dtype that autocast uses for a type of device, or would.

    >>> import tabgrad as tg
    >>> tg.amp.get_autocast_dtype("cuda")
    tabgrad.float16
    """
    device_type = kind_of(device_type)
    _check("get_autocast_dtype", device_type)
    current = _current(device_type)
    return _preferred(device_type) if current is None else current.dtype


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switch autocast on or off for a type of device, for this thread or task and until the next call.

    Where a block will do, `autocast` is better: it ends by itself. Autocast is on for one type of device at
    a time.

    >>> import tabgrad as tg
    >>> tg.set_autocast_enabled("cpu", True)
    >>> tg.is_autocast_enabled("cpu")
    True
    >>> tg.set_autocast_enabled("cpu", False)
    """
    device_type = kind_of(device_type)
    _check("set_autocast_enabled", device_type)
    if enabled or _current(device_type) is not None:
        MODE.set(autocast(device_type, enabled=enabled).changed(MODE.get()))


def set_autocast_dtype(device_type: str, dtype: dt.DType) -> None:
    """Choose the dtype that autocast uses for a type of device where none is said, in this thread or task.

    >>> import tabgrad as tg
    >>> tg.set_autocast_dtype("cuda", tg.bfloat16)
    >>> tg.get_autocast_dtype("cuda")
    tabgrad.bfloat16
    >>> tg.set_autocast_dtype("cuda", tg.float16)
    """
    device_type = kind_of(device_type)
    _check("set_autocast_dtype", device_type, dtype)
    mode = MODE.get()
    chosen = dict(mode.autocast_dtypes or {})
    chosen.pop(device_type, None)
    if dtype is not DTYPES[device_type]:
        chosen[device_type] = dtype
    MODE.set(mode.replace(autocast_dtypes=chosen or None))
    if _current(device_type) is not None:
        set_autocast_enabled(device_type, True)


def is_autocast_available(device_type: str) -> bool:
    """Return whether autocast knows a type of device.

    >>> import tabgrad as tg
    >>> tg.amp.is_autocast_available("webgpu")
    True
    """
    return kind_of(device_type) in DTYPES


def custom_fwd(
    fwd: Any = None, *, device_type: str, cast_inputs: dt.DType | None = None
) -> Callable[..., Any]:
    """Run a Function's forward under the autocast it is applied in; with `cast_inputs` off, on cast inputs."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def call(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        current = _current(device_type)
        ctx._autocast = current if cast_inputs is None else None
        if current is None or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        cast = [
            a.to(cast_inputs) if isinstance(a, tg.Tensor) and a.dtype.is_floating_point else a
            for a in args
        ]
        with autocast(device_type, enabled=False):
            return fwd(ctx, *cast, **kwargs)

    return call


def custom_bwd(bwd: Any = None, *, device_type: str) -> Callable[..., Any]:
    """Run a Function's backward under the autocast of its forward, which `custom_fwd` noted."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def call(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        noted: Casting | None = getattr(ctx, "_autocast", None)
        with autocast(device_type, noted.dtype if noted else None, noted is not None):
            return bwd(ctx, *args, **kwargs)

    return call
