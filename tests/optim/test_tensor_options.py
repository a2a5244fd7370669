"""Learning rates and betas that are tensors: followed where they are changed, eager and compiled."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import optim

pytestmark = pytest.mark.every_host

EVERY = [
    "Adam", "AdamW", "SGD", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "ASGD", "Rprop",
    "Adafactor", "Muon",
]  # fmt: skip
WITH_BETAS = ["Adam", "AdamW", "NAdam", "RAdam", "Adamax"]


@pytest.fixture(autouse=True)
def on(device: str) -> Any:
    with tg.device(device):
        yield


@pytest.mark.parametrize("name", [name for name in EVERY if name != "Muon"])
def test_foreach_and_a_tensor_for_the_learning_rate(name: str) -> None:
    w = tg.ones(2, requires_grad=True)
    lr = tg.tensor(0.1)
    if name in ("Adam", "AdamW"):
        with pytest.raises(ValueError, match="lr as a Tensor is not supported for capturable=Fal"):
            optim.Adam([w], lr=lr, foreach=True)
        optim.Adam([w], lr=lr, foreach=True, capturable=True)
    else:
        getattr(optim, name)([w], lr=lr, foreach=True)


def trained(name: str, compiled: bool, where: str | None, inside: bool, decay: bool) -> list[float]:
    """Return parameters after steps with a rate that halves; `where` says on which device it lies, if any."""
    lr: Any = 0.1 if where is None else tg.tensor(0.1, device=where)
    w = tg.nn.Parameter(tg.tensor([[1.0, 2.0], [-0.5, 0.25]]))
    options = {"weight_decay": 0.1} if decay and name not in ("Rprop",) else {}
    optimizer = getattr(optim, name)([w], lr=lr, **options)

    def halve() -> None:
        if where is None:
            optimizer.param_groups[0]["lr"] *= 0.5
        else:
            optimizer.param_groups[0]["lr"].mul_(0.5)

    def step() -> None:
        optimizer.zero_grad()
        (w**2).sum().backward()
        if inside:
            halve()
        optimizer.step()

    call = tg.compile(step) if compiled else step
    for _ in range(5):
        call()
        if not inside:
            halve()
    found: list[float] = w.flatten().tolist()
    return found


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("inside", [False, True])
def test_a_tensor_for_the_learning_rate_is_followed(name: str, inside: bool, device: str) -> None:
    expected = trained(name, False, None, inside, True)
    for where in {device, "cpu"}:
        for compiled in (False, True):
            found = trained(name, compiled, where, inside, True)
            assert found == pytest.approx(expected, rel=2e-4), (where, compiled)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adafactor", "RMSprop", "Muon"])
def test_a_step_with_a_tensor_for_the_learning_rate_is_replayed(name: str, device: str) -> None:
    lr = tg.tensor(0.1)
    w = tg.nn.Parameter(tg.ones(2, 2))
    optimizer = getattr(optim, name)([w], lr=lr)

    @tg.compile
    def step() -> None:
        optimizer.zero_grad()
        (w**2).sum().backward()
        optimizer.step()

    for _ in range(5):
        step()
        lr.mul_(0.5)
    if device != "cpu":
        assert step.traces <= 2
        assert step.reason is None


@pytest.mark.parametrize("name", WITH_BETAS)
def test_tensors_for_betas_are_followed(name: str, device: str) -> None:
    def run(wrap: Any, compiled: bool) -> list[float]:
        betas = (wrap(0.8), wrap(0.9))
        w = tg.tensor([1.0, 2.0], requires_grad=True)
        optimizer = getattr(optim, name)([w], lr=0.1, betas=betas)

        def step() -> None:
            optimizer.zero_grad()
            (w**2).sum().backward()
            optimizer.step()

        call = tg.compile(step) if compiled else step
        for k in range(6):
            call()
            if k == 2 and isinstance(betas[0], tg.Tensor):
                betas[0].fill_(0.7)
                betas[1].fill_(0.95)
            elif k == 2:
                optimizer.param_groups[0]["betas"] = (0.7, 0.95)
        found: list[float] = w.tolist()
        return found

    expected = run(float, False)
    assert run(float, True) == pytest.approx(expected, rel=1e-4)
    for compiled in (False, True):
        for where in {device, "cpu"}:
            found = run(lambda x, where=where: tg.tensor(x, device=where), compiled)  # type: ignore[misc]
            assert found == pytest.approx(expected, rel=2e-4), (compiled, where)


def test_betas_that_adam_refuses() -> None:
    w = tg.ones(2, requires_grad=True)
    a, b = tg.tensor(0.8), tg.tensor(0.9)
    for name in ("Adam", "AdamW"):
        make = getattr(optim, name)
        with pytest.raises(ValueError, match="betas must be either both floats or both Tensors"):
            make([w], betas=(a, 0.9))
        with pytest.raises(ValueError, match=r"betas\[0\] as a Tensor is not supported"):
            make([w], betas=(a, b), foreach=True)
        with pytest.raises(ValueError, match=r"Tensor betas\[0\] must be 1-element, got shape \(2"):
            make([w], betas=(tg.ones(2), b))
        make([w], betas=(tg.tensor([0.8]), tg.tensor([0.9]))).step()
    for name in WITH_BETAS:
        with pytest.raises(ValueError, match=r"Invalid beta parameter at index 0: 1\.5"):
            getattr(optim, name)([w], betas=(tg.tensor(1.5), b))


def test_gradients_reach_betas() -> None:
    def f(first: Any, second: Any) -> Any:
        w = tg.tensor([0.7, 1.1], dtype=tg.float64, device="cpu", requires_grad=True).clone()
        optimizer = optim.Adam([w], lr=0.02, betas=(first, second), eps=0.5, differentiable=True)
        for _ in range(3):
            (w.grad,) = tg.autograd.grad((w**3).sum(), w, create_graph=True)
            optimizer.step()
        return w.sum()

    betas = [tg.tensor(b, dtype=tg.float64, device="cpu", requires_grad=True) for b in (0.8, 0.9)]
    assert tg.autograd.gradcheck(f, tuple(betas))
