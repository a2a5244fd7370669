"""Backward within a memory budget: saved values beyond it are dropped, and computed again.

As in Kirisame et al. (2021), "Dynamic tensor rematerialization", the ops are noted with their inputs, and the
value that is cheapest to compute again, relative to its size and to how long it was not used, is dropped first.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.spec import NO_PARAMS, Params, Spec
from tabgrad.core.trace import MODE, Mode, wrap
from tabgrad.transforms.autograd import Autograd
from tabgrad.transforms.hooks import saved_tensors_hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tabgrad.core.op import Operands
    from tabgrad.tensor import Tensor

FAR = 64
"""Dropped ancestors that are counted when a value's cost is estimated."""


class Noted:
    """One op of the region: its inputs (numbers of ops, or ~k for value k from outside), and its result."""

    __slots__ = (
        "cost", "device", "held", "nbytes", "op", "params", "refs", "spec", "used", "value",
    )  # fmt: skip

    def __init__(
        self, op: Op, params: Params, refs: tuple[int, ...], y: Tensor, specs: Sequence[Spec]
    ) -> None:
        self.op, self.params, self.refs = op, params, refs
        self.spec = spec = y.spec
        self.device = y.device
        self.value: Any = None
        self.held = 0
        self.used = 0
        # a view has no memory of its own: it is made again whenever it is needed
        self.nbytes = 0 if op.family == "view" else spec.size * spec.dtype.itemsize
        self.cost = op.cost(spec, specs)


class Held:
    """A placeholder for a saved value of the region, which is needed while this object lives."""

    __slots__ = ("index", "like", "region", "tensor")

    def __init__(self, region: Region, like: Tensor, tensor: Tensor) -> None:
        self.region = region
        self.like = like
        self.tensor: Any = tensor
        self.index = -1

    def settle(self, index: int) -> None:
        """Set the op that makes the value; the region keeps the value from now on."""
        self.index = index
        self.tensor = None
        self.region.notes[index].held += 1

    def __del__(self) -> None:
        if self.index >= 0:
            self.region.release(self.index)


