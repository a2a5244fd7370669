"""Bits read as another dtype: `view(dtype)` is a view of the same memory."""

import itertools

import numpy as np
import pytest

import tabgrad as tg

every = pytest.mark.every_host
WORDS = ("float32", "int32", "uint32")
DTYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32",
    "float64", "complex64", "complex128",
)  # fmt: skip


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


@every
@pytest.mark.parametrize(("source", "target"), [*itertools.permutations(WORDS, 2)])
def test_words_of_four_bytes_are_read_as_one_another(source, target):
    values = np.array([[1.5, -0.0, 3e9], [-2.0, 0.0, np.inf]], np.float32).view(source)
    x = tg.tensor(values)
    y = x.view(getattr(tg, target))
    assert (y.dtype, y.shape) == (getattr(tg, target), (2, 3))
    assert y.numpy().tobytes() == values.tobytes()
    assert y[1].view(x.dtype).numpy().tobytes() == values[1].tobytes()


@every
def test_writes_reach_both_sides():
    x = tg.zeros(2, 3)
    bits = x.view(tg.int32)
    bits[1] = 0x3F800000
    assert x.tolist() == [[0, 0, 0], [1, 1, 1]]
    x.mul_(2)
    assert bits.tolist() == [[0, 0, 0], [0x40000000] * 3]
    x.t()[0].view(tg.uint32).fill_(0x40400000)
    assert x.tolist() == [[3, 0, 0], [3, 2, 2]]
    bits.view(-1)[::2].view(tg.float32).add_(1)
    assert x.tolist() == [[4, 0, 1], [3, 3, 2]]
    assert (bits.stride(), bits.data_ptr(), bits.view(tg.float32).tolist()) == (
        (3, 1), x.data_ptr(), x.tolist(),
    )  # fmt: skip


@every
def test_bits_beside_strides():
    x = tg.arange(6.0)
    windows = x.as_strided((2, 3), (2, 1), 1)
    windows[1].view(tg.int32).zero_()
    assert x.tolist() == [0, 1, 2, 0, 0, 0]
    whole = x[2:4].view(tg.int32).as_strided((3,), (2,), 0)
    assert whole.view(tg.float32).tolist() == [0, 2, 0]
    whole.fill_(0x3F800000)
    assert x.tolist() == [1, 1, 1, 0, 1, 0]


@every
def test_no_derivative_passes():
    x = tg.ones(3, requires_grad=True)
    assert not x.view(tg.int32).requires_grad
    assert x.view(tg.float32).requires_grad
    b = x * 2
    b.view(tg.int32).add_(0)
    b.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]
    y = tg.ones(3, requires_grad=True)
    (y.view(tg.int32).view(tg.float32) * y).sum().backward()
    assert y.grad.tolist() == [1, 1, 1]
    assert tg.func.grad(lambda t: (t.view(tg.int32) * 1.0).sum())(tg.ones(2)).tolist() == [0, 0]
    _, tangent = tg.func.jvp(lambda t: t.view(tg.int32) * 1.0, (tg.ones(2),), (tg.ones(2),))
    assert tangent.tolist() == [0, 0]


@every
def test_bits_are_batched_and_compiled():
    one = 0x3F800000
    rows = tg.vmap(lambda t: t.view(tg.int32))(tg.ones(2, 3))
    assert rows.tolist() == [[one] * 3] * 2
    columns = tg.vmap(lambda t: t.view(tg.int32) + 1, in_dims=1)(tg.ones(2, 3))
    assert columns.tolist() == [[one + 1] * 2] * 3
    source = tg.zeros(2, 2, dtype=tg.int32)
    out = tg.vmap(lambda t: t.view(tg.uint32))(source)
    out.add_(1)
    assert source.tolist() == [[1, 1], [1, 1]]
    f = tg.compile(lambda t: (t.view(tg.int32) + 1).view(tg.float32) * 2)
    for v in (1.0, 2.0, 4.0):
        assert (
            f(tg.full((2,), v)).tolist()
            == [2 * float(np.nextafter(np.float32(v), np.float32(9)))] * 2
        )

    @tg.compile
    def bump(t):
        t.view(tg.int32).add_(1)
        return t.view(tg.int32)

    x = tg.zeros(2, dtype=tg.float32)
    for k in (1, 2, 3):
        bits = bump(x)
        assert bits.tolist() == [k, k]
    bits.fill_(one)
    assert x.tolist() == [1, 1]


