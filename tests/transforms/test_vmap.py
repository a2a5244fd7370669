"""vmap: dims over trees, chunks, randomness, nesting, errors."""

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import TransformError
from tabgrad.func import grad, jvp, vmap
from tabgrad.ops.elementwise import exp
from tabgrad.ops.linalg import matmul
from tabgrad.ops.random import random_bits
from tabgrad.ops.trigonometry import sin
from tabgrad.ops.view import reshape
from tabgrad.transforms.vmap import draw
from tests.transforms.support import array, close, energy, f64, random


def test_maps_like_a_loop():
    x = random(4, 3)
    close(vmap(energy)(x), [array(energy(f64(row))) for row in array(x).tolist()])


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_in_and_out_dims(dim):
    x = random(2, 3, 4)
    double = lambda v: v * 2.0  # noqa: E731
    close(vmap(double, in_dims=dim, out_dims=dim)(x), 2 * array(x))
    moved = vmap(double, in_dims=dim)(x)
    close(moved, 2 * np.moveaxis(array(x), dim, 0))
    close(vmap(double, out_dims=dim)(x), 2 * np.moveaxis(array(x), 0, dim))


def test_dims_over_trees():
    def f(d, pair):
        return {"sum": d["a"] + pair[0], "rest": (d["b"] * pair[1],)}

    a, b, c, d = random(3, 2), random(2, 3), random(2), random(3)
    out = vmap(f, in_dims=({"a": 0, "b": 1}, (None, 0)), out_dims={"sum": 1, "rest": 0})(
        {"a": a, "b": b}, (c, d)
    )
    close(out["sum"], (array(a) + array(c)).T)
    close(out["rest"][0], array(b).T * array(d)[:, None])


def test_unbatched_outputs_are_repeated_and_none_returns_them_whole():
    x, w = random(3), f64([5.0, 6.0])
    close(vmap(lambda v: w)(x), [[5.0, 6.0]] * 3)
    y, whole = vmap(lambda v: (v, w), out_dims=(0, None))(x)
    close(y, x)
    assert whole is w
    assert vmap(lambda v: (v, "text"), out_dims=(0, None))(x)[1] == "text"


def test_keyword_arguments_are_passed_whole():
    close(vmap(lambda v, *, w: (v * w).sum())(f64([1.0, 2.0]), w=f64([1.0, 10.0])), [11.0, 22.0])


def test_nested_maps_are_an_outer_product():
    x, y = random(3), random(4, seed=1)
    table = vmap(vmap(lambda a, b: a * b, (None, 0)), (0, None))(x, y)
    close(table, np.outer(array(x), array(y)))
    close(vmap(vmap(lambda a, b: a * b, (0, None)), (None, 0))(x, y), np.outer(array(y), array(x)))


def test_matrices_batched_on_either_side():
    a, b = random(5, 2, 3), random(5, 3, 4, seed=1)
    product = lambda x, y: matmul.bind(x, y)  # noqa: E731
    close(vmap(product)(a, b), array(a) @ array(b))
    close(vmap(product, (0, None))(a, random(3, 4)), array(a) @ array(random(3, 4)))
    close(vmap(product, (None, 0))(random(2, 3), b), array(random(2, 3)) @ array(b))


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 5, 9])
def test_chunks(chunk_size):
    x, w = random(5, 3), random(3, seed=1)
    f = lambda v, u: {"e": energy(v * u), "v": v}  # noqa: E731
    whole = vmap(f, (0, None), {"e": 0, "v": 1})(x, w)
    parts = vmap(f, (0, None), {"e": 0, "v": 1}, chunk_size=chunk_size)(x, w)
    close(parts["e"], whole["e"])
    close(parts["v"], whole["v"])


def test_gradients_per_example_and_through():
    x, w = random(4, 3), random(3, seed=1)
    loss = lambda w, x: energy(w * x)  # noqa: E731
    rows = vmap(grad(loss), (None, 0))(w, x)
    close(rows, [array(grad(loss)(w, f64(row))) for row in array(x).tolist()])
    close(grad(lambda w: vmap(loss, (None, 0))(w, x).sum())(w), array(rows).sum(0))
    tangents = vmap(lambda t: jvp(energy, (w,), (t,))[1])(f64(np.eye(3).tolist()))
    close(tangents, grad(energy)(w))


def test_a_batch_of_none():
    assert vmap(lambda v: v * 2.0)(tg.zeros(0, 3, device="cpu")).shape == (0, 3)


# -- randomness ------------------------------------------------------------------------------------


