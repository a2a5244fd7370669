"""HTML for notebooks: what `_repr_html_` of the library's objects returns, quiet on light and dark.

None means that the plain text is what to show: for a tensor that is too large for a table, has more than two
dims, or whose values can't be waited for; and for all tensors where `import torch` means tabgrad.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from tabgrad.core import tree
from tabgrad.core.errors import TabgradError
from tabgrad.core.naming import Package
from tabgrad.core.trace import Box

ROWS, COLUMNS = 20, 20
"""The largest tensor that is shown as a table."""
LEVELS = 2
"""Modules below this depth are folded."""
GREY = "color:#888"
CELL = "padding:1px 7px;text-align:right;font-family:monospace;border:none"


def tensor(x: Any) -> str | None:
    """Return a tensor of one or two dims as a table, coloured by value: blue above zero, red below."""
    shape = tuple(x.shape)
    if Package.name == "torch":
        return None
    if not 1 <= len(shape) <= 2 or 0 in shape or x.device.type == "meta" or x.is_sparse:
        return None
    if (len(shape) == 2 and (shape[0] > ROWS or shape[1] > COLUMNS)) or shape[0] > COLUMNS:
        return None
    try:
        listed = x.detach().tolist()
    except (TabgradError, RuntimeError):
        return None
    rows = listed if len(shape) == 2 else [listed]
    numbers = [abs(v) for row in rows for v in row if not isinstance(v, bool | complex)]
    top = max([n for n in numbers if math.isfinite(n)], default=0.0)
    body = "".join(f"<tr>{''.join(_cell(v, top) for v in row)}</tr>" for row in rows)
    table = f'<table style="border-collapse:collapse;margin:2px 0">{body}</table>'
    return f'<div>{table}<span style="{GREY}">{escape(caption(x))}</span></div>'


def _cell(value: Any, top: float) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f'<td style="{CELL}">{escape(str(value))}</td>'
    share = abs(value) / top if top and math.isfinite(value) else 0.0
    colour = "37,99,235" if value > 0 else "220,38,38"
    text = str(value) if isinstance(value, int) else f"{value:.4g}"
    return f'<td style="{CELL};background:rgba({colour},{0.4 * share:.2f})">{text}</td>'


def caption(x: Any) -> str:
    """Tell dtype, shape, device and history of a tensor in a line."""
    words = f"{x.dtype} {list(x.shape)} on {x.device}".replace("tabgrad.", "").replace("torch.", "")
    if x.grad_fn is not None:
        return f"{words}, grad_fn={x.grad_fn.name()}"
    return f"{words}, requires_grad" if x.requires_grad else words


def module(m: Any, name: str = "", depth: int = 0) -> str:
    """Return a module as a tree that can be folded, with the shapes and numbers of its parameters."""
    count = sum(p.numel() for p in m.parameters() if hasattr(p, "numel"))
    extra = m.extra_repr()
    title = f"{escape(name)}{': ' if name else ''}<b>{escape(m._get_name())}</b>"
    title += f"({escape(extra)})" if extra else ""
    own = [f"{n} {list(p.shape)}" for n, p in m._parameters.items() if p is not None]
    facts = [*own, *([f"{count:,} parameters"] if count else [])]
    line = f'{title} <span style="{GREY}">{escape(", ".join(facts))}</span>'
    children = [module(c, n, depth + 1) for n, c in m._modules.items() if c is not None]
    if not children:
        return f'<div style="font-family:monospace">{line}</div>'
    opened = " open" if depth < LEVELS else ""
    inner = f'<div style="margin-left:1.5em">{"".join(children)}</div>'
    return (
        f'<details{opened} style="font-family:monospace"><summary>{line}</summary>{inner}</details>'
    )


def optimizer(o: Any) -> str:
    """Return an optimizer as a table of its groups: how many numbers each trains, and its options."""
    rows = []
    for i, group in enumerate(o.param_groups):
        count = sum(p.numel() for p in group["params"])
        options = {
            k: v for k, v in group.items() if k != "params" and v is not None and v is not False
        }
        told = ", ".join(f"{k}={v}" for k, v in options.items())
        rows.append((f"group {i}", f"{len(group['params'])} tensors, {count:,} numbers", told))
    return _table(type(o).__name__, rows)


def compiled(c: Any) -> str:
    """Return a compiled function as a table of its plans."""
    entries = [e for known in c.known.values() for e in known.entries]
    rows = [
        (f"plan {i}", f"{e.dispatches} dispatches", f"{e.state.count() + len(e.guards)} guards")
        for i, e in enumerate(entries)
    ]
    return _table(
        f"compiled {c.label}", rows or [("no plan yet", "it is made at the first call", "")]
    )


def dataset(d: Any) -> str | None:
    """Return a dataset as its length and what its first example is made of; None if it has no length."""
    try:
        size = len(d)
        leaves = tree.leaves(d[0]) if size else []
    except Exception:  # a user's own dataset: the plain text will do
        return None
    parts = [caption(x) if isinstance(x, Box) else type(x).__name__ for x in leaves]
    return _table(type(d).__name__, [(f"{size:,} examples", "each " + "; ".join(parts), "")])


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    cells = "".join(
        "<tr>"
        + "".join(f'<td style="{CELL};text-align:left">{escape(v)}</td>' for v in row)
        + "</tr>"
        for row in rows
    )
    return (
        f'<div><b>{escape(title)}</b><table style="border-collapse:collapse">{cells}</table></div>'
    )


class ShownMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    def _repr_html_(self: Any) -> str | None:
        """Return what notebooks show; None for the plain text."""
        return tensor(self)
