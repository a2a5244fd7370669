"""Batching: the interpreter whose tensors have a hidden batch axis, and `vmap`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core import tree
from tabgrad.core.errors import TransformError
from tabgrad.core.families import to_front
from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.spec import Params, intern_params, spec
from tabgrad.core.trace import MODE, Box, Mode, using, wrap
from tabgrad.transforms.levels import Level, all_refreshed

RANDOMNESS = ("error", "different", "same")


class Batch(Level):
    """One level of batching: the payload of its tensors is (tensor of the level below, its batch axis).

    `size` is the length of the batch axis; `randomness` what random draws do: "error", "different" for
    each element, or the "same" for all. `replayed` are earlier draws to use again, in their order.
    """

    name = "func.vmap"
    advice = "; for batch normalisation see func.replace_all_batch_norm_modules_"

    def __init__(self, size: int, randomness: str = "error", replayed: Sequence[Any] = ()) -> None:
        super().__init__()
        self.size = size
        self.randomness = randomness
        self.replayed = list(replayed)
        self.drawn: list[Any] = []

    def inner(self) -> Mode:
        """The mode inside, where random draws ask this level first."""
        return super().inner().replace(draw=self)

    def below(self, mode: Mode) -> Mode:
        """The mode of the level below, where random draws ask the same level as outside."""
        seen = self.seen
        if seen[0] is mode:
            outer: Mode = seen[1]
            return outer
        found = super().below(mode).replace(draw=self.outer.draw)
        self.seen = (mode, found)
        return found

    def lift(self, x: Box, dim: int) -> Any:
        """Make a tensor of this level from `x`, whose axis `dim` becomes the hidden batch axis."""
        shape = x.spec.shape
        return wrap((x, dim), spec((*shape[:dim], *shape[dim + 1 :]), x.spec.dtype), x.device, self)

    def lower(self, x: Box, dim: int) -> Any:
        """Lower `x` to the level below with the batch axis at `dim`; `x` is repeated if it has none."""
        value: Any
        value, at = x.value if x.owner is self else (x, None)
        value = to_front(value, at, self.size)
        if dim == 0:
            return value
        order = list(range(1, len(value.spec.shape)))
        order.insert(dim, 0)
        return REGISTRY["permute"].bind(value, dims=tuple(order))

    def process(self, op: Op, args: tuple[Any, ...], params: Params) -> Any:
        """Apply the batching rule of `op` below."""
        mode = self.entered(MODE.get())
        pairs = [a.value if a.owner is self else (a, None) for a in args]
        token = MODE.set(self.below(mode))
        try:
            y = op.batch(self.size, [p[0] for p in pairs], [p[1] for p in pairs], params)
        finally:
            MODE.reset(token)
        return wrap((y, 0), spec(y.spec.shape[1:], y.spec.dtype), y.device, self)

    def draw(self, make: Callable[[tuple[int, ...]], Any], shape: tuple[int, ...]) -> Any:
        """Draw the random tensor `make(shape)`, as `randomness` says."""
        if self.randomness == "error":
            raise TransformError(
                "vmap: a random function was called inside; say vmap(..., randomness='different') for numbers "
                "of its own for each element of the batch, or randomness='same'"
            )
        if self.replayed:
            return self.replayed.pop(0)
        with using(self.below(self.entered(MODE.get()))):
            if self.randomness == "different":
                return self.lift(draw(make, (self.size, *shape)), 0)
            y = draw(make, shape)
        self.drawn.append(y)
        return y


def draw(make: Callable[[tuple[int, ...]], Any], shape: tuple[int, ...]) -> Any:
    """Draw the random tensor `make(shape)`, through the innermost vmap if there is one.

    Every function that draws random numbers calls this with a function that draws a tensor of any shape.
    """
    mode = MODE.get()
    level = mode.draw
    if level is None:
        return make(shape)
    y = level.draw(make, shape)
    y.born = mode.birth
    return y


def check_same(name: str, *given: Any) -> None:
    """Raise TransformError if randomness is "same" and the parameters of the draw differ within the batch."""
    level = MODE.get().draw
    if level is not None and level.randomness == "same":
        if any(isinstance(x, Box) and x.owner is level for x in given):
            raise TransformError(
                "Vmap does not currently support same randomness with a batched tensor input: "
                f"{name} draws from numbers that differ within the batch; say randomness='different'"
            )


def vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error",
    *, chunk_size: int | None = None,
) -> Callable[..., Any]:  # fmt: skip
    """Make a function that applies `func` to each element along an axis of its arguments, all at once.

    `in_dims` says which axis of each tensor argument: an int for all of them, or a tuple with one entry for
    each argument, which may be a tree like that argument; None passes an argument whole. `out_dims` says
    where the axis goes in the results. Keyword arguments are passed whole. `randomness` says what random
    functions do inside: "error", "different" numbers for each element, or the "same" for all.
    `chunk_size` bounds how many elements are computed at once. What `func` writes to a mapped argument in
    place is in the caller's tensor when the call returns; writing what depends on the batch to any other
    tensor from outside raises TransformError.

    >>> import tabgrad as tg
    >>> tg.func.vmap(lambda row: row.sum())(tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([3., 7.])
    """
    if randomness not in RANDOMNESS:
        raise ValueError(f"vmap: randomness is one of {', '.join(RANDOMNESS)}, not {randomness!r}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size must be None or at least 1, got {chunk_size}")

    @functools.wraps(func)
    def batched(*args: Any, **kwargs: Any) -> Any:
        name = getattr(func, "__name__", type(func).__name__)
        leaves, structure = tree.flatten(args)
        dims = _in_dims(name, in_dims, args, leaves)
        size = _batch_size(name, leaves, dims)

        def run(part: list[Any], n: int, replayed: Sequence[Any] = ()) -> tuple[Any, Any]:
            level = Batch(n, randomness, replayed)
            with level.inside():
                lifted = [
                    x if d is None else level.lift(x, d) for x, d in zip(part, dims, strict=True)
                ]
                out = all_refreshed(func(*tree.unflatten(structure, lifted), **kwargs))
            for x, y, d in zip(part, lifted, dims, strict=True):
                if d is not None and y._version:
                    x.copy_(level.lower(y, d))
            sources = [
                (y, x, d) for x, y, d in zip(part, lifted, dims, strict=True) if d is not None
            ]
            return _lower_outputs(name, level, out, out_dims, sources), level.drawn

        if chunk_size is None or chunk_size >= size:
            return run(leaves, size)[0]
        return _in_chunks(run, leaves, dims, size, chunk_size, out_dims)

    return batched


def _in_chunks(
    run: Callable[..., Any], leaves: list[Any], dims: list[Any], size: int, step: int, out_dims: Any
) -> Any:
    parts = []
    drawn: Sequence[Any] = ()
    for start in range(0, size, step):
        stop = min(start + step, size)
        part = [
            x if d is None else x.narrow(d, start, stop - start)
            for x, d in zip(leaves, dims, strict=True)
        ]
        # with randomness="same" the later chunks use the draws of the first
        out, drew = run(part, stop - start, drawn)
        drawn = drawn or drew
        parts.append(tree.flatten(out))
    structure = parts[0][1]
    joined = []
    for pieces, dim in zip(
        zip(*[leaves for leaves, _ in parts], strict=True),
        prefix("vmap", out_dims, parts[0][1]),
        strict=True,
    ):
        if dim is None:
            joined.append(pieces[0])
        else:
            axis = dim % len(pieces[0].spec.shape)
            joined.append(REGISTRY["cat"].bind(*pieces, axis=axis))
    return tree.unflatten(structure, joined)


def prefix(name: str, dims: Any, structure: tree.Structure) -> list[Any]:
    """Find the entry of `dims` for each leaf of `structure`; an int or None stands for a whole subtree."""
    if dims is None or isinstance(dims, int):
        return [dims] * tree.count(structure)
    if structure is None or structure is tree.LEAF:
        raise ValueError(f"{name}: the dims {dims!r} have more structure than what they are for")
    if isinstance(dims, dict):
        given = [dims.get(key) for key in structure[1]] if isinstance(structure[1], tuple) else None
    else:
        given = list(dims)
    if given is None or len(given) != len(structure[2]):
        raise ValueError(
            f"{name}: the dims {dims!r} don't match their tree: expected {len(structure[2])} entries"
        )
    return [
        d
        for part, child in zip(given, structure[2], strict=True)
        for d in prefix(name, part, child)
    ]


def _in_dims(name: str, in_dims: Any, args: tuple[Any, ...], leaves: list[Any]) -> list[Any]:
    if not isinstance(in_dims, int | tuple | list):
        raise ValueError(
            f"vmap({name}): in_dims must be an int or a tuple with one entry for each argument, "
            f"got {type(in_dims).__name__}"
        )
    if not args:
        raise ValueError(f"vmap({name}): expected at least one argument to map over")
    if not isinstance(in_dims, int) and len(in_dims) != len(args):
        raise ValueError(
            f"vmap({name}): in_dims has {len(in_dims)} entries for {len(args)} arguments"
        )
    found: list[Any] = []
    for x, d in zip(
        leaves, prefix(f"vmap({name}), in_dims", in_dims, tree.flatten(args)[1]), strict=True
    ):
        if d is None:
            found.append(None)
            continue
        if not isinstance(x, Box):
            raise ValueError(
                f"vmap({name}): in_dim {d} is for an input of type {type(x).__name__}, but only tensors "
                "can be mapped over; use None as its in_dim"
            )
        rank = len(x.spec.shape)
        if not -rank <= d < rank:
            raise ValueError(
                f"vmap({name}): in_dim {d} is out of range for a tensor of {rank} dimensions"
            )
        found.append(d % rank)
    return found


def _batch_size(name: str, leaves: list[Any], dims: list[Any]) -> int:
    sizes = [x.spec.shape[d] for x, d in zip(leaves, dims, strict=True) if d is not None]
    if not sizes:
        raise ValueError(
            f"vmap({name}): no argument is mapped over; at least one in_dim must be an int"
        )
    if len(set(sizes)) > 1:
        raise ValueError(
            f"vmap({name}): the sizes of the mapped axes differ: {sizes}; they must be equal"
        )
    return int(sizes[0])


def _has_none(structure: Any, dims: Any) -> bool:
    """Test whether a None stands where `dims` asks for a tensor."""
    if dims is None or structure is tree.LEAF:
        return False
    if structure is None:
        return True
    children = structure[2]
    if isinstance(dims, int):
        each: Any = [dims] * len(children)
    else:
        each = [dims.get(key) for key in structure[1]] if isinstance(dims, dict) else dims
    # `prefix` raises if the trees don't match
    return any(_has_none(child, d) for child, d in zip(children, each, strict=False))


def _shared(level: Batch, y: Any, sources: list[tuple[Any, Any, int]], dim: int) -> Any:
    """Lower the output `y` with the batch axis at `dim`: as a view, if it shares memory with another tensor.

    The other is one of `sources`, (its tensor of `level`, the argument, its axis), or a tensor from outside.
    """
    if y.owner is not level:
        return y.expand(level.size, *y.spec.shape).movedim(0, dim)
    base = getattr(y.alias, "base", y)
    for lifted, x, at in sources:
        if lifted is y and at == dim:
            return x
        if lifted is base and not getattr(y.alias, "detached", False):
            x = x.movedim(at, 0)
            for op, params in () if lifted is y else y.alias.steps:
                x = _widened(x, op, params, y.alias.along)
                if op.family == "view":
                    params = intern_params(op.lift(level.size, **params))
                x = y.alias.along(x, ((op, params),))
            return x.movedim(0, dim)
    return level.lower(y, dim)


def _widened(x: Box, op: Op, params: Params, along: Callable[..., Any]) -> Any:
    """Add axes of size 1 behind the batch axis of `x`, as many as an expansion adds."""
    shape = x.spec.shape
    wanted: Any = params["shape"] if op.name == "expand" else ()
    more = len(wanted) + 1 - len(shape)
    if more <= 0:
        return x
    wide = intern_params({"shape": (shape[0], *(1,) * more, *shape[1:])})
    return along(x, ((REGISTRY["reshape"], wide),))


def _lower_outputs(
    name: str, level: Batch, out: Any, out_dims: Any, sources: list[tuple[Any, Any, int]]
) -> Any:
    leaves, structure = tree.flatten(out)
    if structure is tree.LEAF and isinstance(out_dims, tuple) and len(out_dims) == 1:
        (out_dims,) = out_dims
        if out_dims is None:
            raise ValueError(
                f"vmap({name}), out_dims: (None,) has more structure than the output; use None alone"
            )
    if _has_none(structure, out_dims):
        raise ValueError(
            f"vmap({name}): expected {name} to return tensors, got NoneType; use None as its out_dim to return "
            "it as it is"
        )
    lowered = []
    for y, dim in zip(leaves, prefix(f"vmap({name}), out_dims", out_dims, structure), strict=True):
        if dim is None:
            if isinstance(y, Box) and y.owner is level:
                raise ValueError(
                    f"vmap({name}): out_dim is None for an output that depends on the batch"
                )
            lowered.append(y)
            continue
        if not isinstance(y, Box):
            raise ValueError(
                f"vmap({name}): expected {name} to return tensors, got {type(y).__name__}; "
                "use None as its out_dim to return it as it is"
            )
        rank = len(y.spec.shape) + 1
        if not -rank <= dim < rank:
            raise ValueError(
                f"vmap({name}): out_dim {dim} is out of range for an output of {rank} dimensions"
            )
        lowered.append(_shared(level, y, sources, dim % rank))
    return tree.unflatten(structure, lowered)
