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


FILLED = {
    # shape, wrap: the flat places that PyTorch fills
    ((4, 2), False): [0, 3], ((4, 2), True): [0, 3, 6], ((2, 4), True): [0, 5],
    ((9, 2), True): [0, 3, 6, 9, 12, 15], ((7, 3), False): [0, 4, 8],
    ((7, 3), True): [0, 4, 8, 12, 16, 20], ((2, 2, 2), False): [0, 7], ((3, 3, 3), True): [0, 13, 26],
}  # fmt: skip


@pytest.mark.every_host
def test_the_diagonal_is_filled_where_pytorch_fills_it(device) -> None:
    for (shape, wrap), places in FILLED.items():
        x = tg.zeros(shape, device=device)
        assert x.fill_diagonal_(5.0, wrap=wrap) is x
        assert x.flatten().nonzero().flatten().tolist() == places
    across = tg.zeros(2, 9, device=device)
    across.t().fill_diagonal_(3.0, wrap=True)
    assert across.t().flatten().nonzero().flatten().tolist() == FILLED[(9, 2), True]
    with pytest.raises(RuntimeError, match="equal length"):
        tg.zeros(2, 3, 2, device=device).fill_diagonal_(1.0)
    with pytest.raises(RuntimeError, match="at least two dims"):
        tg.zeros(3, device=device).fill_diagonal_(1.0)


@pytest.mark.every_host
def test_ldexp_is_finite_where_its_result_is(device) -> None:
    x = tg.tensor([1e-30, 1e30, 1.0, 0.0], device=device)
    n = tg.tensor([160, -160, 200, 2000], device=device)
    found = tg.ldexp(x, n).tolist()
    assert found[:2] == pytest.approx([1e-30 * 2.0**160, 1e30 * 2.0**-160], rel=1e-6)
    assert found[2:] == [float("inf"), 0.0]
    assert tg.ldexp(x[:2], 160).tolist()[0] == pytest.approx(1e-30 * 2.0**160, rel=1e-6)
    y = tg.tensor([1.5], device=device, requires_grad=True)
    m = tg.tensor([3.0], device=device, requires_grad=True)
    tg.ldexp(y, m).backward()
    assert (y.grad.item(), m.grad.item()) == (8.0, pytest.approx(12 * 0.6931472, rel=1e-5))
    assert tg.ldexp(tg.tensor(3, device=device), tg.tensor(2, device=device)).item() == 12.0


@pytest.mark.every_host
def test_all_and_any_over_no_dims(device) -> None:
    x = tg.tensor([[1, 0], [1, 1]], device=device)
    for fn in (tg.all, tg.any):
        for dim in ((), []):
            assert fn(x, dim=dim).tolist() == [[True, False], [True, True]]
            assert fn(x, dim=dim, keepdim=True).shape == (2, 2)
    assert (tg.all(x).item(), tg.any(x).item()) == (False, True)


def test_scalars_and_no_classes_as_in_pytorch() -> None:
    one = tg.tensor(2.0, device="cpu")
    assert one.index_select(0, tg.tensor([0], device="cpu")).item() == 2.0
    with pytest.raises(IndexError, match="can have only 1 value, got 2"):
        one.index_select(0, tg.tensor([0, 0], device="cpu"))
    empty = tg.zeros(3, 0, device="cpu")
    assert tg.nn.functional.cross_entropy(empty, empty, label_smoothing=0.1).isnan().item()
