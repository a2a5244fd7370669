"""What a compiled call depends on: modules, optimizers, hooks, modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tests.compile.meaning.support import (
    MARKS,
    Programs,
    Seen,
    Wrap,
    net,
    same_both_ways,
    t,
)

pytestmark = MARKS
program = Programs()


@pytest.mark.parametrize("fn", program.all.values(), ids=program.all.keys())
def test_it_means_what_the_call_means(fn: Any) -> None:
    same_both_ways(fn, globals())


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
