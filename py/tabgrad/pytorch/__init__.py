"""`import torch` means tabgrad: for programs that were written for PyTorch. The README has the rules."""

from __future__ import annotations

from tabgrad.pytorch import alias as _alias


class Handle:
    """What `as_torch` returns: `remove()` undoes it, as leaving it as a context manager does."""

    def __repr__(self) -> str:
        if _alias.placed():
            return "<torch means tabgrad; remove() undoes it>"
        return "<torch no longer means tabgrad>"

    def remove(self) -> None:
        """Let `import torch` mean what it meant before; does nothing the second time."""
        _alias.remove()

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def as_torch() -> Handle:
    """Let `import torch`, and every module below it, mean tabgrad in this process; return what undoes it.

    Then "cuda" and "mps" name the accelerator there is, and without a device tensors are on the CPU, as in
    PyTorch. Raises ImportError if the real torch was imported before. A second call changes nothing.

    >>> import tabgrad
    >>> with tabgrad.as_torch():
    ...     import torch
    ...     import torch.nn.functional as F
    ...     F.relu(torch.tensor([-1.0, 2.0])).shape
    torch.Size([2])
    """
    _alias.put()
    return Handle()


__all__ = ["Handle", "as_torch"]
