"""Whatever `save` takes, `load` gives back; whatever it does not take, it names with its place."""

from __future__ import annotations

import io
import math
from collections import Counter, OrderedDict, defaultdict
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings, strategies as st

import tabgrad as tg
from tabgrad.serialization import safetensors


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    with tg.device("cpu"):
        yield


def again(obj: Any) -> Any:
    file = io.BytesIO()
    safetensors.save(obj, file)
    return safetensors.load(io.BytesIO(file.getvalue()))


def same(a: Any, b: Any) -> bool:
    """Whether `b` is what `a` should be once it was loaded."""
    if isinstance(a, tg.Tensor):
        alike = isinstance(b, tg.Tensor) and a.dtype is b.dtype and a.shape == b.shape
        return alike and same(a.tolist(), b.tolist())
    if isinstance(a, list | tuple):
        kind = list if isinstance(a, list) else tuple
        return type(b) is kind and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        # a plain dict of tensors keeps no order
        keys = sorted(a, key=repr), sorted(b, key=repr)
        pairs = zip(*keys, strict=True)
        return len(a) == len(b) and all(same(x, y) and same(a[x], b[y]) for x, y in pairs)
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return bool(type(a) is type(b) and a == b and repr(a) == repr(b))


class Pair(NamedTuple):
    a: Any
    b: Any


class HashableList(list[Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return 1


class WithVersions(dict[Any, Any]):
    _metadata = 3


NAN = float("nan")
NAMES = st.one_of(
    st.text(max_size=4),
    st.sampled_from([
        "__metadata__", "__metadata___", "tensor", "dict", "list", "tabgrad.tree", "tabgrad.leaves",
        "format", "a.b", "a key", "", "0", "\ud800", "\0", "dtype",
    ]),
)  # fmt: skip
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), NAMES, st.sampled_from([tg.float16, tg.bool]),
    st.just(tg.device("cpu")), st.sampled_from([10**4299, 1j, b"x", {1}]),
)  # fmt: skip
TENSORS = st.sampled_from([
    tg.ones(1, device="cpu"), tg.zeros(0, 3, device="cpu"), tg.tensor([1, 2], device="cpu"),
    tg.tensor(NAN, device="cpu"), tg.tensor([True], device="cpu"), tg.ones((1,) * 64, device="cpu"),
    tg.ones(1, dtype=tg.complex128, device="cpu"),
])  # fmt: skip
KEYS = st.recursive(
    PLAIN.filter(lambda x: not isinstance(x, set)),
    lambda inner: st.lists(inner, max_size=2).map(tuple),
    max_leaves=3,
)
OBJECTS = st.recursive(
    PLAIN | TENSORS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3), st.dictionaries(NAMES, TENSORS, max_size=3),
        st.dictionaries(NAMES, inner, max_size=3).map(OrderedDict), st.builds(Pair, inner, inner),
        st.dictionaries(NAMES, inner, max_size=2).map(WithVersions),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(OBJECTS)
@example({"__metadata__": tg.ones(1, device="cpu")})
@example({float("nan"): 1, float("nan"): 2})
@example(WithVersions(a=1))
def test_what_is_saved_is_loaded(obj: Any) -> None:
    file = io.BytesIO()
    try:
        safetensors.save(obj, file)
    except (TypeError, ValueError) as refusal:
        assert str(refusal).startswith("save: ")  # noqa: PT017
        return
    assert same(obj, safetensors.load(io.BytesIO(file.getvalue())))


@pytest.mark.parametrize(
    "obj",
    [
        {"__metadata__": 1}, ["__metadata__"], {"a": {"__metadata__": 3}}, defaultdict(int, a=1),
        Counter("ab"), Pair(1, (2,)), {(1, "a"): {None: 2}}, {True: 1, 2: 3.0, -0.0: 1},
        {NAN: 1}, OrderedDict({"a": {}}), {tg.float16: tg.device("cpu")},
    ],
    ids=repr,
)  # fmt: skip
def test_things_without_tensors(obj: Any) -> None:
    assert same(obj, again(obj))


