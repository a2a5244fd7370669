"""Scaling the loss so that gradients in half precision do not vanish, and recovering where they overflow."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.capture import capturing, gradients_of
from tabgrad.core.errors import GradientError, warn
from tabgrad.core.trace import MODE, using
from tabgrad.hosts.devices import names_nothing
from tabgrad.tensor.vectors import joined, write_parts

Tensor = tg.Tensor


class GradScaler:
    """Scales the loss up, the gradients down again, and leaves out steps whose gradients overflowed.

    The scale halves (times `backoff_factor`) after an overflow and doubles (times `growth_factor`) after
    `growth_interval` steps without one. In a compiled step everything stays on the device: a step that
    overflowed leaves parameters and moments as they were, though its count goes on.

    >>> import tabgrad as tg
    >>> w = tg.tensor([1.0], device="cpu", requires_grad=True)
    >>> optimizer = tg.optim.SGD([w], lr=0.5)
    >>> scaler = tg.amp.GradScaler("cpu", init_scale=8.0)
    >>> scaler.scale((w * w).sum()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> w
    tensor([0.], requires_grad=True)
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True,
    ) -> None:  # fmt: skip
        if growth_factor <= 1.0 or not 0.0 < backoff_factor < 1.0:
            raise ValueError(
                f"GradScaler: expected growth_factor > 1 and 0 < backoff_factor < 1, "
                f"got {growth_factor} and {backoff_factor}"
            )
        if enabled and names_nothing(device):
            warn(
                f"GradScaler: there is no accelerator for {device!r} here; nothing is scaled",
            )
            enabled = False
        self._device = device
        self._init_scale, self._init_growth = float(init_scale), 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._enabled = enabled
        self._scale: Tensor | None = None
        self._growth: Tensor | None = None
        self._found: dict[int, Tensor] = {}
        self._stepped: set[int] = set()

    def _state(self, device: Any = None) -> tuple[Tensor, Tensor]:
        """Return the scale and the count of good steps, made when first asked for."""
        if self._scale is None:
            with using(MODE.get().replace(capture=None)):
                self._scale = tg.full(
                    (), self._init_scale, dtype=tg.float32, device=device or self._device
                )
                self._growth = tg.full(
                    (), float(self._init_growth), dtype=tg.float32, device=self._scale.device
                )
        assert self._growth is not None
        return self._scale, self._growth

    def scale(self, outputs: Any) -> Any:
        """Return `outputs`, a tensor or a tree of them, times the scale."""
        if not self._enabled:
            return outputs

        def scaled(x: Any) -> Any:
            if not isinstance(x, Tensor):
                raise ValueError(f"GradScaler.scale: expected tensors, got {type(x).__name__}")
            return x * self._state(x.device)[0].to(x.device)

        return tree.map(scaled, outputs)

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, as clipping them asks for.

        Once for each step; `step` does it where it was not done.
        """
        if not self._enabled:
            return
        key = id(optimizer)
        if key in self._stepped:
            raise GradientError("unscale_: step() has been called since the last update()")
        if key in self._found:
            raise GradientError(
                "unscale_: it has been called on this optimizer since the last update()"
            )
        grads = gradients_of(optimizer)
        if not grads:
            raise GradientError(
                "unscale_: no parameter of the optimizer has a gradient; call backward() first"
            )
        scale = self._state(grads[0].device)[0]
        with tg.no_grad():
            none = tg.zeros((), device=scale.device)
            found = self._unscale_grads_(optimizer, 1.0 / scale, none, False)
            bad, *others = [x.to(scale.device) != 0 for x in found.values()]
            for other in others:
                bad = tg.logical_or(bad, other)
        self._found[key] = bad

    def _unscale_grads_(
        self, optimizer: Any, inv_scale: Tensor, found_inf: Tensor, allow_fp16: bool
    ) -> dict[Any, Tensor]:
        """Unscale the gradients in place; return for each device whether one of them is not finite.

        A subclass may replace it; gradients in float16 are taken in any case.
        """
        kinds: dict[Any, list[Any]] = {}
        for g in gradients_of(optimizer):
            kinds.setdefault((g.dtype, g.device), []).append(g)
        bad: dict[Any, Tensor] = {}
        with tg.no_grad():
            for (dtype, device), members in kinds.items():
                vector = joined(members).to(tg.float32) * inv_scale.to(device)
                found = tg.logical_not(tg.isfinite(vector)).any()
                bad[device] = tg.logical_or(bad[device], found) if device in bad else found
                write_parts(members, vector.to(dtype))
        return bad

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Do `optimizer.step()`, unless a gradient is not finite."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise GradientError("GradScaler.step: an optimizer with a closure can't be scaled")
        key = id(optimizer)
        if key in self._stepped:
            raise GradientError("GradScaler.step: step() has been called since the last update()")
        if key not in self._found:
            self.unscale_(optimizer)
        self._stepped.add(key)
        found = self._found[key]
        if capturing() is None:
            state = {"found_inf_per_device": {found.device: found}}
            return self._maybe_opt_step(optimizer, state, *args, **kwargs)
        optimizer.found_inf = found
        try:
            return optimizer.step(*args, **kwargs)
        finally:
            optimizer.found_inf = None

    def _maybe_opt_step(
        self, optimizer: Any, optimizer_state: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Do the step if all gradients were finite; a subclass may replace it."""
        if any(x.item() for x in optimizer_state["found_inf_per_device"].values()):
            return None
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Set the scale for the next step: by what was found in this one, or to `new_scale`."""
        if not self._enabled:
            return
        scale, growth = self._state()
        with tg.no_grad():
            if new_scale is not None:
                scale.copy_(
                    new_scale if isinstance(new_scale, Tensor) else tg.full_like(scale, new_scale)
                )
            else:
                if not self._found:
                    raise GradientError(
                        "GradScaler.update: no step() or unscale_() since the last update()"
                    )
                bad, *others = self._found.values()
                for found in others:
                    bad = tg.logical_or(bad, found.to(bad.device))
                good = growth + 1.0
                grow = good >= float(self._growth_interval)
                grown = tg.where(grow, scale * self._growth_factor, scale)
                grown = tg.where(tg.isfinite(grown), grown, scale)
                scale.copy_(tg.where(bad, scale * self._backoff_factor, grown))
                growth.copy_(tg.where(tg.logical_or(bad, grow), tg.zeros_like(good), good))
        self._found.clear()
        self._stepped.clear()

    def get_scale(self) -> float:
        """Return the scale, 1.0 where scaling is switched off."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def get_growth_factor(self) -> float:
        """Return what the scale is multiplied with after good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied with after good steps."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Return what the scale is multiplied with after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied with after an overflow."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Return after how many good steps the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many good steps the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Return whether scaling is switched on."""
        return self._enabled

    def _under_way(self) -> tuple[dict[int, Tensor], list[int]]:
        """Return what was found since the last update(), and the optimizers that have stepped."""
        return dict(self._found), list(self._stepped)

    def _resume(self, under_way: tuple[dict[int, Tensor], list[int]]) -> None:
        """Go back to what `_under_way` returned, on the device of the scale."""
        found, stepped = under_way
        self._found = {key: x.to(self._state()[0].device) for key, x in found.items()}
        self._stepped = set(stepped)

    def state_dict(self) -> dict[str, Any]:
        """Return the scale, the factors and the count of good steps; empty where switched off."""
        if not self._enabled:
            return {}
        growth = self._init_growth if self._growth is None else int(self._growth.item())
        return {
            "scale": self.get_scale(), "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
            "_growth_tracker": growth,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "GradScaler.load_state_dict: the state dict is empty, from a scaler that was switched off"
            )
        self._init_scale = float(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth = int(state_dict["_growth_tracker"])
        if self._scale is not None and self._growth is not None:
            with tg.no_grad():
                self._scale.fill_(self._init_scale)
                self._growth.fill_(float(self._init_growth))
