"""Jacobians and Hessians: one pass of reverse or forward mode, batched over a basis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tabgrad.core import dtype as dt, tree
from tabgrad.core.errors import GradientError
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import spec
from tabgrad.core.trace import Box, constant, zeros_like
from tabgrad.transforms.autograd import pullback
from tabgrad.transforms.functional import (
    Argnums,
    Pullback,
    grad_and_value,
    jvp,
    partial,
    positions,
    split_aux,
    tensors_in,
)  # fmt: skip
from tabgrad.transforms.jvp import Forward
from tabgrad.transforms.levels import all_refreshed
from tabgrad.transforms.vmap import Batch


def reshaped(x: Box, shape: Sequence[int]) -> Any:
    """Reshape `x`."""
    return x if x.spec.shape == tuple(shape) else REGISTRY["reshape"].bind(x, shape=tuple(shape))


def rows(x: Box, start: int, stop: int) -> Any:
    """Take the slice start:stop of the first axis."""
    shape = x.spec.shape
    if (start, stop) == (0, shape[0]):
        return x
    rest = len(shape) - 1
    return REGISTRY["slice"].bind(
        x, starts=(start,) + (0,) * rest, stops=(stop, *shape[1:]), steps=(1,) * (rest + 1)
    )


def _line(start: int, n: int, shape: tuple[int, int], axis: int, device: Any, total: int) -> Any:
    """Count from `start` along an axis; a part of a `total` is told by its place, not by a number."""
    index = spec((n,), dt.int32)
    zero = constant(0, spec((), dt.int32), device)
    line = REGISTRY["counting"].bind(zero, size=total or n, dtype=dt.int32)
    if total:
        line = rows(line, start, start + n)
    else:
        line = REGISTRY["add"].bind(line, constant(start, index, device))
    column = reshaped(line, (n, 1) if axis == 0 else (1, n))
    return REGISTRY["expand"].bind(column, shape=shape)


def basis(like: Sequence[Any], start: int, stop: int) -> list[Any]:
    """Make rows start:stop of the identity over all elements of the tensors `like`, split among them."""
    found = []
    offset = 0
    n = stop - start
    total = sum(x.spec.size for x in like)
    whole = total if n == total else 0
    for x in like:
        size = x.spec.size
        shape = (n, size)
        if whole == 1 and size:
            block = constant(1, spec(shape, x.spec.dtype), x.device)
        elif n and size:
            hit = REGISTRY["eq"].bind(
                _line(start, n, shape, 0, x.device, whole),
                _line(offset, size, shape, 1, x.device, whole),
            )
            block = REGISTRY["cast"].bind(hit, dtype=x.spec.dtype)
        else:
            block = constant(0, spec(shape, x.spec.dtype), x.device)
        found.append(reshaped(block, (n, *x.spec.shape)))
        offset += size
    return found


def chunks(total: int, chunk_size: int | None) -> Iterator[tuple[int, int]]:
    """Yield the bounds of `total` rows taken `chunk_size` at a time, all at once for None."""
    step = max(total, 1) if chunk_size is None else chunk_size
    if step <= 0:
        raise ValueError(f"chunk_size must be None or at least 1, got {chunk_size}")
    for start in range(0, total, step):
        yield start, min(start + step, total)


def joined(parts: Sequence[Any]) -> Any:
    """Join tensors along their first axis."""
    return parts[0] if len(parts) == 1 else REGISTRY["cat"].bind(*parts, axis=0)


def _choose(
    name: str,
    argnums: Argnums,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    func: Callable[..., Any],
) -> tuple[Any, Any]:
    at = positions(name, argnums, args)
    return partial(func, at, args, kwargs), tuple(args[i] for i in at)


def _arranged(
    blocks: list[list[Any]], outs: tree.Structure, ins: tree.Structure, single: bool
) -> Any:
    """Arrange blocks[output][input] as the tree of outputs, each the tree of inputs."""
    inner = []
    for line in blocks:
        found = tree.unflatten(ins, line)
        inner.append(found[0] if single else found)
    return tree.unflatten(outs, inner)


def check_real(name: str, **tensors: Sequence[Any]) -> None:
    """Raise GradientError for complex tensors: a column of numbers does not say how their parts depend."""
    for what, xs in tensors.items():
        for i, x in enumerate(xs):
            if x.spec.dtype.is_complex:
                raise GradientError(
                    f"{name}: Expected all {what} to be real but received complex tensor at flattened "
                    f"{what[:-1]} idx: {i}; take it apart with view_as_real()"
                )


def jacrev(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """Make a function that computes the Jacobian of `func` by reverse mode.

    For an output of shape (o...) and an argument of shape (i...) the result has shape (o..., i...); trees of
    outputs and arguments give the tree of outputs, each holding the tree of arguments. All rows are computed
    at once, or `chunk_size` of them. With `has_aux` the function returns (output, aux) and the result is
    (jacobian, aux).

    >>> import tabgrad as tg
    >>> tg.func.jacrev(lambda x: x * x)(tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        chosen, primals = _choose("jacrev", argnums, args, kwargs, func)
        at = Pullback("jacrev", chosen, primals, has_aux)
        check_real("jacrev", inputs=at.inputs, outputs=at.outputs)
        total = sum(y.spec.size for y in at.outputs)
        parts: list[list[Any]] = [[] for _ in at.inputs]
        for start, stop in chunks(total, chunk_size):
            for part, x, g in zip(parts, at.inputs, _pulled(at, start, stop), strict=True):
                full = constant(0, spec((stop - start, *x.spec.shape), x.spec.dtype), x.device)
                part.append(full if g is None else g)
        blocks = []
        offset = 0
        for y in at.outputs:
            line = []
            for part, x in zip(parts, at.inputs, strict=True):
                shape = (*y.spec.shape, *x.spec.shape)
                if y.spec.size:
                    found = rows(joined(part), offset, offset + y.spec.size)
                    line.append(reshaped(found, shape))
                else:
                    line.append(constant(0, spec(shape, x.spec.dtype), x.device))
            blocks.append(line)
            offset += y.spec.size
        found = _arranged(blocks, at.out_structure, at.in_structure, isinstance(argnums, int))
        return (found, at.aux) if has_aux else found

    return call


def _pulled(at: Pullback, start: int, stop: int) -> list[Any]:
    """Compute rows start:stop of the Jacobian for each input, None where it is zero."""
    level = Batch(stop - start, "same")
    with level.inside():
        cts = [level.lift(block, 0) for block in basis(at.outputs, start, stop)]
        found = pullback(at.out_nodes, cts, at.in_nodes, True, False, lowered=True)
    return [None if g is None else level.lower(g, 0) for g in found]


def jacfwd(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *,
    chunk_size: int | None = None, randomness: str = "error",
) -> Callable[..., Any]:  # fmt: skip
    """Make a function that computes the Jacobian of `func` by forward mode; see `jacrev`.

    `randomness` says what random functions in `func` do, as in `vmap`.

    >>> import tabgrad as tg
    >>> tg.func.jacfwd(lambda x: x * x)(tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        chosen, primals = _choose("jacfwd", argnums, args, kwargs, func)
        xs, in_structure = tensors_in("jacfwd", "the inputs", primals)
        check_real("jacfwd", inputs=xs)
        total = sum(x.spec.size for x in xs)
        columns: list[list[Any]] = []
        drawn: list[Any] = []
        for start, stop in chunks(total, chunk_size):
            level = Batch(stop - start, randomness, drawn)
            ys, ts, out_structure, aux = _pushed(
                level, chosen, xs, in_structure, start, stop, has_aux
            )
            check_real("jacfwd", outputs=ys)
            drawn = drawn or level.drawn
            columns.append(ts)
        blocks = []
        for k, y in enumerate(ys):
            whole = joined([part[k] for part in columns])
            offset = 0
            line = []
            for x in xs:
                part = _last(rows(whole, offset, offset + x.spec.size))
                line.append(reshaped(part, (*y.spec.shape, *x.spec.shape)))
                offset += x.spec.size
            blocks.append(line)
        found = _arranged(blocks, out_structure, in_structure, isinstance(argnums, int))
        return (found, aux) if has_aux else found

    return call


def _pushed(
    level: Batch,
    func: Callable[..., Any],
    xs: list[Any],
    structure: tree.Structure,
    start: int,
    stop: int,
    has_aux: bool,
) -> Any:
    """Compute the outputs of `func`, tangents along rows start:stop of the basis, and the auxiliary output."""
    with level.inside():
        tangents = [level.lift(block, 0) for block in basis(xs, start, stop)]
        forward = Forward()
        with forward.inside():
            lifted = [forward.tie(x, t) for x, t in zip(xs, tangents, strict=True)]
            out = all_refreshed(func(*tree.unflatten(structure, lifted)))
        out, aux = split_aux("jacfwd", out, has_aux)
        outs, out_structure = tensors_in("jacfwd", "the output", out)
        parts = [forward.parts(y) for y in outs]
        ys = [y for y, _ in parts]
        ts = [zeros_like(y) if t is None else t for y, t in parts]
        aux = tree.map(lambda a: forward.lower(a) if isinstance(a, Box) else a, aux)
    aux = tree.map(lambda a: _first(level, a) if isinstance(a, Box) else a, aux)
    return [_first(level, y) for y in ys], [level.lower(t, 0) for t in ts], out_structure, aux


def _first(level: Batch, x: Box) -> Any:
    """Take the value of the first element of the batch; only random numbers make the others differ."""
    if x.owner is not level:
        return x
    return reshaped(rows(level.lower(x, 0), 0, 1), x.spec.shape)


def _last(x: Box) -> Any:
    n = len(x.spec.shape)
    return REGISTRY["permute"].bind(x, dims=(*range(1, n), 0)) if n > 1 else x


def hessian(func: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """Make a function that computes the Hessian of `func`, by forward mode over reverse mode.

    >>> import tabgrad as tg
    >>> tg.func.hessian(lambda x: (x**3).sum())(tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def hvp(
    func: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """Compute the scalar `func(*primals)` and the product of its Hessian with `tangents`.

    `primals` and `tangents` are tuples with one tensor or tree for each argument; so is the product. It costs
    about two gradients: forward mode over reverse mode.

    >>> import tabgrad as tg
    >>> tg.func.hvp(lambda x: (x**3).sum(), (tg.tensor([1.0, 2.0]),), (tg.tensor([1.0, 0.0]),))
    (tensor(9.), (tensor([6., 0.]),))
    """
    at = tuple(range(len(primals)))
    (_, value), (product, _) = jvp(grad_and_value(func, at), tuple(primals), tuple(tangents))
    return value, product
