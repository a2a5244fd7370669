"""Formats tensors as text, in PyTorch's layout, without NumPy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import TransformError
from tabgrad.core.naming import is_own
from tabgrad.core.settings import setting
from tabgrad.core.trace import MODE, using
from tabgrad.hosts.devices import get_default_device
from tabgrad.ops.indexing import cat
from tabgrad.ops.view import part
from tabgrad.tensor import literals, reading
from tabgrad.tensor.aliasing import refreshed
from tabgrad.transforms.node import grad_fn

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


@dataclass(frozen=True)
class Options:
    """How numbers are printed; `sci_mode` None decides by the numbers."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


_PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=math.inf),
}


@setting
class _Current:
    options = Options()


def set_printoptions(
    precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
    linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None,
) -> None:  # fmt: skip
    """Set how tensors are printed; what is not given stays, but for `sci_mode`.

    `precision` is the digits after the point, `threshold` the number of elements above which only the first
    and last `edgeitems` of each dim are shown, `linewidth` the width of a line. `profile` is "default",
    "short" or "full".

    >>> import tabgrad as tg
    >>> tg.set_printoptions(precision=2)
    >>> tg.tensor([1.2345], device="cpu")
    tensor([1.23])
    >>> tg.set_printoptions(profile="default")
    """
    options = _Current.options
    if profile is not None:
        options = _PROFILES[profile]
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    options = replace(options, **{k: n for k, n in given.items() if n is not None})  # type: ignore[arg-type]
    _Current.options = replace(options, sci_mode=sci_mode)


def get_printoptions() -> dict[str, Any]:
    """Return the settings as a dictionary."""
    return vars(_Current.options).copy()


@contextmanager
def printoptions(**settings: Any) -> Iterator[None]:
    """Set how tensors are printed inside the block."""
    before = _Current.options
    try:
        set_printoptions(**settings)
        yield
    finally:
        _Current.options = before


class Format:
    """Formats the numbers of one tensor, all in one width and in one of three styles."""

    def __init__(self, numbers: list[Any], floating: bool) -> None:
        options = _Current.options
        self.floating = floating
        self.precision = options.precision
        self.whole = True
        self.scientific = False
        self.width = 1
        shown = numbers
        if floating:
            shown = [x for x in numbers if x and math.isfinite(x)]
            self._choose(shown, options)
        self.width = max([1, *(len(self.bare(x)) for x in shown)])

    def _choose(self, shown: list[float], options: Options) -> None:
        if not shown:
            return
        high, low = max(map(abs, shown)), min(map(abs, shown))
        self.whole = all(x == math.ceil(x) for x in shown)
        self.scientific = high / low > 1000.0 or high > 1e8 or (not self.whole and low < 1e-4)
        if options.sci_mode is not None:
            self.scientific = options.sci_mode

    def bare(self, x: float) -> str:
        """Format `x` without padding."""
        if not self.floating:
            return str(x)
        if self.scientific:
            return f"{x:.{self.precision}e}"
        if self.whole:
            return f"{x:.0f}." if math.isfinite(x) else f"{x:.0f}"
        return f"{x:.{self.precision}f}"

    def __call__(self, x: float) -> str:
        return self.bare(x).rjust(self.width)


class Pairs:
    """Formats complex numbers; each part has a format of its own."""

    def __init__(self, numbers: list[complex]) -> None:
        self.real = Format([x.real for x in numbers], True)
        self.imaginary = Format([x.imag for x in numbers], True)
        self.width = self.real.width + self.imaginary.width + 1

    def __call__(self, x: complex) -> str:
        first, second = self.real(x.real), self.imaginary(x.imag).lstrip()
        sign = "" if second[0] in "+-" else "+"
        return f"{first}{sign}{second}j"


def _edges(x: Tensor, edge: int) -> Tensor:
    """Keep only the first and last `edge` indices of each long dim."""
    for axis, n in enumerate(x.spec.shape):
        if n > 2 * edge:
            ends = (part(x, axis, 0, edge), part(x, axis, n - edge, n))
            x = cat.bind(*ends, axis=axis) if edge else part(x, axis, 0, 0)
    return x


def _body(x: Tensor, indent: int) -> str:
    options = _Current.options
    shape = x.spec.shape
    short = x.spec.size > options.threshold
    with using(MODE.get().replace(grad=False)):
        shown = _edges(x, options.edgeitems) if short else x
        numbers = literals.decode(reading.data(shown, "print"), x.spec.dtype)
    form: Format | Pairs = (
        Pairs(numbers)
        if x.spec.dtype.is_complex
        else Format(numbers, x.spec.dtype.category == dt.FLOAT)
    )
    if not shape:
        return str(form(numbers[0]))
    return _nested(literals.nest(numbers, shown.spec.shape), shape, form, indent, short)


def _nested(
    rows: list[Any], shape: tuple[int, ...], form: Format | Pairs, indent: int, short: bool
) -> str:
    options = _Current.options
    edge = options.edgeitems
    cut = short and shape[0] > 2 * edge
    if len(shape) == 1:
        words = [form(x) for x in rows]
        if cut:
            words = [*words[:edge], " ...", *words[len(words) - edge :]]
        per_line = max(1, (options.linewidth - indent) // (form.width + 2))
        lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    parts = [_nested(row, shape[1:], form, indent + 1, short) for row in rows]
    if cut:
        parts = [*parts[:edge], "...", *parts[len(parts) - edge :]]
    return "[" + ("," + "\n" * (len(shape) - 1) + " " * (indent + 1)).join(parts) + "]"


def _suffixes(x: Tensor) -> list[str]:
    out = []
    meta = x.device.type == "meta"
    if meta or (x.device.type != "cpu" and x.device is not get_default_device()):
        out.append(f"device='{x.device}'")
    if meta or (not x.spec.size and len(x.spec.shape) != 1):
        out.append(f"size={tuple(x.spec.shape)}")
    default = dt.get_default_dtype()
    usual = [dt.bool_, x.device.index_dtype, default, dt.complex_of(default)]
    if meta or not x.spec.size:
        usual = [default]
    if x.spec.dtype not in usual:
        out.append(f"dtype={x.spec.dtype!r}")
    node = grad_fn(x)
    if node is not None:
        out.append(f"grad_fn=<{node.name()}>")
    elif x.tracked:
        out.append("requires_grad=True")
    return out


def text(x: Tensor) -> str:
    """Format a tensor as `print` shows it; this waits for its values.
    Inside vmap a tensor has no single value, so only its shape is shown.
    """
    kind = type(x)
    name = "tensor(" if is_own(kind) else f"{kind.__name__}("
    try:
        x = refreshed(x)
        if x.device.type == "meta":
            return f"{name}{', '.join(['...', *_suffixes(x)])})"
        body = "[]" if not x.spec.size else _body(reading.concrete(x, "print"), len(name))
    except TransformError:
        body = f"..., size={tuple(x.spec.shape)}"
    width = _Current.options.linewidth
    out = name + body
    last = len(out) - out.rfind("\n") + 1
    for suffix in _suffixes(x):
        if last + len(suffix) + 2 > width:
            out += ",\n" + " " * len(name) + suffix
            last = len(name) + len(suffix)
        else:
            out += ", " + suffix
            last += len(suffix) + 2
    return out + ")"
