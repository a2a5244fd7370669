"""Views of the memory behind tensors: as_strided, resize_, set_."""

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


def line(n=12):
    return tg.arange(float(n))


def test_as_strided_is_a_view_of_the_memory():
    x = line()
    y = x.as_strided((2, 2), (3, 1), 1)
    assert y.tolist() == [[1, 2], [4, 5]]
    assert (y.stride(), y.storage_offset(), y._is_view()) == ((3, 1), 1, True)
    y.mul_(10)
    assert x.tolist()[:6] == [0, 10, 20, 3, 40, 50]
    x.zero_()
    assert y.tolist() == [[0, 0], [0, 0]]
    assert tg.as_strided(line(), (4,), (0,)).tolist() == [0, 0, 0, 0]
    assert line().as_strided((), (), 3).item() == 3
    assert line().as_strided((0, 5), (1, 1)).shape == (0, 5)


def test_as_strided_of_a_view_sees_past_it():
    x = line().view(3, 4).clone()
    y = x.t()[1:].as_strided((2, 2), (1, 2))
    assert (y.tolist(), y.storage_offset()) == ([[1, 3], [2, 4]], 1)
    y.zero_()
    assert x.tolist()[0] == [0, 0, 0, 0]
    assert x[1].as_strided((2,), (4,)).tolist() == [0, 8]
    assert x[1].as_strided((2,), (4,), 0).tolist() == [0, 0]
    assert y[0].as_strided((3,), (1,), 5).tolist() == [5, 6, 7]


def test_as_strided_of_a_detached_view_keeps_its_leaf():
    x = line(6)
    d = x[2:].detach()
    assert d.view(2, 2).as_strided((3,), (1,), 0).tolist() == [0, 1, 2]
    for leaf in (x[2:].detach().requires_grad_(), x.detach()[2:].requires_grad_()):
        (leaf.view(2, 2).as_strided((2,), (2,)) * 3).sum().backward()
        assert leaf.grad.tolist() == [3, 0, 3, 0]
        (leaf.as_strided((1,), (1,), 3) * 2).sum().backward()
        assert leaf.grad.tolist() == [3, 2, 3, 0]
        with pytest.raises(RuntimeError, match="out of bounds"):
            leaf.as_strided((1,), (1,), 1)
    with pytest.raises(RuntimeError, match="requires grad and is not contiguous"):
        x.detach()[::2].requires_grad_().as_strided((1,), (1,))


def test_as_strided_has_derivatives():
    x = line(6).requires_grad_()
    weights = line(9).view(3, 3)
    (x.as_strided((3, 3), (1, 1)) * weights).sum().backward()
    assert x.grad.tolist() == [0, 4, 12, 12, 8, 0]
    found = tg.func.grad(lambda t: (t.as_strided((2, 2), (2, 1)) ** 2).sum())(line(4))
    assert found.tolist() == [0, 2, 4, 6]
    rows = tg.func.vmap(lambda t: t.as_strided((2, 2), (1, 1)))(line(6).view(2, 3))
    assert rows.tolist() == [[[0, 1], [1, 2]], [[3, 4], [4, 5]]]
    _, t = tg.func.jvp(lambda t: t.as_strided((2,), (2,), 1), (line(4),), (line(4),))
    assert t.tolist() == [1, 3]
    c = x.detach().requires_grad_() * 1
    c.as_strided((2,), (3,)).mul_(5)
    assert c.tolist() == [0, 1, 2, 15, 4, 5]


def test_writes_have_their_history():
    x, w = line(6).requires_grad_(), tg.ones(2, requires_grad=True)
    c = x * 1
    c.as_strided((2,), (3,), 1).mul_(w)
    (c * line(6)).sum().backward()
    assert x.grad.tolist() == [0, 1, 2, 3, 4, 5]
    assert w.grad.tolist() == [1, 16]


def test_what_as_strided_refuses():
    for args, text in (
        (((3, 3), (3, 1)), "setStorage: .* out of bounds"), (((3,), (-1,)), "Negative strides"),
        (((3,), (1, 1)), "mismatch in length of strides and shape"), (((2,), (1,), -1), "out of bounds"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=text):
            line(6).as_strided(*args)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        line(6).as_strided((3, 3), (1, 1)).add_(1)


def test_as_strided_scatter():
    x = line(6)
    assert tg.as_strided_scatter(x, tg.zeros(2), (2,), (2,)).tolist() == [0, 1, 0, 3, 4, 5]
    assert x.tolist() == [0, 1, 2, 3, 4, 5]


def test_resize_keeps_the_memory():
    x = line(6)
    sibling = x.detach()
    assert x.resize_(2, 2) is x
    assert x.tolist() == [[0, 1], [2, 3]]
    x.zero_()
    assert sibling.tolist() == [0, 0, 0, 0, 4, 5]
    assert x.resize_((2, 3)).tolist() == [[0, 0, 0], [0, 4, 5]]
    assert line(6).resize_as_(tg.ones(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    y = line(2)
    assert y.resize_(4).tolist() == [0, 1, 0, 0]
    assert y.resize_(0).shape == (0,)
    base = line(6)
    v = base[1:4]
    v.resize_(2)
    v.zero_()
    assert base.tolist() == [0, 0, 0, 3, 4, 5]
    out = line(3).resize_(0)
    tg.exp(tg.zeros(2), out=out)
    assert out.tolist() == [1, 1]


def test_what_resize_refuses():
    with pytest.raises(RuntimeError, match="cannot resize variables that require grad"):
        tg.ones(2, requires_grad=True).resize_(1)
    x = line(4)
    shared = x.detach()
    with pytest.raises(RuntimeError, match="shared with other tensors"):
        x.resize_(9)
    assert shared.tolist() == x.tolist() == [0, 1, 2, 3]
    base = line(6)
    v = base[1:4]
    base.resize_(3)
    assert v.tolist() == [1, 2, 3]
    base.zero_()
    with pytest.raises(RuntimeError, match="lost its base"):
        v.tolist()


def test_set_shares_the_memory():
    x, y = line(6), tg.zeros(2)
    assert y.set_(x) is y
    y.mul_(2)
    assert x.tolist() == [0, 2, 4, 6, 8, 10]
    y.set_(x, 1, (2, 2), (2, 1))
    assert y.tolist() == [[2, 4], [6, 8]]
    y.zero_()
    assert x.tolist() == [0, 0, 0, 0, 0, 10]
    assert y.set_().shape == (0,)
    with pytest.raises(RuntimeError, match="Could not set tensor of type"):
        y.set_(tg.zeros(2, dtype=tg.int32))
