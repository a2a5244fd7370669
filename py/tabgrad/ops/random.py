"""Random numbers: one counter-based generator, Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel
random numbers: as easy as 1, 2, 3"). A number is a function of a key and its place, so every device makes
the same numbers."""

from __future__ import annotations

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
    count = int(np.prod(shape, dtype=np.int64))
    k = [np.uint32(key), np.uint32(call)]
    k.append(k[0] ^ k[1] ^ np.uint32(0x1BD11BDA))
    a = np.arange(count, dtype=np.uint32)
    with np.errstate(over="ignore"):
        a = a + k[0]
        b = np.zeros(count, dtype=np.uint32) + k[1]
        for i in range(5):
            for r in ROTATIONS[i % 2]:
                a = a + b
                b = (b << np.uint32(r)) | (b >> np.uint32(32 - r))
                b = b ^ a
            a = a + k[(i + 1) % 3]
            b = b + k[(i + 2) % 3] + np.uint32(i + 1)
    return a.reshape(shape)


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
