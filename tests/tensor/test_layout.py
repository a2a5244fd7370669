"""Memory formats, and writing to parts of tensors that show an element in many places."""

import copy

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host

FORMATS = [tg.contiguous_format, tg.preserve_format, tg.channels_last]


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


@pytest.mark.parametrize("layout", FORMATS)
def test_a_memory_format_is_taken_where_pytorch_takes_it(layout):
    x = tg.arange(24.0).view(1, 2, 3, 4)
    for make in (
        x.clone, x.to, x.float, x.int, x.bool, x.long, x.cpu, lambda **k: tg.clone(x, **k),
        lambda **k: x.to(tg.float32, **k), lambda **k: tg.zeros_like(x, **k),
        lambda **k: tg.ones_like(x, **k), lambda **k: tg.empty_like(x, **k),
        lambda **k: tg.full_like(x, 2.0, **k), lambda **k: tg.rand_like(x, **k),
        lambda **k: tg.randn_like(x, **k), lambda **k: tg.randint_like(x, 3, **k),
        lambda **k: tg.empty(1, 2, 3, 4, **k),
    ):  # fmt: skip
        assert make(memory_format=layout).shape == x.shape
    assert isinstance(tg.nn.Conv2d(2, 2, 1).to(memory_format=layout), tg.nn.Conv2d)
    assert isinstance(layout, tg.memory_format)
    assert copy.deepcopy(layout) is layout


def test_channels_last_is_an_order_of_strides():
    x = tg.arange(24.0).view(1, 2, 3, 4)
    y = x.contiguous(memory_format=tg.channels_last)
    assert y.tolist() == x.tolist()
    assert y.stride() == (24, 1, 8, 2)
    assert y.is_contiguous(memory_format=tg.channels_last)
    assert not y.is_contiguous()
    assert not x.is_contiguous(memory_format=tg.channels_last)
    assert y.contiguous(memory_format=tg.channels_last) is y
    assert x.contiguous(memory_format=tg.contiguous_format) is x
    z = tg.zeros(1, 2, 2, 2, 2).contiguous(memory_format=tg.channels_last_3d)
    assert z.stride() == (16, 1, 8, 4, 2)
    assert not x[0].is_contiguous(memory_format=tg.channels_last)
    for refuse in (x[0].contiguous, x[0].to, x[0].clone):
        with pytest.raises(
            RuntimeError, match="required rank 4 tensor to use channels_last format"
        ):
            refuse(memory_format=tg.channels_last)
    with pytest.raises(TypeError, match=r"must be tabgrad\.memory_format, not str"):
        x.clone(memory_format="channels_last")


def test_parts_of_an_expanded_tensor_are_written_where_they_are_one_place_each():
    base = tg.zeros(1, 4)
    x = base.expand(3, 4)
    x[0] = 5.0
    assert base.tolist() == [[5, 5, 5, 5]]
    x[1].add_(1)
    x[:1, 1:3] *= 2
    assert x.tolist() == [[6, 12, 12, 6]] * 3
    column = tg.zeros(3, 1)
    column.expand(3, 4)[0, 0] = 5.0
    assert column.tolist() == [[5], [0], [0]]
    line = tg.zeros(5)
    windows = line.unfold(0, 3, 1)
    windows[0] = 1.0
    windows[1].add_(1)
    assert line.tolist() == [1, 2, 2, 1, 0]
    for refused in (
        lambda: x.add_(1), lambda: x[1:3].mul_(2), lambda: column.expand(3, 4).__setitem__(0, 1.0),
        lambda: windows.zero_(), lambda: x.__setitem__(tg.tensor([0]), 1.0),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
            refused()
    leaf = tg.zeros(1, 2, requires_grad=True)
    start = leaf * 1
    start.expand(2, 2)[0] = tg.ones(2)
    (start * 3).sum().backward()
    assert leaf.grad.tolist() == [[0, 0]]


def test_a_generator_returns_itself():
    g = tg.Generator()
    assert g.set_state(g.get_state()) is g


def test_prelu_of_a_number():
    x = tg.tensor(-2.0, requires_grad=True)
    w = tg.tensor([0.5], requires_grad=True)
    y = tg.nn.functional.prelu(x, w)
    assert (y.shape, y.item()) == ((), -1.0)
    y.backward()
    assert (x.grad.item(), w.grad.tolist()) == (0.5, [-2.0])
    assert tg.nn.PReLU()(tg.tensor(-2.0)).shape == ()
    with pytest.raises(RuntimeError, match="Not allow zero-dim input tensor"):
        tg.nn.functional.prelu(x, tg.ones(2))


def test_ctc_targets_one_behind_another():
    scores = ((tg.arange(40.0).view(5, 2, 4) % 7) / 3).log_softmax(2).detach().requires_grad_()
    line, lengths = tg.tensor([1, 2, 3, 1, 2]), tg.tensor([2, 3])
    rows = tg.tensor([[1, 2, 0], [3, 1, 2]])
    ctc = tg.nn.functional.ctc_loss
    for given in (lengths, (2, 3)):
        loss = ctc(scores, line, (5, 4), given, reduction="none")
        assert loss.tolist() == pytest.approx([4.03366232, 4.82945919], rel=1e-5)
        (one,) = tg.autograd.grad(loss.sum(), scores)
        (two,) = tg.autograd.grad(ctc(scores, rows, (5, 4), lengths, reduction="sum"), scores)
        assert tg.allclose(one, two)
    assert ctc(scores, line, (5, 5), lengths).item() == pytest.approx(1.8362975, rel=1e-5)
    empty = ctc(scores, line[:2], (5, 5), (2, 0), reduction="none")
    assert empty[1].item() == pytest.approx(-scores[:, 1, 0].sum().item(), rel=1e-5)
    with pytest.raises(
        RuntimeError, match="Expected tensor to have size 5 at dimension 0, but got size 3"
    ):
        ctc(scores, line[:3], (5, 5), lengths)


def test_none_is_an_unknown_size_of_its_own():
    spec = tg.export.TensorSpec((None, 2))
    program = tg.export(lambda x, y: x.sum(0) + y.sum(0), (spec, tg.export.TensorSpec((None, 2))))
    assert program(tg.ones(5, 2), tg.ones(3, 2)).tolist() == [8, 8]
    assert len({n for n in (*spec.shape, *tg.export.TensorSpec((None,)).shape)}) == 3
