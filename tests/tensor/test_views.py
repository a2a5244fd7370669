"""Views, detached siblings and writing in place, beyond what PyTorch can be asked."""

from __future__ import annotations

import gc
import weakref

import pytest

import tabgrad as tg
from tabgrad.core.errors import GradientError, ShapeError

pytestmark = pytest.mark.every_host


def test_the_results_of_unbind_split_and_chunk_can_be_written_to() -> None:
    x = tg.zeros(2, 4)
    for k, row in enumerate(x):
        row += k + 1
    a, b = x.chunk(2, 1)
    b.mul_(10)
    a[1] = -1
    assert x.tolist() == [[1, 1, 10, 10], [-1, -1, 20, 20]]


def test_a_view_of_a_view_writes_through_every_step() -> None:
    x = tg.zeros(4, 6)
    y = x.T[1:5:2].reshape(2, 2, 2)[:, 1].unsqueeze(0)
    y.copy_(tg.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    wanted = [[0.0] * 6 for _ in range(4)]
    wanted[2][1], wanted[3][1], wanted[2][3], wanted[3][3] = 1.0, 2.0, 3.0, 4.0
    assert x.tolist() == wanted
    assert y.tolist() == [[[1.0, 2.0], [3.0, 4.0]]]


def test_siblings_see_each_other_in_any_order() -> None:
    x = tg.arange(6.0)
    head, tail, line = x[:4], x[2:], x.view(2, 3)
    head[3] = 30
    assert tail.tolist() == [2, 30, 4, 5]
    tail[0] = 20
    assert line.tolist() == [[0, 1, 20], [30, 4, 5]]
    assert head.tolist() == [0, 1, 20, 30]


def test_steps_and_blocks_are_spliced_in() -> None:
    x = tg.zeros(5, 5)
    x[1:4, 1:4] = 1
    x[::4, ::2] = 2
    x[4, 4] = 3
    assert x.tolist() == [
        [2, 0, 2, 0, 2], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [2, 0, 2, 0, 3],
    ]  # fmt: skip


def test_an_overlapping_view_refuses_to_be_written_to() -> None:
    wide = tg.zeros(3).expand(2, 3)
    for view in (wide, tg.zeros(4).unfold(0, 2, 1), wide.detach()[0]):
        with pytest.raises(ShapeError, match="clone"):
            view.add_(1)


@pytest.mark.every_host
def test_what_overlaps_the_written_memory_is_read_before_it_is_written(device: str) -> None:
    x = tg.arange(5.0, device=device)
    x[1:].copy_(x[:-1])
    assert x.tolist() == [0, 0, 1, 2, 3]
    x[:-1].add_(x[1:])
    assert x.tolist() == [0, 1, 3, 5, 3]
    x.mul_(x[2])
    assert x.tolist() == [0, 3, 9, 15, 9]
    tg.add(x[:4], 1, out=x[1:])
    assert x.tolist() == [0, 1, 4, 10, 16]
    y = tg.arange(4.0, device=device).reshape(2, 2)
    y.add_(y.T)
    assert y.tolist() == [[0, 3], [3, 6]]


def test_detached_siblings_share_values_and_nothing_else() -> None:
    x = tg.ones(3, requires_grad=True)
    d, e = x.detach(), x.data
    d[0] = 5
    e[1:].mul_(2)
    assert x.tolist() == [5, 2, 2]
    assert d.tolist() == e.tolist() == [5, 2, 2]
    assert x.requires_grad
    assert not d.requires_grad
    (x * x).sum().backward()
    assert x.grad.tolist() == [10, 4, 4]


def test_a_detached_view_writes_to_the_base() -> None:
    x = tg.zeros(2, 3)
    x[1].detach().add_(1)
    x.T.data[0] = 7
    assert x.tolist() == [[7, 0, 0], [7, 1, 1]]


def test_a_detached_view_is_a_root_of_its_own() -> None:
    x = tg.zeros(4, 3)
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    d = x.T[1:, ::2].detach()
    assert not d._is_view()
    assert d.stride() == (1, 6)
    assert d[0].storage_offset() == 1
    assert d[1, 1:].data_ptr() == x.data_ptr() + 4 * (2 + 6)
    d[0] = w
    assert d.requires_grad
    assert not x.requires_grad
    assert x.tolist() == [[0, 1, 0], [0, 0, 0], [0, 2, 0], [0, 0, 0]]
    x[0, 2] = 5
    (d * d).sum().backward()
    assert w.grad.tolist() == [2, 4]
    assert d.tolist() == [[1, 2], [5, 0]]


def test_data_can_be_a_view_of_another_tensor() -> None:
    x, p = tg.zeros(2, 2), tg.ones(2, requires_grad=True)
    p.data = x[1]
    x[1, 0] = 3
    assert p.tolist() == [3, 0]
    with tg.no_grad():
        p.add_(1)
    assert x.tolist() == [[0, 0], [4, 1]]
    p.sum().backward()
    assert p.grad.tolist() == [1, 1]


def test_a_detached_tensor_does_not_hold_the_graph() -> None:
    x = tg.ones(3, requires_grad=True)
    y = x * 2
    node = weakref.ref(y.grad_fn)
    kept = y.detach()
    del y
    gc.collect()
    assert node() is None
    assert kept.tolist() == [2, 2, 2]


def test_what_was_saved_is_not_changed_by_writing() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    z = y * y
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [2, 4]


def test_gradients_flow_through_writes_to_views() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    w = tg.tensor([10.0, 20.0], requires_grad=True)
    y = x * x
    y[1:] = w
    y[0:2] *= 3
    (y * tg.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [6, 0, 0]
    assert w.grad.tolist() == [6, 3]


def test_a_loop_of_writes_is_differentiable() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    y = tg.zeros(4)
    y[0] = x
    for k in range(1, 4):
        y[k] = y[k - 1] * x
    y.sum().backward()
    assert x.grad.item() == 1 + 2 * 2 + 3 * 4 + 4 * 8


def test_augmented_assignment_to_an_item_writes_once() -> None:
    x = tg.zeros(3)
    before = x._version
    x[1] += 2
    assert x._version == before + 1
    assert x.tolist() == [0, 2, 0]


def test_a_view_under_no_grad_takes_no_history() -> None:
    x = tg.ones(2, requires_grad=True)
    with tg.no_grad():
        y = x[0]
        y += 1
    assert y.is_leaf
    assert y.grad_fn is None
    assert x.tolist() == [2, 1]
    assert x.is_leaf


def test_shapes_changed_in_place() -> None:
    x = tg.arange(6.0).view(2, 3).clone()
    y = x.detach()
    x.t_().unsqueeze_(0)
    assert x.shape == (1, 3, 2)
    assert x.tolist() == [[[0, 3], [1, 4], [2, 5]]]
    assert y.shape == (2, 3)
    v = x[0]
    assert x.squeeze_().shape == (3, 2)
    assert v.tolist() == [[0, 3], [1, 4], [2, 5]]
    x.add_(1)
    with pytest.raises(GradientError, match="make the view again"):
        v.tolist()


def test_contiguity_follows_pytorchs_memory() -> None:
    x = tg.zeros(2, 3, 4)
    assert x.permute(2, 0, 1).stride() == (1, 12, 4)
    assert not x.transpose(0, 1).is_contiguous()
    assert x.transpose(0, 1).contiguous().is_contiguous()
    y = x.transpose(0, 1)
    y.reshape(-1)[0] = 1  # a copy
    assert x.sum().item() == 0
    y.view(-1)[1] = 1  # a view, which PyTorch could not make
    assert x[0, 0, 1].item() == 1


def test_writing_inside_transforms() -> None:
    def cube(x: tg.Tensor) -> tg.Tensor:
        y = tg.zeros(3)
        y[0] = x
        y[1:] = x * x
        y[2] *= x
        return y.sum()

    assert tg.func.grad(cube)(tg.tensor(2.0)).item() == 1 + 4 + 12

    def scaled(row: tg.Tensor) -> tg.Tensor:
        out = row.clone()
        out[0] = 0
        out.view(-1)[1:].mul_(row.sum())
        return out

    x = tg.arange(6.0).view(2, 3)
    assert tg.func.vmap(scaled)(x).tolist() == [[0, 3, 6], [0, 48, 60]]


def test_compile_sees_writes_through_views_and_siblings() -> None:
    state, other = tg.zeros(2, 3), tg.zeros(3)

    @tg.compile
    def step(x: tg.Tensor) -> tg.Tensor:
        state[0] += x
        state.T[1].mul_(2)
        other.data.add_(x)
        return state.sum()

    totals = [step(tg.ones(3)).item() for _ in range(4)]
    assert state.tolist() == [[4, 30, 4], [0, 0, 0]]
    assert other.tolist() == [4, 4, 4]
    assert totals == [4, 10, 20, 38]


F = tg.nn.functional
COPIES = {
    "pad by nothing": ((2, 3), lambda x: F.pad(x, (0, 0))),
    "reflect nothing": ((2, 3), lambda x: F.pad(x, (0, 0), mode="reflect")),
    "pool to the same size": ((2, 3), lambda x: F.adaptive_avg_pool1d(x, 3)),
    "resize to the same size": ((1, 2, 3), lambda x: F.interpolate(x, 3, mode="linear")),
    "softmax of nothing": ((2, 0), lambda x: x.softmax(1)),
    "log_softmax of nothing": ((2, 0), lambda x: x.log_softmax(1)),
    "scatter nothing": (
        (2, 3),
        lambda x: x.scatter_reduce(1, tg.zeros(2, 0, dtype=tg.int64), x, "amax"),
    ),
    "maximum of one": ((), lambda x: x.max(0).values),
}


@pytest.mark.parametrize("name", COPIES)
def test_what_has_nothing_to_do_returns_a_copy(name: str) -> None:
    shape, function = COPIES[name]
    x = tg.ones(shape)
    y = function(x)
    assert y is not x
    y.add_(1)
    assert x.tolist() == tg.ones(shape).tolist()
    assert not function(x.requires_grad_()).is_leaf


def test_a_tensor_of_nothing_is_contiguous_however_it_is_turned() -> None:
    x = tg.zeros(3, 0, 2)
    assert x.permute(2, 1, 0).is_contiguous()
    assert tg.zeros(4)[3:3:2].is_contiguous()
    assert tg.zeros(2).expand(0, 2).is_contiguous()
    assert not tg.zeros(3, 2).T.is_contiguous()


def test_windows_and_expansions_can_be_written_to_where_nothing_shows_twice() -> None:
    x = tg.zeros(2, 5)
    w = x.unfold(1, 2, 3)
    w += tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.tolist() == [[1, 2, 0, 3, 4]] * 2
    assert w.tolist() == [[[1, 2], [3, 4]]] * 2
    y = tg.zeros(4, 2)
    y.unfold(0, 1, 2)[1, :, 0] = 7
    assert y.tolist() == [[0, 0], [0, 0], [7, 7], [0, 0]]
    z = tg.zeros(2)
    z.expand(1, 2)[0, 1] = 3
    z.expand(0, 2).add_(1)
    z.expand(3, 2)[1].add_(tg.tensor([1.0, 2.0]))
    assert z.tolist() == [1, 5]
    for overlapping in (x.unfold(1, 3, 2), z.expand(2, 2)):
        with pytest.raises(ShapeError, match="single memory location"):
            overlapping.add_(1)


def test_gradients_through_writes_to_windows() -> None:
    x = tg.tensor([1.0, 2.0, 3.0, 4.0, 5.0], requires_grad=True)
    y = x * 1
    y.unfold(0, 2, 3).mul_(tg.tensor([[2.0, 3.0], [5.0, 7.0]]))
    (y * y).sum().backward()
    assert x.grad.tolist() == [8, 36, 6, 200, 490]


def test_scattering_into_a_view() -> None:
    x = tg.zeros(())
    assert x.reshape(1).select_scatter(tg.tensor(2.0), 0, 0).tolist() == [2]
    y = tg.arange(6.0)
    z = y.view(2, 3).T.slice_scatter(tg.tensor([[7.0, 8.0]]), 0, 1, 2)
    assert z.tolist() == [[0, 3], [7, 8], [2, 5]]
    assert y.tolist() == [0, 1, 2, 3, 4, 5]
