"""The derivatives of eigenvalues, singular values and their vectors, also where values coincide.

The vectors of values that coincide but for rounding, a cluster, are any basis of one space. How they turn among
themselves is not determined, and what a loss does with that turning is told only in part by its cotangents. A
loss that does not depend on the choice of vectors has a gradient whose block of a cluster, B, obeys:
the diagonal of Rᴴ B R is the gradient by the values, for vectors that are turned by any R. So:

- a loss of the vectors alone, which has no cotangent of the values, has B = 0;
- a loss of the values alone, which has no cotangent of the vectors, has a diagonal B, if it treats them alike;
- for a loss of both, what is beside the diagonal of B can't be known from one choice of vectors: it is nan.

Whether there is a cotangent at all decides, not whether it is zero. In forward mode the change of the matrix is
known, and with it the vectors to which it leads (degenerate perturbation theory): `eigh_push` and `svd_push`
choose these, and everything is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tabgrad.core import dtype as dt
from tabgrad.core.errors import GradientError
from tabgrad.core.families import conjugate
from tabgrad.core.op import REGISTRY
from tabgrad.core.promotion import accumulate
from tabgrad.ops.decomposition_rules import (
    EPSILON,
    _half,
    _real,
    adjoint,
    as_dtype,
    column,
    diagonal,
    length,
    on_diagonal,
    readable,
    row,
    solve_general,
    upper,
)  # fmt: skip
from tabgrad.ops.elementwise import (
    abs_,
    add,
    cast,
    div,
    mul,
    neg,
    sqrt,
    stop_gradient,
    sub,
    where,
)  # fmt: skip
from tabgrad.ops.indexing import cat, iota
from tabgrad.ops.linalg import matmul
from tabgrad.ops.reduction import reduce_max, reduce_sum
from tabgrad.ops.rounding import eq, gt, le, ne
from tabgrad.ops.view import expand, part

if TYPE_CHECKING:
    from tabgrad.core.op import Needs, Operands, Tangents
    from tabgrad.tensor import Tensor

GAP = 8.0
"""Neighbouring values count as one within this times √n roundings of the largest.