@pytest.mark.parametrize(
    "names",
    [["__metadata__"], ["__metadata__", "x"], ["__metadata__", "__metadata___"], ["tabgrad.tree"],
     [""], ["a.b", "tensor", "tabgrad.leaves", "format"]],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_any_name_of_a_tensor(names: list[str], kind: Any) -> None:
    obj = kind({name: tg.full((2,), float(i)) for i, name in enumerate(names)})
    for given_ in (obj, {"__metadata__": obj}, {**obj, "n": 1}, {**obj, "a": obj, "a.b": obj}):
        assert same(given_, again(given_))
    leaf = {"__metadata__": tg.ones(1, requires_grad=True)}
    assert again(leaf)["__metadata__"].requires_grad


def test_a_tensor_as_a_key() -> None:
    w = tg.ones(2)
    ((key, value),) = again({w: {"step": 1, "same": w}}).items()
    assert key.tolist() == [1.0, 1.0]
    assert value["same"] is key


@pytest.mark.parametrize(
    ("obj", "kind", "message"),
    [
        ({"a": {float("nan"): 1, float("nan"): 2}}, ValueError, "two keys at a are the same.*nan"),
        ({("x", NAN): 1, ("x", -NAN): 2}, ValueError, "two keys at the top"),
        ({"a": [HashableList()]}, None, ""),
        ({"a": {HashableList(): 1}}, TypeError, "a key at a is no key"),
        ({"a": {(HashableList(), 1): 1}}, TypeError, "a key at a is no key"),
        ({"a": {1j: 1}}, TypeError, "got complex at a key of a"),
        ({"a": [0, 10**4300]}, ValueError, "number at a.1 has more than 4300 digits"),
        ({"a": {10**4300: 1}}, ValueError, "number at a key of a has more than"),
        ({"a": {1, 2}}, TypeError, "got set at a"),
    ],
)
def test_refusals_name_the_place(obj: Any, kind: Any, message: str) -> None:
    if kind is None:
        assert same(obj, again(obj))
        return
    with pytest.raises(kind, match=f"save: .*{message}"):
        again(obj)


def test_versions_of_no_dict() -> None:
    state = OrderedDict(a=1)
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    assert again({"s": state})["s"]._metadata == {"": {"version": 1}}
    state._metadata = [1]  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"save: expected a dict at s\._metadata, got list"):
        again({"s": state})


@pytest.mark.parametrize(
    "wrap",
    [lambda x: [x], lambda x: (x,), lambda x: {"k": x}, lambda x: OrderedDict(k=x), lambda x: ([{"k": x}],)],
    ids=["list", "tuple", "dict", "ordered", "mixed"],
)  # fmt: skip
def test_depth_is_refused_when_it_is_saved(wrap: Any) -> None:
    obj: Any = tg.ones(1)
    accepted = 0
    for depth in range(1, 600):
        obj = wrap(obj)
        try:
            back = again(obj)
        except ValueError as refusal:
            assert "save: what is saved holds itself, or is nested too deep" in str(refusal)  # noqa: PT017
            continue
        accepted = depth
        while not isinstance(back, tg.Tensor):
            (back,) = back.values() if isinstance(back, dict) else back
    assert accepted >= 40


def test_shapes_that_a_file_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert again({"x": tg.ones((1,) * 64)})["x"].shape == (1,) * 64
    # no device of ours has shapes beyond the format's: tighten the format
    monkeypatch.setattr(safetensors, "MOST_AXES", 1)
    monkeypatch.setattr(safetensors, "MOST_BYTES", 40)
    for shape, message in (((1, 1), "has 2 axes"), ((10,), "too large"), ((0,), "")):
        for obj in ({"x": tg.ones(shape)}, {"a": [tg.ones(shape)]}):
            if not message:
                assert same(obj, again(obj))
                continue
            with pytest.raises(ValueError, match=rf"save: the shape of '.*' .*{message}"):
                again(obj)


def test_a_header_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "LONGEST_HEADER", 1000)
    with pytest.raises(ValueError, match="save: names, shapes and structure take"):
        again(["a" * 1000])


def test_a_device_that_pytorch_has_not_is_saved_under_a_name_that_it_has() -> None:
    device = tg.device("webgpu")
    for alias, name in ((False, b"privateuseone"), (True, b"cuda")):
        file = io.BytesIO()
        if alias:
            with tg.as_torch():
                tg.save({"device": device}, file)
        else:
            tg.save({"device": device}, file)
        assert name in file.getvalue()
        assert b"webgpu" not in file.getvalue()
        found = tg.load(io.BytesIO(file.getvalue()))["device"]
        assert found == (tg.device("cuda") if alias else device)


def test_a_tensor_with_attributes_comes_back_in_both_ways() -> None:
    x = tg.ones(2, device="cpu")
    x.tag = "hi"
    p = tg.nn.Parameter(tg.zeros(2, device="cpu"))
    p.no_decay = True
    file = io.BytesIO()
    tg.save([x, p], file)
    for weights_only in (True, False):
        y, q = tg.load(io.BytesIO(file.getvalue()), "cpu", weights_only=weights_only)
        assert (y.tag, q.no_decay, type(q)) == ("hi", True, tg.nn.Parameter)
