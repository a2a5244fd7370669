"""PyTorch's `backends`, with what scripts ask about available backends."""

from __future__ import annotations

from tabgrad.core.settings import on_restore
from tabgrad.hosts.devices import is_available


class Backend:
    """One backend: whether it is available, and switches that scripts set, without effect here."""

    def __init__(self, kind: str | None = None) -> None:
        self._kind = kind
        self._switch_back()
        on_restore(self._switch_back)

    def _switch_back(self) -> None:
        self.deterministic = True
        self.benchmark = False
        self.allow_tf32 = False
        self.enabled = True

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


class CUDABackend(Backend):
    """The CUDA backend, with the switches of its matrix products."""

    def __init__(self) -> None:
        super().__init__("cuda")
        self.matmul = Backend("cuda")


mps = Backend()
cudnn = Backend("cuda")
mkl = Backend()
cuda = CUDABackend()
