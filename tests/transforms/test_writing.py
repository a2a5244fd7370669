"""What is written in place inside a transform is written to what the tensor is made of."""

import pytest

import tabgrad as tg
import tabgrad.autograd.forward_ad as fwAD
from tabgrad.core.errors import GradientError, TransformError
from tabgrad.func import grad, jacfwd, jvp, linearize, vmap

pytestmark = pytest.mark.every_host


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


def pair():
    return tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0])


def values(*tensors):
    return [None if t is None else t.tolist() for t in tensors]


WRITES = {
    "number": (lambda d: d.mul_(3), [3, 6], [3, 3]),
    "dual": (lambda d: d.add_(d * d), [2, 6], [3, 5]),
    "view": (lambda d: d[:1].mul_(3), [3, 2], [3, 1]),
    "view of a view": (lambda d: d.view(2, 1)[1].mul_(3), [1, 6], [1, 3]),
    "constant": (lambda d: d.copy_(tg.tensor([5.0, 6.0])), [5, 6], [0, 0]),
    "item": (lambda d: d.__setitem__(0, 7), [7, 2], [0, 1]),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_to_a_dual_tensor_reaches_its_parts(write):
    change, primal, tangent = WRITES[write]
    x, t = pair()
    with fwAD.dual_level():
        d = fwAD.make_dual(x, t)
        later = d * 1
        change(d)
        assert values(x, t) == [primal, tangent]
        assert values(*fwAD.unpack_dual(d)) == [primal, tangent]
        assert values(*fwAD.unpack_dual(later)) == [[1, 2], [1, 1]]
    assert values(x, t) == [primal, tangent]
    x, t = pair()
    jvp(change, (x,), (t,)) if write not in ("item", "view", "view of a view") else jvp(
        lambda d: change(d) or d, (x,), (t,)
    )
    assert values(x, t) == [primal, tangent]


def test_parts_of_a_result_are_written_with_it():
    x, t = pair()
    with fwAD.dual_level():
        d = fwAD.make_dual(x, t)
        y = d + 1
        p, dp = fwAD.unpack_dual(y)
        y.mul_(2)
        assert values(p, dp) == [[4, 6], [2, 2]]
        p.mul_(2)
        dp.mul_(2)
        assert values(*fwAD.unpack_dual(y)) == [[8, 12], [4, 4]]
        z = tg.tensor([5.0, 5.0])
        z.copy_(d)
        z.mul_(2)
        assert values(*fwAD.unpack_dual(z)) == [[2, 4], [2, 2]]
        z.zero_()
        assert values(*fwAD.unpack_dual(z)) == [[0, 0], [0, 0]]
        assert values(x, t) == [[1, 2], [1, 1]]
    assert values(z) == [[0, 0]]


def test_what_the_tape_keeps_of_a_dual_tensor_stays():
    x, t = pair()
    leaf = tg.tensor([2.0, 3.0], requires_grad=True)
    with fwAD.dual_level():
        d = fwAD.make_dual(x, t)
        y = d * leaf
        e = (leaf * d).exp()
        d.mul_(10)
        fwAD.unpack_dual(e).primal.zero_()
        y.sum().backward(retain_graph=True)
        assert values(*fwAD.unpack_dual(leaf.grad)) == [[1, 2], [1, 1]]


def test_a_primal_that_is_a_leaf_is_not_written_to():
    leaf, t = tg.ones(2, requires_grad=True), tg.ones(2)
    with fwAD.dual_level():
        d = fwAD.make_dual(leaf, t)
        with pytest.raises(GradientError, match="leaf Variable that requires grad"):
            d.mul_(2)
        assert values(*fwAD.unpack_dual(d)) == [[1, 1], [1, 1]]
    assert values(leaf, t) == [[1, 1], [1, 1]]


def test_the_argument_of_a_transform_is_written():
    x, t = pair()
    assert values(jacfwd(lambda d: d.mul_(3))(x), x) == [[[3, 0], [0, 3]], [3, 6]]
    x, t = pair()
    _, push = linearize(lambda d: d.mul_(3), x)
    assert values(push(t), x) == [[3, 3], [1, 2]]


def test_a_rule_may_write_to_the_tangents_it_is_given():
    @tg.func.custom_jvp
    def f(x):
        return x * 6

    @f.defjvp
    def rule(primals, tangents):
        (t,) = tangents
        u = t * 2
        v = u * 1
        u.add_(t)
        return primals[0] * 6, u + v + t

    assert grad(lambda x: f(x).sum())(tg.ones(2)).tolist() == [6, 6]


def test_results_of_vmap_share_with_the_arguments():
    def of(f, **dims):
        x = tg.arange(6.0).view(2, 3)
        y = vmap(f, **dims)(x)
        y.add_(1)
        return values(x, y)

    written = [[1, 3, 5], [7, 9, 11]]
    assert of(lambda t: t.mul_(2)) == [written, written]
    assert of(lambda t: t.mul_(2), in_dims=1, out_dims=1) == [written, written]
    assert of(vmap(lambda t: t.mul_(2))) == [written, written]
    assert of(lambda t: t, in_dims=1) == [[[1, 2, 3], [4, 5, 6]], [[1, 4], [2, 5], [3, 6]]]
    assert of(lambda t: t[1:]) == [[[0, 2, 3], [3, 5, 6]], [[2, 3], [5, 6]]]
    assert of(lambda t: t[:1].mul_(2)) == [[[1, 1, 2], [7, 4, 5]], [[1], [7]]]
    assert of(lambda t: t.view(3, 1)[1:].T, out_dims=1) == [
        [[0, 2, 3], [3, 5, 6]], [[[2, 3], [5, 6]]],
    ]  # fmt: skip
    assert of(lambda t: t * 1)[0] == [[0, 1, 2], [3, 4, 5]]
    assert of(lambda t: t.mul_(2), chunk_size=1)[0] == [[0, 2, 4], [6, 8, 10]]


def test_results_of_vmap_that_share_have_their_history():
    x = tg.ones(2, 3, requires_grad=True)
    c = x.clone()
    y = vmap(lambda t: t.mul_(2))(c)
    y.mul_(2)
    c.sum().backward()
    assert x.grad.tolist() == [[4, 4, 4], [4, 4, 4]]
    with pytest.raises(GradientError, match="leaf Variable"):
        vmap(lambda t: t.mul_(2))(x)
    found = grad(lambda t: vmap(lambda u: u[1:].mul_(3))(t * 1).sum() + t.sum())(tg.ones(2, 3))
    assert found.tolist() == [[1, 4, 4], [1, 4, 4]]


def test_what_does_not_depend_on_the_batch_is_expanded():
    z = tg.zeros(3)
    y = vmap(lambda t: z, out_dims=1)(tg.ones(2))
    assert y.shape == (3, 2)
    with pytest.raises(RuntimeError, match="single memory location"):
        y.add_(1)


def test_out_dims_of_one_tensor_in_a_tuple():
    x = tg.arange(6.0).view(2, 3)
    assert vmap(lambda t: t * 2, out_dims=(1,))(x).tolist() == [[0, 6], [2, 8], [4, 10]]
    assert vmap(lambda t: (t * 2,), out_dims=(1,))(x)[0].shape == (3, 2)
    for dims in ((1, 0), (None,)):
        with pytest.raises(ValueError, match="more structure"):
            vmap(lambda t: t * 2, out_dims=dims)(x)


@pytest.mark.parametrize(
    "draw",
    [
        tg.bernoulli, lambda t: tg.multinomial(t, 2), lambda t: tg.normal(t, 1.0),
        lambda t: tg.normal(0.0, t), tg.poisson, lambda t: tg.zeros(3).bernoulli_(t),
    ],
)  # fmt: skip
def test_the_same_numbers_cannot_be_drawn_from_what_differs(draw):
    x = tg.ones(2, 3) / 2
    with pytest.raises(TransformError, match="does not currently support same randomness"):
        vmap(draw, randomness="same")(x)
    fixed = tg.ones(3) / 2
    y = vmap(lambda t: t + tg.bernoulli(fixed), randomness="same")(x)
    assert (y[0] == y[1]).all()
