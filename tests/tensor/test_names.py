"""Names that teaching code for PyTorch uses, most used first: here, or missing for the reason beside them."""

from __future__ import annotations

import pathlib

import tabgrad as tg
from tests.grouped import grouped

LINES = pathlib.Path(__file__).with_name("names.txt").read_text().splitlines()


@grouped("line", LINES)
def test_name(line: str) -> None:
    name, _, reason = line.partition(" # ")
    found: object = tg
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            break
    if reason:
        assert found is None, f"{name} is there; take its reason away"
    else:
        # x.grad and its like are properties: the class has them, whatever their value
        assert found is not None, name


def test_every_public_name_has_a_sentence() -> None:
    for name, value in vars(tg).items():
        if not name.startswith("_") and callable(value) and not isinstance(value, tg.DType):
            assert value.__doc__, name
            assert value.__doc__.strip().split("\n")[0].endswith((".", ":")), name
