"""More steps for random programs: functions by topic, each the line of Python that it is in `lines.txt`.

A line names the library `t`, `F` for `t.nn.functional`, the values it takes {0}, {1}, ..., and where it works
along an axis, D for that and K for `keepdim`. After ` | ` stand the shapes that a line wants.
"""

from __future__ import annotations

import ast
import math
import pathlib
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.programs import Machine, Pair, factors, fits

LINES: dict[str, list[str]] = {}
for _row in pathlib.Path(__file__).with_name("lines.txt").read_text().splitlines():
    if _row.startswith("## "):
        LINES[_row[3:]] = []
    elif _row:
        list(LINES.values())[-1].append(_row)

UNTIED = ("median", "kthvalue", "topk", ".sort(D).values", ".std(")
"""Which of equal elements these choose, or how a root of zero bends, is nobody's promise."""
ORDERED = ("max", "min", "sort", "median", "kthvalue", "topk", "round", "floor", "frac", "sign", "relu", "abs",
    "clamp", "hard", "shrink", "threshold", "where", "heaviside", "norm(", "l1", "huber", "remainder",
    "quantile", "elu", "squeeze", "copysign", "dist", "prod", ".std(")  # fmt: skip
"""What jumps, or has a kink: rounding must not choose the side."""


def line(m: Machine, text: str, *at: int) -> bool:
    """Carry out the expression `text` on the values `at`."""
    names = [f"a{i}" for i in range(len(at))]
    code = text.format(*names).replace("F.", "t.nn.functional.")
    return m.apply(text, eval(f"lambda t, {', '.join(names)}: {code}"), *at)


def decided(pair: Pair, apart: bool) -> bool:
    """Whether rounding can't send the two sides apart: elements far from each other and from kinks, or round.

    With `apart` round numbers are no way out: none may be there twice. What is returned must not hang on the
    last bit, which differs from run to run.
    """
    x = pair.want.detach().numpy().reshape(-1)
    kinks = [] if apart else [np.arange(-40, 41) / 20]
    separate = bool((np.diff(np.sort(np.concatenate([x, *kinks]))) > 1e-6).all())
    return separate or (not apart and bool((x * 1024 == np.round(x * 1024)).all()))


def _fitting(m: Machine, texts: list[str], where: Callable[[Pair], bool]) -> tuple[str, int] | None:
    i = m.pick("f", where)
    if i is None:
        return None
    text = m.draw(st.sampled_from(texts))
    jumps = any(word in text for word in ORDERED) or ">" in text or "<" in text
    untied = any(word in text for word in UNTIED)
    if jumps and not decided(m.values[i], untied):
        return None
    return text, i


def alone(m: Machine) -> None:
    """A function of one value."""
    found = _fitting(m, LINES["one value"], lambda _: True)
    if found:
        line(m, *found)


def paired(m: Machine) -> None:
    """A function of two values that broadcast."""
    found = _fitting(m, LINES["two values that broadcast"], lambda _: True)
    if not found:
        return
    text, i = found
    x = m.values[i]
    j = m.pick("f", lambda y: fits(x.shape, y.shape))
    both = np.broadcast_shapes(x.shape, m.values[j].shape) if j is not None else ()
    if j is None or math.prod(both) > m.most:
        return
    if any(word in text for word in (*ORDERED, "{0} > {1}")):
        # two values may come close to each other where each is far from all else
        a, b = (m.values[k].want.detach().numpy() for k in (i, j))
        near = bool((np.abs(a - b) < 1e-6).any())
        if near and not (decided(m.values[i], False) and decided(m.values[j], False)):
            return
    line(m, text, i, j)


def along(m: Machine) -> None:
    """A function along an axis."""
    found = _fitting(m, LINES["along an axis"], lambda v: bool(v.shape) and 0 not in v.shape)
    if found:
        text, i = found
        dim = m.draw(st.integers(0, len(m.values[i].shape) - 1))
        dim -= len(m.values[i].shape) * m.draw(st.booleans())
        keep = str(m.draw(st.booleans()))
        line(m, re.sub(r"\bK\b", keep, re.sub(r"\bD\b", str(dim), text)), i)


def shaped(m: Machine) -> None:
    """A function of a value with at least two axes."""
    found = _fitting(m, LINES["two axes or more"], lambda v: len(v.shape) > 1 and 0 not in v.shape)
    if found and m.values[found[1]].want.numel() < 60:
        line(m, *found)


def layer(m: Machine) -> None:
    """A function that wants certain shapes, of values brought to them."""
    text, shapes = m.draw(st.sampled_from(LINES["shapes of its own"])).split(" | ")
    at = []
    for shape in map(ast.literal_eval, shapes.split()):
        i = m.pick("f", lambda v: 0 not in v.shape)
        if i is None:
            return
        at.append(brought(m, i, shape))
    jumps = any(word in text for word in (*ORDERED, "margin", "grid_sample", ">"))
    if not jumps or all(decided(m.values[i], True) for i in at):
        line(m, text, *at)


def brought(m: Machine, i: int, shape: tuple[int, ...]) -> int:
    """Return the number of a value of this shape, made of value `i`."""
    count = math.prod(shape)
    times = -(-count // m.values[i].want.numel())
    repeated = f"{{0}}.reshape(-1).repeat({times})[:{count}]"
    # no element is like another
    slope = f"t.linspace(0.7, 1.3, {count}, dtype={{0}}.dtype)"
    line(m, f"({repeated} * {slope}).reshape{shape}", i)
    return len(m.values) - 1


def reshaped(m: Machine) -> None:
    """Another shape for the same elements."""
    i = m.pick("fi")
    if i is None:
        return
    target = factors(m.draw, math.prod(m.values[i].shape))
    way = m.draw(st.sampled_from(["reshape", "reshape", "contiguous().view"]))
    line(m, f"{{0}}.{way}{target}", i)


FUNCTIONS: dict[str, Callable[[Machine], Any]] = {
    "alone": alone,
    "paired": paired,
    "along": along,
    "shaped": shaped,
    "layer": layer,
    "reshaped": reshaped,
}
