"""`out=`: the result is written to a tensor that exists already, with PyTorch's checks."""

import pickle

import pytest

import tabgrad as tg

pytestmark = pytest.mark.every_host


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


def test_the_result_is_written_and_returned():
    out = tg.empty(2)
    assert tg.add(tg.ones(2), 2.0, alpha=2, out=out) is out
    assert out.tolist() == [5, 5]
    grid = tg.zeros(2, 2)
    tg.exp(tg.zeros(2), out=grid[0])
    assert grid.tolist() == [[1, 1], [0, 0]]
    wide = tg.empty(2)
    tg.mul(tg.tensor([1, 2]), 2, out=wide)
    assert wide.tolist() == [2, 4]
    tg.gt(wide, 3, out=wide)
    assert wide.tolist() == [0, 1]
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    tg.matmul(x, x, out=x)
    assert x.tolist() == [[7, 10], [15, 22]]


def test_an_empty_tensor_takes_the_shape():
    out = tg.empty(0)
    tg.cat((tg.ones(2), tg.zeros(1)), out=out)
    assert out.tolist() == [1, 1, 0]
    with pytest.warns(
        UserWarning, match=r"was resized since it had shape \[3\], which does not match"
    ):
        tg.sum(tg.ones(2, 2), 0, out=out)
    assert out.tolist() == [2, 2]
    whole = tg.zeros(4)
    with pytest.raises(RuntimeError, match="an out tensor that is a view"):
        tg.exp(tg.ones(3), out=whole[:2])
    assert whole.tolist() == [0, 0, 0, 0]


def test_functions_with_several_results():
    values, indices = tg.empty(0), tg.empty(0, dtype=tg.int64)
    found = tg.max(tg.tensor([[1.0, 3.0], [2.0, 0.0]]), 1, out=(values, indices))
    assert found.values is values
    assert found.indices is indices
    assert (values.tolist(), indices.tolist()) == ([3, 2], [1, 0])
    tg.sort(tg.tensor([3.0, 1.0]), out=(values, indices))
    assert (values.tolist(), indices.tolist()) == ([1, 3], [1, 0])
    with pytest.raises(TypeError, match="must be a tuple of 2 tensors"):
        tg.topk(tg.ones(3), 2, out=values)


def test_creation_takes_the_dtype_of_what_it_fills():
    out = tg.empty(0, dtype=tg.int32)
    for made, values in (
        (lambda: tg.arange(3, out=out), [0, 1, 2]), (lambda: tg.full((3,), 4, out=out), [4, 4, 4]),
        (lambda: tg.ones(3, out=out), [1, 1, 1]), (lambda: tg.zeros(3, out=out), [0, 0, 0]),
    ):  # fmt: skip
        assert made() is out
        assert (out.dtype, out.tolist()) == (tg.int32, values)


def test_what_is_refused_changes_nothing():
    out = tg.zeros(2)
    leaf = tg.ones(2, requires_grad=True)
    for call in (lambda: tg.add(leaf, 1, out=out), lambda: tg.add(1, out, out=leaf)):
        with pytest.raises(
            RuntimeError, match=r"add\(\): functions with out=... arguments don't support"
        ):
            call()
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        tg.stack([out, leaf], out=tg.empty(0))
    with tg.no_grad():
        tg.add(leaf, 1, out=leaf)
    assert (leaf.tolist(), leaf.is_leaf, leaf.requires_grad) == ([2, 2], True, True)
    whole = tg.zeros(2, dtype=tg.int32)
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        tg.add(tg.ones(2), 1, out=whole)
    with pytest.raises(TypeError, match="argument 'out' must be Tensor, not list"):
        tg.add(tg.ones(2), 1, out=[1.0])
    assert (out.tolist(), whole.tolist()) == ([0, 0], [0, 0])


@pytest.mark.parametrize(
    "name",
    [
        "abs", "acos", "ceil", "cosh", "digamma", "erfinv", "expm1", "frac", "lgamma", "log2", "logit", "neg",
        "reciprocal", "round", "rsqrt", "sgn", "sigmoid", "square", "tan", "trunc", "cumsum:0", "cumprod:0",
        "amax:1", "mean:1", "logsumexp:0", "std:0", "softmax:1", "tril", "diag", "prod", "all", "argmax",
    ],
)  # fmt: skip
def test_names_that_have_it(name):
    name, _, dim = name.partition(":")
    x = tg.tensor([[0.5, 0.25], [0.125, 0.75]])
    args = (x, int(dim)) if dim else (x,)
    plain = getattr(tg, name)(*args)
    out = tg.empty(0, dtype=plain.dtype)
    getattr(tg, name)(*args, out=out)
    assert out.tolist() == plain.tolist()


def test_functions_of_other_modules():
    out = tg.empty(0)
    assert tg.special.erf(tg.zeros(2), out=out) is out
    assert tg.linalg.vector_norm(tg.tensor([3.0, 4.0]), out=tg.empty(())).item() == 5
    for fn in (tg.add, tg.arange, tg.special.erf, tg.linalg.norm):
        assert pickle.loads(pickle.dumps(fn)) is fn


def test_methods_have_none():
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        tg.ones(2).add(1, out=tg.empty(2))


def test_compiled():
    out = tg.zeros(2)

    @tg.compile
    def step(x):
        tg.mul(x, 2, out=out)
        return out + 1

    for k in range(4):
        assert step(tg.tensor([1.0 * k, 2.0])).tolist() == [2 * k + 1, 5]
        assert out.tolist() == [2 * k, 4]
