"""Tensors of one number, and index tensors, of the CPU beside tensors of an accelerator, as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import tabgrad as tg
from tests.grouped import grouped
from tests.lower import recorder


@pytest.mark.every_host
def test_they_go_to_the_other_device(device: str) -> None:
    x = tg.ones(2, 3, device=device, requires_grad=True)
    two = tg.tensor(2.0, device="cpu", requires_grad=True)
    for found in (
        x * two,
        two * x,
        x.div(two),
        tg.where(x > 0, two, x),
        tg.maximum(x, two),
        x + two.long(),
    ):
        assert found.device == x.device
        assert found.dtype is tg.float32
    (x * two).sum().backward()
    assert two.grad is not None
    assert two.grad.device.type == "cpu"
    assert two.grad.item() == 6
    assert x.detach().clone().add_(two).sum().item() == 18


@pytest.mark.one_host("wgpu")
def test_nothing_else_moves() -> None:
    there, here = tg.ones(3, device="webgpu"), tg.ones(3, device="cpu")
    for wrong in (
        lambda: there + here,
        lambda: here * there[0],
        lambda: here.add_(there[0]),
        lambda: here[0].clone().add_(there[0]),
        lambda: here[:1] * there,
    ):
        with pytest.raises(tg.DeviceError, match="one device"):
            wrong()


@pytest.mark.every_host
def test_integers_are_counted_in_intervals_on_accelerators(device: str) -> None:
    x = tg.tensor([0, 1, 3, 3, 2, 9], dtype=tg.int32, device=device)
    if device == "cpu":
        with pytest.raises(tg.DTypeError, match="not implemented for 'Int'"):
            tg.histc(x, 4)
        return
    for bins, low, high in ((4, 0, 3), (3, 0, 0), (5, 1, 7)):
        found = tg.histc(x, bins, low, high)
        assert found.dtype is tg.int32
        assert found.tolist() == tg.histc(x.cpu().float(), bins, low, high).tolist()
    with pytest.raises(tg.TabgradError, match="too many"):
        tg.histc(x, 2**20, 0, 2**20)


def cpu(value: object) -> tg.Tensor:
    return tg.tensor(value, device="cpu")


def put(x: tg.Tensor, index: object, value: object) -> tg.Tensor:
    y = x.clone()
    y[index] = value
    return y


MASK = [[True, False, True], [False, True, False]]
TAKEN: dict[str, Callable[[tg.Tensor], tg.Tensor]] = {
    "fill_": lambda x: x.clone().fill_(cpu(2.0)),
    "fill_diagonal_": lambda x: x.clone().fill_diagonal_(cpu(2.0)),
    "masked_fill": lambda x: x.masked_fill(x > 2, cpu(9.0)),
    "masked_fill_": lambda x: x.clone().masked_fill_(x > 2, cpu(9.0)),
    "index_fill": lambda x: x.index_fill(0, (x[:1, 1] + 0.5).int(), cpu(7.0)),
    "scatter": lambda x: x.scatter(1, (x[:, :1] > 2).int(), value=cpu(8.0)),
    "clamp": lambda x: x.clamp(cpu(1.0), x + 1),
    "lerp": lambda x: x.lerp(x + 1, cpu(0.5)),
    "addcdiv": lambda x: tg.addcdiv(x, x, cpu(2.0), value=cpu(3.0)),
    "alpha": lambda x: tg.add(x, x, alpha=cpu(3.0)),
    "zeta": lambda x: tg.special.zeta(cpu(2.0), x + 1),
    "nextafter": lambda x: tg.nextafter(x, cpu(9.0)),
    "igamma": lambda x: tg.igamma(x + 1, cpu(2.0)),
    "bernoulli_": lambda x: x.clone().bernoulli_(cpu([0.0, 1.0, 1.0])),
    "copy_": lambda x: x.clone().copy_(cpu([1.0, 2.0, 3.0])),
    "an index": lambda x: x[cpu([1, 0])],
    "a negative index of int32": lambda x: x[:, cpu([-1, 0]).int()],
    "two indices": lambda x: x[cpu([1, 0]), cpu([2, 0])],
    "indices of both": lambda x: x[cpu([1, 0]), (x[:, 1] + 0.5).int().clamp(max=2)],
    "a number": lambda x: x[cpu(1)],
    "a mask": lambda x: x[cpu(MASK)],
    "a mask of rows": lambda x: x[cpu([False, True])],
    "a mask of bytes": lambda x: x[:, cpu([0, 1, 1]).byte()],
    "write at an index": lambda x: put(x, cpu([1, 0]), cpu(5.0)),
    "write at a mask": lambda x: put(x, cpu(MASK), cpu(5.0)),
    "write many at a mask": lambda x: put(x, cpu(MASK), x[0]),
    "write at a number": lambda x: put(x, cpu(1), cpu(5.0)),
    "write to a view": lambda x: put(x, 0, cpu([4.0, 5.0, 6.0])),
    "index_put": lambda x: x.index_put((cpu([1, 0]), cpu([2, 0])), cpu(5.0)),
    "index_put_": lambda x: x.clone().index_put_((cpu([1, 1]),), cpu(5.0), accumulate=True),
}


@pytest.mark.every_host
@grouped("name", list(TAKEN))
def test_beside_an_accelerator_stand(name: str, device: str) -> None:
    x = tg.arange(6.0, device="cpu").reshape(2, 3)
    found = TAKEN[name](x.to(device))
    assert found.device == tg.device(device)
    tg.testing.assert_close(found.cpu(), TAKEN[name](x))


@grouped("kind, name", [(kind, name) for kind in ("webgpu", "cuda") for name in TAKEN])
def test_it_is_recorded_for_both_kinds(kind: str, name: str) -> None:
    device = recorder.device(kind)
    x = tg.zeros(2, 3, device=device)
    assert TAKEN[name](x).device is device
    device.backend.flush()


@pytest.mark.every_host
def test_derivatives_go_back(device: str) -> None:
    x = tg.ones(2, 3, device=device)
    fill = tg.tensor(2.0, device="cpu", requires_grad=True)
    x.masked_fill(x > 0, fill).sum().backward()
    put(x, cpu([1]), fill).sum().backward()
    assert fill.grad is not None
    assert (fill.grad.device.type, fill.grad.item()) == ("cpu", 9)


@pytest.mark.one_host("wgpu")
def test_what_moves_only_on_request() -> None:
    there, here = tg.ones(3, device="webgpu"), tg.ones(3, device="cpu")
    index = tg.tensor([0], device="webgpu")
    for wrong, text in (
        (lambda: here[index], "indices should be either on cpu or on the same device"),
        (lambda: put(here, index, 1.0), "indices should be either on cpu"),
        (lambda: put(there, index, here[:1]), "expected a value on webgpu, got one on cpu"),
        (lambda: there.masked_fill(here > 0, 1.0), "one device"),
        (lambda: there.index_select(0, index.cpu()), "one device"),
    ):
        with pytest.raises(tg.DeviceError, match=text):
            wrong()