A decomposition finds each value to a few roundings of the largest, and the error grows with √n. Below that a
gap is made of rounding; above it, 1 / gap is what the derivative is, however large.
"""
PHASE = 1e-2
"""How much a loss may depend on what a vector does not determine."""
NAN = float("nan")


# -- clusters --------------------------------------------------------------------------------------


class Clusters(NamedTuple):
    """Which sorted values count as one: for pairs, and as the number of clusters that come after.

    Singular values have label 0 if they count as zero; `nought` tells pairs of which both do.
    """

    same: Any
    label: Any
    nought: Any = None


def _clusters(values: Tensor, singular: bool = False) -> Clusters | None:
    """Find the clusters of sorted values; None if there are no values."""
    if not values.spec.size:
        return None
    values = stop_gradient.bind(values)
    n, axis = values.spec.shape[-1], len(values.spec.shape) - 1
    last = part(values, axis, n - 1, n)
    last = mul(last, 0) if singular else last
    after = cat.bind(part(values, axis, 1, n), last, axis=axis) if n > 1 else last
    apart = gt(abs_(sub(values, after)), column(_rounding(values)))
    apart = cast.bind(apart, dtype=values.spec.dtype)
    counts = upper(expand.bind(row(apart), shape=(*values.spec.shape, n)))
    label = reduce_sum.bind(counts, axes=(axis + 1,))
    same = eq(row(label), column(label))
    if not singular:
        return Clusters(same, label)
    return Clusters(same, label, eq(add(row(label), column(label)), 0))


def _rounding(values: Tensor) -> Any:
    """Return the gap below which values of a matrix count as one."""
    axis = len(values.spec.shape) - 1
    size = length(values)
    factor = GAP * math.sqrt(values.spec.shape[-1]) * EPSILON[size.spec.dtype.itemsize]
    return mul(reduce_max.bind(size, axes=(axis,)), factor)


def _beside(x: Any) -> Any:
    """Return matrices with zeros on their diagonals."""
    n = x.spec.shape[-1]
    place = iota(n, x.device.index_dtype, x.device)
    return where(eq(row(place), column(place)), 0, x)


def _unknown(x: Any, where_: Any, diagonal_too: bool = False) -> Any:
    """Return `x` with nan where `where_` holds, not on the diagonal unless `diagonal_too`."""
    if not diagonal_too:
        where_ = ne(_beside(cast.bind(where_, dtype=dt.int32)), 0)
    return where(where_, NAN, x)


def _inverse_gaps(values: Tensor, clusters: Clusters | None) -> Any:
    """Return 1 / (values[j] - values[i]) at [i, j], and 0 in a cluster."""
    gap = sub(row(values), column(values))
    if clusters is None:
        return gap
    return where(clusters.same, 0, div(1, where(clusters.same, 1, gap)))


def _check_phase(name: str, what: str, x: Tensor, unknown: Clusters | None = None) -> None:
    """Raise GradientError if the diagonal of `x`, how a loss changes with phases of vectors, is not real.

    Values that are not alone in their `unknown` clusters are left out: there the result is nan.
    """
    if not x.spec.dtype.is_complex or not x.spec.size or not readable(x):
        return
    phases = abs_(_real(mul(diagonal(stop_gradient.bind(x)), -1j)))
    if unknown is not None:
        phases = where(_alone(unknown), phases, 0)
    if float(phases.max().item()) > PHASE:
        raise GradientError(
            f"{name}: The {what} in the complex case are specified up to multiplication by e^{{i phi}}. The "
            "specified loss function depends on this quantity, so it is ill-defined; use a loss that does not"
        )


def _alone(clusters: Clusters) -> Any:
    """Test which values are clusters of their own."""
    axis = len(clusters.label.spec.shape)
    return eq(reduce_sum.bind(cast.bind(clusters.same, dtype=dt.int32), axes=(axis,)), 1)


# -- eigenvalues -----------------------------------------------------------------------------------


def _between(v: Tensor, da: Tensor) -> Any:
    """Return Vᴴ dA V, where dA has what its lower triangle says."""
    change = _half(da)
    return matmul.bind(matmul.bind(adjoint(v), add(change, adjoint(change))), v)


def eigh(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """With X = Vᴴ dA V: dw is its diagonal, dV = V (X / gaps), which is unknown in clusters."""
    (da,), (w, v) = tangents, ys
    assert da is not None
    x, clusters = _between(v, da), _clusters(w)
    gaps = _inverse_gaps(w, clusters)
    gaps = gaps if clusters is None else _unknown(gaps, clusters.same)
    return _real(diagonal(x)), matmul.bind(v, mul(x, as_dtype(gaps, x.spec.dtype)))


def eigh_push(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """Turn the vectors of each cluster so that X is diagonal there: there they go, dV = V (X / gaps)."""
    (da,), (w, v) = tangents, ys
    assert da is not None
    clusters = _clusters(w)
    if clusters is None or _all_apart(clusters):
        return ys, eigh(primals, tangents, ys)
    x = _between(v, da)
    inside = _offset(where(clusters.same, stop_gradient.bind(x), 0), clusters, -1)
    turn = _turn(REGISTRY["eigh"].bind(inside)[1], clusters)
    v, x = matmul.bind(v, turn), matmul.bind(matmul.bind(adjoint(turn), x), turn)
    gaps = as_dtype(_inverse_gaps(w, clusters), x.spec.dtype)
    return (w, v), (_real(diagonal(x)), matmul.bind(v, mul(x, gaps)))


def eigh_pull(cts: Sequence[Any], needs: Needs, inputs: Operands, ys: Any) -> Any:
    """The transpose of `eigh`, where the unknown in clusters is nan only for a loss of values and vectors."""
    (gw, gv), (w, v) = cts, ys
    dtype = v.spec.dtype
    g: Any = None
    if gv is not None:
        g = matmul.bind(adjoint(v), gv)
        clusters = _clusters(w)
        unknown = None if gw is None else clusters
        _check_phase("linalg_eigh_backward", "eigenvectors", g, unknown)
        gaps = _inverse_gaps(w, clusters)
        gaps = gaps if unknown is None else _unknown(gaps, unknown.same)
        g = mul(g, as_dtype(gaps, dtype))
    if gw is not None:
        g = accumulate(g, on_diagonal(as_dtype(gw, dtype)))
    whole = matmul.bind(matmul.bind(v, g), adjoint(v))
    return (_half(add(whole, adjoint(whole))),)


# -- the vectors to which a change leads -----------------------------------------------------------


def _all_apart(clusters: Clusters) -> bool:
    """Test whether each value is a cluster of its own, none of them zero, if that can be read."""
    if not readable(clusters.label):
        return False
    alone = not bool(ne(_beside(cast.bind(clusters.same, dtype=dt.int32)), 0).any().item())
    return alone and (clusters.nought is None or not bool(clusters.nought.any().item()))


def _offset(inside: Tensor, clusters: Clusters, sign: int) -> Any:
    """Add a number to the diagonal for each cluster, so that no value of one mixes with those of another."""
    size = length(inside)
    axes = (len(size.spec.shape) - 2, len(size.spec.shape) - 1)
    bound = sqrt(reduce_sum.bind(mul(size, size), axes=axes))
    bound = column(where(gt(bound, 0), bound, 1))
    steps = mul(mul(clusters.label, bound), 4 * sign)
    return add(inside, on_diagonal(as_dtype(steps, inside.spec.dtype)))


def _turn(found: Tensor, clusters: Clusters) -> Any:
    """Return the blocks of unitary matrices, and exactly 1 for a value that is alone.

    A complex matrix has a phase between the vectors of one that is zero.
    """
    single = _alone(clusters)
    if clusters.nought is not None and found.spec.dtype.is_complex:
        single = where(gt(clusters.label, 0), single, False)
    single = ne(on_diagonal(cast.bind(single, dtype=dt.int32)), 0)
    return where(single, 1, where(clusters.same, found, 0))


# -- singular values -------------------------------------------------------------------------------


def _hermitian(x: Tensor) -> Any:
    return mul(add(x, adjoint(x)), 0.5)


def _skew(x: Tensor) -> Any:
    return mul(sub(x, adjoint(x)), 0.5)


def _outside(q: Tensor, x: Tensor) -> Any:
    """Return what is left of the columns of `x` outside the space of the columns of `q`."""
    return sub(x, matmul.bind(q, matmul.bind(adjoint(q), x)))


def _inverse_sums(s: Tensor) -> Any:
    """Return 1 / (s[j] + s[i]) at [i, j], and 0 where both are zero."""
    total = add(row(s), column(s))
    positive = gt(length(total), 0)
    return where(positive, div(1, where(positive, total, 1)), 0)


def _inverse(s: Tensor, clusters: Clusters | None, is_unknown: bool) -> Any:
    """Return 1 / s, and 0 (or nan, if that is unknown) where `s` counts as zero."""
    if clusters is None:
        return s
    positive = gt(clusters.label, 0)
    return where(positive, div(1, where(positive, s, 1)), NAN if is_unknown else 0)


class _Turns(NamedTuple):
    """The factors of the Hermitian and of the skew part of X that tell how U and V turn, and 1 / s."""

    even: Any
    odd: Any
    inverse: Any


def _turns(s: Tensor, dtype: dt.DType, clusters: Clusters | None, is_unknown: bool) -> _Turns:
    """Return the factors of X, which may be unknown in clusters; those of zeros turn U and V apart."""
    even, odd = _inverse_gaps(s, clusters), _inverse_sums(s)
    if clusters is not None:
        odd = where(clusters.nought, 0, odd)
        if is_unknown:
            even = _unknown(even, clusters.same)
            # of a complex matrix a phase, too
            odd = _unknown(odd, clusters.nought, dtype.is_complex)
    found = (even, odd, row(_inverse(s, clusters, is_unknown)))
    return _Turns(*(as_dtype(x, dtype) for x in found))


def _changes(da: Tensor, ys: Any, turns: _Turns) -> Any:
    """With X = Uᴴ dA V: dS is its real diagonal; U and V turn by its Hermitian part over the gaps, and by
    plus and minus its skew part over the sums of singular values."""
    u, _, vh = ys
    v = adjoint(vh)
    m, n = da.spec.shape[-2:]
    right = matmul.bind(da, v)
    x = matmul.bind(adjoint(u), right)
    even, odd = mul(_hermitian(x), turns.even), mul(_skew(x), turns.odd)
    du, dv = matmul.bind(u, add(even, odd)), matmul.bind(v, sub(even, odd))
    if m > n:
        du = add(du, _outside(u, mul(right, turns.inverse)))
    elif n > m:
        dv = add(dv, _outside(v, mul(matmul.bind(adjoint(da), u), turns.inverse)))
    return du, _real(diagonal(x)), adjoint(dv)


def svd(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """The changes, which are unknown in clusters."""
    (da,), (u, s, _) = tangents, ys
    assert da is not None
    return _changes(da, ys, _turns(s, u.spec.dtype, _clusters(s, singular=True), True))


def svd_push(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """Turn the vectors of each cluster so that X is diagonal there: these are where they go.

    U and V turn together, but for those of zeros: X among these is diagonal by its own singular vectors. What
    vectors of zeros do outside of the columns of U and V, if the matrix is not square, stays unknown.
    """
    (da,), (u, s, vh) = tangents, ys
    assert da is not None
    clusters = _clusters(s, singular=True)
    if clusters is None or _all_apart(clusters):
        return ys, svd(primals, tangents, ys)
    x = stop_gradient.bind(matmul.bind(matmul.bind(adjoint(u), da), adjoint(vh)))
    inside = where(clusters.nought, x, where(clusters.same, _hermitian(x), 0))
    left, _, right = REGISTRY["svd"].bind(_offset(inside, clusters, 1))
    left, right = (_turn(q, clusters) for q in (left, adjoint(right)))
    ys = matmul.bind(u, left), s, matmul.bind(adjoint(right), vh)
    turns = _turns(s, u.spec.dtype, clusters, False)
    turns = turns._replace(inverse=as_dtype(row(_inverse(s, clusters, True)), u.spec.dtype))
    return ys, _changes(da, ys, turns)


def svd_pull(cts: Sequence[Any], needs: Needs, inputs: Operands, ys: Any) -> Any:
    """The transpose of `svd`, where the unknown in clusters is nan only for a loss of values and vectors."""
    (gu, gs, gvh), (u, s, vh) = cts, ys
    dtype, v = u.spec.dtype, adjoint(vh)
    m, n = u.spec.shape[-2], vh.spec.shape[-1]
    g: Any = None if gs is None else on_diagonal(as_dtype(gs, dtype))
    if gu is None and gvh is None:
        return (matmul.bind(matmul.bind(u, g), vh),)
    gv = None if gvh is None else adjoint(gvh)
    left = None if gu is None else matmul.bind(adjoint(u), gu)
    right = None if gv is None else matmul.bind(adjoint(v), gv)
    both, odd = (
        accumulate(left, right),
        accumulate(left, None if right is None else neg.bind(right)),
    )
    clusters = _clusters(s, singular=True)
    _check_phase("svd_backward", "singular vectors", both, None if gs is None else clusters)
    turns = _turns(s, dtype, clusters, gs is not None)
    g = accumulate(g, _hermitian(mul(both, turns.even)))
    g = accumulate(g, _skew(_over_sums(odd, turns, clusters, None not in (gu, gvh))))
    found = matmul.bind(matmul.bind(u, g), vh)
    if gu is not None and m > n:
        found = add(found, matmul.bind(_outside(u, mul(gu, turns.inverse)), vh))
    if gv is not None and n > m:
        found = add(found, matmul.bind(u, adjoint(_outside(v, mul(gv, turns.inverse)))))
    return (found,)


def _over_sums(odd: Any, turns: _Turns, clusters: Clusters | None, of_both: bool) -> Any:
    """Divide by sums; what U and V do together among zeros is unknown, unless it is zero."""
    if clusters is None or not of_both:
        return mul(odd, turns.odd)
    unknown = where(clusters.nought, gt(length(_skew(odd)), 0), False)
    return mul(odd, _unknown(turns.odd, unknown, odd.spec.dtype.is_complex))


# -- general matrices ------------------------------------------------------------------------------


def _inverse_differences(w: Tensor, is_unknown: bool) -> Any:
    """Return 1 / (w[j] - w[i]) at [i, j]; where the two count as one 0 or nan, but 0 on the diagonal."""
    gap = sub(row(w), column(w))
    if not w.spec.size:
        return gap
    same = le(length(gap), column(column(_rounding(w))))
    found = where(same, 0, div(1, where(same, 1, gap)))
    return _unknown(found, same) if is_unknown else found


def _solved(v: Tensor, by: Tensor, b: Tensor) -> Any:
    """Solve by x = b, where `by` is made of V; nan if the vectors, of length 1, don't span the space."""
    found = solve_general(by, b)
    if not v.spec.size:
        return found
    packed = REGISTRY["lu"].bind(stop_gradient.bind(v))[0]
    size = length(diagonal(packed))
    least = neg.bind(reduce_max.bind(neg.bind(size), axes=(len(size.spec.shape) - 1,)))
    rounding = GAP * v.spec.shape[-1] * EPSILON[size.spec.dtype.itemsize]
    # a factor makes the derivatives nan, too
    factor = where(gt(least, rounding), div(least, least), NAN)
    return mul(found, as_dtype(column(column(factor)), v.spec.dtype))


