"""Switches that scripts for PyTorch set; what they ask for holds here anyway."""

from __future__ import annotations

from tabgrad.core.settings import setting


@setting
class _Settings:
    precision = "highest"
    deterministic = False
    warn_only = False


def set_float32_matmul_precision(precision: str) -> None:
    """Let CUDA devices round operands of float32 products to tf32 ("high", "medium"), or not ("highest").

    tf32 has float16's 10 bits of fraction; sums stay in float32. Other devices always compute in float32.
    """
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(
            f"set_float32_matmul_precision: expected 'highest', 'high' or 'medium', got {precision!r}"
        )
    from tabgrad.hosts.tuning import allow_tf32

    allow_tf32(precision != "highest")
    _Settings.precision = precision


def get_float32_matmul_precision() -> str:
    """Return what `set_float32_matmul_precision` was last told, "highest" at first."""
    return _Settings.precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Fix every choice among kernels, so that adapters of one kind compute the same bits in each session.

    Every algorithm here is deterministic: the same kernels give the same bits. Which kernels compute a product
    depends on what was measured on the adapter (see `tabgrad.backends.webgpu`), unless this is on.
    """
    from tabgrad.hosts.tuning import Tuning, tune

    _Settings.deterministic = bool(mode)
    tune(Tuning.benchmark, bool(mode))
    _Settings.warn_only = bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """Return what `use_deterministic_algorithms` was last told.

    >>> import tabgrad as tg
    >>> tg.use_deterministic_algorithms(True)
    >>> tg.are_deterministic_algorithms_enabled()
    True
    >>> tg.use_deterministic_algorithms(False)
    """
    return _Settings.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Return whether `use_deterministic_algorithms` was last told to warn only.

    >>> import tabgrad as tg
    >>> tg.is_deterministic_algorithms_warn_only_enabled()
    False
    """
    return _Settings.deterministic and _Settings.warn_only


_DEBUG_MODES = ("default", "warn", "error")


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Say the same as `use_deterministic_algorithms`: 0 or "default" for off, 1 or "warn", 2 or "error".

    >>> import tabgrad as tg
    >>> tg.set_deterministic_debug_mode("error")
    >>> tg.are_deterministic_algorithms_enabled(), tg.get_deterministic_debug_mode()
    (True, 2)
    >>> tg.set_deterministic_debug_mode(0)
    """
    if debug_mode not in (*range(3), *_DEBUG_MODES):
        raise RuntimeError(
            f"set_deterministic_debug_mode: expected 0, 1, 2, 'default', 'warn' or 'error', got {debug_mode!r}"
        )
    level = _DEBUG_MODES.index(debug_mode) if isinstance(debug_mode, str) else int(debug_mode)
    use_deterministic_algorithms(level > 0, warn_only=level == 1)


def get_deterministic_debug_mode() -> int:
    """Return 0, 1 or 2: off, warning, or raising; see `set_deterministic_debug_mode`.

    >>> import tabgrad as tg
    >>> tg.get_deterministic_debug_mode()
    0
    """
    if not _Settings.deterministic:
        return 0
    return 1 if _Settings.warn_only else 2


__all__ = [
    "are_deterministic_algorithms_enabled", "get_deterministic_debug_mode", "get_float32_matmul_precision",
    "is_deterministic_algorithms_warn_only_enabled", "set_deterministic_debug_mode",
    "set_float32_matmul_precision", "use_deterministic_algorithms",
]  # fmt: skip
