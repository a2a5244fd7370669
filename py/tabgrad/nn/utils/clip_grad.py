"""Gradient clipping. Gradients of one dtype and device are handled as one vector, in one kernel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import warn
from tabgrad.tensor.vectors import alike, joined, write_parts

Tensor = tg.Tensor


def _listed(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


def _dense(grads: list[Tensor]) -> list[Tensor]:
    return [g if g.layout is tg.strided else g.to_dense() for g in grads]


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Compute the norm of all elements of `tensors` together.

    `error_if_nonfinite` reads the norm back to raise RuntimeError for inf or nan. `foreach` has no effect.

    >>> import tabgrad as tg
    >>> tg.nn.utils.get_total_norm([tg.tensor([3.0], device="cpu"), tg.tensor([4.0], device="cpu")])
    tensor(5.)
    """
    given = _dense(_listed(tensors))
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
        grads = _grads(parameters)
        for g in grads:
            if g.layout is not tg.strided:
                g.mul_(factor.to(device=g.device, dtype=g.dtype))
        for group in alike([g for g in grads if g.layout is tg.strided]):
            vector = joined(group)
            write_parts(group, vector * factor.to(device=vector.device, dtype=vector.dtype))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0,
    error_if_nonfinite: bool = False, foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Scale the gradients so that their norm, taken together, is at most `max_norm`; return the old norm.

    >>> import tabgrad as tg
    >>> w = tg.tensor([0.0, 0.0], device="cpu", requires_grad=True)
    >>> (w * tg.tensor([3.0, 4.0], device="cpu")).sum().backward()
    >>> tg.nn.utils.clip_grad_norm_([w], 1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    given = _listed(parameters)
    total = get_total_norm(_grads(given), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(given, max_norm, total)
    return total


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0,
    error_if_nonfinite: bool = False, foreach: bool | None = None,
) -> Tensor:  # fmt: skip
    """Do what `clip_grad_norm_` does, with a FutureWarning: this is its old name."""
    warn(
        "`nn.utils.clip_grad_norm` is now deprecated in favor of `nn.utils.clip_grad_norm_`.",
        FutureWarning,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Clamp each element of the gradients to ±clip_value, in place."""
    bound = float(clip_value)
    with tg.no_grad():
        for group in alike(_grads(parameters)):
            write_parts(group, joined(group).clamp(-bound, bound))


def clip_each_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0
) -> list[Tensor]:
    """Scale each parameter's gradient so that its own norm is at most `max_norm`; return the old norms.

    >>> import tabgrad as tg
    >>> v, w = (tg.zeros(2, device="cpu", requires_grad=True) for _ in range(2))
    >>> (v * tg.tensor([3.0, 4.0], device="cpu") + w).sum().backward()
    >>> tg.nn.utils.clip_each_grad_norm_([v, w], 2.0)
    [tensor(5.), tensor(1.4142)]
    >>> v.grad
    tensor([1.2000, 1.6000])
    """
    norms = []
    with tg.no_grad():
        for g in _grads(parameters):
            total = tg.norm(g, float(norm_type))
            g.mul_((float(max_norm) / (total + 1e-6)).clamp(max=1.0))
            norms.append(total)
    return norms


def _unit_norms(x: Tensor) -> Tensor:
    """Compute the norm of each unit (a row of a weight, or a whole vector or number), to broadcast."""
    if x.ndim <= 1:
        return (x * x).sum().sqrt()
    return (x * x).sum(dim=tuple(range(1, x.ndim)), keepdim=True).sqrt()


def adaptive_clip_grad_(
    parameters: Tensor | Iterable[Tensor], clip_factor: float = 0.01, eps: float = 1e-3
) -> None:
    """Scale the gradient of each unit so that its norm is at most `clip_factor` times that of its weights.

    A unit is a row of a weight matrix (an output channel of a convolution), or a whole vector. Norms of weights
    count as at least `eps`. (Brock et al. 2021, "High-performance large-scale image recognition without
    normalization".)

    >>> import tabgrad as tg
    >>> w = tg.tensor([[3.0, 4.0]], device="cpu", requires_grad=True)
    >>> (w * 10).sum().backward()
    >>> tg.nn.utils.adaptive_clip_grad_([w], clip_factor=0.2)
    >>> w.grad
    tensor([[0.7071, 0.7071]])
    """
    with tg.no_grad():
        for p in _listed(parameters):
            if p.grad is not None:
                allowed = _unit_norms(p).clamp(min=float(eps)) * float(clip_factor)
                p.grad.mul_((allowed / _unit_norms(p.grad).clamp(min=1e-6)).clamp(max=1.0))
