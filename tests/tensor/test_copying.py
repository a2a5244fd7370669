"""`copy.deepcopy`: what shares memory shares that of the copies, as PyTorch copies a storage once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tests.grouped import grouped

Pair = Callable[[], tuple[Any, Any]]


def _row() -> Any:
    return tg.arange(6.0)


def _pair(make: Callable[[], Any], first: Any, second: Any) -> Pair:
    def made() -> tuple[Any, Any]:
        x = make()
        return first(x), second(x)

    return made


def _itself(x: Any) -> Any:
    return x


SHARED: dict[str, Pair] = {
    "a base and its view": _pair(_row, _itself, lambda x: x[2:4]),
    "a view and its base": _pair(_row, lambda x: x[2:4], _itself),
    "two views": _pair(_row, lambda x: x[1:5], lambda x: x.view(2, 3).t()),
    "a detached tensor": _pair(_row, _itself, lambda x: x.detach()),
    "views of detached tensors": _pair(_row, lambda x: x.detach()[:3], lambda x: x.detach()[1:]),
    "data of a leaf": _pair(lambda: _row().requires_grad_(), lambda x: x.data, lambda x: x.data[:2]),
    "what has a history": _pair(
        lambda: _row().requires_grad_() * 2, lambda x: x.detach(), lambda x: x.detach()[3:]
    ),
    "data of a parameter": _pair(lambda: tg.nn.Parameter(_row()), lambda x: x.data, lambda x: x.data[2]),
    "a part of complex numbers": _pair(lambda: tg.ones(3) + 0j, _itself, lambda x: x.real),
}  # fmt: skip


@pytest.mark.every_host
@grouped("name", SHARED)
def test_copies_share_memory_as_the_tensors_do(device: str, name: str) -> None:
    with tg.device(device):
        tensors = SHARED[name]()
        before = [x.tolist() for x in tensors]
        first, second = copy.deepcopy(tensors)
        first.fill_(9.0)
        assert (second == 9).any().item()
        assert [x.tolist() for x in tensors] == before
        second.zero_()
        assert (first == 0).any().item()


def test_what_pytorch_copies_by_itself() -> None:
    with tg.device("cpu"):
        p = tg.nn.Parameter(tg.ones(3))
        z = tg.tensor([1 + 2j])
        p, data, z, turned = copy.deepcopy((p, p.data, z, z.conj()))
        p.data.fill_(9.0)
        z.fill_(0)
        assert data.tolist() == [1.0] * 3
        assert turned.tolist() == [1 - 2j]


def test_layout_class_and_gradients_of_a_copied_view() -> None:
    class Own(tg.Tensor):
        pass

    with tg.device("cpu"):
        x = tg.arange(12.0).view(3, 4)
        y = copy.deepcopy(x.t()[1:].as_subclass(Own).requires_grad_())
        assert type(y) is Own
        assert (y.stride(), y.storage_offset()) == ((1, 4), 1)
        (y * y).sum().backward()
        assert y.grad is not None
        assert y.grad.tolist() == (2 * x.t()[1:]).tolist()
        assert copy.deepcopy(y).grad.tolist() == y.grad.tolist()  # type: ignore[union-attr]
        assert tg.equal(tg.vmap(lambda row: copy.deepcopy(row[1:]) * 2)(x), x[:, 1:] * 2)


def test_a_base_that_is_met_after_its_view_keeps_its_attributes() -> None:
    with tg.device("cpu"):
        x: Any = tg.zeros(3)
        x.note = "kept"
        x.grad = tg.ones(3)
        view, twin = copy.deepcopy((x[1:], x))
        view.fill_(2.0)
        assert twin.tolist() == [0.0, 2.0, 2.0]
        assert twin.note == "kept"
        assert twin.grad is not None
        assert twin.grad.tolist() == [1.0] * 3


def test_modules_with_a_view_of_a_buffer() -> None:
    with tg.device("cpu"):
        net = tg.nn.Module()
        net.register_buffer("whole", tg.zeros(4))
        net.part = net.whole[:2]
        twin = copy.deepcopy(net)
        twin.whole.add_(5.0)
        assert twin.part.tolist() == [5.0, 5.0]
        assert net.part.tolist() == [0.0, 0.0]
