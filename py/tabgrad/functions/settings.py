"""Switches that scripts for PyTorch set; what they ask for holds here anyway."""

from __future__ import annotations


class _Settings:
    precision = "highest"
    deterministic = False


def set_float32_matmul_precision(precision: str) -> None:
    """Remember "highest", "high" or "medium"; float32 products are always computed in float32."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(
            f"set_float32_matmul_precision: expected 'highest', 'high' or 'medium', got {precision!r}"
        )
    _Settings.precision = precision


def get_float32_matmul_precision() -> str:
    """Return what `set_float32_matmul_precision` was last told, "highest" at first."""
    return _Settings.precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Remember the wish; every algorithm here is deterministic, so the same seed gives the same bits."""
    _Settings.deterministic = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """Return what `use_deterministic_algorithms` was last told.

    >>> import tabgrad as tg
    >>> tg.use_deterministic_algorithms(True)
    >>> tg.are_deterministic_algorithms_enabled()
    True
    >>> tg.use_deterministic_algorithms(False)
    """
    return _Settings.deterministic
