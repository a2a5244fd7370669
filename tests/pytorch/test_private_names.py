"""Names that PyTorch keeps for itself and that programs call."""

from __future__ import annotations

from typing import Any

import pytest

import tabgrad as tg
from tabgrad import _utils


def test_tensors_go_into_one_vector_and_back() -> None:
    given = [tg.ones(2, 3, device="cpu"), tg.zeros(1, device="cpu"), tg.tensor(5.0, device="cpu")]
    flat = _utils._flatten_dense_tensors(given)
    assert flat.tolist() == [1, 1, 1, 1, 1, 1, 0, 5]
    back = _utils._unflatten_dense_tensors(flat, given)
    assert [t.tolist() for t in back] == [t.tolist() for t in given]
    assert _utils._flatten_dense_tensors(given[:1]).shape == (6,)
    groups = list(_utils._take_tensors([*given, tg.ones(1, dtype=tg.int8, device="cpu")], 24))
    assert [[t.numel() for t in g] for g in groups] == [[6], [1, 1], [1]]


def test_indices_of_devices() -> None:
    assert _utils._get_device_index(3) == 3
    assert _utils._get_device_index("cpu", allow_cpu=True) == -1
    assert _utils._get_device_index(None, optional=True) == 0
    for wrong in ("cpu", None):
        with pytest.raises(ValueError, match="Expected a"):
            _utils._get_device_index(wrong)


def test_an_error_is_raised_elsewhere_with_its_traceback() -> None:
    class Odd(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(a, b)

    for error, kind in ((KeyError("here"), KeyError), (Odd(1, 2), RuntimeError)):
        try:
            raise error
        except Exception:
            wrapped = _utils.ExceptionWrapper(where="in worker 3")
        with pytest.raises(kind, match="in worker 3"):
            wrapped.reraise()


def test_conditions() -> None:
    tg._assert(tg.tensor(True, device="cpu"), "fine")
    with pytest.raises(AssertionError, match=r"^no$"):
        tg._assert(1 > 2, "no")


def test_errors_of_cuda_have_names_there() -> None:
    assert tg.cuda.OutOfMemoryError is tg.OutOfMemoryError
    if not tg.cuda.is_available():
        with pytest.raises(tg.DeviceError):
            tg.cuda.mem_get_info()


def test_gradients_of_marked_outputs_are_zeros() -> None:
    seen: list[Any] = []

    class Several(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            marked = x > 0, x.clone()
            ctx.mark_non_differentiable(*marked)
            return x * 2, *marked, "text"

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            seen.extend(grads)
            return grads[0] * 2

    x = tg.tensor([1.0, -1.0], device="cpu", requires_grad=True)
    Several.apply(x)[0].sum().backward()
    assert [g if g is None else (g.tolist(), g.dtype) for g in seen] == [
        ([1.0, 1.0], tg.float32), ([False, False], tg.bool), ([0.0, 0.0], tg.float32), None,
    ]  # fmt: skip


def test_optimizers_after_pytorchs_own_run() -> None:
    from tabgrad.optim.optimizer import (
        Optimizer,
        _default_to_fused_or_foreach,
        _dispatch_sqrt,
        _get_scalar_dtype,
        _get_value,
        _stack_if_compiling,
        _to_scalar,
        _use_grad_for_differentiable,
        _view_as_real,
    )

    class Own(Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr, "differentiable": False})

        @_use_grad_for_differentiable
        def step(self, closure: Any = None) -> Any:
            assert not tg.is_grad_enabled()
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    if not state:
                        state["step"] = tg.zeros((), dtype=_get_scalar_dtype(), device="cpu")
                    state["step"] += 1
                    rate = group["lr"] / _dispatch_sqrt(_get_value(state["step"]))
                    p.add_(p.grad, alpha=-rate)

    w = tg.ones(2, device="cpu", requires_grad=True)
    (w * 3).sum().backward()
    Own([w], 0.5).step()
    assert w.tolist() == [-0.5, -0.5]
    assert _default_to_fused_or_foreach([w], False) == (False, False)
    assert _dispatch_sqrt(tg.tensor(4.0, device="cpu")).item() == 2.0
    assert _to_scalar(tg.ones(1, device="cpu")).shape == ()
    assert _stack_if_compiling([w]) == [w]
    both = [tg.ones(1, dtype=tg.complex64, device="cpu")], [w]
    _view_as_real([w], [w])
    _view_as_real(both[0])
    assert both[0][0].shape == (1, 2)


def test_helpers_of_layers() -> None:
    from tabgrad.nn.modules import conv, transformer, utils

    assert conv._reverse_repeat_tuple((1, 2), 2) == (2, 2, 1, 1)
    assert conv._pair(3) == (3, 3)
    assert utils._list_with_default([None, 5], [2, 3, 4]) == [3, 5]
    with pytest.raises(ValueError, match="at least 3"):
        utils._list_with_default([None, 5], [3, 4])
    layer = tg.nn.Linear(1, 2, device="cpu")
    first, second = transformer._get_clones(layer, 2)
    assert first is not layer
    assert first.weight is not second.weight
    assert transformer._get_activation_fn("gelu") is tg.nn.functional.gelu
    with pytest.raises(RuntimeError, match="relu/gelu"):
        transformer._get_activation_fn("silu")


def test_operators_by_pytorchs_names() -> None:
    aten, x = tg.library.ops.aten, tg.tensor([-1.0, 2.0], device="cpu")
    assert aten.relu is aten.relu
    assert repr(aten.add.Tensor) == "aten.add.Tensor"
    assert aten.add.Tensor(x, 2).tolist() == [1.0, 4.0]
    assert aten.view.default(x, [2, 1]).shape == (2, 1)
    assert aten.sum.dim_IntList(x, [0]).item() == 1.0
    assert aten.linear(x, tg.ones(1, 2, device="cpu")).tolist() == [1.0]
    for name in ("nonsense", "mse_loss", "_softmax", "Tensor", "compile"):
        assert not hasattr(aten, name), name
    for op, name in ((aten.add, "nope"), (aten.add.Tensor, "default")):
        with pytest.raises(AttributeError, match="has no overload"):
            getattr(op, name)


def test_weak_keys_are_told_apart_by_identity() -> None:
    from tabgrad.utils.weak import WeakTensorKeyDictionary

    x, y = tg.ones(2, device="cpu"), tg.ones(2, device="cpu")
    known = WeakTensorKeyDictionary({x: 1, y: 2})
    assert (known[x], known[y]) == (1, 2)
    assert [k is given for k, given in zip(known, (x, y), strict=True)] == [True, True]
    del known[x]
    assert x not in known
    del y
    assert len(known) == 0
    known[x] = 3
    del known
    assert x.tolist() == [1.0, 1.0]


def test_a_report_of_versions(capsys: pytest.CaptureFixture[str]) -> None:
    from tabgrad.utils import collect_env

    collect_env.main()
    assert "Python version: 3." in capsys.readouterr().out
