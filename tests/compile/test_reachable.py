"""The walk over what a compiled call may read: it has an end, and runs no code of users."""

from __future__ import annotations

import builtins
import time
import types
import warnings
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.compiler import reachable

pytestmark = pytest.mark.one_host("wgpu", "cuda")
ASKED: list[str] = []


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        ASKED.append(f"class {name}")
        return super().__getattribute__(name)


class Nosy(metaclass=Meta):
    """Notes who asks it for anything."""

    def __init__(self) -> None:
        object.__setattr__(self, "k", 2.0)

    @property
    def __class__(self) -> Any:
        ASKED.append("__class__")
        return Nosy

    @__class__.setter
    def __class__(self, cls: Any) -> None: ...

    def __getattribute__(self, name: str) -> Any:
        ASKED.append(name)
        return object.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        ASKED.append(name)
        raise AttributeError(name)


class Hidden:
    """Has a property in place of its attributes."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        ASKED.append("__dict__")
        return {}


class Lazy(types.ModuleType):
    def __getattribute__(self, name: str) -> Any:
        if name != "__dict__":
            ASKED.append(f"module {name}")
        return super().__getattribute__(name)


def test_nothing_is_asked_of_objects(device: str) -> None:
    held = [Nosy(), Nosy, Hidden(), Lazy("lazy"), {"k": Nosy()}]
    kept: Any = [Nosy()]
    box: Any = types.SimpleNamespace(scale=2.0, nosy=kept[0])
    x = tg.ones(1, device=device)

    def scaled(x: Any) -> Any:
        return x * getattr(box, "scale") * len(held)  # noqa: B009

    call: Any = tg.compile(scaled)
    for _ in range(3):
        ASKED.clear()
        assert call(x).item() == 10
        assert ASKED == []
    held.append(None)
    assert call(x).item() == 12
    str(call.explain(x))
    assert ASKED == []


def test_a_call_that_may_read_too_much_runs_as_it_is(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachable, "MOST_OBJECTS", 200)
    many: Any = [[i] for i in range(1000)]
    call: Any = tg.compile(lambda x: x * many[5][0])
    x = tg.ones(1, device=device)
    seen = [call(x).item() for _ in range(3)]
    many[5][0] = 7
    assert [*seen, call(x).item()] == [5, 5, 5, 7]
    assert "may read more than 200 objects" in str(call.explain(x))
    assert "many[" in str(call.explain(x))


def test_a_walk_ends(device: str) -> None:
    tree: Any = []
    for _ in range(reachable.MOST_OBJECTS):
        tree = [tree, []]
    call: Any = tg.compile(lambda x: x * len(tree))
    begun = time.perf_counter()
    assert [call(tg.ones(1, device=device)).item() for _ in range(4)] == [2] * 4
    assert call.reason is not None
    assert time.perf_counter() - begun < 20
    while tree:
        tree = tree[0]


def test_names_in_a_dict_do_not_lead_to_all_builtins(device: str) -> None:
    table = {"k": 1.0}
    call: Any = tg.compile(lambda x: x * eval("k", table))
    x = tg.ones(1, device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [call(x).item() for _ in range(3)] == [1, 1, 1]
    assert table["__builtins__"] is vars(builtins)
    table["k"] = 4.0
    assert call(x).item() == 4
    (known,) = call.known.values()
    assert not any(
        "builtins" in line and "ArithmeticError" in line
        for entry in known.entries
        for line in entry.state.lines()
    )
