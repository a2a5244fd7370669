"""The exceptions that tabgrad raises where Python has no fitting one, and the user's frame for their texts."""

from __future__ import annotations

import sys
import warnings
from types import FrameType


class TabgradError(Exception):
    """The base of tabgrad's own exceptions."""


class HostError(TabgradError, RuntimeError):
    """A host refused or failed to carry out a command."""


class KernelError(HostError):
    """A kernel did not compile; the message holds the compiler's text and the source."""


class OutOfMemoryError(HostError, MemoryError):
    """A device had no memory left for a buffer."""


class DeviceLostError(HostError):
    """The device is gone and its tensors are lost; a new device can be made."""


class LostValueError(HostError):
    """A tensor has no value because the work that should have computed it failed on the device."""


class FileFormatError(TabgradError, ValueError, RuntimeError):
    """A file is broken or has another format; the message names the file and the place."""


class DeadlineError(HostError, TimeoutError):
    """A blocking read or wait took longer than its deadline."""


class WouldBlockError(TabgradError, RuntimeError):
    """A value was asked for where the program cannot wait; the message names the awaitable."""


class DeviceError(TabgradError, RuntimeError):
    """Tensors are on different devices, or a device is not available here."""


class DTypeError(TabgradError, TypeError, NotImplementedError):
    """A dtype does not fit the op or the device. Also a RuntimeError, as NotImplementedError is one."""


class ArgumentError(TabgradError, ValueError, RuntimeError):
    """An argument has a value that the function does not take."""


class NumberRangeError(TabgradError, OverflowError, ValueError, RuntimeError):
    """A number is outside the range of a dtype."""


class ShapeError(TabgradError, ValueError, RuntimeError):
    """Shapes do not fit together."""


class LinAlgError(TabgradError, RuntimeError):
    """A matrix has no inverse, no factors of this kind, or no eigenvalues; `linalg.LinAlgError`."""


class OutOfRangeError(TabgradError, IndexError, RuntimeError):
    """An index names no element, or a target names no class.

    PyTorch raises IndexError in some functions and RuntimeError in others; this exception is both.
    """


class PaddingError(OutOfRangeError, ValueError, AssertionError):
    """A `padding_idx` names no row: PyTorch asserts here, and raises elsewhere."""


class GradientError(TabgradError, RuntimeError):
    """A derivative was requested that does not exist."""


class SparseError(TabgradError, NotImplementedError):
    """A function has no form for sparse tensors. Also a RuntimeError, as NotImplementedError is one."""


class EscapedTensorError(TabgradError, RuntimeError):
    """A tensor made inside a transform was used after the transform had ended."""


class CaptureError(TabgradError, RuntimeError):
    """A compiled function did something that a replay could not repeat."""


class RegistryError(TabgradError, TypeError):
    """An op's declaration lacks something that its family needs."""


class TransformError(TabgradError, RuntimeError):
    """A function did something that the transform applied to it does not support."""


class ExportError(TabgradError, RuntimeError):
    """A function can't be exported as a static graph."""


OWN = ("tabgrad.", "tabgrad_native.")
"""How the names of its modules begin."""


def user_frame(above: int) -> FrameType | None:
    """Return the innermost frame outside tabgrad, the `above`th caller or one further out."""
    frame: FrameType | None = sys._getframe(above)
    while frame is not None and (frame.f_globals.get("__name__") or "").startswith(OWN):
        frame = frame.f_back
    return frame


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, naming the user's line that led here."""
    user, level = user_frame(1), 1
    frame: FrameType | None = sys._getframe()
    while frame is not user and frame is not None:
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
