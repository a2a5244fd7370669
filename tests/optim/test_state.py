"""`optimizer.state` is a dict to programs, wherever a parameter's state lies."""

from __future__ import annotations

import collections
import copy
import pickle
from typing import Any

import pytest

import tabgrad as tg


def trained(steps: int = 2, **options: Any) -> tuple[Any, Any, Any]:
    """Return two parameters whose gradients are one, and the optimizer after some steps."""
    w = tg.nn.Parameter(tg.ones(2, device="cpu"))
    b = tg.nn.Parameter(tg.ones(1, device="cpu"))
    optimizer = tg.optim.SGD([w, b], lr=0.5, momentum=0.5, **options)
    for _ in range(steps):
        take_step(optimizer, w, b)
    return w, b, optimizer


def take_step(optimizer: Any, *params: Any) -> None:
    for p in params:
        p.grad = tg.ones_like(p)
    optimizer.step()


def momenta(optimizer: Any) -> list[list[float]]:
    return [its["momentum_buffer"].tolist() for its in optimizer.state.values()]


def test_it_is_a_dict() -> None:
    w, b, optimizer = trained()
    state = optimizer.state
    assert isinstance(state, dict)
    assert isinstance(state, collections.defaultdict)
    assert isinstance(state[w], dict)
    assert [*state] == [w, b]
    assert list(reversed(state)) == [b, w]
    assert repr(state[b]) == "{'momentum_buffer': tensor([1.5000])}"
    assert repr(state).startswith(
        "defaultdict(<class 'dict'>, {Parameter containing:\ntensor([-0.2500, -0.2500]"
    )
    assert {**state[b]} == dict(state[b]) == state[b].copy() == state[b]
    assert sorted(state[b] | {"a": 1}) == sorted({"a": 1} | state[b]) == ["a", "momentum_buffer"]
    for made in (state.copy(), copy.copy(state)):
        assert type(made) is collections.defaultdict
        assert made[tg.ones(1, device="cpu")] == {}
    assert len(state) == 2


def test_only_indexing_makes_the_state_of_a_parameter() -> None:
    _, b, optimizer = trained()
    other = tg.ones(1, device="cpu")
    state = optimizer.state
    assert state.get(other) is None
    assert other not in state
    assert state.setdefault(other, {"k": 1}) == {"k": 1}
    assert state.pop(other) == {"k": 1}
    with pytest.raises(KeyError):
        state.pop(other)
    with pytest.raises(KeyError):
        del state[other]
    assert state.pop(other, 3) == 3
    assert state.pop(b)["momentum_buffer"].tolist() == [1.5]
    assert len(state) == 1
    assert state[other] == {}
    assert other in state


def test_a_step_goes_on_from_what_a_program_makes_of_it() -> None:
    def replace(o: Any, w: Any, b: Any) -> None:
        o.state = collections.defaultdict(dict)

    def assign(o: Any, w: Any, b: Any) -> None:
        o.state = {w: {"momentum_buffer": tg.zeros(2, device="cpu")}}

    def change(o: Any, w: Any, b: Any) -> None:
        for its in o.state.values():
            for name, value in its.items():
                its[name] = value * 0

    def unpickled(o: Any, w: Any, b: Any) -> None:
        o.__setstate__({"state": {}})

    for make in (lambda o, w, b: o.state.clear(), replace, assign, change, unpickled):
        w, b, optimizer = trained()
        make(optimizer, w, b)
        take_step(optimizer, w, b)
        assert momenta(optimizer) == [[1.0, 1.0], [1.0]]
        assert w.tolist() == [-0.75, -0.75]
    w, b, optimizer = trained()
    del optimizer.state[w]
    take_step(optimizer, w, b)
    assert (w.tolist(), b.tolist()) == ([-0.75, -0.75], [-1.125])


def test_a_compiled_step_uses_the_new_state() -> None:
    w = tg.nn.Parameter(tg.ones(2, device="cpu"))
    optimizer = tg.optim.SGD([w], lr=0.5, momentum=0.5)

    @tg.compile
    def step() -> None:
        optimizer.zero_grad()
        w.sum().backward()
        optimizer.step()

    for _ in range(3):
        step()
    optimizer.state = collections.defaultdict(dict)
    before = w.tolist()[0]
    step()
    assert w.tolist()[0] == before - 0.5
    step()
    assert momenta(optimizer) == [[1.5, 1.5]]


def test_copies_have_a_state_of_their_own() -> None:
    w, _, optimizer = trained()
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert momenta(other) == momenta(optimizer)
        assert isinstance(other.state, dict)
        take_step(other, *other.state)
        assert momenta(other) == [[1.75, 1.75], [1.75]]
    assert momenta(optimizer) == [[1.5, 1.5], [1.5]]
    assert type(copy.deepcopy(optimizer.state[w])) is dict


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_parameters_that_share_memory_change_one_after_the_other(name: str) -> None:
    def changed(together: bool) -> list[list[float]]:
        base = tg.arange(1.0, 13.0, device="cpu")
        pieces = (base, base[2:6], base[6:].view(2, 3), base[4:8], base[8:].view(2, 2).t())
        params = [p.detach().requires_grad_() for p in pieces]
        kind: Any = getattr(tg.optim, name)
        groups = [params] if together else [[p] for p in params]
        optimizers = [kind(group, lr=0.5, weight_decay=0.1) for group in groups]
        for k in range(3):
            for n, p in enumerate(params):
                p.grad = tg.full_like(p, n + k + 1.0)
            for optimizer in optimizers:
                optimizer.step()
        return [base.tolist(), *[p.tolist() for p in params]]

    assert changed(together=True) == changed(together=False)


def test_pieces_of_one_vector_that_do_not_overlap_are_one_flat() -> None:
    base = tg.ones(6, device="cpu")
    params = [p.detach().requires_grad_() for p in (base[:2], base[2:].view(2, 2))]
    optimizer = tg.optim.SGD(params, lr=0.5, momentum=0.5)
    take_step(optimizer, *params)
    assert base.tolist() == [0.5] * 6
    assert len({id(flat) for flat, _ in optimizer.state.home.values()}) == 1
