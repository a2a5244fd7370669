"""Finding where a NaN or an infinity came from; PyTorch's anomaly detection."""

from __future__ import annotations

from typing import Any

from tabgrad.autograd.grad_mode import ModeChange
from tabgrad.core.errors import GradientError, user_frame
from tabgrad.core.op import REGISTRY
from tabgrad.core.trace import MODE, Box, Mode, descend, using
from tabgrad.transforms.node import Node


class AnomalyError(GradientError):
    """A NaN, or an infinity where those are watched for, was computed."""


def user_line() -> str:
    """Find the place in the user's code that the library was called from, as `file:line in function`."""
    frame = user_frame(2)
    if frame is None:
        return "an unknown place"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


class Anomaly:
    """Anomaly detection for the tape: it finds NaN (or infinities) and names the op."""

    def __init__(self, check_nan: bool, check_inf: bool) -> None:
        self.check_nan = check_nan
        self.check_inf = check_inf

    def line(self) -> str:
        """Find where an op is being recorded."""
        return user_line()

    def found(self, x: Any) -> str | None:
        """Look in `x` for the kinds of numbers that are watched for; give "NaN", "infinity" or None."""
        while isinstance(x, Box) and x.owner is not None:
            x = x.value[0] if isinstance(x.value, tuple) else x.value
        if not isinstance(x, Box) or not x.spec.dtype.is_floating_point or not x.spec.size:
            return None
        mode = descend(MODE.get(), 0)
        with using(mode.replace(grad=False, levels=(), around=None)):
            if self.check_nan and _any(REGISTRY["ne"].bind(x, x)):
                return "NaN"
            if self.check_inf:
                gap = REGISTRY["sub"].bind(x, x)
                if _any(REGISTRY["ne"].bind(gap, gap)):
                    return "infinity"
        return None

    def blame(self, node: Node, error: Exception) -> None:
        """Add to an error of a rule the op that it belongs to."""
        error.add_note(f"during the backward of {node.name()}, recorded at {_recorded(node)}")

    def check(self, node: Node, grads: Any) -> None:
        """Raise AnomalyError if a cotangent that a rule returned is not a number."""
        for i, g in enumerate(grads):
            kind = self.found(g) if isinstance(g, Box) else None
            if kind is not None:
                values = "nan" if kind == "NaN" else "infinite"
                raise AnomalyError(
                    f"Function '{node.name()}' returned {values} values in its {i}th output. "
                    f"It was recorded at {_recorded(node)}"
                )


def _recorded(node: Node) -> str:
    return (node.notes or {}).get("line", "a place before anomaly detection was switched on")


def _any(mask: Any) -> bool:
    axes = tuple(range(len(mask.spec.shape)))
    return bool(REGISTRY["reduce_any"].bind(mask, axes=axes).item())


class Watched:
    """Runs each op of the base and looks at its result."""

    def __init__(self, anomaly: Anomaly, outer: Any) -> None:
        self.anomaly = anomaly
        self.outer = outer

    def __call__(self, run: Any, op: Any, args: Any, params: Any, mode: Mode) -> Any:
        """Run `op`; raise AnomalyError if its result is not a number and its inputs were."""
        y = (
            run(op, args, params, mode)
            if self.outer is None
            else self.outer(run, op, args, params, mode)
        )
        kind = self.anomaly.found(y)
        if kind is not None and not any(self.anomaly.found(a) for a in args):
            raise AnomalyError(f"{op.name}: computed {kind} at {user_line()}")
        return y


class detect_anomaly(ModeChange):
    """Raise where a gradient becomes NaN, naming the op and the line of the forward that recorded it.

    `check_inf` watches for infinities too; `check_forward` watches the results of the forward as well, and
    names the first op that makes one out of numbers. Each check reads values back, so everything is slow.

    >>> import tabgrad as tg
    >>> x = tg.tensor([0.0], requires_grad=True)
    >>> with tg.autograd.detect_anomaly():
    ...     tg.sqrt(x * 0).sum().backward()
    Traceback (most recent call last):
    ...
    tabgrad.autograd.anomaly_mode.AnomalyError: ...
    """

    def __init__(
        self, check_nan: bool = True, *, check_inf: bool = False, check_forward: bool = False
    ) -> None:
        super().__init__()
        self.options = (check_nan, check_inf, check_forward)

    def changed(self, mode: Mode) -> Mode:
        """The mode with anomaly detection on."""
        nan, inf, forward = self.options
        anomaly = Anomaly(nan, inf)
        around = Watched(anomaly, mode.around) if forward else mode.around
        return mode.replace(anomaly=anomaly, around=around)

    def restored(self, mode: Mode, before: Mode) -> Mode:
        """The mode with the anomaly detection of before."""
        return mode.replace(anomaly=before.anomaly, around=before.around)

    def again(self) -> ModeChange:
        """Make another context manager like this one."""
        nan, inf, forward = self.options
        return type(self)(nan, check_inf=inf, check_forward=forward)


class set_detect_anomaly(detect_anomaly):
    """Switch anomaly detection on or off: at once, and until the end of the block if used with one."""

    def __init__(
        self,
        mode: bool,
        check_nan: bool = True,
        *,
        check_inf: bool = False,
        check_forward: bool = False,
    ) -> None:
        super().__init__(check_nan, check_inf=check_inf, check_forward=check_forward)
        self.mode = bool(mode)
        self.before = MODE.get()
        MODE.set(self.changed(self.before))

    def changed(self, mode: Mode) -> Mode:
        """The mode with detection on or off, as `mode` says."""
        return super().changed(mode) if self.mode else mode.replace(anomaly=None, around=None)

    def again(self) -> ModeChange:
        """Make another context manager like this one."""
        nan, inf, forward = self.options
        return set_detect_anomaly(self.mode, nan, check_inf=inf, check_forward=forward)

    def __enter__(self) -> None:
        self._entered.append((self.before, MODE.get()))


def is_anomaly_enabled() -> bool:
    """Tell whether anomaly detection is on, in this thread or task."""
    return MODE.get().anomaly is not None


def is_anomaly_check_nan_enabled() -> bool:
    """Tell whether anomaly detection watches for NaN."""
    anomaly = MODE.get().anomaly
    return anomaly is not None and anomaly.check_nan


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Switch anomaly detection on or off, as `set_detect_anomaly` does.

    >>> import tabgrad as tg
    >>> tg.set_anomaly_enabled(False)
    >>> tg.is_anomaly_enabled()
    False
    """
    if not isinstance(mode, bool):
        raise TypeError(f"set_anomaly_enabled: enabled must be a bool (got {type(mode).__name__})")
    set_detect_anomaly(mode, check_nan)
