"""The backends that scripts ask about, and the switches that they set."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from tabgrad.core.settings import on_restore
from tabgrad.hosts.devices import is_available


class Backend:
    """One backend: whether it is available, and switches that scripts set, without effect here."""

    def __init__(self, kind: str | None = None, **switches: Any) -> None:
        self._kind = kind
        self._switches = {
            "deterministic": True, "benchmark": False, "allow_tf32": False, "enabled": True, **switches
        }  # fmt: skip
        self._switch_back()
        on_restore(self._switch_back)

    def _switch_back(self) -> None:
        vars(self).update(self._switches)

    def is_available(self) -> bool:
        """Return whether this backend can be used.

        >>> import tabgrad as tg
        >>> tg.backends.mps.is_available()
        False
        """
        return self._kind is not None and is_available(self._kind)

    def is_built(self) -> bool:
        """Return whether this backend can be used."""
        return self.is_available()

    def version(self) -> int | None:
        """Return None: there is no library of NVIDIA's here.

        >>> import tabgrad as tg
        >>> tg.backends.cudnn.version()
        """
        return None

    def flags(self, **switches: Any) -> Any:
        """Return a context in which the switches have these values, which changes nothing."""
        unknown = sorted(set(switches) - set(self._switches))
        if unknown:
            raise TypeError(f"flags: there is no switch {', '.join(unknown)}")
        return nullcontext()


class CUDABackend(Backend):
    """The CUDA backend: the switches of its matrix products and of its kernels of attention."""

    def __init__(self) -> None:
        super().__init__("cuda", _math=True, _flash=True, _efficient=True, _cudnn=True)
        self.matmul = Backend(
            "cuda",
            allow_fp16_reduced_precision_reduction=True,
            allow_bf16_reduced_precision_reduction=True,
        )

    def enable_flash_sdp(self, enabled: bool) -> None:
        """Remember the wish; attention has one kernel here."""
        self._flash = bool(enabled)

    def enable_mem_efficient_sdp(self, enabled: bool) -> None:
        """Remember the wish; attention has one kernel here."""
        self._efficient = bool(enabled)

    def enable_math_sdp(self, enabled: bool) -> None:
        """Remember the wish; attention has one kernel here."""
        self._math = bool(enabled)

    def enable_cudnn_sdp(self, enabled: bool) -> None:
        """Remember the wish; attention has one kernel here."""
        self._cudnn = bool(enabled)

    def flash_sdp_enabled(self) -> bool:
        """Return what `enable_flash_sdp` was last told."""
        return self._flash

    def mem_efficient_sdp_enabled(self) -> bool:
        """Return what `enable_mem_efficient_sdp` was last told."""
        return self._efficient

    def math_sdp_enabled(self) -> bool:
        """Return what `enable_math_sdp` was last told."""
        return self._math

    def cudnn_sdp_enabled(self) -> bool:
        """Return what `enable_cudnn_sdp` was last told."""
        return self._cudnn

    _flash: bool
    _efficient: bool
    _math: bool
    _cudnn: bool


mps = Backend("mps")
cudnn = Backend("cuda")
mkl = Backend()
mkldnn = Backend()
openmp = Backend()
cuda = CUDABackend()
