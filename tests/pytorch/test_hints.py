"""`typing.get_type_hints` answers for what is public: command lines and checks are made of signatures."""

from __future__ import annotations

import inspect
import sys
import typing
from typing import Any

import tabgrad as tg
from tests.surface import names

UNKNOWN = {
    "Export": "an object that is called, not a function",
    "ConstraintRegistry": "as Export",
    "Mode": "holds what captures, which is private",
    "device": "its private future is asyncio's, which is not imported for this",
    "Work": "its private engine is imported where processes talk",
    "linear_cross_entropy": "its options are a class of `nn`, which imports the functions",
}


def test_of_public_functions_and_classes() -> None:
    every = [getattr(names.module(place), name) for place, name in names.public()]
    failed: list[Any] = []
    with tg.as_torch():
        for thing in every:
            name = getattr(thing, "__name__", type(thing).__name__)
            for which in (thing.__init__, thing) if inspect.isclass(thing) else (thing,):
                try:
                    typing.get_type_hints(which)
                except (NameError, TypeError) as error:
                    failed += [] if name in UNKNOWN else [(which, error)]
    assert failed == []


def test_of_a_layer_of_ones_own() -> None:
    class Mine(tg.nn.Linear):
        extra: int = 3

        def __init__(self, width: int, device: typing.Any = None) -> None:
            super().__init__(width, width, device=device)

    with tg.as_torch():
        assert typing.get_type_hints(Mine)["extra"] is int
        assert typing.get_type_hints(Mine)["training"] is bool
        found = typing.get_type_hints(tg.nn.Linear.__init__)
        assert found["device"] == tg.device | str | None
        assert typing.get_type_hints(tg.add)["input"] is tg.Tensor
        assert typing.get_type_hints(tg.nn.functional.cross_entropy)["return"] is tg.Tensor
    assert "DeviceLike" not in vars(sys.modules["tabgrad.nn.linear"])
    assert tg.nn.Module.__annotations__["training"] == "bool"
