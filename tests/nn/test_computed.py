"""Parametrizations, pruning and averaged models do what PyTorch's do."""

from __future__ import annotations

import copy
import io
import json
import pickle
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.nn.utils import parametrizations, parametrize, prune
from tests.nn.computed import PROGRAMS, told
from tests.nn.record_computed import EXPECTED

TOLD: dict[str, Any] = json.loads(EXPECTED.read_text())


def same(ours: Any, theirs: Any, path: str) -> None:
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), path
        for key, value in theirs.items():
            same(ours[key], value, f"{path} {key}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), path
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            same(a, b, f"{path}[{i}]")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5), path
    else:
        assert ours == theirs, path


@pytest.mark.every_host
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_does_what_pytorch_does(name: str, device: str) -> None:
    same(told(tg, PROGRAMS[name](tg, device)), TOLD[name], name)


class Bad(nn.Module):
    def __init__(self, result: Any, inverse: Any = None) -> None:
        super().__init__()
        self.result, self.inverse = result, inverse

    def forward(self, *x: Any) -> Any:
        return self.result(*x)

    def right_inverse(self, y: Any) -> Any:
        if self.inverse is None:
            raise NotImplementedError
        return self.inverse(y)


def test_functions_that_do_not_fit_are_refused() -> None:
    def registered(result: Any, inverse: Any = None, name: str = "weight") -> Any:
        layer = nn.Linear(2, 3, device="cpu")
        return parametrize.register_parametrization(layer, name, Bad(result, inverse))

    for args, message in (
        ((lambda x: 3,), "must return a tensor. Got int"),
        ((lambda x: x.double(),), "may not change the dtype"),
        ((lambda x: x[:1],), "may not change the shape"),
        ((lambda x: x, lambda y: y.double()), "it may not change the dtype"),
        ((lambda x: x, lambda y: 3), "Tensor or a Sequence of tensors"),
        ((lambda a, b: a, lambda y: (y, 3)), "element 1 of the sequence with type int"),
        ((lambda x: x, None, "other"), "does not have a parameter, a buffer"),
    ):
        with pytest.raises(ValueError, match=message):
            registered(*args)
    layer = nn.Linear(2, 3, device="cpu")
    with pytest.raises(ValueError, match="does not have a parametrization on weight"):
        parametrize.remove_parametrizations(layer, "weight")
    with pytest.raises(ValueError, match="one or more modules"):
        parametrize.ParametrizationList([], layer.weight)
    two = registered(lambda a, b: a + b, lambda y: (y, y * 0))
    with pytest.raises(ValueError, match="Cannot leave unparametrized"):
        parametrize.remove_parametrizations(two, "weight", leave_parametrized=False)
    with pytest.raises(ValueError, match="householder"):
        parametrizations.orthogonal(layer, orthogonal_map="qr")
    with pytest.raises(ValueError, match="matrix or batch"):
        parametrizations.orthogonal(layer, "bias")
    with pytest.raises(ValueError, match="no parameter or buffer"):
        parametrizations.spectral_norm(layer, "other")
    with pytest.raises(NotImplementedError, match="use_trivialization=False"):
        parametrizations.orthogonal(
            layer, orthogonal_map="cayley", use_trivialization=False
        ).weight = tg.zeros(3, 2, device="cpu")


def test_a_parametrized_module_is_copied_and_saved_by_its_state() -> None:
    with tg.device("cpu"):
        layer = parametrizations.orthogonal(nn.Linear(3, 3))
        twin = copy.deepcopy(layer)
        assert tg.equal(twin.weight, layer.weight)
        twin.parametrizations.weight.original.data.add_(1)
        assert not tg.equal(twin.weight, layer.weight)
        with pytest.raises(RuntimeError, match=r"only supported through state_dict\(\)"):
            pickle.dumps(layer)
        file = io.BytesIO()
        tg.save(layer.state_dict(), file)
        file.seek(0)
        other = parametrizations.orthogonal(nn.Linear(3, 3))
        other.load_state_dict(tg.load(file))
        assert tg.equal(other.weight, layer.weight)
        fast = tg.compile(layer)
        x = tg.ones(2, 3)
        assert tg.allclose(fast(x), layer(x))


def test_the_inverse_gives_the_matrix_back() -> None:
    with tg.device("cpu"):
        tg.manual_seed(0)
        for rows, columns in ((4, 4), (4, 2), (2, 4)):
            for kind in ("matrix_exp", "cayley", "householder"):
                layer = parametrizations.orthogonal(nn.Linear(columns, rows), orthogonal_map=kind)
                q = tg.linalg.qr(tg.randn(max(rows, columns), min(rows, columns)))[0]
                wanted = q if rows >= columns else q.T
                layer.weight = wanted
                tg.testing.assert_close(layer.weight, wanted, atol=1e-5, rtol=1e-5)


def test_amounts_and_parameters_that_can_not_be_pruned() -> None:
    layer = nn.Linear(2, 3, device="cpu")
    for amount, kind in (("1", TypeError), (-1, ValueError), (1.5, ValueError), (7, ValueError)):
        with pytest.raises(kind, match="amount"):
            prune.l1_unstructured(nn.Linear(2, 3, device="cpu"), "weight", amount)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="multidimensional"):
        prune.random_structured(nn.Linear(2, 3, device="cpu"), "bias", 1, 0)
    with pytest.raises(IndexError, match="Invalid index 2"):
        prune.ln_structured(nn.Linear(2, 3, device="cpu"), "weight", 1, 2, 2)
    with pytest.raises(ValueError, match="has to be pruned before"):
        prune.remove(layer, "weight")
    with pytest.raises(ValueError, match="same shape"):
        prune.l1_unstructured(layer, "weight", 1, tg.ones(2, device="cpu"))
    with pytest.raises(TypeError, match='Only "unstructured"'):
        prune.global_unstructured([(layer, "weight")], prune.RandomStructured, amount=1)
    method = prune.L1Unstructured(2)
    assert method.prune(tg.tensor([3.0, -1.0, 2.0], device="cpu")).tolist() == [3, 0, 0]
    container = prune.PruningContainer.__new__(prune.PruningContainer)
    container._tensor_name, container._pruning_methods = "weight", ()
    method._tensor_name = "bias"
    with pytest.raises(ValueError, match="parameter named 'weight'"):
        container.add_pruning_method(method)


def test_averages_that_are_refused() -> None:
    net = nn.Linear(1, 1, device="cpu")
    swa = tg.optim.swa_utils
    with pytest.raises(AssertionError, match="Only one of"):
        swa.AveragedModel(net, avg_fn=swa.get_swa_avg_fn(), multi_avg_fn=swa.get_swa_multi_avg_fn())
    with pytest.raises(ValueError, match="Invalid decay"):
        swa.get_ema_avg_fn(2)
    optimizer = tg.optim.SGD(net.parameters(), lr=1.0)
    for args, message in (
        (([1.0, 2.0],), "same length"),
        ((1.0, 3, "up"), "'cos' or 'linear'"),
        ((1.0, -1), "greater than 0"),
    ):
        with pytest.raises(ValueError, match=message):
            swa.SWALR(optimizer, *args)
