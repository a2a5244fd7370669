"""Random numbers: one counter-based generator, Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel
random numbers: as easy as 1, 2, 3"). A number is a function of a key and its place, so every device makes
the same numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.families import kernel, to_front
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import REGISTRY, Array, Ints, Operand
from tabgrad.core.spec import spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tabgrad.core.op import Operands
    from tabgrad.tensor import Tensor

MASK = 0xFFFFFFFF
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def _samples() -> Iterator[Any]:
    yield (("uint32", 7), ("uint32", 9)), {"shape": (3, 4)}


@kernel(
    infer=lambda key, call, *, shape: spec(shape, dt.uint32),
    derivative=None,
    batching=lambda n, args, dims, *, shape: _batched_keys(n, args, dims, shape),
    samples=_samples,
)
def random_bits(key: Operand, call: Operand, *, shape: Ints) -> Array:
    """Draw uniform uint32 words: element i is the first word of Threefry(key=(key, call), counter=(i, 0)).

    `key` and `call` are 0-d uint32 tensors: the seed, and the number of earlier draws.
    """
    return words(int(key), int(call), shape)


PACKED = 192
"""The most words that are computed as one Python int, 64 bits for each: NumPy takes longer for so few."""
AHEAD = 1 << 11
"""The most words that are computed before they are asked for."""
BLOCK = 1 << 13
"""The words that NumPy computes at once, few enough for the cache."""
_AHEAD: dict[int, tuple[int, int, int, Array]] = {}
"""By the words of a draw: the key, the first and the last draw that are known, and the words of each."""


def words(key: int, call: int, shape: Ints) -> Array:
    """Return the words of `random_bits` as an array that nobody else has.

    Where draws of few words follow each other, those that come next are computed with them.
    """
    count = math.prod(shape)
    if 0 < count <= PACKED:
        found = _AHEAD.get(count)
        if found is None or key != found[0] or not found[1] <= call <= found[2]:
            found = _ahead(found, key, call, count)
        return found[3][call - found[1]].reshape(shape).copy()
    out = np.arange(count, dtype=np.uint32)
    for i in range(0, count, BLOCK):
        a = out[i : i + BLOCK]
        out[i : i + BLOCK] = _threefry(a, np.zeros_like(a), key, call, None)
    return out.reshape(shape)


def _ahead(
    before: tuple[int, int, int, Array] | None, key: int, call: int, count: int
) -> tuple[int, int, int, Array]:
    """Note the words of a draw, and of more draws from it on if it comes soon after those known `before`."""
    rows = 1
    if before is not None and key == before[0] and 0 < call - before[2] <= 8:
        rows = min(4 * (before[2] - before[1] + 1), AHEAD // count, MASK + 1 - call)
    if rows * count <= PACKED:
        index, row, mask = _packed(rows, count)
        found = _threefry(index, 0, key * (mask // MASK), call * (mask // MASK) + row, mask)
        drawn = np.frombuffer(found.to_bytes(8 * rows * count, "little"), "<u4")[::2]
    else:
        index = np.tile(np.arange(count, dtype=np.uint32), rows)
        calls = np.arange(call, call + rows, dtype=np.uint32).repeat(count)
        drawn = _threefry(index, np.zeros_like(index), key, calls, None)
    made = drawn.astype(np.uint32, copy=False).reshape(rows, count)
    its = _AHEAD[count] = key, call, call + rows - 1, made
    return its


@functools.lru_cache(1024)
def _packed(rows: int, count: int) -> tuple[int, int, int]:
    """Pack the place of each word in its row into one int, and the row into another; and the mask of words."""
    index = sum(i % count << 64 * i for i in range(rows * count))
    row = sum(i // count << 64 * i for i in range(rows * count))
    return index, row, sum(MASK << 64 * i for i in range(rows * count))


def _threefry(a: Any, b: Any, key: Any, call: Any, mask: int | None) -> Any:
    """Return the first words for the counters (a, b): arrays of uint32, or with a mask packed numbers.

    The two words of the key are numbers, arrays, or packed as well.
    """
    one = 1 if mask is None else mask // MASK
    k = [key, call, key ^ call ^ 0x1BD11BDA * one]
    a, b = a + k[0], b + k[1]
    for i in range(5):
        for r in ROTATIONS[i % 2]:
            if mask is None:
                a = a + b
                b = (b << r | b >> 32 - r) ^ a
            else:
                a = a + b & mask
                b = (b << r | b >> 32 - r) & mask ^ a
        more = k[(i + 2) % 3] + one * (i + 1)
        if mask is not None:
            a, b = a + k[(i + 1) % 3] & mask, b + more & mask
        else:
            a, b = a + k[(i + 1) % 3], b + (more & MASK)
    return a


def _batched_keys(n: int, args: Operands, dims: Sequence[int | None], shape: Ints) -> Tensor:
    key, call = args
    stack = REGISTRY["cat"]
    if dims[0] is None and dims[1] is None:
        return to_front(random_bits.bind(key, call, shape=shape), None, n)
    keys, calls = (to_front(a, d, n) for a, d in zip(args, dims, strict=True))
    draws = []
    for i in range(n):
        pick = [_at(x, i) for x in (keys, calls)]
        draws.append(
            REGISTRY["reshape"].bind(random_bits.bind(*pick, shape=shape), shape=(1, *shape))
        )
    return stack.bind(*draws, axis=0)


def _at(x: Tensor, i: int) -> Tensor:
    one = REGISTRY["slice"].bind(x, starts=(i,), stops=(i + 1,), steps=(1,))
    return REGISTRY["reshape"].bind(one, shape=())
