"""Checks that a loaded graph can run: the shape and dtype of every value, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import FileFormatError, TabgradError
from tabgrad.core.scalars import limits
from tabgrad.core.spec import Spec, spec
from tabgrad.exporting.formulas import Formula, Sizes
from tabgrad.exporting.specs import Dim, sample_sizes
from tabgrad.hosts.devices import Device
from tabgrad.ops.admitting import admitted, possible

if TYPE_CHECKING:
    from tabgrad.exporting.program import Filled, Graph


@contextmanager
def placed(place: str, sizes: Sizes) -> Iterator[None]:
    """Convert errors inside the block to a FileFormatError that names the place and the sizes."""
    try:
        yield
    except (
        TabgradError,
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        RuntimeError,
    ) as fault:
        at = ", ".join(f"{k} = {v}" for k, v in sizes.items())
        reason = (
            str(fault) if isinstance(fault, TabgradError) else f"{type(fault).__name__}: {fault}"
        )
        raise FileFormatError(f"{place}: {reason}" + (f" (where {at})" if at else "")) from None


def sizes_to_try(graph: Graph) -> list[Sizes]:
    """Choose sizes within the bounds of a graph twice, with different values if possible."""
    wide = [Dim(name, min=low, max=high) for name, (low, high) in _wide(graph)]
    samples = sample_sizes(wide)
    fixed = {name: low for name, (low, _) in graph.bounds.items()}
    picked = samples[0], samples[2 ** min(len(wide), 4) - 1]
    return [with_derived(graph, {**fixed, **found}) for found in picked[: 1 + bool(wide)]]


def _wide(graph: Graph) -> list[tuple[str, tuple[int, int | None]]]:
    """Return the unknown sizes whose bounds allow more than one value."""
    return [(n, (a, b)) for n, (a, b) in graph.bounds.items() if b is None or (b > a and b >= 2)]


def with_derived(graph: Graph, sizes: Sizes) -> Sizes:
    """Add the derived sizes to the sizes."""
    found = dict(sizes)
    for name, formula in graph.derived.items():
        with placed(f"derived {name!r}", sizes):
            found[name] = int(formula(found))
    return found


def at(value: Any, sizes: Sizes, device: Device | None = None) -> Any:
    """Evaluate the formulas in a value, with dtypes that the device has."""
    if isinstance(value, tuple):
        return tuple([at(v, sizes, device) for v in value])
    if isinstance(value, dt.DType) and device is not None:
        return device.canonical(value)
    return value(sizes) if isinstance(value, Formula) else value


def verify(graph: Graph, state: dict[str, Spec], sizes: Sizes, device: Device) -> None:
    """Raise FileFormatError, with the number of the step, if a graph does not run at these sizes."""
    values: list[Spec] = []
    for i, (shape, dtype) in enumerate(graph.inputs):
        with placed(f"inputs {i}", sizes):
            named = tuple([sizes[n] if isinstance(n, str) else n for n in shape])
            values.append(_possible(spec(named, device.canonical(dtype))))
    for i, constant in enumerate(graph.constants):
        with placed(f"constants {i}", sizes):
            values.append(_constant(constant, sizes, device))
    values += [state[name] for name in graph.state]
    for k, step in enumerate(graph.steps):
        with placed(f"step {k} ({step.op.name})", sizes):
            params = {name: at(v, sizes, device) for name, v in step.params.items()}
            keys = [spec((), dt.uint32)] * 2  # a draw gets them from the generator
            specs: Sequence[Spec] = [values[r] for r in step.args] or keys
            values.append(admitted(step.op, specs, params))
    for i, (name, r) in enumerate(graph.writes):
        if values[r] is not state[name]:
            raise FileFormatError(
                f"writes {i}: {values[r]} can't be written to {name!r}, {state[name]}"
            )


def _possible(s: Spec) -> Spec:
    possible(s)
    return s


def _constant(constant: Filled, sizes: Sizes, device: Device) -> Spec:
    number, shape, dtype = at(constant.number, sizes), at(constant.shape, sizes), constant.dtype
    if not all(type(n) is int for n in shape):
        raise TypeError(f"the sizes {shape} must be integers")
    if dtype.category == dt.INT:
        low, high = limits(dtype)
        if not low <= number <= high:
            raise ValueError(f"{number} is no {dtype!r}")
    elif dtype.is_differentiable:
        complex(number)  # raises for an integer that is too large
    return _possible(spec(tuple(shape), device.canonical(dtype)))


__all__ = ["at", "placed", "sizes_to_try", "verify", "with_derived"]
