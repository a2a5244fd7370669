"""The table of what differs from PyTorch's operator database speaks of functions that there are."""

from __future__ import annotations

import pathlib
from functools import reduce

import tabgrad as tg

KINDS = {"value", "gradient", "second", "tangent"}


def test_every_line_names_a_function_what_of_it_and_why() -> None:
    seen = set()
    for line in pathlib.Path(__file__).with_name("opinfo.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        name, kinds, reason = (part.strip() for part in line.split("|"))
        assert name not in seen, f"{name} stands there twice"
        seen.add(name)
        assert set(kinds.split()) <= KINDS, line
        assert len(reason) > 10, f"{name} has no reason"
        parts = name.split(".")
        # the last part may be a variant: norm.nuc
        whole = reduce(lambda o, k: getattr(o, k, None), parts, tg)
        bare = reduce(lambda o, k: getattr(o, k, None), parts[:-1], tg) if parts[1:] else None
        assert callable(whole) or callable(bare) or hasattr(tg.Tensor, name), f"no {name}"
