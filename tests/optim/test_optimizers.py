"""Every optimizer takes PyTorch's way, keeps PyTorch's state, and can be stopped and taken up again."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.optim.cases import OPTIMIZERS, loss_of, make, parameters, rounded, shown, trajectory
from tests.optim.record import EXPECTED

TOLD: dict[str, Any] = json.loads(EXPECTED.read_text())


def close(ours: Any, theirs: Any, path: str = "", rel: float = 1e-6) -> None:
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), path
        for key in theirs:
            close(ours[key], theirs[key], f"{path} {key}", rel)
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), path
        for a, b in zip(ours, theirs, strict=True):
            close(a, b, path, rel)
    else:
        assert ours == pytest.approx(theirs, rel=rel, abs=rel), path


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_trajectory(case: str) -> None:
    close(trajectory(tg, case), TOLD[case])


@pytest.mark.every_host
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_trajectory_in_float32(case: str, device: str) -> None:
    # later steps of some magnify rounding: a sign, or a line search, decides the other way
    few = slice(0, 4 if "LBFGS" in case else 12)
    ours, theirs = trajectory(tg, case, device, "float32"), TOLD[case]
    close(ours["losses"][few], theirs["losses"][few], rel=1e-3)
    close(structure(ours["state"]), structure(theirs["state"]))


def structure(state: Any) -> Any:
    return {i: {k: [len(v)] for k, v in own.items()} for i, own in state.items()}


def test_what_was_recorded_is_what_pytorch_says() -> None:
    if importlib.util.find_spec("torch") is not None:
        import torch

        for case in OPTIMIZERS[::7]:
            close(trajectory(torch, case), TOLD[case])


def step(optimizer: Any, params: list[Any], device: str) -> None:
    optimizer.zero_grad()
    loss_of(tg, params, device).backward()
    optimizer.step()


FLAT = [case for case in OPTIMIZERS if "LBFGS" not in case]


@pytest.mark.every_host
@pytest.mark.parametrize("case", FLAT)
def test_a_loaded_state_goes_on_as_if_never_stopped(case: str, device: str) -> None:
    params = parameters(tg, device)
    optimizer = make(tg, case, params)
    for _ in range(3):
        step(optimizer, params, device)
    copies = [p.detach().clone().requires_grad_() for p in params]
    other = make(tg, case, copies)
    other.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        step(optimizer, params, device)
        step(other, copies, device)
    close([rounded(p) for p in copies], [rounded(p) for p in params])
    close(shown(other.state_dict()["state"]), shown(optimizer.state_dict()["state"]))


@pytest.mark.parametrize("case", ["Adam(params, lr=0.05)", "SGD(params, lr=0.1, momentum=0.9)"])
def test_loading_into_an_optimizer_that_has_stepped(case: str) -> None:
    params = parameters(tg)
    optimizer = make(tg, case, params)
    step(optimizer, params, "cpu")
    saved = optimizer.state_dict()
    saved["state"] = {
        i: {k: v.clone() if isinstance(v, tg.Tensor) else v for k, v in own.items()}
        for i, own in saved["state"].items()
    }
    before = shown(saved["state"])
    for _ in range(4):
        step(optimizer, params, "cpu")
    assert shown(optimizer.state_dict()["state"]) != before
    optimizer.load_state_dict(saved)
    assert shown(optimizer.state_dict()["state"]) == before


def test_pytorch_takes_over_a_state_dict_and_gives_one() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the second oracle, where installed")
    ours, theirs = parameters(tg), parameters(torch)
    a = tg.optim.Adam(ours, lr=0.05)
    b = torch.optim.Adam(theirs, lr=0.05)
    for _ in range(2):
        b.zero_grad()
        loss_of(torch, theirs).backward()
        b.step()
    given = b.state_dict()
    given["state"] = {
        i: {k: tg.tensor(v.tolist(), device="cpu") for k, v in own.items()}
        for i, own in given["state"].items()
    }
    a.load_state_dict(given)
    with tg.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            p.copy_(tg.tensor(q.tolist(), device="cpu"))
    step(a, ours, "cpu")
    b.zero_grad()
    loss_of(torch, theirs).backward()
    b.step()
    close([rounded(p) for p in ours], [rounded(p) for p in theirs])


def test_parameters_without_gradients_rest() -> None:
    params = parameters(tg)
    optimizer = tg.optim.Adam(params, lr=0.05)
    for turn in range(6):
        optimizer.zero_grad()
        a, b = params
        loss = (a**2).sum() if turn % 2 else (a**2).sum() + (b**2).sum()
        loss.backward()
        resting = rounded(b)
        optimizer.step()
        if turn % 2:
            assert rounded(b) == resting
    steps = [own["step"] for own in optimizer.state_dict()["state"].values()]
    assert steps == [6, 3]


def test_alternating_gradients_match_separate_optimizers() -> None:
    params, twins = parameters(tg), parameters(tg)
    one = tg.optim.Adam(params, lr=0.05)
    two = [tg.optim.Adam([p], lr=0.05) for p in twins]
    for turn in range(7):
        for own in (params, twins):
            for p in own:
                p.grad = None
            a, b = own
            loss = [(a**2).sum(), (b**3).sum(), (a**2).sum() + b.sin().sum()][turn % 3]
            loss.backward()
        one.step()
        for optimizer in two:
            optimizer.step()
    close([rounded(p) for p in params], [rounded(p) for p in twins], rel=1e-6)


def test_state_reads_and_writes() -> None:
    params = parameters(tg)
    optimizer = tg.optim.Adam(params, lr=0.05)
    assert len(optimizer.state) == 0
    step(optimizer, params, "cpu")
    own = optimizer.state[params[1]]
    assert set(own) == {"step", "exp_avg", "exp_avg_sq"}
    assert own["exp_avg"].shape == params[1].shape
    own["exp_avg"].zero_()
    assert optimizer.state[params[1]]["exp_avg"].tolist() == [0.0, 0.0, 0.0]
    assert optimizer.state[params[0]]["exp_avg"].abs().sum().item() > 0
    own["exp_avg"] = tg.ones(3, device="cpu")
    assert optimizer.state[params[1]]["exp_avg"].tolist() == [1.0, 1.0, 1.0]
    optimizer.state[params[1]]["step"] = 10
    step(optimizer, params, "cpu")
    assert [optimizer.state[p]["step"] for p in params] == [2, 11]


def test_a_parameter_keeps_its_identity_and_saved_values_keep_theirs() -> None:
    w = tg.tensor([1.0, 2.0], device="cpu", requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    optimizer = tg.optim.SGD([w], lr=0.1)
    old, version = w.clone(), w._version
    optimizer.step()
    assert w.is_leaf
    assert w.requires_grad
    assert w._version > version
    assert rounded(w) == [0.8, 1.6]
    assert rounded(old) == [1.0, 2.0]


def test_mixed_dtypes_in_one_group() -> None:
    a = tg.tensor([1.0, 2.0], device="cpu", requires_grad=True)
    b = tg.tensor([3.0], dtype=tg.float64, device="cpu", requires_grad=True)
    optimizer = tg.optim.Adam([a, b], lr=0.1)
    ((a**2).sum() + (b**2).sum()).backward()
    optimizer.step()
    assert (a.dtype, b.dtype) == (tg.float32, tg.float64)
    assert b.item() == pytest.approx(2.9, abs=1e-8)


def test_scalars_and_empty_parameters() -> None:
    a = tg.tensor(2.0, device="cpu", requires_grad=True)
    b = tg.zeros(0, 3, device="cpu", requires_grad=True)
    optimizer = tg.optim.SGD([a, b], lr=0.25)
    (a * a + b.sum()).backward()
    optimizer.step()
    assert a.item() == 1.0
    assert tuple(b.shape) == (0, 3)


def test_hooks() -> None:
    calls = []
    params = parameters(tg)
    optimizer = tg.optim.SGD(params, lr=0.1)
    first = optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append("pre"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append("post"))
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, d: calls.append("load"))
    step(optimizer, params, "cpu")
    first.remove()
    step(optimizer, params, "cpu")
    assert calls == ["pre", "post", "post"]
    saved = optimizer.state_dict()
    assert saved["extra"] == 1
    optimizer.load_state_dict(saved)
    assert calls[-1] == "load"


@grouped(
    "name",
    [n for n in dir(tg.optim) if isinstance(getattr(tg.optim, n), type) and n != "Optimizer"],
)
def test_hooks_of_a_step_get_its_arguments(name: str) -> None:
    module = tg.optim.optimizer
    p = tg.nn.Parameter(tg.ones(2, 2, device="cpu"))
    optimizer = getattr(tg.optim, name)([p], lr=0.1)
    seen: list[Any] = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        p.grad = p.grad.to_sparse() if name == "SparseAdam" else p.grad
        return loss

    def note(kind: str) -> Any:
        return lambda o, args, kwargs: seen.append((kind, o is args[0], len(args), dict(kwargs)))

    handles = [
        module.register_optimizer_step_post_hook(note("last")), optimizer.register_step_pre_hook(note("pre")),
        optimizer.register_step_post_hook(note("post")), module.register_optimizer_step_pre_hook(note("first")),
    ]  # fmt: skip
    optimizer.step(closure)
    order = ("first", "pre", "post", "last")
    assert seen == [(kind, True, 2, {}) for kind in order]
    seen.clear()
    optimizer.step(closure=closure)
    assert seen == [(kind, True, 1, {"closure": closure}) for kind in order]
    for handle in handles:
        handle.remove()
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((*args, closure), {}))
    before = p.tolist()
    assert isinstance(optimizer.step(), tg.Tensor)
    assert p.tolist() != before
    assert len(seen) == 4
    optimizer.register_step_pre_hook(lambda o, args, kwargs: [args])
    with pytest.raises(RuntimeError, match="must return None or a tuple of"):
        optimizer.step()


def test_groups() -> None:
    a, b = parameters(tg)
    optimizer = tg.optim.SGD([("a", a)], lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["a"]
    optimizer.add_param_group({"params": b, "lr": 0.5})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.5]
    assert optimizer.state_dict()["param_groups"][1]["params"] == [1]
    assert repr(optimizer).startswith("SGD (\nParameter Group 0\n    dampening: 0\n")
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [a]})
    with pytest.raises(ValueError, match="non-leaf"):
        optimizer.add_param_group({"params": [a * 2]})
    with pytest.raises(TypeError, match="can only optimize Tensors"):
        optimizer.add_param_group({"params": [3]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("SGD([], lr=0.1)", "empty parameter list"),
        ("SGD(params, lr=-1)", "Invalid learning rate: -1"),
        ("SGD(params[0], lr=1)", "should be an iterable of Tensors"),
        ("SGD(params, nesterov=True)", "Nesterov momentum requires"),
        ("Adam(params, betas=(1.0, 0.9))", "Invalid beta parameter at index 0: 1.0"),
        ("Adam(params, fast=True)", "unexpected keyword argument 'fast'"),
        ("LBFGS(params, differentiable=True)", "unexpected keyword argument 'differentiable'"),
        ("Adam(params, lr=params[0])", "Tensor lr must be 1-element"),
        ("Adam(params, weight_decay=params[1])", "weight_decay: expected a number, got a tensor"),
        ("Muon(params)", "2D parameters"),
        ("LBFGS([{'params': params[:1]}, {'params': params[1:]}])", "parameter groups"),
    ],
)
def test_bad_options(call: str, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make(tg, call, parameters(tg))


def test_state_dicts_that_do_not_fit() -> None:
    a, b = parameters(tg)
    one, two = tg.optim.SGD([a, b]), tg.optim.SGD([{"params": [a]}, {"params": [b]}])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one.load_state_dict(two.state_dict())
    with pytest.raises(ValueError, match="doesn't match the size"):
        tg.optim.SGD([a]).load_state_dict(one.state_dict())


def test_an_optimizer_of_ones_own() -> None:
    class Plain(tg.optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})

        def step(self, closure: Any = None) -> None:
            with tg.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        own = self.state[p]
                        own["t"] = own.get("t", 0) + 1
                        p.sub_(group["lr"] * p.grad)

    w = tg.tensor([1.0], device="cpu", requires_grad=True)
    optimizer, calls = Plain([w], 0.5), []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    (w * w).sum().backward()
    optimizer.step()
    assert w.item() == 0.0
    assert optimizer.state_dict()["state"] == {0: {"t": 1}}
    assert calls == [1]


def test_muon_makes_momentum_orthogonal() -> None:
    w = tg.tensor([[3.0, 1.0, 0.5], [0.2, 2.0, -1.0]], device="cpu", requires_grad=True)
    before = w.detach().clone()
    optimizer = tg.optim.Muon([w], lr=0.1, weight_decay=0.0)
    (w**2).sum().backward()
    optimizer.step()
    move = (before - w.detach()) / 0.1
    gram = (move @ move.T).tolist()
    # the quintic leaves singular values between about 0.7 and 1.2
    assert 0.4 < gram[0][0] < 1.5
    assert 0.4 < gram[1][1] < 1.5
    assert abs(gram[0][1]) < 0.4


def test_lbfgs_finds_the_minimum_of_rosenbrock() -> None:
    w = tg.tensor([-1.2, 1.0], dtype=tg.float64, device="cpu", requires_grad=True)
    optimizer = tg.optim.LBFGS([w], line_search_fn="strong_wolfe", max_iter=200)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2
        loss.backward()
        return loss

    optimizer.step(closure)
    assert w.tolist() == pytest.approx([1.0, 1.0], abs=1e-4)


def test_lbfgs_searches_no_longer_than_max_eval() -> None:
    """With what PyTorch 2.13 counts and finds, whose line search ends at `max_eval` too."""
    draw = np.random.default_rng(0)
    x, y, w = (
        tg.tensor(draw.normal(size=size), dtype=tg.float64, device="cpu")
        for size in ((30, 6), 30, 6)
    )
    optimizer = tg.optim.LBFGS(
        [w.requires_grad_()], max_iter=3, history_size=1, line_search_fn="strong_wolfe"
    )
    found: list[float] = []

    def closure() -> Any:
        optimizer.zero_grad()
        loss = ((x @ w).tanh() - y).pow(2).mean() + 0.01 * w.pow(4).sum()
        loss.backward()
        found.append(loss.item())
        return loss

    for _ in range(5):
        optimizer.step(closure)
    state = optimizer.state[w]
    assert (state["func_evals"], state["n_iter"], float(state["t"])) == (17, 10, 0.0)
    assert found[-4:] == pytest.approx([0.767431, 0.75892, 0.744493, 1.403115], abs=1e-6)
