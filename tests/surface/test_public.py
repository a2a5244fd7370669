"""What is public is typed and described, no raw op, and takes NumPy's names as PyTorch's parser does."""

from __future__ import annotations

import inspect
import pickle
import sys
from functools import reduce
from operator import itemgetter
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.op import Op
from tests.grouped import grouped
from tests.surface import names

first = itemgetter(0)

FUNCTIONS = [
    (".".join(filter(None, (place, name))), getattr(names.module(place), name))
    for place, name in names.public()
]
METHODS = [(f"Tensor.{name}", getattr(tg.Tensor, name)) for name in names.methods()]
MEMBERS = [
    (f"{place}.{kind}.{name}", getattr(getattr(names.module(place), kind), name))
    for place, kind, name in names.members()
]
PUBLISHED = [
    (full, fn)
    for full, fn in (*FUNCTIONS, *METHODS)
    if (full.split(".")[0] in ("Tensor", "linalg", "special") or "." not in full)
    and not inspect.isclass(fn)
]


def parameters(fn: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(fn).parameters)


@grouped("full, fn", FUNCTIONS + METHODS + MEMBERS, ids=first)
def test_it_is_described_and_typed(full: str, fn: Any) -> None:
    assert not isinstance(fn, Op)
    assert fn.__doc__
    if inspect.isclass(fn) and issubclass(fn, Exception | tg.DType | tg.Size):
        # Python makes the signatures of exceptions and tuples, and users make no dtypes
        return
    given = inspect.signature(fn)
    bound = full.startswith("Tensor.") or "self" in list(given.parameters)[:1]
    mine = list(given.parameters.values())[1 if bound else 0 :]
    enum = inspect.isclass(fn) and hasattr(fn, "__members__")
    assert enum or [p.name for p in mine if p.annotation is p.empty] == []
    assert inspect.isclass(fn) or given.return_annotation is not given.empty


def outcome(call: Any) -> str:
    try:
        found = call()
    except Exception as error:
        return type(error).__name__
    return str(found)


def likely(fn: Any) -> list[Any]:
    """Return arguments for what a function asks for besides its input and a dim."""
    asked = [
        p
        for p in parameters(fn).values()
        if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], device="cpu")
    return [
        [x, x] if p.name == "tensors" else x if i == 0 else 1
        for i, p in enumerate(asked)
        if p.name != "dim"
    ]


@grouped(
    "full, fn",
    [f for f in PUBLISHED if "dim" in parameters(f[1]) and "normal" not in f[0]],
    ids=first,
)
def test_axis_is_dim(full: str, fn: Any) -> None:
    wanted = outcome(lambda: fn(*likely(fn), dim=0))
    assert outcome(lambda: fn(*likely(fn), axis=0)) == wanted
    if "keepdim" in parameters(fn):
        wanted = outcome(lambda: fn(*likely(fn), dim=0, keepdim=True))
        assert outcome(lambda: fn(*likely(fn), axis=0, keepdims=True)) == wanted


def test_names_of_operands() -> None:
    x, y = (tg.tensor([n, 4.0], device="cpu") for n in (1.0, 3.0))
    for name in ("x", "a", "x1"):
        assert tg.add(**{name: x, "x2": y}).tolist() == [4, 8]
        assert tg.exp(**{name: tg.zeros(1, device="cpu")}).tolist() == [1]
    assert tg.special.erf(x=tg.zeros(1, device="cpu")).tolist() == [0]
    assert tg.linalg.vector_norm(x=y, axis=0).item() == 5
    assert tg.tensordot(x, y, axes=1).item() == 19
    assert tg.permute(tg.ones(2, 3, device="cpu"), axes=(1, 0)).shape == (3, 2)
    out = tg.empty(2, device="cpu")
    assert tg.sub(x1=y, x2=x, out=out) is out
    assert out.tolist() == [2, 0]
    assert tg.max(x, axis=0).indices.item() == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: tg.sum(x, axis=0, dim=0), "axis"), (lambda x: tg.exp(x, axis=0), "axis"),
        (lambda x: x.sum(axis=0, dim=0), "axis"), (lambda x: x.exp(axis=0), "axis"),
        (lambda x: tg.exp(x, y=0), "'y'"), (lambda x: tg.add(x, x1=x), "input"),
    ],
)  # fmt: skip
def test_other_names_are_refused(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(tg.ones(2, device="cpu"))


ALONE = [
    (full, fn)
    for full, fn in PUBLISHED
    if not full.startswith("Tensor")
    # what else these need may come by one of several names, of which they ask first
    and full not in ("clamp", "clip", "tensor_split")
    and [p.name for p in parameters(fn).values() if p.default is p.empty] == ["input"]
]  # fmt: skip


@grouped("full, fn", ALONE, ids=first)
def test_what_is_no_tensor_is_refused_in_pytorchs_words(full: str, fn: Any) -> None:
    with pytest.raises(TypeError, match=r"must be Tensor, not list|expected .*tensors"):
        fn([1.0])


def test_signatures_show_out_and_pytorchs_names() -> None:
    assert list(parameters(tg.add)) == ["input", "other", "alpha", "out"]
    assert list(parameters(tg.Tensor.sum))[1:] == ["dim", "keepdim", "dtype"]
    assert list(parameters(tg.Tensor.cumsum_))[1:] == ["dim", "dtype"]
    assert parameters(tg.zeros)["layout"].default is None


@grouped("full, fn", FUNCTIONS, ids=first)
def test_it_pickles_as_what_it_is(full: str, fn: Any) -> None:
    if not inspect.isfunction(fn) and not inspect.isclass(fn):
        # an object that can be called has a state, and is copied
        return
    assert pickle.loads(pickle.dumps(fn)) is fn
    assert reduce(getattr, fn.__qualname__.split("."), sys.modules[fn.__module__]) is fn


def test_every_method_pickles() -> None:
    for name in names.methods():
        method = getattr(tg.Tensor, name)
        if inspect.isfunction(method):
            assert pickle.loads(pickle.dumps(method)) is method, name


def test_layouts_are_strided() -> None:
    x = tg.zeros(2, layout=tg.strided, pin_memory=False, device="cpu")
    assert x.layout is tg.strided
    assert tg.ones_like(x, layout=tg.strided).tolist() == [1, 1]
    for make in (
        tg.zeros,
        tg.rand,
        tg.eye,
        tg.arange,
        lambda n, **k: tg.full((n,), 1, **k),
        x.new_ones,
    ):
        with pytest.raises(ValueError, match=r"layout: expected tabgrad.strided"):
            make(2, layout="sparse_coo")  # type: ignore[operator]
    for like in (tg.zeros_like, tg.randn_like, lambda x, **k: tg.full_like(x, x.sum(), **k)):
        with pytest.raises(ValueError, match=r"layout: expected tabgrad.strided"):
            like(x, layout="sparse_coo")  # type: ignore[arg-type]
