"""The backends that scripts ask about, and the switches that they set."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from tabgrad.core.settings import on_restore
from tabgrad.hosts.devices import is_available
from tabgrad.hosts.tuning import Tuning, tune
from tabgrad.tensor.settings import get_float32_matmul_precision, set_float32_matmul_precision


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


class MatmulBackend(Backend):
    """The switches of matrix products on CUDA: `allow_tf32`, and others without effect."""

    @property
    def allow_tf32(self) -> bool:
        """Whether float32 operands may be rounded to tf32: another name of `set_float32_matmul_precision`.

        >>> import tabgrad as tg
        >>> tg.backends.cuda.matmul.allow_tf32 = True
        >>> tg.get_float32_matmul_precision()
        'high'
        >>> tg.backends.cuda.matmul.allow_tf32 = False
        """
        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        set_float32_matmul_precision("high" if value else "highest")


class CUDABackend(Backend):
    """The CUDA backend: the switches of its matrix products and of its kernels of attention."""

    def __init__(self) -> None:
        super().__init__("cuda", _math=True, _flash=True, _efficient=True, _cudnn=True)
        self.matmul = MatmulBackend(
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


class WebGPUBackend(Backend):
    """The WebGPU backend: whether kernels are measured on the adapter.

    There are several kernels for each product of matrices, and which is fastest depends on the adapter and the
    sizes. When a plan has run often, they are timed on the adapter, for two seconds of a session at most; the
    fastest is taken from then on, and remembered for the next session: in the folder `tabgrad` of the user's
    cache, or in the browser's database. All compute the same values but for the order in which they add, so
    the last bits may change when a kernel does. `tabgrad.compiler.explain(x)` shows what was chosen.
    """

    def __init__(self) -> None:
        super().__init__("webgpu")

    def _switch_back(self) -> None:
        vars(self).update({k: v for k, v in self._switches.items() if k != "benchmark"})

    @property
    def benchmark(self) -> bool | None:
        """Whether kernels are measured: True, False, or None, which is True for all adapters but software.

        Set it before the device is used: plans that exist are not measured. With
        `use_deterministic_algorithms` nothing is measured, and what was is not used.

        >>> import tabgrad as tg
        >>> tg.backends.webgpu.benchmark = False
        >>> tg.backends.webgpu.benchmark = None
        """
        return Tuning.benchmark

    @benchmark.setter
    def benchmark(self, value: bool | None) -> None:
        tune(None if value is None else bool(value), Tuning.deterministic)


mps = Backend("mps")
webgpu = WebGPUBackend()
cudnn = Backend("cuda")
mkl = Backend()
mkldnn = Backend()
openmp = Backend()
cuda = CUDABackend()
