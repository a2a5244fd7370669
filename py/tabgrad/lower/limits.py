"""Device limits and preferences that steer lowering."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tabgrad.core.errors import RegistryError
from tabgrad.core.op import REGISTRY
from tabgrad.lower.kernel import Kernel
from tabgrad.lower.record import RECORDS
from tabgrad.lower.variants import Choices

T = TypeVar("T")

EPILOGUE = "matmul_epilogue"
"""The routine of a product with what follows it (`epilogues.py`): of no op, so that no record calls it."""


@dataclass
class Limits:
    """Limits of a device, and preferences for lowering on it.

    A kernel binds at most so many storage `buffers`, and `binding` bytes of one (0: all that it has); `threads`
    are the most of a workgroup. `software`: its threads run on the processor's own cores. `quads`: subgroups
    offer quad operations. `runs` is how often a plan is expected to run, which says what compiling may cost;
    `later` how often, if it turns out to run often (0: nobody will ask), see `Kernel.again`. `routines` are
    those of the host. `dynamic` is where plans for many sizes meet, see `dynamic.py`. `choices`
    has the answers that were measured, see `variants.py`; without it all choices are fixed. `tensor_cores`: the
    device multiplies on those of CUDA; `tf32`: float32 operands of products may be rounded to tf32 for that.
    `printed` is called with each kernel when its text is there.
    """

    buffers: int = 8
    software: bool = False
    quads: bool = False
    threads: int = 256
    runs: int = 4
    later: int = 0
    routines: Collection[str] = ()
    binding: int = 0
    dynamic: Any = None
    choices: Choices | None = None
    tensor_cores: bool = False
    tf32: bool = False
    printed: Callable[[Kernel], None] | None = None

    def __post_init__(self) -> None:
        for name in set(self.routines) - {EPILOGUE}:
            known = REGISTRY.room_of(name) is not None and name not in RECORDS
            if not known and (name not in RECORDS or RECORDS[name].routine is None):
                raise RegistryError(
                    f"{name}: a routine of the host, but no record calls one of this name"
                )

    def decide(self, what: str, choose: Callable[[], T]) -> T:
        """Make a choice that depends on sizes; a plan that serves many sizes repeats its first choice."""
        return choose() if self.dynamic is None else self.dynamic.family.decide(what, choose)

    def pick(
        self,
        question: str,
        origin: int,
        variants: Callable[[], Sequence[T]],
        fixed: Callable[[], T],
        named: Callable[[], Sequence[T]] = tuple,
    ) -> T:
        """Choose a variant of a kernel for the node recorded as `origin`: as measured, else the fixed one."""
        if self.choices is None:
            return fixed()
        return self.choices.pick(question, origin, variants, fixed, named)
