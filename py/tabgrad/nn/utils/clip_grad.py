"""Gradient clipping. Gradients of one dtype and device are handled as one vector, in one kernel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tabgrad as tg
from tabgrad.functions.vectors import alike, joined, write_parts

Tensor = tg.Tensor


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in given if p.grad is not None]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Return the norm of all elements of `tensors` together.

    `error_if_nonfinite` reads the norm back to raise RuntimeError for inf or nan. `foreach` has no effect.

    >>> import tabgrad as tg
    >>> tg.nn.utils.get_total_norm([tg.tensor([3.0], device="cpu"), tg.tensor([4.0], device="cpu")])
    tensor(5.)
    """
    given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not given:
        return tg.tensor(0.0)
    p = float(norm_type)
    with tg.no_grad():
        norms = [tg.norm(joined(group), p) for group in alike(given)]
        total = norms[0]
        if len(norms) > 1:
            where: dict[str, Any] = {"device": total.device, "dtype": tg.float32}
            total = tg.norm(tg.stack([n.to(**where) for n in norms]), p)
    if error_if_nonfinite and not bool(tg.isfinite(total)):
        raise RuntimeError(
            f"the total norm of order {p} is {total.item()}, so it cannot be clipped; "
            "leave out error_if_nonfinite to scale by it anyway"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor,
    foreach: bool | None = None,
) -> None:  # fmt: skip
    """Scale gradients in place by max_norm / (total_norm + 1e-6), where that is below one."""
    with tg.no_grad():
        factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for group in alike(_grads(parameters)):
            vector = joined(group)
            write_parts(group, vector * factor.to(device=vector.device, dtype=vector.dtype))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0,
    error_if_nonfinite: bool = False, foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale the gradients so that their norm, taken together, is at most `max_norm`; return what it was.

    >>> import tabgrad as tg
    >>> w = tg.tensor([0.0, 0.0], device="cpu", requires_grad=True)
    >>> (w * tg.tensor([3.0, 4.0], device="cpu")).sum().backward()
    >>> tg.nn.utils.clip_grad_norm_([w], 1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_grads(given), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(given, max_norm, total)
    return total


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamp each element of the gradients to ±clip_value, in place."""
    bound = float(clip_value)
    with tg.no_grad():
        for group in alike(_grads(parameters)):
            write_parts(group, joined(group).clamp(-bound, bound))
