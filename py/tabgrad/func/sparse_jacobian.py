"""Jacobians and Hessians of known sparsity, by one pass for each colour instead of each element.

Columns that share no row can be computed together and separated afterwards (Curtis, Powell and Reid 1974, "On
the estimation of sparse Jacobian matrices"). Colours are given greedily.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import GradientError
from tabgrad.transforms.functional import grad, jvp, vjp
from tabgrad.transforms.jacobian import jacfwd
from tabgrad.transforms.vmap import vmap

Func = Callable[..., Any]


class SparseMatrix:
    """The elements of a matrix that can differ from zero: `values[k]` at (`rows[k]`, `columns[k]`).

    `colours` is the number of passes it took.
    """

    def __init__(
        self,
        rows: Sequence[int],
        columns: Sequence[int],
        values: Any,
        shape: tuple[int, int],
        colours: int,
    ) -> None:
        self.rows, self.columns, self.values = tuple(rows), tuple(columns), values
        self.shape = shape
        self.colours = colours

    def to_dense(self) -> Any:
        """Make the dense matrix, with its zeros."""
        m, n = self.shape
        flat = tg.tensor(
            [r * n + c for r, c in zip(self.rows, self.columns, strict=True)],
            device=self.values.device,
        )
        zeros = tg.zeros(m * n, dtype=self.values.dtype, device=self.values.device)
        return zeros.index_put((flat,), self.values).reshape((m, n))

    def __repr__(self) -> str:
        m, n = self.shape
        return f"SparseMatrix({m} by {n}, {len(self.rows)} elements, {self.colours} colours)"


def banded(size: int, below: int, above: int) -> list[list[int]]:
    """Make the pattern of a square matrix with this many diagonals below and above the main one.

    >>> import tabgrad as tg
    >>> tg.func.banded(3, 1, 0)
    [[0], [0, 1], [1, 2]]
    """
    return [list(range(max(0, r - below), min(size, r + above + 1))) for r in range(size)]


def _pattern(sparsity: Any) -> list[list[int]]:
    """List the columns of each row: from lists of them, or from a matrix of true and false."""
    if isinstance(sparsity, tg.Tensor):
        sparsity = sparsity.bool().tolist()
    found = []
    for row in sparsity:
        row = list(row)
        if row and isinstance(row[0], bool):
            row = [c for c, hit in enumerate(row) if hit]
        found.append(sorted(row))
    return found


def jacobian_sparsity(func: Func, *args: Any) -> list[list[int]]:
    """Find for each output element which elements of the first argument it depends on.

    It computes one dense Jacobian at a point with small irrational shifts, so that no derivative is zero by
    chance; a derivative that is zero everywhere near the point is taken as absent. Use it once, and the
    pattern for every later Jacobian.

    >>> import tabgrad as tg
    >>> tg.func.jacobian_sparsity(lambda x: x[1:] - x[:-1], tg.zeros(3))
    [[0, 1], [1, 2]]
    """
    x = args[0]
    n = x.numel()
    shift = tg.tensor(
        [(0.6180339887498949 * (i + 1)) % 1.0 for i in range(n)], dtype=x.dtype, device=x.device
    )
    moved = x + shift.reshape(x.shape) * 0.1
    dense = jacfwd(func)(moved, *args[1:])
    return _pattern((dense.reshape((-1, n)) != 0).tolist())


def colouring(groups: Iterable[Sequence[int]], size: int) -> list[int]:
    """Colour the numbers below `size` so that no two of one group have the same colour."""
    near: list[set[int]] = [set() for _ in range(size)]
    for group in groups:
        for a in group:
            near[a].update(group)
    colours = [-1] * size
    for a in sorted(range(size), key=lambda a: -len(near[a])):
        taken = {colours[b] for b in near[a] if b != a}
        colours[a] = next(c for c in range(len(near[a]) + 1) if c not in taken)
    return colours


def sparse_jacobian(
    func: Func, sparsity: Any = None, *, mode: str = "auto"
) -> Callable[..., SparseMatrix]:
    """Make a function that computes the sparse Jacobian of `func` by the first argument.

    `sparsity` is the pattern: for each output element the input elements it depends on (or a matrix of
    booleans); found by `jacobian_sparsity` at the first call unless given. `mode` "forward" colours
    columns, "reverse" rows; "auto" takes the one that needs fewer colours.

    >>> import tabgrad as tg
    >>> f = lambda x: x[1:] ** 2 - x[:-1]
    >>> jacobian = tg.func.sparse_jacobian(f)(tg.arange(1000.0))
    >>> jacobian
    SparseMatrix(999 by 1000, 1998 elements, 2 colours)
    """
    if mode not in ("auto", "forward", "reverse"):
        raise ValueError(f"sparse_jacobian: mode is 'auto', 'forward' or 'reverse', not {mode!r}")
    known: list[list[list[int]]] = [] if sparsity is None else [_pattern(sparsity)]

    def call(x: Any, *rest: Any) -> SparseMatrix:
        if not known:
            known.append(jacobian_sparsity(func, x, *rest))
        pattern = known[0]
        m, n = len(pattern), x.numel()
        if any(c >= n or c < 0 for row in pattern for c in row):
            raise GradientError(
                f"sparse_jacobian: the pattern names elements beyond the {n} of the input"
            )
        by_column = colouring(pattern, n)
        transposed: list[list[int]] = [[] for _ in range(n)]
        for r, row in enumerate(pattern):
            for c in row:
                transposed[c].append(r)
        by_row = colouring(transposed, m)
        forward = mode == "forward" or (
            mode == "auto" and max(by_column, default=0) <= max(by_row, default=0)
        )
        rows = [r for r, row in enumerate(pattern) for _ in row]
        columns = [c for row in pattern for c in row]
        run = _by_columns if forward else _by_rows
        colours = by_column if forward else by_row
        values = run(lambda y: func(y, *rest), x, m, rows, columns, colours)
        return SparseMatrix(rows, columns, values, (m, n), max(colours, default=-1) + 1)

    return call


def _seeds(colours: Sequence[int], like: Any) -> Any:
    """Sum for each colour the unit vectors that have it, (colours, *like.shape)."""
    count = max(colours, default=-1) + 1
    marks = tg.tensor(list(colours), device=like.device)
    hits = marks[None, :] == tg.arange(count, device=like.device)[:, None]
    return hits.to(like.dtype).reshape((count, *like.shape))


def _picked(compressed: Any, first: list[int], second: list[int]) -> Any:
    """Pick compressed[first[k], second[k]] for every k."""
    width = compressed.shape[1]
    at = tg.tensor(
        [a * width + b for a, b in zip(first, second, strict=True)], device=compressed.device
    )
    return compressed.reshape(-1).index_select(0, at)


def _check_size(m: int, found: int) -> None:
    if m != found:
        raise GradientError(
            f"sparse_jacobian: the pattern has {m} rows, the function {found} output elements"
        )


def _by_columns(
    func: Func, x: Any, m: int, rows: list[int], columns: list[int], colours: list[int]
) -> Any:
    compressed = vmap(lambda t: jvp(func, (x,), (t,))[1])(_seeds(colours, x))
    compressed = compressed.reshape((compressed.shape[0], -1))
    _check_size(m, compressed.shape[1])
    return _picked(compressed, [colours[c] for c in columns], rows)


def _by_rows(
    func: Func, x: Any, m: int, rows: list[int], columns: list[int], colours: list[int]
) -> Any:
    y, pull = vjp(func, x)
    _check_size(m, y.numel())
    compressed = vmap(lambda ct: pull(ct)[0])(_seeds(colours, y))
    compressed = compressed.reshape((compressed.shape[0], -1))
    return _picked(compressed, [colours[r] for r in rows], columns)


def sparse_hessian(func: Func, sparsity: Any = None) -> Callable[..., SparseMatrix]:
    """Make a function that computes the sparse Hessian of a scalar function by the first argument.

    It takes one Hessian-vector product for each colour of the pattern; see `sparse_jacobian`.

    >>> import tabgrad as tg
    >>> f = lambda x: ((x[1:] - x[:-1]) ** 2).sum()
    >>> tg.func.sparse_hessian(f, tg.func.banded(100, 1, 1))(tg.zeros(100))
    SparseMatrix(100 by 100, 298 elements, 3 colours)
    """
    return sparse_jacobian(grad(func), sparsity, mode="forward")
