"""Blocks, combinations, sections, copies of views, cells of grids; expected values are PyTorch's."""

from __future__ import annotations

import math

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


def test_blocks_and_combinations() -> None:
    found = tg.block_diag(tg.tensor([1, 2]), tg.tensor(3.0), tg.ones(2, 1), tg.ones(0))
    assert found.dtype is tg.float32
    assert found.tolist() == [
        [1, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0],
    ]  # fmt: skip
    assert tg.block_diag().shape == (1, 0)
    x = tg.tensor([4.0, 5.0, 6.0], requires_grad=True)
    assert tg.combinations(x).tolist() == [[4, 5], [4, 6], [5, 6]]
    assert tg.combinations(x, 1).tolist() == [[4], [5], [6]]
    assert tg.combinations(x[:2], 2, True).tolist() == [[4, 4], [4, 5], [5, 5]]
    assert tg.combinations(x, 0).shape == (0,)
    assert tg.combinations(x, 4).shape == (0, 4)
    (tg.block_diag(x, 2 * x) * 3 + 0).sum().backward()
    assert x.grad.tolist() == [9, 9, 9]
    x.grad = None
    tg.combinations(x)[:, 0].sum().backward()
    assert x.grad.tolist() == [2, 1, 0]
    for call, message in (
        (lambda: tg.block_diag(tg.ones(1, 1, 1)), "Input 0 has 3 dimensions"),
        (lambda: tg.block_diag(x, [1.0]), "element 1 is list"),
        (lambda: tg.combinations(x[None]), "Expect a 1D vector"),
        (lambda: tg.combinations(x, -1), "Expect a non-negative number, but got -1"),
    ):
        with pytest.raises((RuntimeError, ValueError, TypeError), match=message):
            call()


def test_parts() -> None:
    x = tg.arange(6.0).reshape(2, 3)
    a, b = tg.split_with_sizes(x, (1, 2), 1)
    assert (a.tolist(), b.tolist()) == ([[0], [3]], [[1, 2], [4, 5]])
    for fn, args in (
        (tg.unsafe_split_with_sizes, ([1, 2], 1)), (tg.unsafe_split, (2, 1)), (tg.unsafe_chunk, (2, 1)),
    ):  # fmt: skip
        y = (x * 1).requires_grad_() * 2
        first, *_ = fn(y, *args)
        first.zero_()
        assert y[:, 0].tolist() == [0, 0]
        assert getattr(y, fn.__name__)(*args)[0].tolist() == first.tolist()
    for call, message in (
        (lambda: tg.split_with_sizes(x, [-1, 3]), "only non-negative entries"),
        (lambda: x.split_with_sizes([1, 3]), "to sum exactly to 2"),
    ):
        with pytest.raises(RuntimeError, match=message):
            call()


def test_sums_to_a_size() -> None:
    x = tg.arange(6.0).reshape(2, 3)
    assert x.sum_to_size(1, 3).tolist() == [[3, 5, 7]]
    assert x.sum_to_size((3,)).tolist() == [3, 5, 7]
    assert x.sum_to_size(size=[2, 1]).tolist() == [[3], [12]]
    assert x.sum_to_size(2, 3) is x
    assert x.sum_to_size([]).item() == 15
    for sizes in ((2, 1, 3), (2,)):
        with pytest.raises(RuntimeError, match=r"is not expandable to size \[2, 3\]"):
            x.sum_to_size(*sizes)


def test_places() -> None:
    rows, columns = tg.unravel_index(tg.tensor([[1], [5]]), (2, 3))
    assert (rows.tolist(), columns.tolist()) == ([[0], [1]], [[1], [2]])
    assert tg.unravel_index(tg.tensor(-1), 4)[0].item() == 3
    with pytest.raises(IndexError, match="index 6 is out of bounds"):
        tg.unravel_index(tg.tensor([6]), (2, 3))[0].tolist()
    with pytest.raises(RuntimeError, match="expected 'indices' to be integer dtype"):
        tg.unravel_index(tg.ones(1), 2)
    x = tg.tensor([[0.0, math.nan], [0.0, 2.0]])
    assert tg.nonzero_static(x, size=3, fill_value=9).tolist() == [[0, 1], [1, 1], [9, 9]]
    assert x.nonzero_static(size=1).tolist() == [[0, 1]]
    assert tg.nonzero_static(tg.tensor(1.0), size=2).shape == (2, 0)
    assert tg.nonzero_static(x[:0], size=2).tolist() == [[-1, -1]] * 2


def test_diagonals_are_replaced() -> None:
    x, d = tg.zeros(2, 3, requires_grad=True), tg.ones(2, requires_grad=True)
    y = tg.diagonal_scatter(x, d, 1)
    assert y.tolist() == [[0, 1, 0], [0, 0, 1]]
    (y * tg.arange(6).reshape(2, 3)).sum().backward()
    assert x.grad.tolist() == [[0, 0, 2], [3, 4, 0]]
    assert d.grad.tolist() == [1, 5]
    view = x.detach().t()
    assert view.diagonal_scatter(d.detach()).tolist() == [[1, 0], [0, 1], [0, 0]]
    assert not x.any()
    with pytest.raises(RuntimeError, match=r"slice size = \[2\]"):
        tg.diagonal_scatter(x, tg.ones(3))


