"""Where random numbers come from: generators, and the words they draw.

A draw is a function of the generator's seed, of how many draws came before, and of each element's place: the
same on every device. A compiled step asks for the number of the draw anew at each replay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tabgrad.core import dtype as dt
from tabgrad.core.capture import guard, live_scalar, on_replay
from tabgrad.core.errors import ShapeError
from tabgrad.core.locks import lock
from tabgrad.core.settings import on_restore
from tabgrad.core.spec import spec
from tabgrad.core.trace import MODE, using, wrap
from tabgrad.hosts.devices import device as device_of
from tabgrad.ops.random import random_bits, words
from tabgrad.tensor import creation, reading
from tabgrad.tensor.chained import CPU, chained
from tabgrad.transforms.vmap import draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tabgrad.hosts.devices import Device
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import DeviceLike

R = TypeVar("R")

_DRAWING = lock()
"""Held while a draw is counted: no two threads get the same number."""
MASK = 0xFFFFFFFF
SEED = 67280421310721  # until another is set


class Generator:
    """A stream of random numbers: a seed, and a count of the draws made.

    >>> import tabgrad as tg
    >>> g = tg.Generator().manual_seed(1)
    >>> a = tg.rand(2, generator=g, device="cpu")
    >>> g = g.manual_seed(1)
    >>> tg.equal(a, tg.rand(2, generator=g, device="cpu"))
    True
    """

    def __init__(self, device: DeviceLike = "cpu") -> None:
        self.device = device_of(device)
        self._seed = SEED
        self._calls = 0

    def manual_seed(self, seed: int) -> Generator:
        """Start anew from `seed`, any int of 64 bits; return self."""
        seed = int(seed)
        if not -(1 << 63) <= seed < 1 << 64:
            raise OverflowError(f"manual_seed: expected an int of 64 bits, got {seed}")
        self._go_to(seed & ((1 << 64) - 1), 0)
        return self

    def seed(self) -> int:
        """Start anew from a seed of the operating system; return it."""

        def change() -> None:
            self._seed, self._calls = int.from_bytes(os.urandom(8), "little") >> 1, 0

        on_replay(change, moves=self.__dict__)
        return self._seed

    def _go_to(self, seed: int, calls: int) -> None:
        """Go to a place in a stream, and there again at each replay of a compiled step."""

        def change() -> None:
            self._seed, self._calls = seed, calls

        on_replay(change, moves=self.__dict__)

    def initial_seed(self) -> int:
        """Return the seed."""
        guard(lambda: self._seed)
        return self._seed

    @property
    def key(self) -> int:
        """The seed as the 32 bits that a draw takes: both halves count."""
        low, high = self._seed & MASK, self._seed >> 32
        return low ^ (high * 0x9E3779B1 & MASK)

    def advance(self) -> int:
        """Return the number of the next draw, and count it."""
        with _DRAWING:
            number = self._calls
            self._calls = number + 1
        return number & MASK

    def get_state(self) -> Tensor:
        """Return the state as a tensor of 16 bytes: seed and count."""
        guard(lambda: (self._seed, self._calls))
        raw = self._seed.to_bytes(8, "little") + self._calls.to_bytes(8, "little")
        return creation.upload(raw, (16,), dt.uint8, self.device)

    def set_state(self, new_state: Tensor) -> Generator:
        """Go back to a state that `get_state` returned; return self."""
        raw = bytes(reading.tolist(new_state))
        if len(raw) != 16:
            raise ShapeError(f"set_state: expected 16 bytes, got {len(raw)}")
        self._go_to(int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little"))
        return self

    def clone_state(self) -> Generator:
        """Return a new generator that stands where this one does, and goes its own way from there."""
        other = Generator(self.device)
        on_replay(
            lambda: other.__dict__.update(_seed=self._seed, _calls=self._calls),
            moves=other.__dict__,
        )
        return other

    def __repr__(self) -> str:
        return f"<Generator seed={self._seed} draws={self._calls}>"


default_generator = Generator()
on_restore(lambda: default_generator.manual_seed(SEED))


def current() -> Generator:
    """Return the generator used where none is named: the default one, or that of a task which draws again."""
    found: Generator | None = MODE.get().generator
    return default_generator if found is None else found


class Mark:
    """A place in the default generator's stream; each replay of a compiled step notes its own."""

    def __init__(self) -> None:
        self.place = (0, 0)
        on_replay(self._take, moves=self.__dict__)

    def restore(self) -> None:
        """Bring the default generator back to the mark."""
        source = current()
        on_replay(lambda: self._give(source), moves=source.__dict__)

    @contextmanager
    def again(self) -> Iterator[None]:
        """Repeat the draws made since the mark; the default generator and other threads are not affected."""
        source = Generator()
        on_replay(lambda: self._give(source), moves=source.__dict__)
        with using(MODE.get().replace(generator=source)):
            yield

    def _take(self) -> None:
        source = current()
        self.place = source._seed, source._calls

    def _give(self, source: Generator) -> None:
        source._seed, source._calls = self.place


def bits(shape: tuple[int, ...], generator: Generator | None, device: Device) -> Tensor:
    """Draw uniform uint32 words; under vmap its `randomness` decides how."""
    source = current() if generator is None else generator

    def make(shape: tuple[int, ...]) -> Tensor:
        key = live_scalar(lambda: source.key, dt.uint32, device)
        call = live_scalar(source.advance, dt.uint32, device, source.__dict__)
        return random_bits.bind(key, call, shape=shape)

    return draw(make, shape)


def of_words(fn: Callable[..., R]) -> Callable[..., R]:
    """Make a function of random words and settings one that draws the words.

    Instead of words it takes their shape, a generator and a device.
    """
    small = chained(fn)

    def call(
        shape: tuple[int, ...], generator: Generator | None, device: Device, *settings: Any
    ) -> R:
        mode = MODE.get()
        if device is not CPU or not mode.plain or mode.draw is not None:
            return fn(bits(shape, generator, device), *settings)
        source = current() if generator is None else generator
        drawn = words(source.key, source.advance(), shape)
        return small(wrap(drawn, spec(shape, dt.uint32), device), *settings)

    return call


def manual_seed(seed: int) -> Generator:
    """Start the default generator anew from `seed`; return it.

    >>> import tabgrad as tg
    >>> _ = tg.manual_seed(0)
    """
    return current().manual_seed(seed)


def seed() -> int:
    """Start the default generator anew from a seed of the operating system; return it."""
    return current().seed()


def initial_seed() -> int:
    """Return the seed of the default generator."""
    return current().initial_seed()


def get_rng_state() -> Tensor:
    """Return the state of the default generator."""
    return current().get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Bring the default generator back to a state of `get_rng_state`."""
    current().set_state(new_state)


@contextmanager
def fork_rng(
    devices: Iterable[int] | None = None, enabled: bool = True, *, device_type: str | None = None
) -> Iterator[None]:
    """Restore the default generator after the block; one generator serves all devices."""
    before = Mark()
    try:
        yield
    finally:
        if enabled:
            before.restore()


__all__ = [
    "Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed",
    "set_rng_state",
]  # fmt: skip
