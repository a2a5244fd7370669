"""Which elements differ: `unique` and its relatives, whose count is read back; which are among others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.promotion import cast, result_dtype
from tabgrad.core.shape import axis_of
from tabgrad.core.trace import Box
from tabgrad.ops import elementwise as e, indexing as i, rounding as r, scan, sorting, view as v
from tabgrad.ops.reduction import reduce_any
from tabgrad.tensor import arithmetic as a, nonzero
from tabgrad.tensor.chained import chained
from tabgrad.tensor.creation import filled, tensor
from tabgrad.tensor.public import publish, takes_out
from tabgrad.tensor.shaping import movedim

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor
    from tabgrad.tensor.types import Ints, Number


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """Return the different elements in ascending order; on request also each element's index, and the counts.

    With `dim` whole slices along it are compared.

    >>> import tabgrad as tg
    >>> tg.unique(tg.tensor([2, 1, 2], device="cpu"), return_counts=True)
    (tensor([1, 2]), tensor([1, 2]))
    """
    rows, shape = _rows(input, dim)
    order, rows, starts = _sorted(rows)
    inverse = None
    if return_inverse:
        group = _group(starts)
        places = filled(group.spec.shape, 0, group.spec.dtype, input.device)
        inverse = i.scatter.bind(places, order, group, axis=0)
    return _results(input, dim, shape, rows, starts, inverse, return_counts)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Return the elements without repeats; on request also the run of each element, and the runs' lengths."""
    rows, shape = _rows(input, dim)
    starts = _starts(rows)
    inverse = _group(starts) if return_inverse else None
    return _results(input, dim, shape, rows, starts, inverse, return_counts)


def _rows(x: Tensor, dim: int | None) -> tuple[Any, Ints]:
    """Return what is compared as the rows of a matrix, and the shape of one."""
    x = e.stop_gradient(x)
    if dim is None:
        return v.reshape.bind(x, shape=(x.spec.size, 1)), ()
    lead = movedim(x, axis_of("unique", dim, x.spec.shape), 0)
    n, *rest = lead.spec.shape
    if 0 in rest:
        raise ShapeError(
            "unique: There are 0 sized dimensions, and they aren't selected, so unique cannot be applied, got "
            f"{x.spec.shape} and dim {dim}"
        )
    return v.reshape.bind(lead, shape=(n, math.prod(rest))), tuple(rest)


def _results(
    x: Tensor, dim: int | None, shape: Ints, rows: Tensor, starts: Tensor, inverse: Tensor | None,
    counted: bool,
) -> Any:  # fmt: skip
    at = nonzero.places(starts)
    values = _picked(rows, at, shape)
    if dim is not None:
        values = movedim(values, 0, dim)
    out = [values]
    if inverse is not None:
        out.append(v.reshape.bind(inverse, shape=x.spec.shape) if dim is None else inverse)
    if counted:
        out.append(_lengths(at, rows.spec.shape[0]))
    return tuple(out) if len(out) > 1 else values


@chained
def _picked(rows: Tensor, index: Tensor, shape: Ints) -> Tensor:
    """Return some of the rows, each in a shape."""
    found = _taken(rows, index)
    return v.reshape.bind(found, shape=(index.spec.size, *shape))


def _taken(rows: Tensor, index: Tensor) -> Tensor:
    n, k = index.spec.size, rows.spec.shape[1]
    wide = v.expand.bind(v.reshape.bind(index, shape=(n, 1)), shape=(n, k))
    return i.gather.bind(rows, wide, axis=0)