def test_every_dtype_is_read_as_every_other():
    raw = np.arange(1, 65, dtype=np.uint8).reshape(2, 32)
    for source, target in itertools.product(DTYPES, repeat=2):
        values = raw.view(source) if source != "bool" else raw % 3 > 0
        x = tg.tensor(values)
        y = x.view(getattr(tg, target))
        want = (
            np.ascontiguousarray(values).view("uint8") != 0
            if target == "bool"
            else values.view(target)
        )
        assert y.numpy().tobytes() == want.tobytes(), (source, target)
        assert y.shape == want.shape
        if target != "bool" and source != "bool":
            y.view(x.dtype)[0] = 0
            assert x.numpy().tobytes()[:32] == bytes(32), (source, target)
            assert x.numpy().tobytes()[32:] == values.tobytes()[32:], (source, target)
    half = tg.tensor([1.0, -2.0], dtype=tg.bfloat16)
    assert half.view(tg.int16).tolist() == [0x3F80, -0x4000]
    assert tg.tensor([0x3F80], dtype=tg.int16).view(tg.bfloat16).tolist() == [1.0]
    assert half.view(tg.float32).shape == (1,)
    assert tg.tensor(1.0).view(tg.int32).tolist() == 0x3F800000
    assert tg.zeros(2, 4).view(dtype=tg.float64).shape == (2, 2)
    assert tg.zeros(2, 4).view(int).dtype is tg.int64
    assert tg.zeros(2, 4)[1:].view(tg.float64).storage_offset() == 2
    assert tg.zeros(2, 0).view(tg.int16).shape == (2, 0)


def test_bytes_are_written_through():
    x = tg.zeros(2)
    x.view(tg.uint8)[6:].copy_(tg.tensor([0x80, 0x3F]))
    assert x.tolist() == [0, 1]
    y = tg.zeros(4, dtype=tg.uint8)
    y.view(tg.float32).fill_(1.0)
    assert y.tolist() == [0, 0, 0x80, 0x3F]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tg.zeros(2, 3).view(tg.float64), r"self.size\(-1\) must be divisible by 2 to view Float"),
        (lambda: tg.zeros(3, 2).t().view(tg.int16), r"self.stride\(-1\) must be 1 to view Float as Short"),
        (lambda: tg.tensor(1.0).view(tg.uint8), r"self.dim\(\) cannot be 0 to view Float as Byte"),
        (lambda: tg.zeros(4, 3)[:, 1:].view(tg.float64), r"self.storage_offset\(\) must be divisible by 2"),
        (lambda: tg.zeros(4, 3)[:, :2].view(tg.float64), r"self.stride\(0\) must be divisible by 2 .* got 3"),
        (lambda: tg.vmap(lambda t: t.view(tg.int16))(tg.ones(2)), r"self.dim\(\) cannot be 0"),
    ],
)  # fmt: skip
def test_what_memory_can_not_show_is_refused(make, words):
    with pytest.raises(RuntimeError, match=words):
        make()


@every
def test_what_is_no_dtype_is_refused(device):
    with pytest.raises(TypeError, match="expected a dtype or a shape"):
        tg.zeros(2).view(tg.int32, 2)
    if device == "webgpu":
        for dtype in (tg.int16, tg.int64, tg.uint8):
            with pytest.raises(TypeError, match=r"dtypes of 4 bytes.*x.cpu\(\).view"):
                tg.zeros(4).view(dtype)
        with pytest.raises(TypeError, match="dtypes of 4 bytes"):
            tg.zeros(4, dtype=tg.uint8).view(tg.int8)