def eig(primals: Operands, tangents: Tangents, ys: Any) -> Any:
    """With X = V⁻¹ dA V: dw is its diagonal, V changes by V (X / gaps), and its columns keep their length."""
    (da,), (w, v) = tangents, ys
    assert da is not None
    dtype = v.spec.dtype
    x = _solved(v, v, matmul.bind(as_dtype(da, dtype), v))
    change = matmul.bind(v, mul(x, _inverse_differences(w, True)))
    growth = _real(diagonal(matmul.bind(adjoint(v), change)))
    return diagonal(x), sub(change, mul(v, row(as_dtype(growth, dtype))))


def eig_pull(cts: Sequence[Any], needs: Needs, inputs: Operands, ys: Any) -> Any:
    """The transpose of `eig`; see `eigh_pull` for what is unknown."""
    (gw, gv), (w, v), (a,) = cts, ys, inputs
    g: Any = None
    if gv is not None:
        g = matmul.bind(adjoint(v), gv)
        _check_phase("linalg_eig_backward", "eigenvectors", g)
        growth = as_dtype(_real(diagonal(g)), v.spec.dtype)
        products = matmul.bind(adjoint(v), v)
        g = sub(g, mul(products, row(growth)))
        g = mul(g, conjugate(_inverse_differences(w, gw is not None)))
    if gw is not None:
        g = accumulate(g, on_diagonal(gw))
    found = _solved(v, adjoint(v), matmul.bind(g, adjoint(v)))
    return (as_dtype(found, a.spec.dtype),)