@chained
def _sorted(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the permutation that sorts the rows, the sorted rows, and which of them begin a run."""
    order = _order(rows)
    ascending = _taken(rows, order)
    return order, ascending, _starts(ascending)


def _order(rows: Tensor) -> Tensor:
    """Return the permutation that sorts the rows: by the last column, then, stably, by the ones before."""
    n, k = rows.spec.shape
    kind = rows.device.index_dtype
    order = None
    for column in reversed(range(k)):
        line = v.reshape.bind(v.part(rows, 1, column, column + 1), shape=(n,))
        if order is not None:
            line = i.gather.bind(line, order, axis=0)
        step = sorting.argsort.bind(line, axis=0, descending=False, dtype=kind)
        order = step if order is None else i.gather.bind(order, step, axis=0)
    return i.iota(n, kind, rows.device) if order is None else order


@chained
def _starts(rows: Tensor) -> Tensor:
    """Return which rows begin a run of equal ones."""
    n, device = rows.spec.shape[0], rows.device
    first = filled((min(n, 1),), True, dt.bool_, device)
    if n < 2:
        return first
    now, before = (v.part(rows, 0, k, n - 1 + k) for k in (1, 0))
    differs = reduce_any.bind(r.ne(now, before), axes=(1,))
    return i.cat.bind(first, differs, axis=0)


@chained
def _group(starts: Tensor) -> Tensor:
    """Return the run of each row."""
    if not starts.spec.size:
        return filled((0,), 0, starts.device.index_dtype, starts.device)
    each = cast(starts, starts.device.index_dtype)
    return a.sub(scan.cumsum.bind(each, axis=0, reverse=False), 1)


@chained
def _lengths(at: Tensor, n: int) -> Tensor:
    """Return the lengths of the runs of `n` rows that begin at these places."""
    if not n:
        return at
    end = filled((1,), n, at.spec.dtype, at.device)
    return a.sub(i.cat.bind(v.part(at, 0, 1, at.spec.size), end, axis=0), at)


FEW = 32
"""As many elements are compared with each one; more are sorted."""


@takes_out
def isin(
    elements: Tensor | Number | None = None, test_elements: Tensor | Number | None = None, *,
    element: Tensor | Number | None = None, test_element: Tensor | Number | None = None,
    assume_unique: bool = False, invert: bool = False,
) -> Tensor:  # fmt: skip
    """Return whether each element is among `test_elements`; either may be a number.

    >>> import tabgrad as tg
    >>> x = tg.tensor([1, 2, 3], device="cpu")
    >>> tg.isin(x, tg.tensor([3, 1], device="cpu"))
    tensor([ True, False,  True])
    """
    elements = element if elements is None else elements
    test_elements = test_element if test_elements is None else test_elements
    given = next((x for x in (elements, test_elements) if isinstance(x, Box)), None)
    if given is None:
        raise TypeError("isin: expected a tensor for elements or for test_elements, got none")
    x, tests = (
        each if isinstance(each, Box) else tensor(each, device=given.device)
        for each in (elements, test_elements)
    )
    for each in (x, tests):
        if each.spec.dtype is dt.bool_ or each.spec.dtype.is_complex:
            raise DTypeError(
                f"Unsupported input type encountered for isin(): {each.spec.dtype.title}; cast the elements "
                "with .to(dtype)"
            )
    x, tests = (e.stop_gradient(each) for each in (x, tests))
    dtype = result_dtype(x, tests)
    if tests.spec.size <= FEW or dtype.is_complex:
        found = r.eq(x.unsqueeze(-1), tests.reshape(-1)).any(-1)
    else:
        found = _among(cast(x, dtype), sorting.sort(cast(tests, dtype).reshape(-1))[0])
    return r.bitwise_not(found) if invert else found


@chained
def _among(x: Tensor, edges: Tensor) -> Tensor:
    """Return whether each element is one of `edges`, which ascend: it is then the first that is not less."""
    place = sorting.searchsorted(edges, v.reshape.bind(x, shape=(x.spec.size,)))
    last = e.minimum(place, edges.spec.size - 1)
    found = r.eq(i.gather.bind(edges, last, axis=0), v.reshape.bind(x, shape=(x.spec.size,)))
    return v.reshape.bind(found, shape=x.spec.shape)


class DistinctMethods:
    """The methods of Tensor whose functions are here."""

    __slots__ = ()

    isin = isin
    unique = unique
    unique_consecutive = unique_consecutive


__all__ = ["isin", "unique", "unique_consecutive"]

publish(globals())
