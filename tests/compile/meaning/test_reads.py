"""Python state that a compiled call reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn
from tests.compile.meaning.support import (
    MARKS,
    Options,
    Programs,
    Seen,
    Slotted,
    Wrap,
    same_both_ways,
    t,
)

pytestmark = MARKS
program = Programs()
SCALE = 2.0
COUNT = 0


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


@program
def globals_and_cells(wrap: Wrap, seen: Seen) -> None:
    shift = 1.0

    def step(x: Any) -> Any:
        return x * SCALE + shift

    f = wrap(step)
    for scale, shift in ((2.0, 1.0), (5.0, 1.0), (5.0, 3.0), (0.0, 3.0), (-0.0, 3.0), (2.0, 1.0)):
        globals()["SCALE"] = scale
        seen += [f(t(1, 2)), f(t(3, 4)), (f(t(0, 1)) - shift)]


class Meta:
    factor = 2.0

    @property
    def twice(self) -> float:
        return self.factor * 2


@program
def attributes_items_and_classes(wrap: Wrap, seen: Seen) -> None:
    options, slotted, meta = Options(inner=Options()), Slotted(), Meta()
    table = {"a": [1.0, {"b": 2.0}], "s": {1, 2}}

    def step(x: Any) -> Any:
        y = x * options.scale * options.inner.scale + sum(options.sizes)
        y = y + table["a"][0] * table["a"][1]["b"] + len(table["s"])
        return y * slotted.scale * meta.twice

    f = wrap(step)

    def look() -> None:
        seen.extend([f(t(1, 2)), f(t(2, 3))])

    look()
    for change in (
        lambda: setattr(options, "scale", 3.0),
        lambda: setattr(options.inner, "scale", 3.0),
        lambda: options.sizes.append(7),
        lambda: table["a"].__setitem__(0, 9.0),
        lambda: table["a"][1].update(b=4.0),
        lambda: table["s"].add(5),
        lambda: setattr(slotted, "scale", 1.5),
        lambda: setattr(Meta, "factor", 5.0),
        lambda: setattr(meta, "factor", 7.0),
        lambda: setattr(options, "inner", Options(scale=9.0)),
        lambda: table.pop("s") and table.update(s={8}),
    ):
        change()
        look()
    Meta.factor = 2.0


@program
def names_that_are_computed(wrap: Wrap, seen: Seen) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain_0, self.gain_1, self.unused = 2.0, 3.0, 1.0

        def forward(self, x: Any) -> Any:
            for i in range(2):
                x = x * getattr(self, f"gain_{i}")
            return x

    model = Net()
    f = wrap(model)
    for gain in (3.0, 4.0, 3.0):
        seen += [f(t(1, 2)), f(t(2, 3))]
        model.gain_1 = gain
    seen.append(f(t(1, 2)))


@program
def functions_and_methods_replaced(wrap: Wrap, seen: Seen) -> None:
    class Net(nn.Module):
        def inner(self, x: Any) -> Any:
            return x + 1

        def forward(self, x: Any) -> Any:
            return self.inner(x) * ACT(x)

    model = Net()
    f = wrap(model)
    for change in (
        lambda: None,
        lambda: setattr(Net, "inner", lambda self, x: x + 2),
        lambda: setattr(model, "inner", lambda x: x + 3),
        lambda: globals().update(ACT=tg.sin),
        lambda: setattr(model, "forward", lambda x: x),
    ):
        change()
        seen += [f(t(1, 2)), f(t(2, 3))]
    globals()["ACT"] = tg.tanh


ACT: Any = tg.tanh


@program
def defaults_of_functions(wrap: Wrap, seen: Seen) -> None:
    def inner(x: Any, k: float = 2.0, *, s: float = 1.0) -> Any:
        return x * k + s

    f = wrap(lambda x: inner(x))
    seen += [f(t(1, 2)), f(t(1, 2))]
    inner.__defaults__ = (3.0,)
    seen += [f(t(1, 2)), f(t(1, 2))]
    inner.__kwdefaults__ = {"s": 5.0}
    seen += [f(t(1, 2)), f(t(1, 2))]


@program
def tensors_that_are_replaced(wrap: Wrap, seen: Seen) -> None:
    box = Options(inner=t(1, 2))
    weights = [t(1, 1), t(2, 2)]

    def step(x: Any) -> Any:
        for w in weights:
            x = x * w
        return x + box.inner

    f = wrap(step)
    for change in (
        lambda: None,
        lambda: box.inner.add_(1),
        lambda: setattr(box, "inner", t(5, 6)),
        lambda: weights.append(t(3, 3)),
        lambda: weights.__setitem__(0, t(0, 1)),
        lambda: setattr(weights[1], "data", t(7, 7)),
        lambda: setattr(box, "inner", tg.ones(2, 2)),
    ):
        change()
        seen += [f(t(1, 2)), f(t(2, 3))]


@program
def arrays_outside(wrap: Wrap, seen: Seen) -> None:
    table = np.array([1.0, 2.0], np.float32)
    f = wrap(lambda x: x + tg.tensor(table) * float(table[0]))
    for i in range(3):
        seen += [f(t(1, 2)), f(t(2, 3))]
        table[i % 2] += 1


def test_changes_that_the_call_does_not_read_are_not_traced_anew() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale, self.note = 2.0, 0

        def forward(self, x: Any) -> Any:
            return x * self.scale

    model = Net()
    f: Any = tg.compile(model)
    for i in range(20):
        model.note = i
        model.extra = i
        globals()["COUNT"] = i
        assert f(t(1, i)).tolist() == [2, 2 * i]
    assert f.traces == 1
