"""Calls by each of PyTorch's names and places of arguments; the expected values are what PyTorch 2.13 gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg

CALLS: list[tuple[Callable[[Any, Any], Any], Any]] = [
    (lambda t, x: t.swapaxes(x, axis0=0, axis1=1), [[1, 3], [2, 4]]),
    (lambda t, x: x.swapaxes_(axis0=0, axis1=1), [[1, 3], [2, 4]]),
    (lambda t, x: x.swapdims(dim0=0, dim1=1), [[1, 3], [2, 4]]),
    (lambda t, x: t.adjoint(input=x), [[1, 3], [2, 4]]),
    (lambda t, x: t.numel(input=x), 4),
    (lambda t, x: t.vdot(input=x[0], other=x[1]), 11),
    (lambda t, x: t.vdot(x[0] * 1j, x[1] * 1j), 11),
    (lambda t, x: x.copy_(other=x + 1, non_blocking=True), [[2, 3], [4, 5]]),
    (lambda t, x: t.as_strided_(input=x, size=(2,), stride=(3,)), [1, 4]),
    (lambda t, x: t.resize_as_(input=x, the_template=x[0].clone()), [1, 2]),
    (lambda t, x: t.max(x, other=x.flip(0)), [[3, 4], [3, 4]]),
    (lambda t, x: x.min(other=x.flip(0)), [[1, 2], [1, 2]]),
    (lambda t, x: x.split(split_size=1)[1], [[3, 4]]),
    (lambda t, x: t.split(tensor=x, split_size_or_sections=[1, 1])[0], [[1, 2]]),
    (lambda t, x: t.hsplit(x, sections=2)[1], [[2], [4]]),
    (lambda t, x: t.hsplit(x, indices=[1])[0], [[1], [3]]),
    (lambda t, x: x.hsplit(1, 1)[1], [[], []]),
    (lambda t, x: x.vsplit(sections=2)[1], [[3, 4]]),
    (lambda t, x: t.dsplit(x.reshape(1, 2, 2), indices=(1,))[1], [[[2], [4]]]),
    (lambda t, x: t.tensor_split(x, sections=2)[1], [[3, 4]]),
    (lambda t, x: x.tensor_split(indices=[1], dim=1)[1], [[2], [4]]),
    (lambda t, x: t.tensor_split(x, tensor_indices_or_sections=t.tensor(2))[0], [[1, 2]]),
    (lambda t, x: t.isin(element=1, test_elements=x), True),
    (lambda t, x: t.isin(elements=x, test_element=2), [[False, True], [False, False]]),
    (lambda t, x: t.result_type(tensor=x, other=x) == x.dtype, True),
    (lambda t, x: t.result_type(scalar=1, tensor=x) == x.dtype, True),
    (lambda t, x: t.result_type(scalar1=1, scalar2=2) == t.int64, True),
    (lambda t, x: t.std(x, False), 1.1180340051651),
    (lambda t, x: t.var(x, unbiased=False), 1.25),
    (lambda t, x: x.var(0, False, True), [[1, 1]]),
    (lambda t, x: x.var(0, keepdim=True, correction=0), [[1, 1]]),
    (lambda t, x: t.var_mean(x, 0, False)[0], [1, 1]),
    (lambda t, x: x[None].squeeze(0, 1), [[1, 2], [3, 4]]),
    (lambda t, x: x[None].squeeze(dim=(0, 1)), [[1, 2], [3, 4]]),
    (lambda t, x: x[None].clone().squeeze_(0, 1), [[1, 2], [3, 4]]),
    (lambda t, x: x.count_nonzero(0, 1), 4),
    (lambda t, x: x.count_nonzero(dim=0), [2, 2]),
    (lambda t, x: t.roll(x, 1, ()), [[4, 1], [2, 3]]),
    (lambda t, x: x.reshape(shape=(4,)), [1, 2, 3, 4]),
    (lambda t, x: t.permute(x, dims=(1, 0)), [[1, 3], [2, 4]]),
    (lambda t, x: x[0].expand(size=(2, 2), implicit=True), [[1, 2], [1, 2]]),
    (lambda t, x: x[0].broadcast_to(2, 2), [[1, 2], [1, 2]]),
    (lambda t, x: x[0].repeat(repeats=(2, 1)), [[1, 2], [1, 2]]),
    (lambda t, x: x[0].tile(dims=(2,)), [1, 2, 1, 2]),
    (lambda t, x: x.view(size=(4,)), [1, 2, 3, 4]),
    (lambda t, x: x.clone().resize_(size=(2,)), [1, 2]),
    (lambda t, x: x.new_zeros(size=(2,), layout=t.strided), [0, 0]),
    (lambda t, x: x.new_ones(2, pin_memory=False), [1, 1]),
    (
        lambda t, x: t.tril_indices(2, 2, layout=t.strided, requires_grad=False),
        [[0, 1, 1], [0, 0, 1]],
    ),
    (lambda t, x: x.random_(**{"from": 5, "to": 6}), [[5, 5], [5, 5]]),
    (lambda t, x: x.random_(5, to=6), [[5, 5], [5, 5]]),
    (lambda t, x: x.random_(to=1), [[0, 0], [0, 0]]),
    (lambda t, x: t.randint_like(x, high=1), [[0, 0], [0, 0]]),
    (lambda t, x: t.randint_like(x, low=3, high=4), [[3, 3], [3, 3]]),
    (lambda t, x: t.repeat_interleave(repeats=t.tensor([1, 2])), [0, 1, 1]),
    (lambda t, x: t.histogram(x).hist.sum(), 4),
    (lambda t, x: t.slice_scatter(x, x[:1], 0, 1, out=t.empty(2, 2)), [[1, 2], [1, 2]]),
    (lambda t, x: x.scatter(0, t.tensor([[1, 1]]), value=0.0), [[1, 2], [0, 0]]),
    (lambda t, x: t.linalg.cross(t.eye(3)[0], t.eye(3)[1]), [0, 0, 1]),
    (lambda t, x: t.special.softmax(x * 0, 0, t.float64), [[0.5, 0.5], [0.5, 0.5]]),
    (lambda t, x: t.nn.functional.normalize(x, 1.0, 0, 1e-12, t.empty(2, 2)).sum(), 2),
    (lambda t, x: t.nn.functional.normalize(x, 1.0, 0, out=x), [[0.25, 1 / 3], [0.75, 2 / 3]]),
    (lambda t, x: t.nn.Hardtanh(min_value=0, max_value=2)(x), [[1, 2], [2, 2]]),
    (lambda t, x: list(t.nn.RNNBase("GRU", 2, 3).weight_ih_l0.shape), [9, 2]),
    (lambda t, x: t.nn.utils.rnn.PackedSequence((x, t.tensor([1, 1]))).data, [[1, 2], [3, 4]]),
    (lambda t, x: t.meshgrid(x[0], x[1], indexing="ij")[0], [[1, 1], [2, 2]]),
]

REFUSED: list[tuple[Callable[[Any, Any], Any], type[Exception]]] = [
    (lambda t, x: t.softmax(x), TypeError),
    (lambda t, x: x.log_softmax(), TypeError),
    (lambda t, x: t.swapaxes(x, dim0=0, dim1=1), TypeError),
    (lambda t, x: t.true_divide(x, x, rounding_mode="floor"), TypeError),
    (lambda t, x: t.hsplit(x, indices_or_sections=2), TypeError),
    (lambda t, x: t.result_type(x), TypeError),
    (lambda t, x: x.random_(start=1), TypeError),
    (lambda t, x: t.set_default_dtype(d=t.float32), TypeError),
    (lambda t, x: t.nn.RNNBase("lstm", 2, 3), ValueError),
    (lambda t, x: t.special.softmax(x, 0, out=x), TypeError),
    (lambda t, x: x.add(x, out=x), TypeError),
    (lambda t, x: x.sum(0, out=x), TypeError),
]


def flat(nested: Any) -> list[Any]:
    return [x for part in nested for x in flat(part)] if isinstance(nested, list) else [nested]


def shape(nested: Any) -> Any:
    return [shape(part) for part in nested] if isinstance(nested, list) else None


@pytest.mark.parametrize("case", CALLS, ids=lambda c: str(c[0].__code__.co_firstlineno))
def test_call(case: tuple[Callable[[Any, Any], Any], Any]) -> None:
    call, expected = case
    with tg.device("cpu"):
        found = call(tg, tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    found = found.tolist() if hasattr(found, "tolist") else found
    assert shape(found) == shape(expected)
    assert flat(found) == pytest.approx(flat(expected))


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: str(c[0].__code__.co_firstlineno))
def test_refusal(case: tuple[Callable[[Any, Any], Any], type[Exception]]) -> None:
    call, error = case
    with tg.device("cpu"), pytest.raises(error):
        call(tg, tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
