"""Whoever takes `tabgrad.compile` away sees the same numbers, objects changed, and Python effects.

Each program runs twice, plain and compiled, and says what it saw; both must have seen the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, optim

pytestmark = [
    pytest.mark.one_host("wgpu", "cuda"),
    pytest.mark.filterwarnings("ignore:tabgrad.compile"),
]
Wrap = Callable[[Any], Any]
Seen = list[Any]
PROGRAMS: dict[str, Callable[[Wrap, Seen], None]] = {}
SCALE = 2.0
COUNT = 0
LOG: list[Any] = []


@pytest.fixture(autouse=True)
def on_device(device: str) -> Any:
    tg.set_default_device(device)
    yield
    tg.set_default_device(None)
    tg.set_default_dtype(tg.float32)


def program(fn: Callable[[Wrap, Seen], None]) -> Callable[[Wrap, Seen], None]:
    PROGRAMS[fn.__name__] = fn
    return fn


def values(x: Any) -> Any:
    """Return what there is to see of a value."""
    if isinstance(x, tg.Tensor):
        return ("tensor", x.tolist(), x.dtype, tuple(x.shape), x.requires_grad)
    if isinstance(x, dict):
        return {k: values(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return type(x)(map(values, x))
    return x if isinstance(x, float) else repr(x)


@pytest.mark.parametrize("fn", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    plain: Seen = []
    fast: Seen = []
    for wrap, seen in ((lambda f: f, plain), (tg.compile, fast)):
        tg.manual_seed(7)
        globals().update(SCALE=2.0, COUNT=0)
        LOG.clear()
        fn(wrap, seen)
    assert len(plain) > 2
    for i, (a, b) in enumerate(zip(plain, fast, strict=True)):
        assert close(values(a), values(b)), f"{i}: {values(a)} plain, {values(b)} compiled"


def close(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, rel=1e-3, abs=1e-5, nan_ok=True)
    if isinstance(a, list | tuple) and type(a) is type(b) and len(a) == len(b):
        return all(map(close, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(close(a[k], b[k]) for k in a)
    return bool(a == b)


def t(*numbers: float) -> Any:
    return tg.tensor([float(n) for n in numbers])


# -- arguments that are written --------------------------------------------------------------------


@program
def an_argument_is_scaled(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda w: w.mul_(2).sum())
    w, v = t(1, 3), t(5, 6)
    for x in (w, w, w, v, w, v):
        seen += [f(x).item(), w.tolist(), v.tolist()]


@program
def an_output_argument(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda out, x: out.copy_(x * 3))
    for i in range(4):
        out = tg.zeros(2)
        got = f(out, t(i, i + 1))
        seen += [out.tolist(), got is out]


@program
def a_cache_of_keys(wrap: Wrap, seen: Seen) -> None:
    def step(cache: Any, k: Any, n: int) -> Any:
        cache[:, n] = k
        return cache.sum()

    f = wrap(step)
    a, b = tg.zeros(2, 3), tg.ones(2, 3)
    for cache in (a, b, a, b):
        for n in range(3):
            seen += [f(cache, t(n + 1, 2), n).item(), a.tolist(), b.tolist()]


@program
def descent_on_arguments(wrap: Wrap, seen: Seen) -> None:
    def step(w: Any, x: Any) -> Any:
        loss = ((w * x).sum() - 1) ** 2
        (g,) = tg.autograd.grad(loss, w)
        with tg.no_grad():
            w -= 0.1 * g
        return loss.detach()

    f = wrap(step)
    w, v = t(1, 2).requires_grad_(), t(-1, 2).requires_grad_()
    for x in (w, w, v, w, v):
        seen += [f(x, t(1, 0.5)), w, v]


@program
def gradients_of_arguments(wrap: Wrap, seen: Seen) -> None:
    def back(w: Any) -> None:
        if w.grad is not None:
            w.grad.zero_()
        (w * w).sum().backward()

    f = wrap(back)
    w, v = t(1, 2).requires_grad_(), t(-1, 2).requires_grad_()
    for x in (w, w, v, w, v, v):
        f(x)
        seen += [w.grad, v.grad]
        with tg.no_grad():
            x += 1


@program
def gradients_add_up_in_the_same_tensor(wrap: Wrap, seen: Seen) -> None:
    def back(w: Any, x: Any) -> None:
        (w * x).sum().backward()

    f = wrap(back)
    w = t(1, 2).requires_grad_()
    f(w, t(1, 1))
    held = w.grad
    for i in range(3):
        f(w, t(i, 1))
        seen += [w.grad is held, held.tolist()]
    w.grad = None
    f(w, t(1, 1))
    seen += [w.grad is held, held.tolist(), w.grad.tolist()]


@program
def a_view_made_inside_is_written(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any) -> Any:
        x[1:].add_(10)
        return x.sum()

    f = wrap(step)
    a, b = t(1, 2, 3), t(4, 5, 6)
    inside = a[2:]
    for x in (a, b, a, a, b):
        seen += [f(x).item(), a.tolist(), b.tolist(), inside.tolist()]


@program
def an_argument_that_is_a_view_is_written(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x: x.add_(1).sum())
    a, b = tg.zeros(3, 2), tg.ones(3, 2)
    for x in (a[0], b[1], a[0], a[2], b[1]):
        seen += [f(x).item(), a.tolist(), b.tolist()]


@program
def a_detached_sibling_is_written(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x: x.detach().mul_(3).sum())
    a, b = t(1, 2), t(3, 4)
    sibling = a.detach()
    for x in (a, a, b, a):
        seen += [f(x).item(), a.tolist(), b.tolist(), sibling.tolist()]


# -- identity and sharing --------------------------------------------------------------------------


@program
def an_argument_is_returned(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, y: (x * 2, y))
    for i in range(4):
        x, y = t(i), t(10 + i)
        a, b = f(x, y)
        seen += [a.tolist(), b is y, b.tolist()]


@program
def modules_that_do_nothing(wrap: Wrap, seen: Seen) -> None:
    for module in (nn.Identity(), nn.Dropout().eval(), nn.Flatten(0), nn.Flatten()):
        f = wrap(module)
        for i in range(3):
            x = tg.full((2, 2), float(i))
            y = f(x)
            seen += [y is x, y.tolist()]
            y.add_(1)
            seen.append(x.tolist())


@program
def results_share(wrap: Wrap, seen: Seen) -> None:
    def make(x: Any) -> Any:
        y = x * 2
        return y, y, y.view(-1), y[0], y.detach(), y.detach()[1]

    f = wrap(make)
    for i in range(4):
        y, z, flat, row, apart, last = f(tg.full((2, 2), float(i)))
        seen.append(y is z)
        flat.add_(1)
        seen += [y.tolist(), row.tolist(), apart.tolist(), last.tolist()]
        row.mul_(5)
        apart.sub_(1)
        seen += [y.tolist(), flat.tolist(), apart.tolist(), last.tolist()]


@program
def views_of_a_hidden_base(wrap: Wrap, seen: Seen) -> None:
    def make(x: Any) -> Any:
        y = x + 1
        return y[0], y.T

    f = wrap(make)
    for i in range(4):
        a, b = f(tg.full((2, 2), float(i)))
        a.zero_()
        seen += [a.tolist(), b.tolist()]


@program
def one_tensor_twice(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any, y: Any) -> Any:
        x.add_(1)
        return (x * y).sum()

    f = wrap(step)
    a, b = t(1, 2), t(3, 4)
    for x, y in ((a, b), (a, a), (a, b), (b, b), (a, a.detach()), (b, a)):
        seen += [f(x, y).item(), a.tolist(), b.tolist()]


@program
def a_state_is_returned(wrap: Wrap, seen: Seen) -> None:
    total = t(0, 0)

    def add(x: Any) -> Any:
        total.add_(x)
        return total, total[1:]

    f = wrap(add)
    for i in range(4):
        a, b = f(t(i, 1))
        seen += [a is total, a.tolist(), b.tolist()]
        b.add_(100)
        seen.append(total.tolist())


@program
def the_state_is_an_argument(wrap: Wrap, seen: Seen) -> None:
    total = t(1, 1)

    def add(x: Any) -> Any:
        total.add_(1)
        return (x * 2).sum()

    f = wrap(add)
    for x in (t(1, 2), t(1, 2), total, t(1, 2), total, total[:1], total.detach()):
        seen += [f(x).item(), total.tolist()]


@program
def a_parameter_is_returned(wrap: Wrap, seen: Seen) -> None:
    layer = nn.Linear(2, 2)
    f = wrap(lambda: layer.weight)
    for _ in range(3):
        seen += [f() is layer.weight, f().requires_grad]


@program
def gradients_are_returned(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()

    def back(x: Any) -> Any:
        w.grad = None
        (w * x).sum().backward()
        return w.grad

    f = wrap(back)
    for i in range(4):
        g = f(t(i, 1))
        seen += [g is w.grad, g.tolist()]


# -- what a call depends on ------------------------------------------------------------------------


def net() -> tuple[Any, Any, Any]:
    tg.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    return model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9), tg.randn(5, 3)


def training(wrap: Wrap, changes: list[Callable[[Any, Any], Any]], seen: Seen) -> None:
    model, optimizer, x = net()

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    f = wrap(step)
    for change in (None, *changes, None):
        if change is not None:
            change(model, optimizer)
        for _ in range(3):
            seen.append(f(x).item())
        seen += [p.tolist() for p in model.parameters()]
        seen += [b.tolist() for b in model.buffers()]
        seen.append([p.grad is None for p in model.parameters()])


def twice(wrap: Wrap, seen: Seen, there: Any, back: Any = None) -> None:
    training(wrap, [there] if back is None else [there, back, there], seen)


@program
def freezing(wrap: Wrap, seen: Seen) -> None:
    twice(wrap, seen, lambda m, o: m[0].requires_grad_(False), lambda m, o: m[0].requires_grad_())


@program
def modes(wrap: Wrap, seen: Seen) -> None:
    twice(wrap, seen, lambda m, o: m.eval(), lambda m, o: m.train())


@program
def one_mode(wrap: Wrap, seen: Seen) -> None:
    twice(wrap, seen, lambda m, o: m[2].eval(), lambda m, o: setattr(m[2], "training", True))


@program
def dropout_p(wrap: Wrap, seen: Seen) -> None:
    twice(wrap, seen, lambda m, o: setattr(m[2], "p", 0.0), lambda m, o: setattr(m[2], "p", 1.0))


@program
def norm_options(wrap: Wrap, seen: Seen) -> None:
    twice(
        wrap, seen, lambda m, o: setattr(m[1], "momentum", 0.5), lambda m, o: setattr(m[1], "eps", 1.0)
    )  # fmt: skip


@program
def bias_taken_away(wrap: Wrap, seen: Seen) -> None:
    twice(wrap, seen, lambda m, o: setattr(m[3], "bias", None))


@program
def a_layer_more(wrap: Wrap, seen: Seen) -> None:
    twice(wrap, seen, lambda m, o: m.append(nn.Tanh()), lambda m, o: m.pop(-1))


@program
def another_layer(wrap: Wrap, seen: Seen) -> None:
    twice(wrap, seen, lambda m, o: m.__setitem__(2, nn.ReLU()))


@program
def a_group_more(wrap: Wrap, seen: Seen) -> None:
    def more(m: Any, o: Any) -> None:
        extra = nn.Linear(2, 2)
        m.append(extra)
        o.add_param_group({"params": extra.parameters(), "lr": 0.5})

    twice(wrap, seen, more)


@program
def options_of_groups(wrap: Wrap, seen: Seen) -> None:
    training(
        wrap,
        [
            lambda m, o: o.param_groups[0].update(lr=0.01),
            lambda m, o: o.param_groups[0].update(nesterov=True),
            lambda m, o: o.param_groups[0].update(weight_decay=0.1),
            lambda m, o: o.param_groups[0].update(momentum=0.5),
            lambda m, o: o.param_groups[0]["params"].pop(),
        ],
        seen,
    )


@program
def loading(wrap: Wrap, seen: Seen) -> None:
    def load(assign: bool) -> Any:
        def change(m: Any, o: Any) -> None:
            state = {k: v.clone() + 0.5 for k, v in m.state_dict().items()}
            m.load_state_dict(state, assign=assign)

        return change

    twice(wrap, seen, load(False), load(True))


@program
def hooks(wrap: Wrap, seen: Seen) -> None:
    handles: list[Any] = []

    def clip(optimizer: Any, args: Any, kwargs: Any) -> None:
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 0.1)

    def later(register: Callable[[Any, Any], Any]) -> Any:
        return lambda m, o: handles.append(register(m, o))

    training(
        wrap,
        [
            later(lambda m, o: m[0].register_forward_hook(lambda mod, args, y: y * 2)),
            later(lambda m, o: m[3].register_forward_pre_hook(lambda mod, args: (args[0] + 1,))),
            later(lambda m, o: m[0].register_full_backward_hook(lambda mod, gi, go: None)),
            later(lambda m, o: m[0].weight.register_hook(lambda g: g * 3)),
            later(
                lambda m, o: m[3].weight.register_post_accumulate_grad_hook(
                    lambda p: setattr(p, "grad", p.grad * 0.5)
                )
            ),
            later(lambda m, o: o.register_step_pre_hook(clip)),
            later(
                lambda m, o: nn.modules.module.register_module_forward_hook(
                    lambda mod, args, y: y + 0.01
                )
            ),
            lambda m, o: [h.remove() for h in handles],
        ],
        seen,
    )


@program
def autocast(wrap: Wrap, seen: Seen) -> None:
    kind = tg.get_default_device().type
    f = wrap(lambda a, b: a @ b)
    a, b = tg.randn(4, 4), tg.randn(4, 4)
    for on in (False, True, False, True):
        with tg.autocast(kind, tg.bfloat16, enabled=on):
            seen += [f(a, b).dtype, f(a, b).float()]


@program
def default_dtype(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x: tg.zeros(2) + tg.ones(2) * x.sum())
    for dtype in (tg.float32, tg.bfloat16, tg.float32, tg.bfloat16):
        tg.set_default_dtype(dtype)
        seen += [f(t(1, 2).float()).dtype] * 2
    tg.set_default_dtype(tg.float32)


@program
def grad_modes(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()
    f = wrap(lambda x: w * x)
    for _ in range(2):
        with tg.no_grad():
            seen += [f(t(1, 1)), f(t(2, 1))]
        with tg.inference_mode():
            seen += [f(t(1, 1)).is_inference(), f(t(1, 1)).is_inference()]
        seen += [f(t(1, 1)), f(t(2, 1))]


# -- Python state that is read ---------------------------------------------------------------------


@program
def globals_and_cells(wrap: Wrap, seen: Seen) -> None:
    shift = 1.0

    def step(x: Any) -> Any:
        return x * SCALE + shift

    f = wrap(step)
    for scale, shift in ((2.0, 1.0), (5.0, 1.0), (5.0, 3.0), (0.0, 3.0), (-0.0, 3.0), (2.0, 1.0)):
        globals()["SCALE"] = scale
        seen += [f(t(1, 2)), f(t(3, 4)), (f(t(0, 1)) - shift)]


@dataclasses.dataclass
class Options:
    scale: float = 2.0
    sizes: list[int] = dataclasses.field(default_factory=lambda: [1, 2])
    inner: Any = None


class Slotted:
    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 2.0


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


# -- arguments that are no tensors -----------------------------------------------------------------


@program
def arrays(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, a: x + tg.tensor(a))
    for i in range(5):
        seen.append(f(t(1, 2), np.full(2, i, np.float32)))
        seen.append(f(t(1, 2), np.full(2, i)))


@program
def arrays_that_python_reads(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any, a: Any) -> Any:
        return x * float(a[0]) + a.sum() + np.mean(a) if a.any() else x

    f = wrap(step)
    for i in range(4):
        for _ in range(2):
            seen.append(f(t(1, 2), np.full(2, i, np.float32)))


@program
def values_as_arguments(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, k: x * (k if isinstance(k, int | float) else len(k)))
    for k in (1, True, 1.0, 2.0, 0.0, -0.0, {1, 2}, {1, 2, 3}, frozenset((1,)), "ab", float("nan")):
        for _ in range(2):
            seen.append((t(1, 2) / f(t(1, 2), k)).tolist())


@program
def objects_as_arguments(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, o: x * o.scale + len(o.sizes))
    fixed = Options(3.0)
    for o in (Options(), Options(), Options(4.0), fixed, fixed, Options(sizes=[])):
        seen.append(f(t(1, 2), o))
    fixed.scale = 8.0
    seen.append(f(t(1, 2), fixed))
    slotted = Slotted()
    g = wrap(lambda x, s: x * s.scale)
    for i in range(4):
        slotted.scale = 2.0 + i // 2
        seen.append(g(t(1, 2), slotted))


@program
def objects_with_tensors(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda x, o: x + o.inner)
    for i in range(4):
        seen.append(f(t(1, 2), Options(inner=t(i, i))))


@program
def lists_and_dicts_of_tensors(wrap: Wrap, seen: Seen) -> None:
    f = wrap(lambda xs, d: sum(xs) * d["k"] + d["w"])
    for i in range(4):
        seen.append(f([t(i), t(i + 1)], {"k": 2 + i // 2, "w": t(i)}))
        seen.append(f([t(i)], {"w": t(i), "k": 3.0}))


@program
def tensors_of_the_cpu(wrap: Wrap, seen: Seen) -> None:
    where = tg.get_default_device()

    def step(x: Any) -> Any:
        return x.to(where) * 2

    f = wrap(step)
    for i in range(4):
        x = tg.tensor([1.0, float(i)], device="cpu")
        seen += [f(x), f(x)]
        x.add_(1)
        seen.append(f(x))


# -- Python state that is written ------------------------------------------------------------------


@program
def counters_and_lists(wrap: Wrap, seen: Seen) -> None:
    box, table, local = Options(), {"n": 0}, 0

    def step(x: Any) -> Any:
        global COUNT
        nonlocal local
        COUNT += 1
        local += 2
        box.scale += 1
        table["n"] += 1
        table[f"k{COUNT}"] = COUNT
        LOG.append(COUNT)
        box.sizes.extend((COUNT, local))
        return x * COUNT, local

    f = wrap(step)
    for _ in range(4):
        seen += [f(t(1, 2)), COUNT, local, box.scale, dict(table), list(LOG), list(box.sizes)]


@program
def a_hidden_state(wrap: Wrap, seen: Seen) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.h: Any = None

        def forward(self, x: Any) -> Any:
            h = self.layer(x) if self.h is None else tg.tanh(self.layer(x) + self.h)
            self.h = h.detach()
            return self.h

    tg.manual_seed(1)
    model = Net()
    f = wrap(model)
    for i in range(5):
        seen += [f(tg.ones(1, 2) * i), model.h]
    model.h = None
    seen.append(f(tg.ones(1, 2)))


@program
def a_scheduler_inside(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()
    optimizer = optim.SGD([w], lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()
        scheduler.step()

    f = wrap(step)
    for _ in range(6):
        f(t(1, 1))
        seen += [w, scheduler.get_last_lr(), scheduler.last_epoch]


@program
def an_optimizer_of_a_user(wrap: Wrap, seen: Seen) -> None:
    class Mine(optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.1})

        def step(self) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["step"] = state.get("step", 0) + 1
                    with tg.no_grad():
                        p -= group["lr"] * p.grad / state["step"]

    w = t(1, 2).requires_grad_()
    optimizer = Mine([w])

    def step(x: Any) -> None:
        optimizer.zero_grad()
        (w * x).sum().backward()
        optimizer.step()

    f = wrap(step)
    for i in range(5):
        f(t(1, 1))
        optimizer.param_groups[0]["lr"] = 0.1 * i
        seen += [w, optimizer.state[w]["step"]]


@program
def learning_rates_in_python(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()
    optimizer = optim.Adam([w], lr=0.1)
    it = 0

    def step(x: Any) -> Any:
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + it)
        optimizer.zero_grad()
        loss = (w * x).sum()
        loss.backward()
        optimizer.step()
        return loss.detach(), optimizer.param_groups[0]["lr"], optimizer.state[w]["step"]

    f = wrap(step)
    for it in range(5):  # noqa: B007
        seen += [f(t(1, 1)), w]


@program
def a_scaler(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()
    optimizer = optim.SGD([w], lr=0.1)
    scaler = tg.amp.GradScaler(tg.get_default_device().type, init_scale=4.0, growth_interval=2)

    def step(x: Any) -> None:
        optimizer.zero_grad()
        scaler.scale((w * x).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    f = wrap(step)
    for i in range(6):
        f(t(1, float("inf") if i == 3 else 1))
        seen += [w, scaler.get_scale()]


@program
def draws(wrap: Wrap, seen: Seen) -> None:
    g = tg.Generator()
    f = wrap(lambda x: x + tg.rand(2) + tg.randn(2, generator=g))
    for i in range(6):
        seen.append(f(t(1, 2)))
        if i % 2:
            tg.manual_seed(i)
            g.manual_seed(i)
    seen += [tg.get_rng_state(), g.get_state(), tg.initial_seed()]


@program
def modes_set_inside(wrap: Wrap, seen: Seen) -> None:
    model, _, x = net()

    def step(x: Any) -> Any:
        model.eval()
        with tg.no_grad():
            y = model(x)
        model.train()
        return y

    f = wrap(step)
    for i in range(4):
        seen += [f(x), model.training, model[2].training]
        if i == 1:
            model.eval()
    model[0].eval()
    seen += [f(x), model[0].training]


# -- what can't be captured ------------------------------------------------------------------------


@program
def values_that_are_read(wrap: Wrap, seen: Seen) -> None:
    def step(x: Any) -> Any:
        if x.sum() > 4:
            return x * x.sum().item()
        return x - 1

    f = wrap(step)
    for i in range(5):
        seen.append(f(t(1, i)))


@program
def generators_and_results_of_classes(wrap: Wrap, seen: Seen) -> None:
    def parts(x: Any) -> Any:
        yield x * 2
        yield x * 3

    f = wrap(parts)
    for i in range(3):
        seen.append(list(f(t(1, i))))
    g = wrap(lambda x: Options(inner=x * 2))
    for i in range(3):
        seen.append(g(t(1, i)).inner)
    h = wrap(lambda x: (y * 2 for y in (x, x + 1)))
    for i in range(3):
        seen.append(list(h(t(1, i))))


@program
def iterators_outside(wrap: Wrap, seen: Seen) -> None:
    numbers = iter(range(10))
    f = wrap(lambda x: x * next(numbers))
    for _ in range(5):
        seen.append(f(t(1, 2)))


@program
def containers_that_are_returned(wrap: Wrap, seen: Seen) -> None:
    kept = [1, 2]
    f = wrap(lambda x: (x * 2, kept))
    for _ in range(3):
        y, got = f(t(1, 2))
        seen += [y, got is kept]
        got.append(3)
        seen.append(list(kept))


@program
def arguments_that_are_changed(wrap: Wrap, seen: Seen) -> None:
    def step(xs: list[Any], d: dict[str, Any], s: set[int]) -> Any:
        xs.append(xs[-1] * 2)
        d["y"] = xs[0]
        s.add(len(xs))
        return xs[-1]

    f = wrap(step)
    xs: list[Any] = [t(1, 2)]
    d: dict[str, Any] = {}
    s: set[int] = set()
    for _ in range(4):
        seen += [f(xs, d, s), list(xs), dict(d), set(s)]
    for _ in range(3):
        ys, e, u = [t(1, 2)], {}, {0}
        seen += [f(ys, e, u), ys, e, u]


@program
def results_that_need_gradients(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()
    f = wrap(lambda x: (w * x).sum())
    for i in range(4):
        f(t(1, i)).backward()
        seen.append(w.grad)


@program
def histories_from_outside(wrap: Wrap, seen: Seen) -> None:
    w = t(1, 2).requires_grad_()

    def back(h: Any) -> None:
        (h * h).sum().backward()

    f = wrap(back)
    for _ in range(4):
        f(w * 2)
        seen.append(w.grad)


@program
def methods_of_instances(wrap: Wrap, seen: Seen) -> None:
    class Trainer:
        def __init__(self, scale: float) -> None:
            self.scale = scale
            self.w = t(1, 2)
            self.steps = 0

        @wrap
        def step(self, x: Any) -> Any:
            self.w.add_(x)
            return self.w * self.scale

    a, b = Trainer(2.0), Trainer(3.0)
    for i in range(4):
        a.steps += 1
        seen += [a.step(t(1, 1)), b.step(t(i, 1))]
        if i == 2:
            a.scale = 10.0
    seen += [a.step(t(1, 1)), b.step(t(0, 1))]


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


def test_batches_from_arrays_are_uploaded_and_not_traced_anew() -> None:
    layer = nn.Linear(3, 2)
    optimizer = optim.SGD(layer.parameters(), lr=0.1)

    @tg.compile
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(tg.as_tensor(x)), tg.from_numpy(y))
        loss.backward()
        optimizer.step()
        return loss.detach()

    rng = np.random.default_rng(0)
    for _ in range(12):
        step(rng.random((4, 3), np.float32), rng.integers(0, 2, 4).astype(np.int32))
    assert step.traces <= 2
