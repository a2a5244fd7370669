"""Parameters that are updated as one vector, and the optimizer state that goes with them.

A step over many small tensors costs one kernel when they lie side by side, so parameters of one dtype and
device whose counters agree form a `Flat`; its state is kept flat, and shown by parameter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from operator import itemgetter
from typing import Any, cast

import tabgrad as tg
from tabgrad.core.capture import adopt, guard, live_scalar, on_replay
from tabgrad.core.trace import MODE, using
from tabgrad.optim.counters import as_number
from tabgrad.tensor.aliasing import View, root_of
from tabgrad.tensor.vectors import bounds, joined, parts, write_parts

Tensor = tg.Tensor
Number = int | float


def check_sparse(name: str, takes: bool, group: dict[str, Any]) -> None:
    """Raise RuntimeError where a group's sparse gradients are of no use to the optimizer `name`."""
    if not takes:
        advice = ", please consider SparseAdam instead" if "Adam" in name else ""
        raise RuntimeError(f"{name} does not support sparse gradients{advice}")
    if group.get("weight_decay"):
        raise RuntimeError(f"weight_decay option is not compatible with sparse gradients ({name})")


class Flat:
    """Parameters side by side. `tensors` is their state, one element for each element; `numbers` their
    counters; a name that begins with an underscore is not shown.

    In a compiled step the state tensors are what is carried from replay to replay, so they are made
    outside of the capture and only ever changed in place.
    """

    def __init__(self, params: list[Tensor]) -> None:
        self.params = params
        self.shapes = [tuple(p.shape) for p in params]
        self.bounds = bounds(self.shapes)
        self.dtype = params[0].dtype
        self.device = params[0].device
        self.tensors: dict[str, Tensor] = {}
        self.numbers: dict[str, Number] = {}
        self.retired = False

    def tensor(self, name: str, fill: float = 0.0) -> Tensor:
        """Return the state of this name, filled with `fill` when it is first asked for."""
        found = self.tensors.get(name)
        if found is None:
            with using(MODE.get().replace(capture=None)):
                found = tg.full((self.bounds[-1],), fill, dtype=self.dtype, device=self.device)
            if self.device.recorder is not None:
                from tabgrad.tensor.placing import fill_buffers

                fill_buffers(found)
            adopt(found)
            self.tensors[name] = found
        return found

    def number(self, getter: Callable[[], Number]) -> Tensor:
        """Return a 0-d tensor of a number that changes from step to step."""
        return live_scalar(getter, self.dtype, self.device)

    def rate(self, group: dict[str, Any], of: Callable[[Any], Number]) -> Tensor:
        """Return of(lr) as a 0-d tensor for the group's lr, a number or a tensor; `of` must be linear."""
        lr = group["lr"]
        if not isinstance(lr, Tensor):
            return self.number(lambda: of(group["lr"]))
        if lr.device is not self.device and not MODE.get().grad:
            return self.number(lambda: of(float(lr.detach())))
        return self.option(lr) * self.number(lambda: of(1.0))

    def option(self, value: Tensor) -> Tensor:
        """Return an option that is a tensor, as a 0-d tensor of this dtype and device."""
        if value.device is not self.device and not MODE.get().grad:
            return self.number(lambda: float(value.detach()))
        return value.reshape(()).to(self.device, self.dtype)

    def count(self, name: str = "step") -> None:
        """Add one to a counter, now and at each replay."""
        self.change(lambda: self.numbers.update({name: self.numbers.get(name, 0) + 1}))

    def change(self, change: Callable[[], None]) -> None:
        """Change counters, now and at each replay."""
        on_replay(change, self.numbers)

    def guard(self) -> None:
        """Make a compiled step trace again when the state has moved to other Flats."""
        guard(lambda: self.retired)

    def values(self) -> Tensor:
        """Return the parameters as one vector."""
        return joined(self.params)

    def gradients(self) -> Tensor:
        """Return the gradients as one vector."""
        grads: list[Tensor] = []
        for p in self.params:
            grad = p._grad
            assert grad is not None
            grads.append(grad if grad._parts is None else grad.to_dense())
        return joined(grads)

    def touched(self) -> Tensor | None:
        """Return where sparse gradients have elements, as one vector; None where all are dense."""
        grads: list[Any] = [p._grad for p in self.params]
        if all(grad._parts is None for grad in grads):
            return None
        marks = []
        for grad in grads:
            if grad._parts is None:
                marks.append(tg.ones(grad.shape, dtype=tg.bool, device=self.device))
            else:
                ones = tg.ones_like(grad._parts.values, requires_grad=False)
                marks.append(grad.around(ones).to_dense() > 0)
        return joined(marks)

    def write(self, new: Tensor) -> None:
        """Give each parameter its part of the vector `new`."""
        write_parts(self.params, new)

    def kept(self) -> dict[str, Tensor]:
        """Return the state as it is; nothing is copied where ops are recorded."""
        return {name: t.clone() for name, t in self.tensors.items()}

    def restore(self, where: Tensor, before: dict[str, Tensor]) -> None:
        """Restore the state `before` if the 0-d tensor `where` is true."""
        for name, t in self.tensors.items():
            old = before.get(name)
            t.copy_(tg.where(where, tg.zeros_like(t) if old is None else old, t))

    def split(self, vector: Tensor) -> tuple[Tensor, ...]:
        """Return the parts of a vector in the shapes of the parameters."""
        return parts(vector, self.shapes)

    def view(self, name: str, i: int) -> Tensor:
        """Return the state of parameter `i` as a view: what is written to it is written to the state."""
        return self.tensors[name][self.bounds[i] : self.bounds[i + 1]].view(self.shapes[i])


