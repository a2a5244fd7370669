"""Methods that PyTorch has at its root as well: what they do, and what they refuse."""

from __future__ import annotations

import pytest

import tabgrad as tg
from tabgrad.tensor import rooted

ARGUMENTS = {
    "addmv_": lambda x: (x.new_ones(x.numel(), 3), x.new_ones(3)), "clamp_": lambda x: (0.2, 0.4),
    "clamp_max_": lambda x: (0.4,), "clamp_min_": lambda x: (0.4,), "clip_": lambda x: (0.2, 0.4),
    "fill_": lambda x: (3,), "ldexp_": lambda x: (2,), "xlogy_": lambda x: (x + 1,),
    "index_put_": lambda x: ((tg.tensor([0], device=x.device),), x.new_ones(1)),
}  # fmt: skip


@pytest.mark.every_host
def test_each_is_the_method_and_refuses_what_is_no_tensor(device) -> None:
    for name in rooted.__all__:
        if name in ("detach", "detach_", "fill", "gcd_", "lcm_"):
            continue
        fn = getattr(tg, name)
        data = [1.5, 2.0] if name == "acosh_" or name == "arccosh_" else [0.25, 0.5]
        x, y = (tg.tensor(data, device=device) for _ in range(2))
        rest = ARGUMENTS.get(name, lambda x: ())(x)
        assert fn(x, *rest) is x, name
        getattr(y, name)(*rest)
        assert x.tolist() == y.tolist(), name
        assert x.tolist() != data or name in ("abs_", "frac_", "nan_to_num_", "relu_"), name
        plain = getattr(tg, name[:-1], None)
        if plain is not None:
            assert plain(tg.tensor(data, device=device), *rest).tolist() == x.tolist(), name
        for wrong in ([0.5], 0.5, None, "x"):
            with pytest.raises(
                TypeError, match=rf"{fn.__name__}\(\): argument 'input' \(position 1\)"
            ):
                fn(wrong, *rest)


def test_by_name_and_of_integers() -> None:
    x = tg.tensor([4, 6], device="cpu")
    assert tg.gcd_(input=x, other=tg.tensor([6, 9], device="cpu")).tolist() == [2, 3]
    assert tg.lcm_(x, tg.tensor([5, 2], device="cpu")).tolist() == [10, 6]
    assert tg.exp_(x=tg.zeros(1, device="cpu")).tolist() == [1]
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        tg.exp_(x)


def test_detached() -> None:
    x = tg.ones(2, device="cpu", requires_grad=True)
    y = tg.detach(x)
    assert not y.requires_grad
    with tg.no_grad():
        tg.zero_(x)
    assert y.tolist() == [0, 0]
    z = x * 2
    assert tg.detach_(z) is z
    assert z.is_leaf


@pytest.mark.every_host
def test_fill(device) -> None:
    x = tg.ones(2, 3, device=device, requires_grad=True)
    v = tg.tensor(2.0, device=device, requires_grad=True)
    tg.fill(x, v).sum().backward()
    assert x.grad.tolist() == [[0] * 3] * 2
    assert v.grad.item() == 6
    assert tg.fill(tg.tensor([1, 2], device=device), 2.9).tolist() == [2, 2]
    assert tg.func.vmap(lambda v: tg.fill(x, v))(tg.tensor([1.0, 2.0], device=device))[1, 0, 0] == 2
    with pytest.raises(RuntimeError, match="0-dimension value tensor but got shape"):
        tg.fill(x, x)


def test_products_in_place() -> None:
    a, b = tg.ones(2, 3, device="cpu"), tg.ones(3, 2, device="cpu")
    v = tg.ones(2, device="cpu")
    assert tg.zeros(2, 2, device="cpu").addmm_(a, b, beta=2, alpha=2).tolist() == [[6, 6], [6, 6]]
    assert v.clone().addmv_(a, tg.ones(3, device="cpu")).tolist() == [4, 4]
    assert tg.zeros(2, 2, device="cpu").addr_(v, v).tolist() == [[1, 1], [1, 1]]
    x = tg.zeros(1, 2, 2, device="cpu")
    assert x.baddbmm_(a[None], b[None]) is x
    assert x[0].addbmm_(a[None], b[None]).tolist() == [[6, 6], [6, 6]]
    assert x.tolist() == [[[6, 6], [6, 6]]]
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        v.addmm_(a, b)