class Counter:
    """A source of draws as the random functions of the library are."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, shape):
        self.calls += 1
        key, call = (tg.tensor(n, dtype=tg.uint32, device="cpu") for n in (7, self.calls))
        return random_bits.bind(key, call, shape=shape)


def numbers(source, x):
    """A draw of the shape of `x`, as float64."""
    from tabgrad.ops.elementwise import cast

    return cast(draw(source, x.shape), dtype=tg.float64) + x * 0.0


def test_randomness_error_says_what_to_choose():
    with pytest.raises(TransformError, match="randomness='different'"):
        vmap(lambda v: numbers(Counter(), v))(random(3, 2))


def test_randomness_different_and_same():
    source = Counter()
    apart = array(vmap(lambda v: numbers(source, v), randomness="different")(random(3, 2)))
    assert len({tuple(row) for row in apart}) == 3
    assert source.calls == 1
    alike = array(vmap(lambda v: numbers(source, v), randomness="same")(random(3, 2)))
    assert len({tuple(row) for row in alike}) == 1


def test_randomness_nests():
    source = Counter()
    f = lambda v: numbers(source, v)  # noqa: E731
    x = random(2, 3)
    inner_same = vmap(vmap(f, randomness="same"), randomness="different")(x)
    assert [len(set(row)) for row in array(inner_same).tolist()] == [1, 1]
    assert len(set(array(inner_same)[:, 0])) == 2
    outer_same = array(vmap(vmap(f, randomness="different"), randomness="same")(x))
    assert len(set(outer_same[0])) == 3
    np.testing.assert_array_equal(outer_same[0], outer_same[1])


def test_the_same_numbers_in_every_chunk():
    source = Counter()
    f = lambda v: numbers(source, v) * 1.0 + numbers(source, v)  # noqa: E731
    alike = array(vmap(f, randomness="same", chunk_size=2)(random(5, 2)))
    assert len({tuple(row) for row in alike}) == 1
    apart = array(vmap(f, randomness="different", chunk_size=2)(random(5, 2)))
    assert len({tuple(row) for row in apart}) == 5


def test_randomness_inside_grad_inside_vmap():
    source = Counter()
    g = vmap(grad(lambda v: (numbers(source, v) * v * v).sum()), randomness="different")(
        random(3, 2)
    )
    assert array(g).shape == (3, 2)
    assert source.calls == 1


# -- bad input -------------------------------------------------------------------------------------


def test_errors():
    x = random(3, 2)
    f = lambda *a: a[0]  # noqa: E731
    for call, match in (
        (lambda: vmap(f)(x, random(4)), "sizes of the mapped axes differ"),
        (lambda: vmap(f, in_dims=(0,))(x, x), "1 entries for 2 arguments"),
        (lambda: vmap(f, in_dims=None)(x), "int or a tuple"),
        (lambda: vmap(f, in_dims=(None,))(x), "at least one"),
        (lambda: vmap(f, in_dims=2)(x), "out of range"),
        (lambda: vmap(f)(x, 3.0), "float"),
        (lambda: vmap(f)(), "at least one argument"),
        (lambda: vmap(f, in_dims=((0, 1),))(x), "more structure"),
        (lambda: vmap(lambda v: 3.0)(x), "return tensors, got float"),
        (lambda: vmap(f, out_dims=None)(x), "depends on the batch"),
        (lambda: vmap(f, out_dims=5)(x), "out_dim 5"),
        (lambda: vmap(f, out_dims=(0, 0))(x), "structure"),
        (lambda: vmap(f, randomness="some"), "randomness"),
        (lambda: vmap(f, chunk_size=0), "chunk_size"),
    ):
        with pytest.raises(ValueError, match=match):
            call()


@pytest.mark.parametrize(("out", "out_dims"), [
    (lambda x: None, 0), (lambda x: (x, None), 0), (lambda x: {"a": [None]}, 0), (lambda x: (x, None), (0, 1)),
])  # fmt: skip
def test_none_is_no_output_to_map(out, out_dims):
    for chunk_size in (None, 1):
        with pytest.raises(ValueError, match=r"NoneType.*out_dim"):
            vmap(out, out_dims=out_dims, chunk_size=chunk_size)(random(3))


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_none_is_an_output_where_out_dims_says_so(chunk_size):
    x = random(3)
    assert vmap(lambda x: None, out_dims=None, chunk_size=chunk_size)(x) is None
    y, nothing = vmap(lambda x: (x, None), out_dims=(0, None), chunk_size=chunk_size)(x)
    close(y, x)
    assert nothing is None


def test_views_and_functions_inside():
    x = random(2, 6)
    out = vmap(lambda v: exp(sin(reshape.bind(v, shape=(2, 3)))))(x)
    close(out, np.exp(np.sin(array(x))).reshape(2, 2, 3))


# -- writing in place ------------------------------------------------------------------------------


def grown(row):
    """Add 1 to an argument in place, and return twice its new value."""
    row[1:].mul_(10.0)
    return row.add_(1.0) * 2.0


@pytest.mark.parametrize("chunk_size", [None, 1, 2])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_writing_to_an_argument_writes_to_what_was_mapped_over(dim, chunk_size):
    x = random(3, 4)
    rows = x.movedim(dim, 0).clone()
    want = rows.clone()
    for row in want:
        grown(row)
    y = vmap(grown, dim, dim, chunk_size=chunk_size)(x)
    close(x.movedim(dim, 0), want)
    close(y.movedim(dim, 0), 2.0 * want)


def test_writing_to_a_view_of_what_was_mapped_over_and_through_two_maps():
    x = random(4, 3, 2)
    want = x.clone()
    want[1:3] += 1.0
    vmap(vmap(lambda row: row.add_(1.0)))(x[1:3])
    close(x, want)


def test_gradients_go_through_what_was_written():
    w = random(3, 4).requires_grad_()
    x = w * 1.0
    vmap(lambda row: row.mul_(row))(x)
    ct = random(3, 4, seed=1)
    (g,) = tg.autograd.grad(x, w, ct)
    close(g, 2.0 * w.detach() * ct)
    with pytest.raises(RuntimeError, match="leaf"):
        vmap(lambda row: row.add_(1.0))(w)


def test_jvp_writes_to_its_primals_and_tangents():
    x, t = random(2, 3), random(2, 3, seed=1)
    before, along = x.clone(), t.clone()
    y, dy = tg.func.jvp(lambda x: x.mul_(x).sum(0), (x,), (t,))
    close(x, before * before)
    close(t, 2.0 * before * along)
    close(y, (before * before).sum(0))
    close(dy, (2.0 * before * along).sum(0))