def test_copies_share_nothing() -> None:
    x = tg.arange(6.0).reshape(2, 3)
    for name, args, plain in (
        ("alias", (), lambda x: x), ("as_strided", ((2,), (3,), 1), None), ("detach", (), None),
        ("diagonal", (1,), None), ("expand", ((4, 2, 3),), None), ("narrow", (1, 1, 2), None),
        ("permute", ((1, 0),), None), ("select", (1, 2), None), ("t", (), None),
        ("slice", (1, 0, 3, 2), lambda x: x[:, 0:3:2]), ("split", (1, 1), None),
        ("split_with_sizes", ([1, 2], 1), None), ("squeeze", (), None), ("transpose", (0, 1), None),
        ("unbind", (1,), None), ("unfold", (1, 2, 1), None), ("unsqueeze", (0,), None),
        ("view", ((3, 2),), None),
    ):  # fmt: skip
        fn = getattr(tg, f"{name}_copy")
        wanted = plain(x) if plain else getattr(x, name)(*args)
        found = fn(x, *args)
        pairs = zip(found, wanted, strict=True) if type(found) is tuple else [(found, wanted)]
        for a, b in pairs:
            assert a.tolist() == b.tolist(), name
            assert not a._is_view(), name
            a.zero_()
        assert x.sum() == 15, name
    out = tg.empty(3, 2)
    assert tg.permute_copy(x, (1, 0), out=out) is out
    assert tg.view_copy(x, tg.int32)[0, 1] == 0x3F800000


def test_cells_of_a_grid() -> None:
    x = tg.tensor([[0.0, 1.0], [1.0, 0.5], [1.0, 1.0], [0.2, 0.0]])
    hist, edges = tg.histogramdd(x, [2, 2], weight=tg.tensor([1.0, 2.0, 3.0, 4.0]))
    assert hist.tolist() == [[4, 1], [0, 5]]
    assert [e.tolist() for e in edges] == [[0, 0.5, 1]] * 2
    found = tg.histogramdd(x, (tg.tensor([0.0, 0.5, 1.0]), tg.tensor([0.0, 1.0])), density=True)
    assert found.hist.tolist() == [[1], [1]]
    assert tg.histogramdd(x, 2, range=[0.0, 0.4, 0.0, 2.0]).hist.tolist() == [[0, 1], [1, 0]]
    assert tg.histogramdd(tg.zeros(5, 1), 2).bin_edges[0].tolist() == [-0.5, 0, 0.5]
    assert tg.histogramdd(x[:0], 2).hist.tolist() == [[0, 0], [0, 0]]
    assert tg.histogramdd(tg.rand(2, 3, 2), (2, 3)).hist.sum() == 6
    for call, message in (
        (lambda: tg.histogramdd(x, [2]), "bins must be equal to the innermost dimension"),
        (lambda: tg.histogramdd(x, 2, range=[0.0, 1.0]), "range should have 4 elements, but got 2"),
        (lambda: tg.histogramdd(x[0], 2), "at least 2 dimensions"),
        (lambda: tg.histogramdd(x, 2, weight=tg.ones(3)), "excluding its innermost dimension"),
        (lambda: tg.histogramdd(x * math.nan, 2), r"range \[nan, nan\] is not finite"),
        (lambda: tg.histogramdd(x.int(), 2), "not implemented for 'Int'"),
    ):
        with pytest.raises((RuntimeError, ValueError), match=message):
            call()


def test_made_in_rare_ways() -> None:
    assert tg.scalar_tensor(2).dtype is tg.float32
    assert tg.scalar_tensor(2, dtype=tg.int32).item() == 2
    for args, wanted in (
        ((0, 5, 2), [0, 2, 4]), ((5, 1, -2), [5, 3, 1]), ((1, 3), [1, 2, 3]), ((0.5, 1.7, 0.3), None),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match="arange"):
            found = tg.range(*args)
        assert found.tolist() == (wanted or pytest.approx([0.5, 0.8, 1.1, 1.4, 1.7]))
    with pytest.warns(UserWarning, match="arange"):
        assert tg.range(0.5, 4.2, dtype=tg.int32).tolist() == [0, 1, 2, 3, 4]
    for args in ((1, 4, -1), (1, 4, 0), (0, math.inf)):
        with pytest.warns(UserWarning, match="arange"), pytest.raises(RuntimeError):
            tg.range(*args)
    x = tg.empty_strided((2, 3), (1, 2), requires_grad=True)
    assert (x.shape, x.stride()) == ((2, 3), (1, 2))
    assert x.requires_grad
    assert tg.empty_permuted((2, 3, 5), (0, 2, 1)).stride() == (15, 1, 3)
    assert x.new_empty_strided((2,), (3,), dtype=tg.int32).dtype is tg.int32
    with pytest.raises(RuntimeError, match="must match dimensionality of strides"):
        tg.empty_strided((2, 3), (1,))
