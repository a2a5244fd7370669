"""Every exception tabgrad raises that Python does not already have a name for."""


class TabgradError(Exception):
    """The base of tabgrad's own exceptions."""


class HostError(TabgradError, RuntimeError):
    """A host refused or failed to carry out a command."""


class KernelError(HostError):
    """A kernel did not compile; the message holds the compiler's text and the source."""


class OutOfMemoryError(HostError, MemoryError):
    """A device had no memory left for a buffer."""


class DeviceLostError(HostError):
    """The device is gone; tensors on it are lost, and a new device can be made."""


class LostValueError(HostError):
    """A tensor's value was to be computed by something that failed on the device."""


class FileFormatError(TabgradError, ValueError):
    """A file is broken, or of another format; the message names the file and the place."""


class DeadlineError(HostError, TimeoutError):
    """A blocking read or wait took longer than its deadline."""


class WouldBlockError(TabgradError, RuntimeError):
    """A value was asked for where the program cannot wait; the message names the awaitable."""


class DeviceError(TabgradError, RuntimeError):
    """Tensors of different devices met, or a device is not to be had here."""


class DTypeError(TabgradError, TypeError, NotImplementedError):
    """A dtype does not fit the op or the device; a RuntimeError too, for NotImplementedError is one."""


class ArgumentError(TabgradError, ValueError, RuntimeError):
    """An argument has a value that the function does not take."""


class NumberRangeError(TabgradError, OverflowError, ValueError, RuntimeError):
    """A number is beyond what a dtype holds."""


class ShapeError(TabgradError, ValueError, RuntimeError):
    """Shapes do not fit together."""


class OutOfRangeError(TabgradError, IndexError, RuntimeError):
    """An index names no element, or a target no class.

    PyTorch raises IndexError for some functions and RuntimeError for others: this is both.
    """


class PaddingError(OutOfRangeError, ValueError, AssertionError):
    """A `padding_idx` names no row: PyTorch asserts here, and raises elsewhere."""


class GradientError(TabgradError, RuntimeError):
    """A derivative was asked for that does not exist."""


class EscapedTensorError(TabgradError, RuntimeError):
    """A tensor made inside a transform was used after the transform had ended."""


class CaptureError(TabgradError, RuntimeError):
    """Something was done inside a compiled function that a replay could not repeat."""


class RegistryError(TabgradError, TypeError):
    """An op's declaration lacks something that its family needs."""


class TransformError(TabgradError, RuntimeError):
    """A function did something that the transform applied to it can't follow."""


class ExportError(TabgradError, RuntimeError):
    """A function can't be made into a static graph."""
