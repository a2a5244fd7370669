"""Spectra of short windows of a signal, one beside the other, and the signal that has such spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import ArgumentError, DTypeError, ShapeError, warn
from tabgrad.core.promotion import the_device
from tabgrad.core.spec import spec
from tabgrad.core.trace import constant
from tabgrad.fft import arguments as a, lines
from tabgrad.nn.functional.padding import pad, pad_constant
from tabgrad.ops import elementwise as e, view as v
from tabgrad.ops.checked import confined
from tabgrad.ops.reduction import reduce_sum
from tabgrad.tensor.complex_numbers import view_as_real
from tabgrad.tensor.elementary import abs
from tabgrad.tensor.public import publish
from tabgrad.tensor.shaping import unfold

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor

FEW = 16
"""The most frames over one element that are added one by one."""
LEAST = 1e-11
"""Windows must add up to this much at each element, or the signal there is not known."""


def stft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, pad_mode: str = "reflect", normalized: bool = False,
    onesided: bool | None = None, return_complex: bool | None = None, align_to_window: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return the spectra of frames of signals [time] or [batch, time], as [batch, frequency, frame].

    A frame has `n_fft` elements, `hop_length` (n_fft // 4) after those of the frame before, times the `window`
    of `win_length` in its middle. With `center` frame t is centred at element t * hop_length of the signal,
    which is padded by `pad_mode`. With `normalized` spectra are divided by √n_fft. `onesided`, the default for
    real signals and windows, leaves out the conjugates. `return_complex` must be given for real ones; if False
    the result has pairs of real numbers in a new last dim. `align_to_window` begins with the window's first
    element instead of the frame's.

    >>> import tabgrad as tg
    >>> x = tg.ones(2, 100, device="cpu")
    >>> tg.stft(x, 16, window=tg.hann_window(16, device="cpu"), return_complex=True).shape
    tabgrad.Size([2, 9, 26])
    """
    if center and align_to_window is not None:
        raise ArgumentError("stft align_to_window should only be set when center = false")
    complex_ = input.spec.dtype.is_complex or (window is not None and window.spec.dtype.is_complex)
    paired = _paired(complex_, return_complex)
    hop = n_fft // 4 if hop_length is None else hop_length
    length = n_fft if win_length is None else win_length
    x = _signal(input, n_fft, center, pad_mode)
    _check_frames(x, n_fft, hop, length, window)
    if onesided and complex_:
        raise ArgumentError("stft: Cannot have onesided output if window or input is complex")
    if align_to_window:
        x = pad_constant(x, ((0, 0), _around(n_fft, length)))
    frames = unfold(x, 1, n_fft, hop)
    weights = _centred(window, input, n_fft, length)
    frames = frames if weights is None else frames * weights
    norm = "ortho" if normalized else None
    if complex_ or onesided is False:
        found = lines.whole("stft", a.complex_("stft", frames), n_fft, 2, norm, False)
    else:
        found = lines.half("stft", a.real("stft", frames), n_fft, 2, norm, False)
    found = v.permute.bind(found, dims=(0, 2, 1))
    if len(input.spec.shape) == 1:
        found = v.reshape.bind(found, shape=found.spec.shape[1:])
    return view_as_real(found) if paired else found


def _paired(complex_: bool, return_complex: bool | None) -> bool:
    """Return whether the result is of pairs; raise where that was not said."""
    if return_complex is None and not complex_:
        raise ArgumentError(
            "stft requires the return_complex parameter be given for real inputs, and will further "
            "require that return_complex=True in a future PyTorch release."
        )
    if return_complex is False:
        warn(
            "stft with return_complex=False is deprecated. In a future pytorch release, stft will return "
            "complex tensors for all inputs, and return_complex=False will raise an error. Call "
            "view_as_real on the complex output instead",
        )
    return return_complex is False


