"""What an argument is beside its numbers: strides, hooks, base, gradient; and what a call makes anew."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import tabgrad as tg

pytestmark = pytest.mark.one_host("wgpu")


def base():
    return tg.arange(16.0, device="webgpu").view(4, 4)


SAME_SHAPE = [
    lambda b: b[:2], lambda b: b[:, :2].T, lambda b: b[1:3], lambda b: b[:2], lambda b: b[:, 2:].T,
    lambda b: b[2:],
]  # fmt: skip


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.reshape(-1).add_(1), lambda x: x.flatten().add_(1), lambda x: x.contiguous().add_(1),
        lambda x: x * (2 if x.is_contiguous() else 3), lambda x: x * x.stride(0),
        lambda x: x * x.storage_offset(),
        lambda x: x * (2 if x.mT.is_contiguous() else 3), lambda x: x.as_strided((3,), (1,)) * 2,
        lambda x: x * x._base.sum(), lambda x: x._base[1:] * 2, lambda x: x.view(-1).as_strided((3,), (1,)) * 2
        if x.is_contiguous() else x, lambda x: x.T.as_strided((2,), (1,)).mul_(3),
        lambda x: x * (2 if x.data_ptr() == x._base.data_ptr() else 3),
    ],
)  # fmt: skip
def test_views_of_one_shape_and_other_strides(call) -> None:
    mine, theirs = base(), base()
    fast = tg.compile(call)
    for view in SAME_SHAPE:
        assert fast(view(mine)).tolist() == call(view(theirs)).tolist()
        assert mine.tolist() == theirs.tolist()


def test_the_memory_of_what_is_no_view_is_captured() -> None:
    fast = tg.compile(lambda x: (x * 2).as_strided((2,), (1,)) + x.view(-1).as_strided((2,), (2,)))
    for n in (1.0, 2.0, 3.0):
        assert fast(tg.full((2, 2), n, device="webgpu")).tolist() == [3 * n] * 2
    assert "1 plans" in repr(fast)
    assert "1 traces" in repr(fast)


def test_slices_of_one_kind_share_a_trace() -> None:
    x = tg.ones(40, 3, device="webgpu")
    fast = tg.compile(lambda x: x * 2)
    for i in range(12):
        fast(x[i : i + 4])
    assert "1 traces" in repr(fast)


def test_the_base_and_the_gradient_of_an_argument() -> None:
    a, b = tg.ones(4, device="webgpu"), tg.ones(4, device="webgpu")
    of = tg.compile(lambda x: x * (2 if x._base is a else 3))
    assert [of(v[:2])[0].item() for v in (a, b, a, b)] == [2, 3, 2, 3]
    x, y, g = (tg.ones(2, device="webgpu") for _ in range(3))
    x.grad, y.grad = g, g.clone()
    has = tg.compile(lambda x: x * (2 if x.grad is g else 3))
    assert [has(v)[0].item() for v in (y, x, y, x)] == [3, 2, 3, 2]


@pytest.mark.parametrize("held", [False, True])
def test_hooks_of_what_is_no_leaf(held) -> None:
    class Holder:
        pass

    w = tg.ones(2, device="webgpu", requires_grad=True)
    s = Holder()
    s.a = w * 1
    slope = lambda x: tg.autograd.grad((x**2).sum(), x)[0]  # noqa: E731
    fast = tg.compile((lambda _: slope(s.a)) if held else slope)
    assert [fast(s.a).tolist() for _ in range(3)] == [[2.0, 2.0]] * 3
    handle = s.a.register_hook(lambda g: g * 10)
    assert [fast(s.a).tolist() for _ in range(3)] == [[20.0, 20.0]] * 3
    handle.remove()
    assert fast(s.a).tolist() == [2.0, 2.0]


def test_what_a_call_makes_is_made_by_each() -> None:
    x = tg.ones(1, device="webgpu")
    for make in (lambda x: np.zeros(2), lambda x: (x * 2, np.arange(2))[1]):
        fast = tg.compile(make)
        found = [fast(x) for _ in range(4)]
        found[-1][0] = 9
        assert fast(x)[0] == 0
        assert len({id(a) for a in found}) == 4
    fast = tg.compile(lambda x: (x * 2, object())[1])
    assert len({id(o) for o in [fast(x) for _ in range(4)]}) == 4


def test_an_array_that_was_there_is_given_back() -> None:
    x, g = tg.ones(1, device="webgpu"), np.ones(2)
    from_outside, given = tg.compile(lambda x: (x * 2, g)), tg.compile(lambda x, n: (x * 2, n))
    assert all(from_outside(x)[1] is g for _ in range(4))
    assert all(given(x, g)[1] is g for _ in range(4))


def test_a_print_of_a_tensor_is_a_read(capsys) -> None:
    def printing(x):
        print("value", x)
        return x * 2

    x = tg.ones(2, device="webgpu")
    with pytest.raises(tg.CaptureError, match="reads a value"):
        tg.compile(printing, fullgraph=True)(x)
    with pytest.warns(UserWarning, match="reads a value"):
        tg.compile(printing)(x)
    assert "value tensor([1., 1.]" in capsys.readouterr().out


def test_a_class_that_is_registered_with_an_abstract_one() -> None:
    import abc

    class Abstract(abc.ABC):  # noqa: B024
        pass

    class Later:
        pass

    thing = Later()
    fast = tg.compile(lambda x: x * (2 if isinstance(thing, Abstract) else 3))
    x = tg.ones(1, device="webgpu")
    assert [fast(x).item() for _ in range(3)] == [3.0] * 3
    Abstract.register(Later)
    assert [fast(x).item() for _ in range(3)] == [2.0] * 3


LONG = 1 << 20_000
COUNTS = {LONG: 2.0, (LONG, 1): 3.0}


def test_integers_that_python_does_not_write() -> None:
    global LONG
    x = tg.ones(1, device="webgpu")
    fast = tg.compile(lambda x, n: x * COUNTS[LONG] * (2 if LONG > 5 else 1) + float(n % 3))
    for n in (LONG, LONG + 1, LONG, Fraction(LONG, 7), (LONG, 1)[1]):
        assert fast(x, n).item() == pytest.approx(4.0 + float(n % 3))
    was, LONG = LONG, LONG + 1
    COUNTS[LONG] = 5.0
    assert fast(x, 0).item() == 10.0
    LONG = was
    assert fast(x, 0).item() == 4.0
    assert "a long int" in str(fast.explain(x, 0))