class Region:
    """The ops of one block run within a budget, and the values kept of them.

    `peak` is the most bytes that were kept, `again` how many ops were computed again.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.notes: list[Noted] = []
        self.outside: list[tuple[Any, Spec, Any]] = []
        self.places: dict[int, int] = {}
        self.fresh: list[int] = []
        self.waiting: dict[int, list[Held]] = {}
        self.kept: set[int] = set()
        self.bytes = 0
        self.peak = 0
        self.clock = 0
        self.again = 0
        self.outer: list[Any] = []

    # -- noting ops ----------------------------------------------------------------------------------------

    def around(
        self, run: Callable[..., Tensor], op: Op, args: Operands, params: Params, mode: Mode
    ) -> Tensor:
        """Run an op of the base and note it."""
        refs = tuple([self.ref(a) for a in args])
        outer = self.outer[-1]
        y = run(op, args, params, mode) if outer is None else outer(run, op, args, params, mode)
        index = len(self.notes)
        note = Noted(op, params, refs, y, [a.spec for a in args])
        self.notes.append(note)
        self.present(index, y.value)
        self.fresh.append(index)
        for held in self.waiting.pop(id(y.value), ()):
            held.settle(index)
        self.count(index)
        self.make_room({index})
        if len(self.fresh) > 8:
            self.sweep()
        return y

    def ref(self, x: Tensor) -> int:
        """Find the number of the op that made a payload, or ~k for a payload from outside."""
        key = id(x.value)
        found = self.places.get(key)
        if found is None:
            self.outside.append((x.value, x.spec, x.device))
            found = self.places[key] = ~(len(self.outside) - 1)
        return found

    def present(self, index: int, value: Any) -> None:
        """Note that the value of an op is present."""
        note = self.notes[index]
        self.clock += 1
        note.value, note.used = value, self.clock
        self.places[id(value)] = index

    def forget(self, index: int) -> None:
        """Drop the value of an op."""
        note = self.notes[index]
        if note.value is not None:
            self.places.pop(id(note.value), None)
            note.value = None
        if index in self.kept:
            self.kept.discard(index)
            self.bytes -= note.nbytes

    def sweep(self) -> None:
        """Forget results that only this region holds, unless a backward needs them."""
        still = []
        for index in self.fresh:
            note = self.notes[index]
            if note.value is None or (note.held and note.nbytes):
                continue
            if self.alone(index):
                self.forget(index)
            else:
                still.append(index)
        self.fresh = still

    def alone(self, index: int) -> bool:
        """Test whether only this region holds a value: one reference is the note's, one the call's."""
        return sys.getrefcount(self.notes[index].value) <= 2

    # -- what is saved -------------------------------------------------------------------------------------

    def pack(self, x: Tensor) -> Held | Tensor:
        """Make a placeholder for a saved tensor."""
        base = x
        while isinstance(base.owner, Autograd):
            base = base.value
        if base.owner is not None:
            return x
        index = self.places.get(id(base.value))
        if index is not None and index < 0:
            return x
        held = Held(self, _filled(x, None), x)
        if index is None:
            # the result of the running op, which is noted when the op has run
            self.waiting.setdefault(id(base.value), []).append(held)
        else:
            held.settle(index)
            self.count(index)
            self.make_room({index})
        return held

    def unpack(self, held: Held | Tensor) -> Tensor:
        """Load a saved tensor, computed again if it was dropped."""
        if not isinstance(held, Held):
            return held
        if held.index < 0:
            return held.tensor
        note = self.notes[held.index]
        if note.value is None:
            self.recompute(held.index)
        self.clock += 1
        note.used = self.clock
        return _filled(held.like, note.value)

    def count(self, index: int) -> None:
        """Count a present value that a backward needs."""
        note = self.notes[index]
        if note.held and note.value is not None and index not in self.kept and note.nbytes:
            self.kept.add(index)
            self.bytes += note.nbytes

    def release(self, index: int) -> None:
        """Note that one backward less needs a value."""
        note = self.notes[index]
        note.held -= 1
        if not note.held and index not in self.fresh:
            self.forget(index)

    def make_room(self, pinned: set[int]) -> None:
        """Drop values until the budget is met, the cheapest by `worth` first."""
        while self.bytes > self.budget:
            candidates = [i for i in self.kept if i not in pinned and self.alone(i)]
            if not candidates:
                break
            self.forget(min(candidates, key=self.worth))
        self.peak = max(self.peak, self.bytes)

    def worth(self, index: int) -> float:
        """Estimate the cost of computing a value again, relative to its size and time since its last use."""
        note = self.notes[index]
        cost = note.cost
        stack = [r for r in note.refs if r >= 0]
        seen = set(stack)
        while stack and len(seen) < FAR:
            other = self.notes[stack.pop()]
            if other.value is None:
                cost += other.cost
                for r in other.refs:
                    if r >= 0 and r not in seen:
                        seen.add(r)
                        stack.append(r)
        return cost / (note.nbytes * (self.clock - note.used + 1))

    # -- computing again -----------------------------------------------------------------------------------

    def missing(self, wanted: int) -> list[int]:
        """List the ops to run again for a value, each after those it reads."""
        order: list[int] = []
        seen: set[int] = set()
        stack = [(wanted, False)]
        while stack:
            i, ready = stack.pop()
            if ready:
                order.append(i)
            elif i not in seen and self.notes[i].value is None:
                seen.add(i)
                stack.append((i, True))
                stack.extend((r, False) for r in self.notes[i].refs if r >= 0)
        return order

    def recompute(self, wanted: int) -> None:
        """Compute a value again from the values that are present."""
        order = self.missing(wanted)
        made = set(order)
        uses: dict[int, int] = {wanted: 1}
        for i in order:
            for r in set(self.notes[i].refs):
                uses[r] = uses.get(r, 0) + 1
        pinned = {r for r in uses if r >= 0}
        for i in order:
            note = self.notes[i]
            self.present(i, self.run(note, made))
            self.count(i)
            for r in set(note.refs):
                uses[r] -= 1
                if not uses[r] and r >= 0:
                    pinned.discard(r)
                    other = self.notes[r]
                    if r in made and not (other.held and other.nbytes):
                        self.forget(r)
            self.make_room(pinned | {i})

    def run(self, note: Noted, made: set[int]) -> Any:
        """Get the payload of an op's result."""
        payloads, specs = [], []
        device = None
        for r in note.refs:
            value, spec, where = (
                (self.notes[r].value, self.notes[r].spec, None) if r >= 0 else self.outside[~r]
            )
            device = where or device
            payloads.append(value)
            specs.append(spec)
        device = device or note.device
        backend = device.backend
        if device.type != "cpu" and not any(r in made for r in note.refs):
            # without the barrier the device would reuse the value that was computed before
            payloads[0] = backend.run(REGISTRY["barrier"], (payloads[0],), (specs[0],), NO_PARAMS)[
                0
            ]
        self.again += 1
        return backend.run(note.op, tuple(payloads), tuple(specs), note.params)[0]


class memory_budget:
    """Keep at most about `nbytes` of what ops inside the block save for backward, and compute the rest again.

    Values that are expensive to compute for their size are kept, as decided while the block runs. Tensors of
    the program itself are not counted. The value of `with` has `peak`, the most bytes kept, and `again`, the
    number of ops computed again.

    >>> import tabgrad as tg
    >>> from tabgrad.utils.checkpoint import memory_budget
    >>> x = tg.ones(1000, device="cpu", requires_grad=True)
    >>> with memory_budget(10_000) as region:
    ...     y = x
    ...     for _ in range(20):
    ...         y = y.sin()
    >>> y.sum().backward()
    >>> region.peak <= 12_000
    True
    """

    def __init__(self, nbytes: int) -> None:
        if nbytes < 0:
            raise ValueError(f"memory_budget: expected a number of bytes, got {nbytes}")
        self.region = Region(int(nbytes))
        self.hooks = saved_tensors_hooks(self.region.pack, self.region.unpack)

    def __enter__(self) -> Region:
        mode = MODE.get()
        self.region.outer.append(mode.around)
        MODE.set(mode.replace(around=self.region.around))
        self.hooks.__enter__()
        return self.region

    def __exit__(self, *exc: object) -> None:
        self.hooks.__exit__()
        MODE.set(MODE.get().replace(around=self.region.outer.pop()))
        self.region.waiting.clear()
        self.region.sweep()


def _filled(shell: Tensor, payload: Any) -> Tensor:
    """Copy the tensor `shell` with this payload (None for no value) at its base."""
    value = payload if shell.owner is None else _filled(shell.value, payload)
    y = wrap(value, shell.spec, shell.device, shell.owner)
    y.node, y.tracked = shell.node, shell.tracked
    return y
