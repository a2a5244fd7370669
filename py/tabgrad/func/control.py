"""Control flow that is traced once and differentiable: scan, fori_loop, while_loop, cond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.errors import ShapeError
from tabgrad.transforms.branches import cond_flat, while_flat
from tabgrad.transforms.control import scan_flat


def _leaves(name: str, what: str, value: Any) -> tuple[list[Any], Any]:
    """Split `value` into its leaves, with numbers made into tensors, and its structure."""
    leaves, structure = tree.flatten(value)
    device = next((x.device for x in leaves if isinstance(x, tg.Tensor)), None)
    found = []
    for x in leaves:
        if isinstance(x, bool | int | float | complex):
            x = tg.tensor(x, device=device)
        if not isinstance(x, tg.Tensor):
            raise TypeError(
                f"{name}: expected {what} to hold tensors and numbers, got {type(x).__name__}"
            )
        found.append(x)
    return found, structure


def _returned(name: str, value: Any, structure: Any) -> list[Any]:
    leaves, its = tree.flatten(value)
    if its != structure:
        raise ShapeError(
            f"{name}: the function must return a carry of the structure {structure}, got {its}"
        )
    return leaves


def scan(
    combine_fn: Callable[[Any, Any], Any], init: Any, xs: Any = None, *, dim: int = 0, reverse: bool = False,
    length: int | None = None, checkpoint_every: int | None = None,
) -> Any:  # fmt: skip
    """Repeat `carry, y = combine_fn(carry, x)` over the rows of `xs`: the last carry, and all `y` stacked.

    `init`, `xs` and the outputs are trees of tensors; the carry keeps its structure, shapes and dtypes. `xs`
    are scanned along `dim` (last row first with `reverse`), or None for `length` repetitions without input;
    outputs are stacked along a new first dim.
    `combine_fn` is traced once. Reverse mode keeps the carry of every repetition; with `checkpoint_every=k`
    only of every k-th, and computes the others again.

    >>> import tabgrad as tg
    >>> tg.func.scan(lambda total, x: (total + x, total), tg.tensor(0.0), tg.tensor([1.0, 2.0, 3.0]))
    (tensor(6.), tensor([0., 1., 3.]))
    """
    carry, structure = _leaves("scan", "init", init)
    rows, x_structure = _leaves("scan", "xs", xs)
    rows = [x.movedim(dim, 0) for x in rows]
    n = _length(rows, length)
    y_structure: list[Any] = []

    def body(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        out = combine_fn(tree.unflatten(structure, state), tree.unflatten(x_structure, x))
        if not isinstance(out, tuple) or len(out) != 2:
            raise TypeError("scan: the function must return a pair (carry, y)")
        ys, found = _leaves("scan", "y", out[1]) if out[1] is not None else ([], None)
        y_structure[:] = [found]
        return _returned("scan", out[0], structure), ys

    if checkpoint_every is None:
        outs = scan_flat(body, carry, rows, n, reverse)
    else:
        outs = _in_segments(body, carry, rows, n, reverse, checkpoint_every)
    last = tree.unflatten(structure, outs[: len(carry)])
    ys = tree.unflatten(y_structure[0], outs[len(carry) :])
    return last, ys


def _length(rows: list[Any], length: int | None) -> int:
    sizes = {x.shape[0] for x in rows}
    if length is not None:
        sizes.add(length)
    if len(sizes) != 1:
        raise ShapeError(
            f"scan: all of xs (and length, if given) must have one length along dim, got {sorted(sizes)}"
        )
    return int(sizes.pop())


def _in_segments(
    body: Any, carry: list[Any], rows: list[Any], n: int, reverse: bool, size: int
) -> list[Any]:
    """Scan over segments that are scans of `size` repetitions; only the carries between segments are kept."""
    if size < 1:
        raise ValueError(f"scan: checkpoint_every must be None or at least 1, got {size}")
    whole = n // size * size
    start = n - whole if reverse else 0
    parts = [x[start : start + whole].reshape((n // size, size, *x.shape[1:])) for x in rows]
    c = len(carry)

    def segment(state: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        outs = scan_flat(body, state, x, size, reverse)
        return outs[:c], outs[c:]

    def rest(state: list[Any]) -> list[Any]:
        left = [x[:start] if reverse else x[whole:] for x in rows]
        return scan_flat(body, state, left, n - whole, reverse)

    outs = scan_flat(segment, carry, parts, n // size, reverse)
    ys = [y.reshape((whole, *y.shape[2:])) for y in outs[c:]]
    if whole == n:
        return [*outs[:c], *ys]
    last = rest(outs[:c])
    pairs = [(b, a) if reverse else (a, b) for a, b in zip(ys, last[c:], strict=True)]
    return [*last[:c], *[tg.cat(pair) for pair in pairs]]


def fori_loop(lower: int, upper: int, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """Repeat `value = body_fun(i, value)` for i in range(lower, upper); traced once, see scan.

    >>> import tabgrad as tg
    >>> tg.func.fori_loop(0, 5, lambda i, total: total + i, tg.tensor(0))
    tensor(10)
    """
    leaves = [x for x in tree.leaves(init_val) if isinstance(x, tg.Tensor)]
    device = leaves[0].device if leaves else None
    counter = tg.arange(lower, max(lower, upper), device=device)
    return scan(lambda value, i: (body_fun(i, value), None), init_val, counter)[0]


def while_loop(
    cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Any
) -> Any:
    """Repeat `carry = body_fn(*carry)` while `cond_fn(*carry)` holds, and return the carry.

    `carried_inputs` is a tuple of trees of tensors, which keep their shapes and dtypes. The condition is read
    after each repetition, so the loop can't stand in a compiled function. Differentiable both ways.

    >>> import tabgrad as tg
    >>> tg.func.while_loop(lambda x: x < 100, lambda x: (x * 2,), (tg.tensor(3),))
    (tensor(192),)
    """
    if not isinstance(carried_inputs, tuple | list):
        raise TypeError(
            f"while_loop: carried_inputs must be a tuple, got {type(carried_inputs).__name__}"
        )
    carry, structure = _leaves("while_loop", "carried_inputs", tuple(carried_inputs))

    def test(state: list[Any]) -> list[Any]:
        out = cond_fn(*tree.unflatten(structure, state))
        if isinstance(out, bool):
            out = tg.tensor(out, device=carry[0].device)
        return [out]

    def body(state: list[Any]) -> list[Any]:
        out = body_fn(*tree.unflatten(structure, state))
        if isinstance(out, tg.Tensor) and len(carried_inputs) == 1:
            out = (out,)
        return _returned("while_loop", tuple(out) if isinstance(out, list) else out, structure)

    return tree.unflatten(structure, while_flat(test, body, carry))


def cond(
    pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any = ()
) -> Any:
    """Branch: `true_fn(*operands)` if `pred` holds, else `false_fn(*operands)`.

    `pred` is a bool or a bool tensor with no dimensions. Both functions are traced and must return the same
    structure, shapes and dtypes. If `pred` can be read, only the chosen one runs; under vmap over `pred`
    and in a compiled function both do, and the results are selected.

    >>> import tabgrad as tg
    >>> x = tg.tensor(3.0)
    >>> tg.func.cond(x > 2, lambda x: x * 2, lambda x: -x, (x,))
    tensor(6.)
    """
    if isinstance(pred, bool):
        return (true_fn if pred else false_fn)(*operands)
    if not isinstance(pred, tg.Tensor) or pred.numel() != 1 or pred.dtype is not tg.bool:
        got = (
            f"{pred.dtype}{tuple(pred.shape)}"
            if isinstance(pred, tg.Tensor)
            else type(pred).__name__
        )
        raise TypeError(f"cond: pred must be a bool or a bool tensor with one element, got {got}")
    inputs, structure = _leaves("cond", "operands", tuple(operands))
    structures: list[Any] = []

    def leaves_of(fn: Callable[..., Any]) -> Callable[[list[Any]], list[Any]]:
        def run(state: list[Any]) -> list[Any]:
            found, its = _leaves(
                "cond", "what a branch returns", fn(*tree.unflatten(structure, state))
            )
            structures.append(its)
            return found

        return run

    outs = cond_flat(pred.reshape(()), leaves_of(true_fn), leaves_of(false_fn), inputs)
    if structures[0] != structures[1]:
        raise ShapeError(
            f"cond: the branches return the structures {structures[0]} and {structures[1]}"
        )
    return tree.unflatten(structures[0], outs)
