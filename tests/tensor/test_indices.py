"""Indices out of range are told in every function that takes some, and nothing else is touched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import OutOfRangeError
from tabgrad.nn import functional as F

pytestmark = pytest.mark.every_host

L = tg.tensor

READS: dict[str, tuple[str, str]] = {
    "x[index]": ("x[L([70])]", "index 70 is out of bounds for dimension 0 with size 3"),
    "x[i, j]": ("x[L([0]), L([5])]", "index 5 is out of bounds for dimension 1 with size 4"),
    "x[:, j]": ("x[:, L([-5])]", "index -5 is out of bounds for dimension 1 with size 4"),
    "x[0-d]": ("x[L(3)]", "index 3 is out of bounds for dimension 0 with size 3"),
    "constant": ("tg.ones(3)[L([3])]", "index 3 is out of bounds for dimension 0 with size 3"),
    "constant index": ("x[tg.full((2,), 9)]", "index 9 is out of bounds for dimension 0"),
    "empty": ("tg.zeros(0, 4)[L([0])]", "index 0 is out of bounds for dimension 0 with size 0"),
    "gather": ("tg.gather(x, 1, L([[4]]))", "index 4 is out of bounds for dimension 1 .* gather"),
    "gather -1": ("tg.gather(x, 1, L([[-1]]))", "index -1 is out of bounds for dimension 1"),
    "index_select": ("x.index_select(0, L([3]))", "index 3 .* index_select"),
    "index_select -1": ("x.index_select(0, L([-1]))", "index -1 .* index_select"),
    "take": ("tg.take(x, L([12]))", "index 12 .* size 12 in take"),
    "take -13": ("tg.take(x, L([-13]))", "index -13 .* size 12 in take"),
    "take_along_dim": ("tg.take_along_dim(x, L([[4]]), 1)", "index 4 .* take_along_dim"),
    "take_along_dim flat": ("tg.take_along_dim(x, L([12]))", "index 12 .* take_along_dim"),
    "embedding": ("F.embedding(L([[0], [3]]), x)", "index 3 .* size 3 in embedding"),
    "embedding -1": ("F.embedding(L([-1]), x)", "index -1 .* size 3 in embedding"),
    "max_norm": ("F.embedding(L([3]), x, max_norm=1.0)", "index 3 .* size 3 in embedding"),
    "embedding_bag": ("F.embedding_bag(L([[3]]), x)", "index 3 .* in embedding_bag"),
    "bags": ("F.embedding_bag(L([0, 3]), x, L([0]))", "index 3 .* in embedding_bag"),
    "offsets": ("F.embedding_bag(L([0, 1]), x, L([0, 5]))", "index 5 .* the offsets of embedding_bag"),
    "first offset": ("F.embedding_bag(L([0, 1]), x, L([1]))", "whose first offset must be 0"),
    "one_hot": ("F.one_hot(L([3]), 3)", "Class values must be smaller than num_classes: got 3"),
    "one_hot -1": ("F.one_hot(L([-1]), 3)", "Class values must be non-negative: got -1"),
    "one_hot of any": ("F.one_hot(L([-1]))", "Class values must be non-negative: got -1"),
    "cross_entropy": ("F.cross_entropy(x, L([0, 1, 4]))", "Target 4 is out of bounds .* cross_entropy"),
    "cross_entropy -1": ("F.cross_entropy(x, L([0, -1, 1]))", "Target -1 is out of bounds"),
    "bytes": ("F.nll_loss(x, L([0, 4, 255], dtype=tg.uint8))", "Target (4|255) is out of bounds"),
    "weights": ("F.nll_loss(x, L([0, 1, 4]), weight=tg.ones(4))", "Target 4 is out of bounds"),
    "nll_loss 2d": ("F.nll_loss(x.reshape(1, 3, 2, 2), L([[[0, 3], [0, 0]]]))", "Target 3 .* nll_loss"),
    "multi_margin": ("F.multi_margin_loss(x, L([0, 1, 4]))", "Target 4 .* multi_margin_loss"),
    "multilabel": ("F.multilabel_margin_loss(x[0], L([0, 5, -1, 0]))", "Target 5 .* multilabel_mar"),
    "multilabel -2": ("F.multilabel_margin_loss(x[0], L([0, -1, -2, 0]))", "Target -2 .* multilabel"),
    "max_unpool2d": ("F.max_unpool2d(x[None, :1, :1, None], L([[[[5]]]]), 2)", "index 5 .* max_unpool2d"),
    "ctc_loss": (
        "F.ctc_loss(x[:, None].log_softmax(-1), L([[1, 7]]), L([3]), L([2]))", "Target 7 .* ctc_loss"
    ),
    "scatter": ("x.scatter(1, L([[4]]), 1.0)", "index 4 .* dimension 1 with size 4 in scatter"),
    "scatter -1": ("x.scatter(1, L([[-1]]), 1.0)", "index -1 .* in scatter"),
    "scatter_add": ("x.scatter_add(1, L([[4]]), L([[1.0]]))", "index 4 .* in scatter_add"),
    "scatter_reduce": ("x.scatter_reduce(1, L([[4]]), L([[1.0]]), 'amax')", "index 4 .* scatter_reduce"),
    "index_add": ("x.index_add(0, L([3]), tg.ones(1, 4))", "index 3 .* in index_add"),
    "index_copy": ("x.index_copy(0, L([-1]), tg.ones(1, 4))", "index -1 .* in index_copy"),
    "index_fill": ("x.index_fill(0, L([-4]), 5.0)", "index -4 .* in index_fill"),
    "index_put": ("x.index_put((L([3]),), L(1.0))", "index 3 .* in index_put"),
    "index_put_": ("x.clone().index_put_((L([0]), L([4])), L(1.0))", "index 4 .* in index_put_"),
    "accumulate": ("x.clone().index_put_((L([3]),), L(1.0), True)", "index 3 .* in index_put_"),
    "put": ("x.put(L([12]), L([1.0]))", "index 12 .* in put"),
}  # fmt: skip

FROM_THE_END = {
    "x[L([-1, 0])]": [[8.0, 9.0, 10.0, 11.0], [0.0, 1.0, 2.0, 3.0]],
    "x[L([-3]), L([-4])]": [0.0],
    "tg.take(x, L([-12, -1]))": [0.0, 11.0],
    "tg.take_along_dim(x, L([[-1, -4]]), 1)": [[3.0, 0.0], [7.0, 4.0], [11.0, 8.0]],
    "x.index_fill(0, L([-1]), 5.0)[2]": [5.0] * 4,
    "x.put(L([-1]), L([5.0]))[2]": [8.0, 9.0, 10.0, 5.0],
    "x.index_put((L([-3]), L([-4])), L(5.0))[0]": [5.0, 1.0, 2.0, 3.0],
}


def run(code: str) -> Any:
    x = tg.arange(12.0).reshape(3, 4)
    return eval(compile(code, "user.py", "eval"), {"x": x, "L": L, "F": F, "tg": tg})


@pytest.mark.parametrize("name", READS)
def test_an_index_out_of_range_is_told_with_its_place(name: str, device: str) -> None:
    code, words = READS[name]
    with pytest.raises(IndexError, match=words) as caught:
        run(code).tolist()
    if device == "webgpu" and name != "one_hot of any":
        assert str(caught.value).endswith("called at user.py:1")
    assert tg.arange(3.0).sum().item() == 3.0, "it is told once"


@pytest.mark.parametrize("code", FROM_THE_END)
def test_negative_indices_count_from_the_end(code: str) -> None:
    assert run(code).tolist() == FROM_THE_END[code]


def test_synchronizing_tells_it_too(device: str) -> None:
    def program() -> Any:
        y = tg.ones(3)[L([4])]
        tg.accelerator.synchronize() if device != "cpu" else None
        return y

    with pytest.raises(OutOfRangeError, match="index 4 is out of bounds"):
        program()
    with pytest.raises(OutOfRangeError, match="index 5 is out of bounds"):
        asyncio.run(tg.ones(3)[L([5])].tolist_async())


def test_replays_tell_it_and_go_on() -> None:
    table = tg.arange(6.0).reshape(3, 2)

    @tg.compile
    def rows(k: Any) -> Any:
        return F.embedding(k, table) * 2

    assert rows(L([0, 1])).tolist() == [[0.0, 2.0], [4.0, 6.0]]
    assert rows(L([2, 1])).tolist() == [[8.0, 10.0], [4.0, 6.0]]
    for bad in (7, -1):
        with pytest.raises(IndexError, match=f"index {bad} is out of bounds .* in embedding"):
            rows(L([2, bad])).tolist()
        assert rows(L([2, 0])).tolist() == [[8.0, 10.0], [0.0, 2.0]]


def test_plans_of_two_lines_tell_each_its_own(device: str) -> None:
    def first(k: Any) -> Any:
        return tg.ones(5)[k] + 1

    def second(k: Any) -> Any:
        return tg.ones(5)[k] + 1

    for f in (first, second, first):
        assert f(L([1])).tolist() == [2.0]
        with pytest.raises(IndexError, match="index 9 ") as caught:
            f(L([9])).tolist()
        if device == "webgpu":
            line = f.__code__.co_firstlineno + 1
            assert str(caught.value).endswith(f"test_indices.py:{line}")


def test_transforms_tell_it() -> None:
    x = tg.arange(6.0).reshape(2, 3)
    with pytest.raises(IndexError, match="index 3 is out of bounds for dimension 0 with size 3"):
        tg.vmap(lambda row, k: row[k])(x, L([[0], [3]])).tolist()
    with pytest.raises(IndexError, match=r"index 3 .* in gather"):
        tg.func.grad(lambda x: tg.gather(x, 1, L([[3], [0]])).sum())(x).tolist()
    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        tg.func.grad(lambda x: F.cross_entropy(x, L([0, 3])))(x).tolist()


def test_indices_computed_on_the_device_are_checked() -> None:
    x = tg.arange(4.0)
    k = tg.arange(4) * 2
    with pytest.raises(IndexError, match=r"index (4|6) is out of bounds"):
        x[k].sum().item()
    with pytest.raises(IndexError, match=r"index [0-9]+ is out of bounds"):
        x[tg.randint(4, 100, (300,))].sum().item()
    assert x[k % 4].tolist() == [0.0, 2.0, 0.0, 2.0]
    assert x[tg.randint(0, 4, (300,))].max().item() <= 3.0


def test_no_index_is_no_error_and_what_is_left_out_is_not_checked() -> None:
    x = tg.ones(3, 4)
    none = tg.zeros(0, dtype=tg.int64)
    assert x[none].shape == (0, 4)
    for _ in range(3):
        # spare buffers are full of numbers that are no indices
        assert (tg.full((64,), -1e9) * 2).sum().item() < 0
        assert x.index_add(0, none, tg.ones(0, 4)).tolist() == x.tolist()
    assert F.cross_entropy(x, L([0, -100, 3])).item() == pytest.approx(1.3862944)
    assert F.nll_loss(x, L([4, 4, 0]), ignore_index=4).item() == -1.0


@pytest.mark.every_host
def test_an_index_of_no_element_is_not_checked(device: str) -> None:
    """The numbers behind an empty slice are no indices, though a kernel may read one in front of a loop."""
    with tg.device(device):
        table, j = tg.ones(3, 2), tg.tensor([[99, 98], [97, 96]])
        none = j[:, :0]
        for found in (
            table[j[0, :0]].sum(0), table.gather(0, j[:0]).sum(0), table[none].sum((1, 2)),
            table.flatten()[none].prod(1) - 1, table.flatten()[none] @ tg.ones(0, 2),
            F.embedding_bag(none, table, mode="sum"), F.one_hot(none, 3).sum(1),
            tg.zeros(2, 3).scatter_add(1, none, tg.ones(2, 0)), tg.bernoulli(table[:, :0] + 7).sum(1),
        ):  # fmt: skip
            assert not found.any().item()


def test_a_write_out_of_range_leaves_the_other_elements() -> None:
    x = tg.zeros(2, 2)
    before, after = tg.full((64,), 7.0), tg.full((64,), 7.0)
    total = (before * 1).sum() + (after * 1).sum()

    def write() -> Any:
        x[L([0]), L([2])] = 5.0
        return x.tolist()

    with pytest.raises(IndexError, match="index 2 "):
        write()
    assert x.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert total.item() == 7.0 * 128


def test_rows_of_a_product_of_one_row(device: str) -> None:
    """The product is a sum, which the kernel that reads it by an index computes itself."""
    one, at = tg.tensor([[1.0, 2.0, 3.0, 4.0]], device=device), tg.tensor([0], device=device)
    many = tg.arange(12.0, device=device).reshape(3, 4)
    want = [[20.0, 60.0, 100.0]]
    y = one @ many.T
    assert y[at].tolist() == want
    assert (one @ many.T).index_select(0, at).tolist() == want
    assert tg.nn.functional.embedding(at, one @ many.T).tolist() == want
    assert tg.gather(one @ many.T, 0, at.expand(1, 3)).tolist() == want
    assert (one[None] @ many.T)[:, at].tolist() == [want]
    assert (one @ one.T)[at].tolist() == [[30.0]]
    given = many.clone().requires_grad_()
    (one @ given.T)[at].sum().backward()
    assert given.grad is not None
    assert given.grad.tolist() == one.tolist() * 3
