"""`__torch_function__`: nobody is asked until somebody wants to be; then everybody who holds a function is."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import mean, overrides
from tabgrad.nn.functional import relu

X = tg.tensor([1.0, -2.0], device="cpu")


@pytest.fixture(autouse=True)
def asked_no_more() -> Iterator[None]:
    overrides.deactivate()
    yield
    overrides.deactivate()


def a_class() -> Any:
    class Mine(tg.Tensor):
        pass

    return Mine


def codes() -> list[Any]:
    methods = [vars(tg.Tensor).get(n) for n in ("add", "__add__", "sum", "T", "unique", "__iter__")]
    return [mean.__code__, relu.__code__, tg.linalg.inv.__code__, tg.unique.__code__, *methods]


def test_nothing_changes_without_a_class_that_asks() -> None:
    before = codes()
    tg.nn.Parameter(X)
    assert codes() == before
    cls = a_class()
    assert all(a is not b for a, b in zip(codes(), before, strict=True))
    assert type(mean(X)) is tg.Tensor
    assert type(mean(X.as_subclass(cls))) is cls
    overrides.deactivate()
    assert codes() == before
    assert type(mean(X.as_subclass(cls))) is tg.Tensor


def test_functions_that_were_imported_before_are_asked_too() -> None:
    cls = a_class()
    x = X.as_subclass(cls)
    for y in (mean(x), relu(x), tg.add(X, x, out=tg.empty(2, device="cpu").as_subclass(cls))):
        assert type(y) is cls
    assert type(tg.mean(x, axis=0)) is cls
    assert type(tg.special.erf(x)) is cls
    assert type(tg.linalg.norm(x)) is cls
    assert type(tg.fft.fft(x)) is cls


def test_values_and_gradients_are_those_of_plain_tensors() -> None:
    cls = a_class()
    w = X.clone().requires_grad_()
    y = tg.nn.functional.gelu(w.as_subclass(cls) * 3).sum()
    y.backward()
    v = X.clone().requires_grad_()
    z = tg.nn.functional.gelu(v * 3).sum()
    z.backward()
    assert type(y) is cls
    assert type(w.grad) is tg.Tensor
    assert w.grad.tolist() == v.grad.tolist()
    assert repr(X.as_subclass(cls)) == "Mine([ 1., -2.])"


def test_compiled_functions_run_with_subclasses() -> None:
    cls = a_class()
    f = tg.compile(lambda x: (x * 2).sum())
    for _ in range(3):
        assert float(f(X)) == -2.0
        assert float(f(X.as_subclass(cls))) == -2.0


def test_an_object_is_asked_where_it_stands_by_name_or_in_a_list() -> None:
    class Told:
        @classmethod
        def __torch_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            return func.__name__, len(args), sorted(kwargs or {})

    assert tg.add(X, other=Told()) == ("add", 1, ["other"])
    assert tg.cat([X, Told()], dim=0) == ("cat", 1, ["dim"])
    assert X.add(Told()) == ("add", 2, [])
    assert overrides._PUT


def test_who_says_nothing_is_told_of_in_the_error() -> None:
    class Silent:
        @classmethod
        def __torch_function__(cls, *args: Any) -> Any:
            return NotImplemented

    with pytest.raises(TypeError, match=r"tabgrad\.mean.*Silent"):
        tg.mean(Silent())

    class Raising:
        @classmethod
        def __torch_function__(cls, *args: Any) -> Any:
            raise AttributeError("its own")

    with pytest.raises(AttributeError, match=r"^its own$"):
        tg.mean(Raising())


def test_a_thread_has_modes_of_its_own() -> None:
    seen: list[str] = []

    class Seeing(overrides.TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    with Seeing():
        thread = threading.Thread(target=lambda: X.sum())
        thread.start()
        thread.join()
        assert seen == []
        X.sum()
        with overrides.DisableTorchFunction():
            X.prod()
    X.sum()
    assert seen == ["sum"]


def test_a_wrapped_function_asks_first() -> None:
    @overrides.wrap_torch_function(lambda a, b=None: (a, b))
    def mine(a: Any, b: Any = None) -> str:
        return "plain"

    class Told:
        @classmethod
        def __torch_function__(cls, func: Any, *rest: Any) -> Any:
            return func is mine

    assert mine(X) == "plain"
    assert mine(X, b=Told()) is True


def test_properties_are_seen_by_classes_that_ask_and_cost_others_nothing() -> None:
    before = {name: inspect.getattr_static(tg.Tensor, name) for name in ("shape", "grad", "dtype")}
    seen: list[Any] = []

    class Watching(tg.Tensor):
        @classmethod
        def __torch_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(func)
            return super().__torch_function__(func, types, args, kwargs)

    class Below(Watching):
        pass

    for cls in (Watching, Below):
        x = tg.ones(2, 3, device="cpu").as_subclass(cls)
        seen.clear()
        assert (x.shape, x.dtype, x.ndim, x.is_leaf, x.grad) == ((2, 3), tg.float32, 2, True, None)
        assert x.device == tg.device("cpu")
        assert [f.__name__ for f in seen] == ["__get__"] * 6
        assert tg.Tensor.shape.__get__ in seen
        seen.clear()
        x.requires_grad = True
        x.grad = tg.ones(2, 3, device="cpu")
        assert [f.__name__ for f in seen] == ["__set__"] * 2
        assert type(x.grad) is tg.Tensor
        assert type(x + 1) is cls
    assert all(inspect.getattr_static(tg.Tensor, name) is held for name, held in before.items())
    overrides.deactivate()
    seen.clear()
    assert x.shape == (2, 3)
    assert not seen
