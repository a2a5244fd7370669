"""Names that packages for PyTorch need: custom ops, float8, checks, trees, contexts of other modules."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import library
from tabgrad._higher_order_ops.associative_scan import associative_scan
from tabgrad.utils import _pytree
from tests.grouped import grouped


def test_a_custom_op_has_the_gradients_that_are_registered() -> None:
    def product(xs: list[tg.Tensor], power: int = 2) -> tuple[tg.Tensor, tg.Tensor]:
        return xs[0] * xs[1], xs[0] ** power

    op = library.custom_op("tests::product", product, mutates_args=())
    a, b = (tg.tensor(n, requires_grad=True, device="cpu") for n in (2.0, 5.0))
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        op([a, b])[0].backward()

    def keep(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[0], output[0])
        ctx.power = inputs[1]

    def back(ctx: Any, one: tg.Tensor, two: tg.Tensor) -> Any:
        x, y, _ = ctx.saved_tensors
        return [one * y + two * ctx.power * x, one * x], None

    library.register_autograd("tests::product", back, setup_context=keep)
    first, second = library.ops.tests.product([a, b])
    assert (first.item(), second.item()) == (10, 4)
    (first + 10 * second).backward()
    assert a.grad is not None
    assert b.grad is not None
    assert (a.grad.item(), b.grad.item()) == (45, 2)
    assert "product" in dir(library.ops.tests)
    assert "tests" in dir(library.ops)


def test_a_custom_op_on_the_device_meta_is_its_shapes() -> None:
    @library.custom_op("tests::count", mutates_args=())
    def count(x: tg.Tensor) -> tg.Tensor:
        return tg.tensor([x.sum().item()], device=x.device)

    library.register_fake("tests::count")(lambda x: tg.empty(1, device=x.device))
    assert count(tg.ones(3, device="cpu")).item() == 3
    assert count(tg.ones(3, device="meta")).shape == (1,)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="namespace::op"):
        library.custom_op("twice", abs, mutates_args=())
    with pytest.raises(NotImplementedError, match="change its arguments"):
        library.custom_op("tests::f", abs, mutates_args=("x",))
    with pytest.raises(RuntimeError, match="there is no custom op"):
        library.register_fake("tests::nothing", abs)
    same = library.custom_op("tests::same", lambda x: x, mutates_args=())
    with pytest.raises(RuntimeError, match="may not be one of its inputs"):
        same(tg.ones(2, device="cpu"))
    with pytest.raises(AttributeError, match="no namespace 'nowhere'"):
        _ = library.ops.nowhere


NARROW = [
    tg.float8_e4m3fn,
    tg.float8_e4m3fnuz,
    tg.float8_e5m2,
    tg.float8_e5m2fnuz,
    tg.float8_e8m0fnu,
]
LIMITS = {"float8_e4m3fn": (448, 0.125, 2**-6), "float8_e4m3fnuz": (240, 0.125, 2**-7),
          "float8_e5m2": (57344, 0.25, 2**-14), "float8_e5m2fnuz": (57344, 0.125, 2**-15),
          "float8_e8m0fnu": (2.0**127, 1, 2.0**-127)}  # fmt: skip
"""The largest number, eps and the smallest normal number, as PyTorch tells them."""


@grouped("dtype", NARROW)
def test_narrow_floats_are_names_and_limits(dtype: tg.DType) -> None:
    info = tg.finfo(dtype)
    most, eps, least = LIMITS[dtype.name]
    assert (info.max, info.eps, info.tiny, info.bits) == (most, eps, least, 8)
    assert info.min == (-most if dtype.signed else least)
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    x = tg.ones(2, device="cpu")
    makes: list[Callable[[], Any]] = [
        lambda: tg.zeros(2, dtype=dtype, device="cpu"), lambda: x.to(dtype), lambda: x.view(dtype),
        lambda: tg.tensor([1.0], dtype=dtype), lambda: x.sum(dtype=dtype),
        lambda: tg.empty_like(x, dtype=dtype),
        lambda: tg.nn.Linear(2, 2, dtype=dtype), lambda: tg.promote_types(dtype, tg.float32),
        lambda: tg.set_default_dtype(dtype), lambda: tg.zeros(2, dtype=dtype, device="meta"),
    ]  # fmt: skip
    for make in makes:
        with pytest.raises(tg.DTypeError):
            make()


def test_checks() -> None:
    tg._check(True)
    tg._check_tensor_all(tg.ones(2, device="cpu") > 0)
    with pytest.raises(RuntimeError, match="the text"):
        tg._check(False, lambda: "the text")
    with pytest.raises(IndexError, match="Expected cond"):
        tg._check_index(False)
    with pytest.raises(KeyError):
        tg._check_with(KeyError, False, lambda: "x")
    with pytest.raises(ValueError, match="no"):
        tg._check_tensor_all_with(ValueError, tg.zeros(2, device="cpu") > 0, lambda: "no")
    with pytest.raises(TypeError, match="bool"):
        tg._check(1)


def test_a_registered_class_of_dicts_is_made_again() -> None:
    class Output(OrderedDict[str, Any]):
        pass

    _pytree.register_pytree_node(
        Output, _pytree._dict_flatten, lambda values, keys: Output(zip(keys, values, strict=True))
    )
    doubled = _pytree.tree_map(lambda x: 2 * x, Output(a=1, b=[2, 3]))
    assert type(doubled) is Output
    assert doubled == {"a": 2, "b": [4, 6]}
    keyed, keys = _pytree._dict_flatten_with_keys({"a": 1})
    assert (str(keyed[0][0]), keyed[0][0].get({"a": 7}), keys) == ("['a']", 7, ["a"])


@grouped("size, reverse, mode", [(n, r, m) for n in (1, 2, 3, 6, 7) for r in (False, True)
                                 for m in ("pointwise", "generic")])  # fmt: skip
def test_associative_scan(size: int, reverse: bool, mode: str) -> None:
    x = (tg.arange(size * 3.0, device="cpu").reshape(size, 3) % 5 - 1.5).double()

    def combine(a: Any, b: Any) -> Any:
        return a[0] * b[0], b[0] * a[1] + b[1]

    found = associative_scan(combine, (x.mT, 2 * x.mT), 1, reverse, mode)
    rows = [(x[k], 2 * x[k]) for k in (range(size)[::-1] if reverse else range(size))]
    wanted = [rows[0]]
    for row in rows[1:]:
        wanted.append(combine(wanted[-1], row))
    if reverse:
        wanted.reverse()
    for part in (0, 1):
        tg.testing.assert_close(found[part], tg.stack([w[part] for w in wanted], 1))


def test_hooks_before_loading_in_their_older_form() -> None:
    layer, seen = tg.nn.Linear(1, 1), []
    layer._register_load_state_dict_pre_hook(lambda state, prefix, *rest: seen.append(prefix))
    layer._register_load_state_dict_pre_hook(
        lambda module, *rest: seen.append(module), with_module=True
    )
    layer.load_state_dict(layer.state_dict())
    assert seen == ["", layer]


def test_the_gradient_of_softmax_by_its_old_name() -> None:
    x = tg.tensor([[1.0, 2.0, 4.0]], device="cpu", requires_grad=True)
    y = x.softmax(1)
    g = tg.tensor([[1.0, -2.0, 3.0]], device="cpu")
    (wanted,) = tg.autograd.grad(y, x, g)
    tg.testing.assert_close(tg._softmax_backward_data(g, y.detach(), 1, tg.float32), wanted)


def test_cuda_graphs_are_names_that_raise() -> None:
    for make in (tg.cuda.CUDAGraph, lambda: tg.cuda.graph(None), tg.cuda.graph_pool_handle):
        with pytest.raises(RuntimeError, match=r"tabgrad\.compile"):
            make()
    with tg.cuda.stream(None):
        assert not tg.cuda.is_current_stream_capturing()
