"""Options of PyTorch's optimizers: implementations, tensor learning rates, gradients through steps."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import optim

pytestmark = pytest.mark.every_host

NAMES = [
    "Adam", "AdamW", "SGD", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "ASGD", "Rprop",
]  # fmt: skip

FLAGS = {
    "Adam": ["foreach", "capturable", "differentiable", "fused"],
    "AdamW": ["foreach", "capturable", "differentiable", "fused"],
    "SGD": ["foreach", "differentiable", "fused"],
    "NAdam": ["foreach", "capturable", "differentiable"],
    "RAdam": ["foreach", "capturable", "differentiable"],
    "Adamax": ["foreach", "capturable", "differentiable"],
    "Adagrad": ["foreach", "differentiable", "fused"],
    "Adadelta": ["foreach", "capturable", "differentiable"],
    "RMSprop": ["foreach", "capturable", "differentiable"],
    "ASGD": ["foreach", "capturable", "differentiable"],
    "Rprop": ["foreach", "capturable", "differentiable"],
    "Adafactor": ["foreach"],
}


@pytest.fixture(autouse=True)
def on(device: str) -> Any:
    with tg.device(device):
        yield


@pytest.mark.parametrize("name", FLAGS)
def test_choices_of_an_implementation_stand_in_the_groups(name: str) -> None:
    optimizer = getattr(optim, name)([tg.ones(2, requires_grad=True)], foreach=False)
    for found in (
        optimizer.defaults,
        optimizer.param_groups[0],
        optimizer.state_dict()["param_groups"][0],
    ):
        shown = {
            k: found[k] for k in ("foreach", "fused", "capturable", "differentiable") if k in found
        }
        assert shown == {k: None if k == "fused" else False for k in FLAGS[name]}
        assert found["maximize"] is False


def test_choices_that_exclude_each_other() -> None:
    w = tg.ones(1, requires_grad=True)
    with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
        optim.Adam([w], fused=True, foreach=True)
    with pytest.raises(RuntimeError, match="`fused` does not support `differentiable`"):
        optim.SGD([w], fused=True, differentiable=True)
    with pytest.raises(ValueError, match="lr as a Tensor is not supported for capturable=False"):
        optim.Adam([w], lr=tg.tensor(0.1), foreach=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'capturable'"):
        optim.SGD([w], capturable=True)


def run(name: str, lr: Any, steps: int = 4, **options: Any) -> list[float]:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = getattr(optim, name)([w], lr=lr, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
        if isinstance(lr, tg.Tensor):
            lr.mul_(0.5)
        else:
            optimizer.param_groups[0]["lr"] *= 0.5
    found: list[float] = w.tolist()
    return found


@pytest.mark.parametrize("where", ["here", "cpu"])
@pytest.mark.parametrize("name", [*NAMES, "Adafactor"])
def test_a_tensor_for_the_learning_rate(name: str, where: str) -> None:
    lr = tg.tensor(0.1, device="cpu") if where == "cpu" else tg.tensor([0.1])
    options = {"weight_decay": 0.1} if name in ("AdamW", "SGD", "Adafactor") else {}
    assert run(name, lr, **options) == pytest.approx(run(name, 0.1, **options), rel=1e-5)


@pytest.mark.parametrize("name", ["SGD", "Adam", "ASGD", "Adafactor"])
@pytest.mark.parametrize("where", ["here", "cpu"])
def test_a_compiled_step_reads_the_tensor_each_time(name: str, where: str) -> None:
    def steps(compiled: bool) -> list[float]:
        lr = tg.tensor(0.1, device="cpu") if where == "cpu" else tg.tensor(0.1)
        w = tg.tensor([1.0, 2.0], requires_grad=True)
        optimizer = getattr(optim, name)([w], lr=lr)

        def step() -> Any:
            optimizer.zero_grad()
            loss = (w * w).sum()
            loss.backward()
            optimizer.step()
            return loss

        call = tg.compile(step) if compiled else step
        for k in range(6):
            call()
            if k == 4:
                optimizer.param_groups[0]["lr"] = lr = tg.tensor(0.05)
            lr.mul_(0.5)
        found: list[float] = w.tolist()
        return found

    assert steps(True) == pytest.approx(steps(False), rel=1e-5)


def test_a_scheduler_writes_to_the_tensor() -> None:
    lr = tg.tensor(0.5)
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=lr)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    seen = []
    for _ in range(3):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
        scheduler.step()
        seen.append(scheduler.get_last_lr()[0])
    assert optimizer.param_groups[0]["lr"] is lr
    assert [x.item() for x in seen] == [0.25, 0.125, 0.0625]
    assert optimizer.param_groups[0]["initial_lr"].item() == 0.5
    assert w.tolist() == [0, 0]


def outcome(name: str, start: Any, steps: int = 3, lr: Any = None, **options: Any) -> Any:
    w = start.clone()
    if lr is not None:
        options["lr"] = lr
    optimizer = getattr(optim, name)([w], differentiable=True, **options)
    for _ in range(steps):
        (w.grad,) = tg.autograd.grad((w**3).sum(), w, create_graph=True)
        optimizer.step()
    return (w * tg.tensor([1.0, 3.0], dtype=w.dtype, device=w.device)).sum()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_go_through_steps(name: str) -> None:
    options: dict[str, Any] = {
        "SGD": {"lr": 0.02, "momentum": 0.9},
        "RMSprop": {"momentum": 0.9},
    }.get(name, {"lr": 0.02})
    if name in ("Adam", "NAdam", "Adamax", "Adagrad", "AdamW"):
        options["eps"] = 0.5

    def f(start: Any) -> Any:
        return outcome(name, start, **options)

    start = tg.tensor([0.7, 1.1], dtype=tg.float64, device="cpu", requires_grad=True)
    assert tg.autograd.gradcheck(f, (start,))


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "RMSprop"]
)
def test_gradients_reach_the_learning_rate(name: str) -> None:
    start = tg.tensor([0.7, 1.1], dtype=tg.float64, device="cpu", requires_grad=True)
    lr = tg.tensor(0.02, dtype=tg.float64, device="cpu", requires_grad=True)
    assert tg.autograd.gradcheck(
        lambda x, r: outcome(name, x, lr=r, eps=0.5) if name != "SGD" else outcome(name, x, lr=r),
        (start, lr),
    )
    with pytest.raises(ValueError, match="would get no gradient"):
        outcome("ASGD", start, lr=lr)


def test_a_step_that_is_not_differentiable_keeps_no_graph() -> None:
    w = tg.tensor([1.0], requires_grad=True)
    lr = tg.tensor(0.1, requires_grad=True)
    optimizer = optim.SGD([w], lr=lr, momentum=0.9)
    (w * w).sum().backward()
    optimizer.step()
    assert w.is_leaf
    assert not optimizer.state[w]["momentum_buffer"].requires_grad
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        optim.SGD([w * 1])


def test_a_parameter_twice_in_a_group() -> None:
    w = tg.tensor([1.0], requires_grad=True)
    with pytest.warns(
        UserWarning, match="optimizer contains a parameter group with duplicate parameters"
    ):
        optimizer = optim.SGD([w, w], lr=0.1)
    (w * w).sum().backward()
    optimizer.step()
    assert w.tolist() == pytest.approx([0.8])
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
        optim.SGD([{"params": [w]}, {"params": [w]}])


def test_rprop_in_double_precision() -> None:
    w = tg.tensor([1.0, 2.0], dtype=tg.float64, device="cpu", requires_grad=True)
    optimizer = optim.Rprop([w], lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        (w * w).sum().backward()
        optimizer.step()
    assert w.tolist() == pytest.approx([0.25584, 1.25584], rel=1e-14)


SCHEDULES = {
    # schedule: the rate at once and after each of four steps, from PyTorch 2.13
    "StepLR(o, 2, .5, last_epoch=3)": [0.25, 0.25, 0.125, 0.125, 0.0625],
    "ExponentialLR(o, .5, last_epoch=3)": [0.125, 0.0625, 0.03125, 0.015625, 0.0078125],
    "CosineAnnealingLR(o, 10, last_epoch=3)": [0.793893, 0.60648, 0.419067, 0.25, 0.115827],
    "LinearLR(o, total_iters=5, last_epoch=3)": [0.733333, 0.846154, 0.846154, 0.846154, 0.846154],
    "MultiplicativeLR(o, lambda k: .9, last_epoch=3)": [0.729, 0.6561, 0.59049, 0.531441, 0.478297],
    "PolynomialLR(o, 5, last_epoch=3)": [0.4, 0, 0, 0, 0],
    "LambdaLR(o, lambda k: .9**k, last_epoch=3)": [0.6561, 0.59049, 0.531441, 0.478297, 0.430467],
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules_taken_up_again(case: str) -> None:
    w = tg.ones(1, requires_grad=True)

    def build(text: str, lr: float) -> Any:
        o = optim.SGD([{"params": [w], "initial_lr": 1.0, "lr": lr}], lr=1.0)
        return o, eval(f"optim.lr_scheduler.{text}", {"optim": optim, "o": o})

    o, scheduler = build(case.replace("last_epoch=3", "last_epoch=-1"), 1.0)
    for _ in range(3):
        o.step()
        scheduler.step()
    o, scheduler = build(case, o.param_groups[0]["lr"])
    seen = [o.param_groups[0]["lr"]]
    for _ in range(4):
        o.step()
        scheduler.step()
        seen.append(o.param_groups[0]["lr"])
    assert seen == pytest.approx(SCHEDULES[case], abs=1e-6)


def test_functional_derivatives_have_their_graph_under_no_grad() -> None:
    functional = tg.autograd.functional
    x = tg.ones(2, requires_grad=True)
    v = tg.ones(2)
    with tg.no_grad():
        found = [
            functional.jacobian(lambda t: t**3, x, create_graph=True),
            functional.jacobian(lambda t: t**3, x, create_graph=True, vectorize=True),
            functional.vjp(lambda t: t**3, x, v, create_graph=True)[1],
            functional.jvp(lambda t: t**3, x, v, create_graph=True)[1],
            functional.hessian(lambda t: (t**3).sum(), x, create_graph=True),
            functional.hvp(lambda t: (t**3).sum(), x, v, create_graph=True)[1],
            functional.vhp(lambda t: (t**3).sum(), x, v, create_graph=True)[1],
        ]
        assert not functional.jacobian(lambda t: t**3, x).requires_grad
    for y in found:
        assert y.requires_grad
        (g,) = tg.autograd.grad(y.sum(), x)
        assert g.tolist() == [6, 6]