def _signal(input: Tensor, n_fft: int, center: bool, pad_mode: str) -> Tensor:
    """Return the signals as [batch, time], padded if frames are centred."""
    shape = input.spec.shape
    if input.spec.dtype.category < dt.FLOAT:
        raise DTypeError(
            f"stft: expected a tensor of floating point or complex values, got {input.spec.dtype!r}"
        )
    if len(shape) not in (1, 2):
        raise ShapeError(f"stft: expected a 1D or 2D tensor, got shape {shape}")
    x = v.reshape.bind(input, shape=(1, *shape)) if len(shape) == 1 else input
    return pad(x, (n_fft // 2, n_fft // 2), pad_mode) if center and n_fft > 1 else x


def _check_frames(x: Tensor, n_fft: int, hop: int, length: int, window: Tensor | None) -> None:
    size = x.spec.shape[1]
    if not 0 < n_fft <= size:
        raise ShapeError(f"stft: expected 0 < n_fft < {size}, but got n_fft={n_fft}")
    if hop <= 0:
        raise ShapeError(f"stft: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < length <= n_fft:
        raise ShapeError(f"stft: expected 0 < win_length <= n_fft, but got win_length={length}")
    if window is None:
        _warn_of_no_window("which is known to cause spectral leakage")
        return
    the_device("stft", [x, window])
    if window.spec.shape != (length,):
        raise ShapeError(
            f"stft: expected a 1D window tensor of size equal to win_length={length}, but got window with "
            f"size {list(window.spec.shape)}"
        )


def _warn_of_no_window(why: str) -> None:
    warn(
        f"A window was not provided. A rectangular window will be applied, {why}. To suppress this warning "
        "and use a rectangular window, explicitly set `window=tabgrad.ones(n_fft)`",
    )


def _around(n_fft: int, length: int) -> tuple[int, int]:
    left = (n_fft - length) // 2
    return left, n_fft - length - left


def _centred(window: Tensor | None, like: Tensor, n_fft: int, length: int) -> Tensor | None:
    """Return the window in the middle of a frame; None if it is 1 everywhere."""
    if window is None:
        if length == n_fft:
            return None
        window = constant(1, spec((length,), like.spec.dtype), like.device)
    return pad_constant(window, (_around(n_fft, length),))


# -- back ------------------------------------------------------------------------------------------


def istft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None,
    window: Tensor | None = None, center: bool = True, normalized: bool = False, onesided: bool | None = None,
    length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """Return the signals whose spectra by `stft` are nearest to `input`, [batch, frequency, frame].

    The other arguments are those of `stft`; `length` is that of the signals, which without it end with the last
    frame. Raises ArgumentError, on a GPU at the next read, where windows add up to nothing.

    >>> import tabgrad as tg
    >>> x, w = tg.arange(100.0, device="cpu"), tg.hann_window(16, device="cpu")
    >>> tg.istft(tg.stft(x, 16, window=w, return_complex=True), 16, window=w)[1:4]
    tensor([1.0000, 2.0000, 3.0000])
    """
    hop = n_fft // 4 if hop_length is None else hop_length
    size = n_fft if win_length is None else win_length
    onesided = _check_spectra(input, n_fft, hop, size, window, onesided)
    if length is not None and length <= 0:
        raise ArgumentError(f"istft: length must be positive, got {length}")
    batched = len(input.spec.shape) == 3
    x = input if batched else v.reshape.bind(input, shape=(1, *input.spec.shape))
    frames = _frames(
        v.permute.bind(x, dims=(0, 2, 1)), n_fft, window, normalized, onesided, return_complex
    )
    weights: Any = _centred(window, frames, n_fft, size)
    count = frames.spec.shape[1]
    if weights is None:
        weights = constant(1, spec((n_fft,), frames.spec.dtype), frames.device)
    found = _added(frames * weights, hop)
    level = v.expand.bind(
        v.reshape.bind(weights * weights, shape=(1, 1, n_fft)), shape=(1, count, n_fft)
    )
    whole = n_fft + hop * (count - 1)
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else whole - start
    found = v.part(found, 1, start, min(end, whole)) / _filled(
        v.part(_added(level, hop), 1, start, min(end, whole))
    )
    if end > whole:
        warn(
            "The length of signal is shorter than the length parameter. Result is being padded with zeros in "
            "the tail. Please check your center and hop_length settings.",
        )
        found = pad_constant(found, ((0, 0), (0, end - whole)))
    return found if batched else v.reshape.bind(found, shape=found.spec.shape[1:])


def _check_spectra(
    x: Tensor, n_fft: int, hop: int, length: int, window: Tensor | None, onesided: bool | None
) -> bool:
    """Raise for what has no signal; return whether the spectra are one-sided."""
    shape = x.spec.shape
    if not x.spec.dtype.is_complex:
        raise DTypeError(
            "istft requires a complex-valued input tensor matching the output from stft with "
            f"return_complex=True, got {x.spec.dtype!r}"
        )
    if not x.spec.size:
        raise ShapeError("istft: input tensor cannot be empty.")
    if len(shape) not in (2, 3):
        raise ShapeError(f"istft: expected a tensor with 2 or 3 dimensions, but got {len(shape)}")
    given = shape[-2]
    one = given != n_fft if onesided is None else onesided
    if given != (n_fft // 2 + 1 if one else n_fft):
        raise ShapeError(
            "istft: expected the frequency dimension (2nd to the last) of the input tensor to match "
            f"n_fft{' / 2 + 1' if one else ''} when onesided={one}, but got {given}"
        )
    if not 0 < hop <= length:
        raise ShapeError(f"istft: expected 0 < hop_length <= win_length, got {hop} and {length}")
    if not 0 < length <= n_fft:
        raise ShapeError(f"istft: expected 0 < win_length <= n_fft, got {length} and {n_fft}")
    if window is None:
        _warn_of_no_window(
            "please provide the same window used by stft to make the inversion lossless"
        )
        return one
    the_device("istft", [x, window])
    if window.spec.shape != (length,):
        raise ShapeError(
            "istft: Invalid window shape. window has to be 1D and length of `win_length`, got "
            f"{window.spec.shape} and {length}"
        )
    return one


def _frames(
    x: Tensor, n_fft: int, window: Tensor | None, normalized: bool, onesided: bool, return_complex: bool
) -> Tensor:  # fmt: skip
    """Return the frames of spectra [batch, frame, frequency], which are real unless `return_complex`."""
    norm = "ortho" if normalized else None
    if return_complex:
        if onesided:
            raise ArgumentError("istft: Cannot have onesided output if window or input is complex")
        return lines.whole("istft", x, n_fft, 2, norm, True)
    if window is not None and window.spec.dtype.is_complex:
        raise ArgumentError("istft: Complex windows are incompatible with return_complex=False")
    return lines.hermitian("istft", x, n_fft, 2, norm, True)


def _added(frames: Tensor, hop: int) -> Tensor:
    """Return the sum of frames [batch, frame, element], each `hop` after the one before."""
    batch, count, size = frames.spec.shape
    whole, most = size + hop * (count - 1), -(-size // hop)
    if most > FEW:
        spread = v.unwindow.bind(frames, spatial=(whole,), strides=(hop,), dilations=(1,))
        return reduce_sum.bind(spread, axes=(2,))
    # each frame is cut into parts of `hop`; part k of it is part number frame + k of the result
    padded = pad_constant(frames, ((0, 0), (0, 0), (0, most * hop - size)))
    parts = v.reshape.bind(padded, shape=(batch, count, most, hop))
    total: Any = None
    for k in range(most):
        one = v.reshape.bind(v.part(parts, 2, k, k + 1), shape=(batch, count, hop))
        moved = pad_constant(one, ((0, 0), (k, most - 1 - k), (0, 0)))
        total = moved if total is None else total + moved
    flat = v.reshape.bind(total, shape=(batch, (count + most - 1) * hop))
    return v.part(flat, 1, 0, whole)


def _filled(level: Tensor) -> Tensor:
    """Return what the windows add up to; ArgumentError is raised where that is nothing."""
    size = abs(level)
    message = (
        "istft: window overlap add min: 1: windows that follow each other must overlap everywhere"
    )
    size = confined(e.where(size < LEAST, 0, size), rule="positive", message=message)
    return e.where(size > 0, level, 1)


class ShortTimeMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    istft = istft
    stft = stft


__all__ = ["istft", "stft"]

publish(globals())
