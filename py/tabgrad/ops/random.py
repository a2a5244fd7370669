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
    count = math.prod(shape)
    k = int(key), int(call)
    if 0 < count <= PACKED:
        index, mask = _packed(count)
        found = _threefry(index, 0, k, mask).to_bytes(8 * count, "little")
        words = np.frombuffer(found, "<u4")[::2].astype(np.uint32)
    else:
        words = np.arange(count, dtype=np.uint32)
        for i in range(0, count, BLOCK):
            a = words[i : i + BLOCK]
            words[i : i + BLOCK] = _threefry(a, np.zeros_like(a), k, None)
    return words.reshape(shape)


PACKED = 192
"""The most words that are computed as one Python int, 64 bits for each: NumPy takes longer for so few."""
BLOCK = 1 << 13
"""The words that NumPy computes at once, few enough for the cache."""


@functools.cache
def _packed(count: int) -> tuple[int, int]:
    """Pack the numbers 0, 1, ... into one int; return it and the mask of the low half of each."""
    index = sum(i << 64 * i for i in range(count))
    return index, sum(MASK << 64 * i for i in range(count))


def _threefry(a: Any, b: Any, key: tuple[int, int], mask: int | None) -> Any:
    """Return the first words for the counters (a, b): arrays of uint32, or with a mask packed numbers."""
    one: Any = np.uint32(1) if mask is None else mask // MASK
    k = [part * one for part in (*key, key[0] ^ key[1] ^ 0x1BD11BDA)]
    a, b = a + k[0], b + k[1]
    for i in range(5):
        for r in ROTATIONS[i % 2]:
            if mask is None:
                a = a + b
                b = (b << r | b >> 32 - r) ^ a
            else:
                a = a + b & mask
                b = (b << r | b >> 32 - r) & mask ^ a
        a, b = a + k[(i + 1) % 3], b + k[(i + 2) % 3] + one * (i + 1)
        if mask is not None:
            a, b = a & mask, b & mask
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
