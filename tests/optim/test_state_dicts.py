"""State dicts of optimizers have the keys, order and types of PyTorch's: counters are tensors there."""

from __future__ import annotations

import io
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import optim

pytestmark = pytest.mark.every_host

SCALAR, LIKE = "0-d float32", "like the parameter"
STATES: dict[str, dict[str, Any]] = {
    "SGD": {"momentum_buffer": LIKE},
    "Adam": {"step": SCALAR, "exp_avg": LIKE, "exp_avg_sq": LIKE},
    "AdamW": {"step": SCALAR, "exp_avg": LIKE, "exp_avg_sq": LIKE},
    "Adamax": {"step": SCALAR, "exp_avg": LIKE, "exp_inf": LIKE},
    "NAdam": {"step": SCALAR, "mu_product": SCALAR, "exp_avg": LIKE, "exp_avg_sq": LIKE},
    "RAdam": {"step": SCALAR, "exp_avg": LIKE, "exp_avg_sq": LIKE},
    "Adagrad": {"step": SCALAR, "sum": LIKE},
    "Adadelta": {"step": SCALAR, "square_avg": LIKE, "acc_delta": LIKE},
    "RMSprop": {"step": SCALAR, "square_avg": LIKE},
    "Rprop": {"step": SCALAR, "prev": LIKE, "step_size": LIKE},
    "ASGD": {"step": SCALAR, "eta": SCALAR, "mu": SCALAR, "ax": LIKE},
    "Adafactor": {"step": SCALAR, "row_var": (2, 1), "col_var": (1, 3)},
    "Muon": {"momentum_buffer": LIKE},
}
"""What PyTorch 2.13 has after a step, in its order."""


@pytest.fixture(autouse=True)
def on(device: str) -> Any:
    with tg.device(device):
        yield


def made(name: str, **options: Any) -> tuple[Any, Any]:
    w = tg.nn.Parameter(tg.tensor([[1.0, -2.0, 3.0], [0.5, 0.25, -1.0]]))
    momentum = {"momentum": 0.9, "dampening": 0.5} if name == "SGD" else {}
    return w, getattr(optim, name)([w], **{"lr": 0.05, **momentum, **options})


def take(w: Any, optimizer: Any, steps: int = 1) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (w**2).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", STATES)
def test_keys_and_types_are_pytorchs(name: str, device: str) -> None:
    w, optimizer = made(name)
    take(w, optimizer, 2)
    found = optimizer.state_dict()["state"][0]
    assert list(found) == list(STATES[name])
    for key, kind in STATES[name].items():
        x = found[key]
        assert isinstance(x, tg.Tensor), key
        assert x.dtype is tg.float32, key
        if kind is SCALAR:
            assert x.shape == ()
            assert x.device.type == "cpu"
        else:
            assert x.shape == (w.shape if kind is LIKE else kind)
            assert x.device.type == device


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("compiled", [False, True])
def test_training_goes_on_from_a_saved_state_to_the_bit(name: str, compiled: bool) -> None:
    def run(w: Any, optimizer: Any, steps: int) -> None:
        def step() -> None:
            optimizer.zero_grad()
            (w**2).sum().backward()
            optimizer.step()

        fn = tg.compile(step) if compiled else step
        for _ in range(steps):
            fn()

    w, optimizer = made(name)
    run(w, optimizer, 3)
    file = io.BytesIO()
    tg.save({"w": w.detach(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = tg.load(file)
    again, other = made(name)
    run(again, other, 2)
    with tg.no_grad():
        again.copy_(saved["w"])
    other.load_state_dict(saved["optimizer"])
    run(w, optimizer, 3)
    run(again, other, 3)
    assert w.tolist() == again.tolist()
    first, second = (o.state_dict()["state"][0] for o in (optimizer, other))
    for key in first:
        assert first[key].tolist() == second[key].tolist(), key


@pytest.mark.parametrize("as_what", [int, float, "tensor", "float64", "one"])
def test_a_count_is_loaded_in_every_form(as_what: Any, device: str) -> None:
    w, optimizer = made("Adam")
    take(w, optimizer, 3)
    given = optimizer.state_dict()
    step = given["state"][0]["step"]
    assert step.item() == 3.0
    given["state"][0]["step"] = {
        int: 3, float: 3.0, "tensor": step.to(device), "one": tg.tensor([3.0]),
        "float64": tg.tensor(3.0, dtype=tg.float64, device="cpu"),
    }[as_what]  # fmt: skip
    other_w, other = made("Adam")
    other.load_state_dict(given)
    with tg.no_grad():
        other_w.copy_(w)
    assert other.state[other_w]["step"] == 3
    take(w, optimizer)
    take(other_w, other)
    assert w.tolist() == other_w.tolist()
    given["state"][0]["step"] = tg.ones(2)
    with pytest.raises(ValueError, match=r"state 'step' must be one number, got shape \(2,\)"):
        other.load_state_dict(given)


def test_in_the_state_a_count_is_a_number_and_takes_a_tensor() -> None:
    for name in ("Adam", "Adafactor"):
        w, optimizer = made(name)
        take(w, optimizer)
        assert optimizer.state[w]["step"] == 1
        assert type(optimizer.state[w]["step"]) is int
        optimizer.state[w]["step"] = tg.tensor(7.0)
        take(w, optimizer)
        assert optimizer.state[w]["step"] == 8
        assert optimizer.state_dict()["state"][0]["step"].item() == 8.0


def test_where_the_count_lies() -> None:
    w, optimizer = made("Adam", capturable=True)
    take(w, optimizer)
    assert optimizer.state_dict()["state"][0]["step"].device.type == w.device.type


def test_the_state_of_a_users_optimizer_is_left_as_it_is(device: str) -> None:
    class Mine(optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.1})

        def step(self, closure: Any = None) -> None:
            for p in self.param_groups[0]["params"]:
                own = self.state[p]
                own["step"] = own.get("step", 0) + 1
                own["scale"] = tg.tensor(2.0)
                own["list"] = [tg.ones(2)]

    w = tg.nn.Parameter(tg.ones(2, 3))
    optimizer, other = Mine([w]), Mine([w])
    optimizer.step()
    other.load_state_dict(optimizer.state_dict())
    own = other.state[w]
    assert own["step"] == 1
    assert type(own["step"]) is int
    assert own["scale"].shape == ()
    assert own["scale"].item() == 2.0
    assert own["list"][0].tolist() == [1.0, 1.0]