def _joined_copy(state: list[Tensor]) -> Tensor:
    """Return a copy of the state of parameters in one vector."""
    if state[0].device.recorder is not None:
        from tabgrad.tensor.placing import joined_copy

        found = joined_copy(state)
        if found is not None:
            return found
    with using(MODE.get().replace(capture=None)), tg.no_grad():
        return joined(state).clone()


_Dict: Any = dict
_DefaultDict: Any = defaultdict


class _Shown:
    """What a dict answers without asking for its items, of one that finds them elsewhere."""

    def copy(self: Any) -> dict[Any, Any]:
        """Return a dict of its own with the same values."""
        return dict(self)

    def __or__(self: Any, other: Any) -> Any:
        return {**self} | other

    def __ror__(self: Any, other: Any) -> Any:
        return other | {**self}

    def __ior__(self: Any, other: Any) -> Any:
        self.update(other)
        return self

    def __reversed__(self: Any) -> Iterator[Any]:
        return reversed(list(self))

    def __repr__(self: Any) -> str:
        return repr(dict(self))


class ParameterState(_Shown, MutableMapping[str, Any], _Dict):  # type: ignore[misc]
    """The state of one parameter of a Flat, as a dict; tensors are views, so changing them works."""

    def __init__(self, states: States, flat: Flat, i: int) -> None:
        self.states, self.flat, self.i = states, flat, i

    def _names(self) -> list[str]:
        names = [*self.flat.numbers, *self.flat.tensors]
        return [n for n in names if not n.startswith("_")]

    def __getitem__(self, name: str) -> Any:
        if name in self.flat.numbers:
            guard(lambda: self.flat.numbers.get(name))
            return self.flat.numbers[name]
        return self.flat.view(name, self.i)

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self.flat.tensors:
            with tg.no_grad():
                self.flat.view(name, self.i).copy_(value)
            return
        p = self.flat.params[self.i]
        self.states.dissolve(self.flat)
        self.states.loose[p][name] = value

    def __delitem__(self, name: str) -> None:
        p = self.flat.params[self.i]
        self.states.dissolve(self.flat)
        del self.states.loose[p][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (dict(self),)


class States(_Shown, MutableMapping[Tensor, Any], _DefaultDict):  # type: ignore[misc]
    """The state of an optimizer by parameter; an absent one is an empty dict.

    Parameters that belong to a Flat have theirs there, the others in the dict `loose`; the dict that it is to
    Python's C code is empty.
    """

    def __init__(self, counters: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.default_factory = dict
        self.counters = counters
        self.loose: dict[Tensor, dict[str, Any]] = {}
        self.home: dict[Tensor, tuple[Flat, int]] = {}

    def __getitem__(self, p: Tensor) -> Any:
        home = self.home.get(p)
        return self.loose.setdefault(p, {}) if home is None else ParameterState(self, *home)

    def __setitem__(self, p: Tensor, value: Any) -> None:
        if p in self.home:
            self.dissolve(self.home[p][0])
        self.loose[p] = value

    def __delitem__(self, p: Tensor) -> None:
        if p in self.home:
            self.dissolve(self.home[p][0])
        del self.loose[p]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return States, (self.counters,), self.__dict__

    def __repr__(self) -> str:
        return f"defaultdict({dict!r}, {dict(self)!r})"

    def copy(self) -> Any:
        """Return a dict of its own with the same values, that makes absent ones."""
        return defaultdict(dict, dict(self))

    __copy__ = copy

    def _with_state(self) -> list[Tensor]:
        """Return the parameters that have state: plain SGD keeps none, though it has Flats."""
        return [p for p, (flat, _) in self.home.items() if flat.tensors or flat.numbers]

    def __contains__(self, p: object) -> bool:
        home = self.home.get(p) if isinstance(p, Tensor) else None
        return p in self.loose if home is None else bool(home[0].tensors or home[0].numbers)

    # only `state[p]` makes the state of a parameter that has none

    def get(self, p: Tensor, default: Any = None) -> Any:
        """Return the state of a parameter, or the default where there is none."""
        return self[p] if p in self else default

    def setdefault(self, p: Tensor, default: Any = None) -> Any:
        """Return the state of a parameter, after it was set to the default where there is none."""
        if p not in self:
            self[p] = default
        return self[p]

    def pop(self, p: Tensor, *default: Any) -> Any:
        """Forget the state of a parameter, and return it as a dict."""
        if p not in self:
            return dict[Any, Any]().pop(p, *default)
        its = dict(self[p])
        del self[p]
        return its

    def __iter__(self) -> Iterator[Tensor]:
        return iter([*self._with_state(), *self.loose])

    def __len__(self) -> int:
        return len(self._with_state()) + len(self.loose)

    def clear(self) -> None:
        """Forget all state."""
        for flat in {id(h[0]): h[0] for h in self.home.values()}.values():
            self._release(flat)
        self.loose.clear()

    def dissolve(self, flat: Flat) -> None:
        """Hand the state of a Flat back to its parameters, one by one."""
        with tg.no_grad():
            states = [
                flat.numbers | {name: flat.view(name, i) for name in flat.tensors}
                for i in range(len(flat.params))
            ]
        self._release(flat)
        self.loose.update(zip(flat.params, states, strict=True))

    def leave(self) -> None:
        """Let compiled steps that use this state trace again: the optimizer has another."""
        for flat, _ in self.home.values():
            flat.retired = True

    def _release(self, flat: Flat) -> None:
        """Forget a Flat, and the state in it: its tensors may be of a device that was lost."""
        flat.retired = True
        for p in flat.params:
            self.home.pop(p, None)  # a step that raised may have settled some

    def gather(self, params: list[Tensor]) -> list[Flat]:
        """Return Flats that hold exactly these parameters, rearranging what there is."""
        for flat in {id(h[0]): h[0] for p in params if (h := self.home.get(p))}.values():
            self.dissolve(flat)
        groups: dict[Any, list[Tensor]] = {}
        for p, turn in zip(params, _turns(params), strict=True):
            own = self.loose.setdefault(p, {})
            for name in self.counters:
                if isinstance(own.get(name), Tensor):
                    own[name] = as_number(name, own[name])
            tensors = frozenset(n for n, v in own.items() if isinstance(v, Tensor))
            numbers = frozenset(
                (n, v) for n, v in own.items() if not isinstance(v, Tensor) and v is not None
            )
            groups.setdefault((turn, p.dtype, p.device, tensors, numbers), []).append(p)
        return [self._settle(groups[key]) for key in sorted(groups, key=itemgetter(0))]

    def _settle(self, members: list[Tensor]) -> Flat:
        flat = Flat(members)
        first = self.loose[members[0]]
        flat.numbers = {
            n: v for n, v in first.items() if not isinstance(v, Tensor) and v is not None
        }
        for name in [n for n, v in first.items() if isinstance(v, Tensor)]:
            flat.tensors[name] = _joined_copy([self.loose[p][name] for p in members])
        for i, p in enumerate(members):
            del self.loose[p]
            self.home[p] = (flat, i)
        return flat

    def tensors(self) -> list[Tensor]:
        """Return the tensors that the state lies in."""
        flats = {id(h[0]): h[0] for h in self.home.values()}.values()
        loose = [v for own in self.loose.values() for v in own.values() if isinstance(v, Tensor)]
        return [*(t for flat in flats for t in flat.tensors.values()), *loose]

    def kept(self) -> Callable[[], None]:
        """Return a function that restores the counters, and drops the state of parameters without any now."""
        known = {id(p) for p in self}
        flats = {id(h[0]): h[0] for h in self.home.values()}.values()
        numbers = [(flat, dict(flat.numbers)) for flat in flats]
        loose = [(p, own, dict(own)) for p, own in self.loose.items()]

        def back() -> None:
            for p in [p for p in self if id(p) not in known]:
                del self[p]
            for flat, its in numbers:
                flat.numbers.clear()
                flat.numbers.update(its)
                for i, p in enumerate(flat.params if flat.retired else ()):
                    self[p] = its | {name: flat.view(name, i) for name in flat.tensors}
            for p, own, its in loose:
                own.clear()
                own.update(its)
                if self.loose.get(p) is not own:
                    self[p] = own

        return back

    def load(self, given: dict[Tensor, dict[str, Any]]) -> None:
        """Replace all state; a Flat whose parameters still agree keeps its place, so that a compiled
        step goes on with the loaded values."""
        for flat in {id(h[0]): h[0] for h in self.home.values()}.values():
            if not _refill(flat, given):
                self._release(flat)
        for p in [p for p in self.loose if p not in given]:
            del self.loose[p]
        for p, own in given.items():
            if p not in self.home:
                # the same dict: a compiled step may hold on to it
                mine = self.loose.setdefault(p, {})
                mine.clear()
                mine.update(own)


class State:
    """The attribute `state` of optimizers: whatever dict is assigned, steps find a States."""

    def __get__(self, optimizer: Any, owner: Any = None) -> States:
        if optimizer is None:
            return cast("States", self)
        try:
            found = optimizer.__dict__["state"]
        except KeyError:
            raise AttributeError(f"{owner.__name__} has no state yet") from None
        if isinstance(found, Mapping) and not isinstance(found, States):
            self.__set__(optimizer, found)
            return self.__get__(optimizer, owner)
        its: States = found
        return its

    def __set__(self, optimizer: Any, value: Any) -> None:
        before = optimizer.__dict__.get("state")
        if isinstance(value, Mapping) and not isinstance(value, States):
            made = States(optimizer._counters)
            made.loose.update(value)
            value = made
        if isinstance(before, States) and before is not value:
            before.leave()
        optimizer.__dict__["state"] = value


def _turns(params: list[Tensor]) -> list[int]:
    """Return in which turn each parameter changes: after those before it whose memory it shares a part of.

    In one vector the last of them would be written over the changes of the others.
    """
    turns: list[int] = []
    known: dict[int, list[tuple[int, int, int]]] = {}
    for p in params:
        root = root_of(p)
        start, stop = _extent(p)
        its = known.setdefault(id(root if root.alias is None else root.alias), [])
        turn = max([t + 1 for first, last, t in its if first < stop and start < last], default=0)
        its.append((start, stop, turn))
        turns.append(turn)
    return turns


def _extent(p: Tensor) -> tuple[int, int]:
    """Return the places in the memory of its root between which all elements of a parameter lie."""
    shape = p.spec.shape
    if not p.spec.size:
        return 0, 0
    if not isinstance(p.alias, View):
        return 0, p.spec.size
    steps, start = p.alias.strides
    return start, start + 1 + sum([(n - 1) * s for n, s in zip(shape, steps, strict=True)])


def _refill(flat: Flat, given: dict[Tensor, dict[str, Any]]) -> bool:
    owns = [given.get(p) for p in flat.params]
    first = owns[0]
    if first is None:
        return False
    numbers = {n: v for n, v in first.items() if not isinstance(v, Tensor)}
    for own in owns:
        if own is None or set(own) != set(first) or any(own[n] != v for n, v in numbers.items()):
            return False
    if set(first) - set(numbers) != set(flat.tensors):
        return False
    flat.numbers.update(numbers)
    with tg.no_grad():
        for name, t in flat.tensors.items():
            t.copy_(joined([own[name] for own in owns if own is not None]))
    return True
