"""A compiled module is a module: what is inside another, saved, copied, moved and asked for its attributes."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn, optim

pytestmark = pytest.mark.every_host


def pair(device: str) -> tuple[Any, Any]:
    """Return a module on the device, and the same compiled."""
    tg.manual_seed(4)
    plain = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(device)
    return plain, tg.compile(plain)


def used(module: Any, device: str) -> Any:
    """Return the answer of three calls without gradients."""
    x = tg.ones(5, 3, device=device)
    with tg.no_grad():
        for _ in range(3):
            y = module(x)
    return y


def test_it_is_a_module_that_wraps_the_other(device: str) -> None:
    plain, fast = pair(device)
    assert isinstance(fast, nn.Module)
    assert fast._orig_mod is plain
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert list(fast.state_dict()) == [f"_orig_mod.{n}" for n in names]
    assert [n for n, _ in fast.named_parameters()] == [f"_orig_mod.{n}" for n in names]
    assert [n for n, _ in fast.named_modules()] == ["", "_orig_mod"] + [
        f"_orig_mod.{i}" for i in range(3)
    ]
    assert [id(p) for p in fast.parameters()] == [id(p) for p in plain.parameters()]
    assert tg.compile(fast)._orig_mod is plain


def test_state_dicts_need_the_prefix(device: str) -> None:
    plain, fast = pair(device)
    with pytest.raises(RuntimeError, match=r'Missing key.*"_orig_mod\.0\.weight"'):
        fast.load_state_dict(plain.state_dict())
    other = tg.compile(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(device))
    assert not other.load_state_dict(fast.state_dict()).missing_keys
    tg.testing.assert_close(used(other, device), used(plain, device))


def test_it_stands_inside_other_modules(device: str) -> None:
    plain, fast = pair(device)
    whole = nn.Sequential(fast, nn.ReLU())
    tg.testing.assert_close(used(whole, device), used(plain, device).relu())
    twice = tg.compile(whole)
    tg.testing.assert_close(used(twice, device), used(plain, device).relu())
    assert next(iter(whole.state_dict())) == "0._orig_mod.0.weight"
    assert not whole.eval().training
    assert not plain.training
    assert not plain[1].training


def test_attributes_are_those_of_the_module_inside(device: str) -> None:
    plain, fast = pair(device)
    fast.note = 3
    assert plain.note == 3
    assert fast.note == 3
    del fast.note
    assert not hasattr(plain, "note")
    fast.extra = nn.Linear(1, 1)
    assert "extra" in plain._modules
    assert list(fast._modules) == ["_orig_mod"]
    with pytest.raises(AttributeError, match="'Sequential' object has no attribute 'nothing'"):
        _ = fast.nothing
    fast.eval()
    assert not plain.training
    assert not fast.training
    assert not plain[0].training
    fast.training = True
    assert plain.training
    assert not plain[0].training
    assert {"append", "explain", "_orig_mod"} <= set(dir(fast))
    single = tg.compile(nn.Linear(2, 2).to(device))
    single.weight = nn.Parameter(tg.zeros(2, 2, device=device))
    assert single._orig_mod.weight.sum().item() == 0
    assert not single._parameters


def test_length_and_items_are_those_of_the_module_inside(device: str) -> None:
    plain, fast = pair(device)
    assert len(fast) == 3
    assert fast[0] is plain[0]
    assert list(fast) == list(plain)
    assert plain[1] in fast
    fast[1] = nn.ReLU()
    fast.append(nn.Sigmoid())
    tg.testing.assert_close(used(fast, device), used(plain, device))
    del fast[3]
    assert len(plain) == 3
    single = tg.compile(nn.Linear(2, 2))
    assert bool(single)
    assert not tg.compile(nn.Sequential())
    with pytest.raises(TypeError, match=r"Linear does not support len\(\)"):
        len(single)
    for wrong in (lambda: single[0], lambda: list(single), lambda: 3 in single):
        with pytest.raises(TypeError, match="Linear"):
            wrong()


def test_hooks_of_the_wrapper_run_around_the_call(device: str) -> None:
    plain, fast = pair(device)
    seen: list[str] = []
    inner = plain.register_forward_hook(lambda m, a, y: seen.append("inside"))
    outer = fast.register_forward_hook(lambda m, a, y: seen.append("around") or 2 * y)
    tg.testing.assert_close(used(fast, device), 2 * used(plain, device))
    assert seen == ["inside", "around"] * 3 + ["inside"] * 3
    inner.remove()
    outer.remove()
    seen.clear()
    everywhere = nn.modules.module.register_module_forward_hook(
        lambda m, a, y: seen.append(type(m).__name__)
    )
    used(fast, device)
    everywhere.remove()
    assert seen == ["Linear", "Tanh", "Linear", "Sequential"] * 3


@pytest.mark.parametrize("through", ["deepcopy", "pickle", "save"])
def test_a_used_one_is_copied_and_saved(device: str, through: str) -> None:
    plain, fast = pair(device)
    expected = used(fast, device)
    if through == "deepcopy":
        again = copy.deepcopy(fast)
    elif through == "pickle":
        again = pickle.loads(pickle.dumps(fast))
    else:
        file = io.BytesIO()
        tg.save(fast.state_dict(), file)
        file.seek(0)
        again = tg.compile(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(device))
        again.load_state_dict(tg.load(file))
    assert type(again) is type(fast)
    assert again._orig_mod is not plain
    tg.testing.assert_close(used(again, device), expected)
    with tg.no_grad():
        plain[0].weight.zero_()
    tg.testing.assert_close(used(again, device), expected)
    if device != "cpu":
        assert again.explain(tg.ones(5, 3, device=device)).traces == 1


def test_module_compile_leaves_the_module_as_it_is(device: str) -> None:
    plain, _ = pair(device)
    expected = used(plain, device)
    assert plain.compile(fullgraph=True) is None
    tg.testing.assert_close(used(plain, device), expected)
    assert next(iter(plain.state_dict())) == "0.weight"
    with tg.no_grad():
        found = tg.compiler.explain(plain, tg.ones(5, 3, device=device))
    assert found.traces == (1 if device != "cpu" else found.traces)
    assert copy.deepcopy(plain)._compiled_call_impl is None
    assert pickle.loads(pickle.dumps(plain))._compiled_call_impl is None
    assert type(plain) is nn.Sequential


def test_it_trains(device: str) -> None:
    losses = []
    for wrap in (lambda m: m, tg.compile):
        plain, _ = pair(device)
        model = wrap(plain)
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        for i in range(4):
            optimizer.zero_grad()
            loss = model(tg.full((5, 3), 0.5 + i, device=device)).square().mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_functional_call_reaches_it(device: str) -> None:
    plain, fast = pair(device)
    zeros = {n: tg.zeros_like(p) for n, p in fast.named_parameters()}
    y = tg.func.functional_call(fast, zeros, (tg.ones(5, 3, device=device),))
    assert y.abs().sum().item() == 0
    assert used(plain, device).abs().sum().item() > 0


@tg.compile
def doubled(x: Any) -> Any:
    return 2 * x


class Holder:
    @tg.compile
    def method(self, x: Any) -> Any:
        return 3 * x


def test_compiled_functions_are_pickled_by_name_as_functions_are(device: str) -> None:
    x = tg.ones(2, device=device)
    for _ in range(3):
        doubled(x)
    assert pickle.loads(pickle.dumps(doubled)) is doubled
    assert copy.deepcopy(doubled) is doubled
    holder = Holder()
    for _ in range(3):
        holder.method(x)
    for again in (copy.deepcopy(holder), pickle.loads(pickle.dumps(holder))):
        assert again.method(x).tolist() == [3.0, 3.0]


def test_a_used_exported_program_is_copied(device: str) -> None:
    plain, _ = pair(device)
    program = tg.export(plain, (tg.export.TensorSpec(("batch", 3)),))
    expected = used(program, device)
    fast = tg.compile(program)
    used(fast, device)
    for again in (
        copy.deepcopy(program), pickle.loads(pickle.dumps(program)), copy.deepcopy(fast),
        pickle.loads(pickle.dumps(fast)),
    ):  # fmt: skip
        tg.testing.assert_close(used(again, device), expected)


def test_warnings_name_the_line_of_the_call(device: str) -> None:
    class Reads(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2 if x.sum().item() > 0 else x

    fast = tg.compile(Reads())
    if device == "cpu":
        fast(tg.ones(2))
        return
    with pytest.warns(UserWarning, match="reads a value") as seen:
        fast(tg.ones(2, device=device))
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (nn.LeakyReLU, "negative_slope", 0.5),
        (nn.Softplus, "beta", 3.0),
        (nn.HuberLoss, "delta", 0.25),
        (nn.SmoothL1Loss, "reduction", "sum"),
    ],
)
def test_an_option_that_changes_is_seen(layer: Any, name: str, value: Any, device: str) -> None:
    module = layer()
    x = tg.linspace(-2, 2, 5, device=device)
    given = (x, x * 0.5) if isinstance(module, nn.HuberLoss | nn.SmoothL1Loss) else (x,)
    fast = tg.compile(module.forward)
    for _ in range(3):
        tg.testing.assert_close(fast(*given), module(*given))
    setattr(module, name, value)
    for _ in range(3):
        tg.testing.assert_close(fast(*given), module(*given))


def test_an_option_read_by_its_name_leaves_other_state_alone(device: str) -> None:
    module, box = nn.LeakyReLU(), {"rate": 0.0}
    module.box = box
    fast = tg.compile(lambda x: module(x))
    x = tg.linspace(-2, 2, 5, device=device)
    for i in range(6):
        box["rate"] = float(i)  # nothing in the code names it
        fast(x)
    assert fast.traces <= 2
