"""`out=`: results that are written to tensors that exist already."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from tabgrad.core import tree
from tabgrad.core.errors import DeviceError, DTypeError, GradientError, ShapeError
from tabgrad.core.promotion import cast
from tabgrad.core.refusal import refusal
from tabgrad.core.trace import MODE, Box, using
from tabgrad.functions.aliasing import own, refreshed, replace, write

F = TypeVar("F", bound=Callable[..., Any])


def with_out(fn: F, creates: bool = False, module: str = "tabgrad.functions.outs") -> F:
    """Return `fn` with one more keyword argument: `out`, a tensor or a tuple of them, takes the result.

    Where the function `creates` tensors, the dtype and device of `out` are those asked for.
    """

    name = getattr(fn, "__name__", "") or fn.name  # type: ignore[attr-defined]

    @functools.wraps(fn)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None:
            try:
                return fn(*args, **kwargs)
            except AttributeError as error:
                raise refusal(fn, error, args, kwargs) from None
        targets = [out] if isinstance(out, Box) else out
        if not isinstance(targets, tuple | list) or not all(isinstance(t, Box) for t in targets):
            raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
        if creates:
            kwargs = {"dtype": targets[0].spec.dtype, "device": targets[0].device, **kwargs}
        _check_gradients(name, (*args, *kwargs.values(), *targets))
        with using(MODE.get().replace(grad=False)):
            found = fn(*args, **kwargs)
            results = [found] if isinstance(found, Box) else list(found)
            if len(results) != len(targets):
                raise TypeError(
                    f"{name}(): argument 'out' must be a tuple of {len(results)} tensors for as many "
                    f"results, got {len(targets)}"
                )
            for y, t in zip(results, targets, strict=True):
                _check(name, y, t)
            for y, t in zip(results, targets, strict=True):
                _put(y, t)
        return out if isinstance(found, Box) else _like(found, targets)

    call.__name__ = call.__qualname__ = name
    # a copy pickles as what it is, not as the function inside
    call.__module__ = module
    return call  # type: ignore[return-value]


def _like(found: Any, targets: Any) -> Any:
    return type(found)(*targets) if hasattr(found, "_fields") else tuple(targets)


def _check_gradients(name: str, given: tuple[Any, ...]) -> None:
    if MODE.get().grad and any(isinstance(x, Box) and x.tracked for x in tree.leaves(given)):
        raise GradientError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad."
        )


def _check(name: str, y: Any, t: Any) -> None:
    """Raise where `t` can't take the result `y`."""
    if y.device is not t.device:
        raise DeviceError(
            f"Expected out tensor to have device {y.device}, but got {t.device} instead ({name})"
        )
    if y.spec.dtype.category > t.spec.dtype.category:
        raise DTypeError(
            f"result type {y.spec.dtype!r} can't be cast to the desired output type {t.spec.dtype!r} ({name})"
        )
    if y.spec.shape == t.spec.shape:
        return
    if hasattr(t.alias, "steps") or y.owner is not None or t.owner is not None:
        raise ShapeError(
            f"{name}: an out tensor that is a view, or of a transform, keeps its shape {t.spec.shape}; the "
            f"result has {y.spec.shape}"
        )
    if t.spec.size:
        warnings.warn(
            f"An output with one or more elements was resized since it had shape {list(t.spec.shape)}, which "
            f"does not match the required output shape {list(y.spec.shape)}. Give {name} an out tensor of that "
            "shape, or an empty one",
            UserWarning,
            stacklevel=3,
        )


def _put(y: Any, t: Any) -> None:
    y = own(cast(refreshed(y), t.spec.dtype))
    if y.spec.shape == t.spec.shape:
        write(t, y, "out")
        return
    capture = MODE.get().capture
    if capture is not None:
        capture.note((t,))
    # siblings keep the old values in the old shape
    t.alias = None
    replace(t, y.value, y.spec)


__all__ = ["with_out"]
