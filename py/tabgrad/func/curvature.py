"""Second derivatives without the whole Hessian."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.errors import GradientError
from tabgrad.transforms.functional import (
    Argnums,
    grad,
    grad_and_value,
    jvp,
    partial,
    positions,
    vjp,
)
from tabgrad.transforms.jacobian import basis, chunks
from tabgrad.transforms.vmap import vmap

Func = Callable[..., Any]


def directional_second_derivative(
    func: Func, primals: Any, directions: Any
) -> tuple[Any, Any, Any]:
    """Compute `func(*primals)`, its derivative along `directions`, and its second derivative along them.

    The second derivative of each output element is vᵀ H v. It uses forward mode twice and computes no gradient.

    >>> import tabgrad as tg
    >>> x = (tg.tensor([1.0, 2.0]),)
    >>> tg.func.directional_second_derivative(lambda x: (x**3).sum(), x, (tg.ones(2),))[2]
    tensor(18.)
    """
    primals, directions = tuple(primals), tuple(directions)
    (value, first), (_, second) = jvp(lambda *xs: jvp(func, xs, directions), primals, directions)
    return value, first, second


def _along_basis(
    func: Func, argnums: Argnums, args: Any, kwargs: Any, chunk_size: int | None
) -> Any:
    """Yield second derivatives of the output along each unit vector, stacked, a chunk at a time."""
    at = positions("second derivatives", argnums, args)
    chosen = partial(func, at, args, kwargs)
    primals = tuple(args[i] for i in at)
    leaves, structure = tree.flatten(primals)

    def along(*units: Any) -> Any:
        return directional_second_derivative(chosen, primals, tree.unflatten(structure, units))[2]

    for start, stop in chunks(sum(x.numel() for x in leaves), chunk_size):
        yield vmap(along)(*basis(leaves, start, stop))


def hessian_diagonal(
    func: Func, argnums: Argnums = 0, *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """Make a function that computes the Hessian diagonal of a scalar function, in the shape of its argument.

    It takes one pass of forward mode over forward mode for each element, `chunk_size` (None: all) at once.

    >>> import tabgrad as tg
    >>> tg.func.hessian_diagonal(lambda x: (x**3).sum() * x[0])(tg.tensor([1.0, 2.0]))
    tensor([12., 12.])
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        parts = list(_along_basis(func, argnums, args, kwargs, chunk_size))
        if not all(isinstance(p, tg.Tensor) and p.ndim == 1 for p in parts):
            raise GradientError(
                "hessian_diagonal: the function must return one tensor with no dimensions"
            )
        line = tg.cat(parts)
        leaves, structure = tree.flatten(
            tuple(args[i] for i in positions("hessian_diagonal", argnums, args))
        )
        pieces = tg.split(line, [x.numel() for x in leaves])
        found = tree.unflatten(
            structure, [p.reshape(x.shape) for p, x in zip(pieces, leaves, strict=True)]
        )
        return found[0] if isinstance(argnums, int) else found

    return call


def laplacian(
    func: Func, argnums: Argnums = 0, *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """Make a function that sums the second derivatives of `func` by each element of the argument.

    The result has the shape of the output of `func`: one Laplacian for each of its elements.

    >>> import tabgrad as tg
    >>> tg.func.laplacian(lambda x: (x**2).sum())(tg.ones(3))
    tensor(6.)
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        total = None
        for part in _along_basis(func, argnums, args, kwargs, chunk_size):
            summed = tree.map(lambda t: t.sum(0), part)
            total = summed if total is None else tree.map(lambda a, b: a + b, total, summed)
        return total

    return call


def gauss_newton_product(model: Func, loss: Func, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """Compute loss(model(*primals)) and the product of the Gauss–Newton matrix Jᵀ H J with `tangents`.

    J is the Jacobian of `model` and H the Hessian of the scalar `loss` at the model's output. The matrix is
    positive semi-definite wherever the loss is convex in the output.

    >>> import tabgrad as tg
    >>> x, v = (tg.tensor([1.0, 2.0]),), (tg.tensor([1.0, 0.0]),)
    >>> tg.func.gauss_newton_product(lambda x: x**2, lambda y: (y**2).sum(), x, v)
    (tensor(17.), (tensor([8., 0.]),))
    """
    primals, tangents = tuple(primals), tuple(tangents)
    out, pushed = jvp(model, primals, tangents)
    (_, value), (curved, _) = jvp(grad_and_value(loss), (out,), (pushed,))
    _, pull = vjp(model, *primals)
    return value, pull(curved)


def _rows(func: Func, params: Any, batch: Any) -> tuple[Any, Any]:
    if not batch:
        raise GradientError(
            "empirical_fisher: expected at least one tensor with the examples in its first dim"
        )
    per_example = vmap(grad(func), (None, *(0,) * len(batch)))(params, *batch)
    leaves, structure = tree.flatten(per_example)
    n = leaves[0].shape[0]
    return n, (leaves, structure)


def empirical_fisher(func: Func, params: Any, *batch: Any, diagonal: bool = False) -> Any:
    """Average g gᵀ over the examples, g being the gradient of `func(params, *example)`.

    `func` returns the loss of one example; the tensors of `batch` have the examples in their first dim. The
    matrix goes over all elements of the tree `params`, in the order of its leaves; with `diagonal` only its
    diagonal is computed, as a tree like `params`.

    >>> import tabgrad as tg
    >>> loss = lambda w, x: (w * x).sum()
    >>> tg.func.empirical_fisher(loss, tg.ones(2), tg.tensor([[1.0, 0.0], [1.0, 2.0]]))
    tensor([[1., 1.],
            [1., 2.]])
    """
    n, (leaves, structure) = _rows(func, params, batch)
    if diagonal:
        return tree.unflatten(structure, [(g * g).mean(0) for g in leaves])
    flat = tg.cat([g.reshape((n, -1)) for g in leaves], dim=1)
    return flat.mT @ flat / n


def empirical_fisher_product(func: Func, params: Any, tangents: Any, *batch: Any) -> Any:
    """Multiply the empirical Fisher matrix with `tangents`, a tree like `params`.

    >>> import tabgrad as tg
    >>> loss = lambda w, x: (w * x).sum()
    >>> x = tg.tensor([[1.0, 0.0], [1.0, 2.0]])
    >>> tg.func.empirical_fisher_product(loss, tg.ones(2), tg.tensor([1.0, 0.0]), x)
    tensor([1., 1.])
    """
    if not batch:
        raise GradientError(
            "empirical_fisher: expected at least one tensor with the examples in its first dim"
        )
    each = vmap(func, (None, *(0,) * len(batch)))
    losses, slopes = jvp(lambda p: each(p, *batch), (params,), (tangents,))
    _, pull = vjp(lambda p: each(p, *batch), params)
    return pull(slopes / losses.shape[0])[0]
