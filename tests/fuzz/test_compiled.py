"""Random programs with `tabgrad.compile` and without it: the same numbers, objects, sharing and effects."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings, strategies as st

import tabgrad as tg
from tests.fuzz.compiled import Event, Program, make

pytestmark = pytest.mark.one_host("wgpu")
NAMES = (
    "SCALE COUNT LOG ITEMS TABLE obj layer rnn h w m base piece twin extra ticks model optimizer xs ys arr"
).split()
TALLY: Counter[str] = Counter()
"""Of all calls of the compiled side: `calls`, `traces`, `replays`; of the third of three that are the same in a
program that can be replayed `ought`, and those of them that were: `did`."""


@pytest.fixture(autouse=True)
def on_device(device: str) -> Any:
    tg.set_default_device(device)
    yield
    tg.set_default_device(None)


class Run:
    """A program as one side runs it, and what is seen of it."""

    def __init__(self, program: Program, compiled: bool) -> None:
        self.program = program
        self.compiled: Any = None
        self.seen: list[tuple[str, Any]] = []
        self.space: dict[str, Any] = {
            "__name__": "program",
            "wrap": self.wrap if compiled else _as_is,
        }
        exec(program.setup, self.space)
        exec(program.body, self.space)
        for event in program.events:
            if event.call:
                self.call(event)
            else:
                self.seen.append(
                    (event.text, self.attempt(lambda e=event: exec(e.text, self.space)))
                )
                self.look(event.text)

    def wrap(self, fn: Any) -> Any:
        self.compiled = tg.compile(fn, dynamic=self.program.dynamic)
        return self.compiled

    def attempt(self, act: Any) -> Any:
        """Return what `act` gives, or the name of the error."""
        try:
            return act()
        except (RuntimeError, ValueError, IndexError, TypeError, AttributeError, KeyError) as error:
            return f"{type(error).__name__}"

    def call(self, event: Event) -> None:
        context = eval(f"tg.{event.mode}", self.space) if event.mode else contextlib.nullcontext()
        traces = 0
        if self.compiled is not None:
            traces, self.compiled.reason = self.compiled.traces, "?"
        with context:
            result = self.attempt(lambda: eval(event.text, self.space))
        if self.compiled is not None:
            self.count(event, traces)
        tensors = [t for t in _tensors(result) if t.is_floating_point()]
        self.seen.append((event.text, shown(result)))
        if event.poke >= 0 or event.repeats == 2:
            self.look(event.text)
        if 0 <= event.poke < len(tensors):
            target = tensors[event.poke]
            with tg.no_grad():
                self.seen.append(("write", self.attempt(lambda: shown(target.mul_(0.5)))))
            self.seen.append(("the results after a write", shown(result)))
            self.look("write to a result")
        if event.backward:
            total = [t.sum() for t in tensors if t.requires_grad]
            if total:
                self.seen.append(("backward", self.attempt(lambda: sum(total).backward())))
                self.look("backward")

    def count(self, event: Event, traces: int) -> None:
        TALLY["calls"] += 1
        TALLY["traces"] += self.compiled.traces - traces
        replayed = self.compiled.traces == traces and self.compiled.reason is None
        TALLY["replays"] += replayed
        if self.program.repeatable and event.repeats == 2 and not self.compiled.causes:
            TALLY["ought"] += 1
            TALLY["did"] += replayed

    def look(self, text: str) -> None:
        """Note all state."""
        seen: dict[int, Any] = {}
        state = {name: shown(self.space[name], seen) for name in NAMES}
        state["random"] = shown([tg.get_rng_state(), self.space["gen"].get_state()], seen)
        self.seen.append((f"state after {text}", state))


def _as_is(fn: Any) -> Any:
    return fn


def _tensors(x: Any) -> list[Any]:
    found: list[Any] = []
    for t in _leaves(x):
        if isinstance(t, tg.Tensor) and not any(t is other for other in found):
            found.append(t)
    return found


def _leaves(x: Any) -> list[Any]:
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        return [leaf for item in x for leaf in _leaves(item)]
    return [x]


def shown(x: Any, seen: dict[int, Any] | None = None) -> Any:
    """Return what there is to see of a value: numbers, kinds, and which of them are one object."""
    seen = {} if seen is None else seen
    if isinstance(x, tg.Tensor):
        if id(x) in seen:
            return f"tensor {seen[id(x)][0]} again"
        seen[id(x)] = (len(seen), x)  # held, so that no other gets its id
        grad = shown(x.grad, seen) if x.is_leaf else None
        numbers = x.detach().tolist()
        return ("tensor", numbers, str(x.dtype), tuple(x.shape), x.requires_grad, x.is_leaf, grad)
    if isinstance(x, dict):
        return {str(k): shown(v, seen) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(shown(v, seen) for v in x)
    if isinstance(x, tg.optim.Optimizer):
        params = [p for group in x.param_groups for p in group["params"]]
        return [
            shown(x.param_groups, seen),
            [shown(dict(x.state.get(p, {})), seen) for p in params],
        ]
    if isinstance(x, tg.nn.Module):
        fields = {k: v for k, v in vars(x).items() if isinstance(v, bool | int | float | tg.Tensor)}
        own = [*x.named_parameters(recurse=False), *x.named_buffers(recurse=False)]
        return [shown(fields, seen), shown(own, seen), [shown(c, seen) for c in x.children()]]
    if type(x).__name__ == "Options":
        return shown(vars(x), seen)
    if hasattr(x, "__next__"):
        return [shown(v, seen) for v in x]
    if type(x).__name__ == "ndarray":
        return x.tolist()
    return (
        x
        if isinstance(x, float)
        else repr(x)
        if isinstance(x, int | str | None)
        else type(x).__name__
    )


def close(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-3 * max(1.0, abs(a)) or (a != a and b != b)
    if isinstance(a, list | tuple) and type(a) is type(b) and len(a) == len(b):
        return all(map(close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(close(a[k], b[k]) for k in a)
    return bool(a == b)


def difference(a: Any, b: Any, path: str = "") -> str:
    """Return where two things seen differ first."""
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        at: Any = next(k for k in a if not close(a[k], b[k]))
    elif isinstance(a, list | tuple) and type(a) is type(b) and len(a) == len(b):
        at = next(i for i in range(len(a)) if not close(a[i], b[i]))
    else:
        return f"{path}: {a} plain, {b} compiled"
    return difference(a[at], b[at], f"{path}[{at}]")


def check(program: Program) -> None:
    """Run a program both ways and compare all that was seen."""
    note(program.text())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        plain = Run(program, False)
        fast = Run(program, True)
    for i, (a, b) in enumerate(zip(plain.seen, fast.seen, strict=True)):
        if not close(a[1], b[1]):
            raise AssertionError(f"event {i}, {a[0]}: {difference(a[1], b[1])}")


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(deadline=None, suppress_health_check=CHECKS)
@given(data=st.data())
def programs(data: Any) -> None:
    try:
        check(make(data.draw, data.draw(st.booleans())))
    except BaseException:
        # What was recorded and never ran must not be part of the next program.
        tg.get_default_device()._backend = None
        raise


def test_a_compiled_call_is_the_call() -> None:
    TALLY.clear()
    programs()
    # A few programs end with an error each time.
    assert TALLY["did"] > 0.9 * TALLY["ought"] > 5, TALLY
    assert TALLY["replays"] > TALLY["calls"] / 5, TALLY
