"""The passes of the sort and scan kernels over rows of a given length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Pass:
    """One dispatch: the override PASS, how many workgroups it takes, and its uniform words."""

    step: int
    groups: int
    words: tuple[int, ...] = ()


def sort_block(length: int, threads: int = 256) -> int:
    """Choose BLOCK, the number of elements that one workgroup of `sort` holds, for rows of `length`."""
    return min(2 * threads, max(2, 2 ** math.ceil(math.log2(max(length, 1)))))


def sort_passes(rows: int, length: int, block: int) -> Iterator[Pass]:
    """Yield the passes of `sort`: one where a row fits a block, else one more than the stages
    above a block and their steps over the whole row.

    >>> [p.step for p in sort_passes(1, 5, 8)]
    [0]
    >>> [(p.step, p.words) for p in sort_passes(1, 20, 8)]
    [(0, (0, 0)), (1, (16, 0)), (2, (0, 0)), (1, (32, 0)), (1, (32, 8)), (2, (0, 0))]
    """
    groups = rows * math.ceil(length / block)
    yield Pass(0, groups, (0, 0))
    size = block
    while size < length:
        size *= 2
        yield Pass(1, groups, (size, 0))
        stride = size // 4
        while stride >= block:
            yield Pass(1, groups, (size, stride))
            stride //= 2
        yield Pass(2, groups, (0, 0))


def scan_span(length: int, threads: int = 64) -> int:
    """Choose SPAN, the number of elements that one workgroup of `scan` goes over, for rows of `length`.

    Rows to 4096 elements are one span; a longer row has at most as many spans as a span has
    elements, so that scanning their totals takes one pass.
    """
    if length <= 4096:
        return threads * max(1, math.ceil(length / threads))
    return threads * math.ceil(max(4096, math.isqrt(length) + 1) / threads)
