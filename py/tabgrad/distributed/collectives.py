"""Functions that all processes of a group call together, each with tensors of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import tabgrad as tg
from tabgrad.distributed import arrays
from tabgrad.distributed.group import ProcessGroup, resolve
from tabgrad.distributed.reducing import ReduceOp
from tabgrad.distributed.work import Work

Tensor = tg.Tensor
Group = ProcessGroup | None


def told(*tensors: Tensor, **words: Any) -> str:
    """Say what a call is for, for ranks to compare."""
    shapes = [f"{str(x.dtype).rpartition('.')[2]} {tuple(x.shape)}" for x in tensors]
    return ", ".join([*shapes, *[f"{k}={getattr(v, 'name', v)}" for k, v in words.items()]])


def operator(name: str, op: Any, dtype: tg.DType) -> ReduceOp:
    """Return how values are joined, or raise where that is not defined for the dtype."""
    if not isinstance(op, ReduceOp):
        raise TypeError(f"{name}: expected a ReduceOp as op, got {type(op).__name__}")
    if dtype is tg.bool and op in (ReduceOp.SUM, ReduceOp.PRODUCT):
        return ReduceOp.MAX if op is ReduceOp.SUM else ReduceOp.MIN
    whole = not (dtype.is_floating_point or dtype.is_complex)
    bitwise = op in (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)
    ordering = op in (ReduceOp.MIN, ReduceOp.MAX)
    if (bitwise and not whole) or (ordering and dtype.is_complex) or (op is ReduceOp.AVG and whole):
        raise RuntimeError(f"Cannot use ReduceOp.{op.name} with {dtype} ({name})")
    return op


def root_of(
    name: str, what: str, found: ProcessGroup, given: int | None, within: int | None
) -> int:
    """Return the rank in the group of a rank of the world `given`, or of the group, `within`."""
    if (given is None) == (within is None):
        raise ValueError(f"{name}: give one of {what}, a rank of the world, and group_{what}")
    if within is not None:
        if not 0 <= within < found.size():
            raise ValueError(
                f"{name}: group_{what}={within}, and the group has {found.size()} ranks"
            )
        return within
    if given not in found.ranks:
        raise ValueError(f"{name}: rank {given} is not in the group, whose ranks are {found.ranks}")
    return found.ranks.index(given)


def _ordered() -> bool:
    return bool(tg.are_deterministic_algorithms_enabled())


def _lazy(*tensors: Tensor) -> bool:
    return any([x.device.type != "cpu" for x in tensors])


def barrier(
    group: Group = None, async_op: bool = False, device_ids: Any = None,
    timeout: timedelta | None = None,
) -> Work | None:  # fmt: skip
    """Wait until all processes of the group have come here."""
    found = resolve(group)
    if found is None:
        return None
    calls = found.calls
    seconds = None if timeout is None else timeout.total_seconds()
    return found.run(
        "barrier", "", [], lambda _: calls.barrier(), lambda: [], lambda _: None, async_op, seconds
    )


def monitored_barrier(
    group: Group = None, timeout: timedelta | None = None, wait_all_ranks: bool = False
) -> None:
    """Wait for all as `barrier` does; the error at the deadline names all ranks that have not come."""
    barrier(group, timeout=timeout)


def broadcast(
    tensor: Tensor, src: int | None = None, group: Group = None, async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:  # fmt: skip
    """Give the tensors of all the values of that on `src`."""
    arrays.check("broadcast", "tensor", tensor)
    found = resolve(group)
    if found is None:
        return None
    root = root_of("broadcast", "src", found, src, group_src)
    own = found.rank() == root
    read = arrays.begin(tensor) if own else lambda: arrays.empty_like(tensor)
    return found.run(
        "broadcast", told(tensor, src=root), [tensor],
        lambda a: found.calls.broadcast(a[0], root), lambda: [read()],
        lambda a: None if own else arrays.write(tensor, a[0]), async_op, lazy=own and _lazy(tensor),
    )  # fmt: skip


def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Group = None, async_op: bool = False
) -> Work | None:
    """Join the values of all, in place, on all.

    The order in which numbers are added depends on the engine, the size and the number of processes, not on
    time: the same run has the same bits. After `use_deterministic_algorithms(True)`, and for numbers of 16
    bits, which are added in float32, it is the order of the ranks.

    >>> # tabgrad.distributed.all_reduce(tg.ones(2)) on each of 4 processes makes each tensor [4., 4.]
    """
    arrays.check("all_reduce", "tensor", tensor)
    found = resolve(group)
    if found is None:
        return None
    how = operator("all_reduce", op, tensor.dtype)
    read, half = arrays.begin(tensor), tensor.dtype is tg.bfloat16
    found.bytes_given += tensor.numel() * tensor.dtype.itemsize
    return found.run(
        "all_reduce", told(tensor, op=how), [tensor],
        lambda a: found.calls.all_reduce(a[0], how, half, _ordered()), lambda: [read()],
        lambda a: arrays.write(tensor, a[0]), async_op, lazy=_lazy(tensor),
    )  # fmt: skip


def reduce(
    tensor: Tensor, dst: int | None = None, op: ReduceOp = ReduceOp.SUM, group: Group = None,
    async_op: bool = False, group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """Join the values of all in the tensor on `dst`."""
    arrays.check("reduce", "tensor", tensor)
    found = resolve(group)
    if found is None:
        return None
    root = root_of("reduce", "dst", found, dst, group_dst)
    how = operator("reduce", op, tensor.dtype)
    read, half = arrays.begin(tensor), tensor.dtype is tg.bfloat16
    own = found.rank() == root
    return found.run(
        "reduce", told(tensor, op=how, dst=root), [tensor],
        lambda a: found.calls.reduce(a[0], how, root, half), lambda: [read()],
        lambda a: arrays.write(tensor, a[0]) if own else None, async_op, lazy=_lazy(tensor),
    )  # fmt: skip


def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: Group = None, async_op: bool = False
) -> Work | None:
    """Write the tensors of all to the tensors of `tensor_list`, on all."""
    arrays.check("all_gather", "tensor", tensor)
    found = resolve(group)
    if found is None:
        return None
    arrays.check_alike("all_gather", tensor, tensor_list, found.size())
    return _gathered(found, "all_gather", tensor, tensor_list, async_op)


def _gathered(
    found: ProcessGroup, name: str, tensor: Tensor, outs: Sequence[Tensor], async_op: bool
) -> Work | None:
    read = arrays.begin(tensor)
    found.bytes_given += tensor.numel() * tensor.dtype.itemsize

    def finish(a: list[Any]) -> None:
        if len(outs) == 1 and outs[0].numel() == a[1].size:
            arrays.write(outs[0], a[1])
            return
        for out, part in zip(outs, a[1], strict=True):
            arrays.write(out, part)

    return found.run(
        name, told(tensor), outs, lambda a: found.calls.all_gather(a[1], a[0]),
        lambda: [read(), arrays.empty_like(tensor, found.size())], finish, async_op,
        lazy=_lazy(tensor),
    )  # fmt: skip


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Group = None, async_op: bool = False
) -> Work | None:
    """Write the tensors of all to one tensor, one after the other along its first axis, on all."""
    arrays.check("all_gather_into_tensor", "tensor", output_tensor, input_tensor)
    found = resolve(group)
    if found is None:
        return None
    _fits("all_gather_into_tensor", "output_tensor", output_tensor, input_tensor, found.size())
    return _gathered(found, "all_gather_into_tensor", input_tensor, [output_tensor], async_op)


def _fits(name: str, what: str, large: Tensor, small: Tensor, count: int) -> None:
    if large.dtype is not small.dtype or large.numel() != count * small.numel():
        raise ValueError(
            f"{name}: {what} must be of {small.dtype} and have {count} × {small.numel()} elements, a part for "
            f"each rank; got {large.dtype} {tuple(large.shape)}"
        )


def gather(
    tensor: Tensor, gather_list: list[Tensor] | None = None, dst: int | None = None, group: Group = None,
    async_op: bool = False, group_dst: int | None = None,
) -> Work | None:  # fmt: skip
    """Write the tensors of all to the tensors of `gather_list` on `dst` (rank 0); the others give no list."""
    arrays.check("gather", "tensor", tensor)
    found = resolve(group)
    if found is None:
        return None
    root = root_of("gather", "dst", found, *_first(found, dst, group_dst))
    outs = _list_on_root("gather", "gather_list", found, root, tensor, gather_list)
    read = arrays.begin(tensor)

    def begin() -> list[Any]:
        return [read(), arrays.empty_like(tensor, found.size()) if outs else None]

    def finish(a: list[Any]) -> None:
        for out, part in zip(outs, a[1] if outs else (), strict=True):
            arrays.write(out, part)

    return found.run(
        "gather", told(tensor, dst=root), outs, lambda a: found.calls.gather(a[1], a[0], root), begin,
        finish, async_op, lazy=_lazy(tensor),
    )  # fmt: skip


def _first(
    found: ProcessGroup, given: int | None, within: int | None
) -> tuple[int | None, int | None]:
    return (given, 0 if given is None and within is None else within)


def _list_on_root(
    name: str, what: str, found: ProcessGroup, root: int, tensor: Tensor, given: list[Tensor] | None
) -> list[Tensor]:
    if found.rank() != root:
        if given:
            raise ValueError(f"Argument `{what}` must NOT be specified on other ranks ({name})")
        return []
    if given is None:
        raise ValueError(f"Argument `{what}` must be specified on the rank {name}s to or from")
    arrays.check_alike(name, tensor, given, found.size())
    return list(given)


def scatter(
    tensor: Tensor, scatter_list: list[Tensor] | None = None, src: int | None = None, group: Group = None,
    async_op: bool = False, group_src: int | None = None,
) -> Work | None:  # fmt: skip
    """Give each a tensor of the list that `src` (rank 0) has; the others give no list."""
    arrays.check("scatter", "tensor", tensor)
    found = resolve(group)
    if found is None:
        return None
    root = root_of("scatter", "src", found, *_first(found, src, group_src))
    given = _list_on_root("scatter", "scatter_list", found, root, tensor, scatter_list)
    reads = [arrays.begin(x) for x in given]

    def begin() -> list[Any]:
        return [arrays.empty_like(tensor), arrays.stacked([r() for r in reads]) if reads else None]

    return found.run(
        "scatter", told(tensor, src=root), [tensor],
        lambda a: found.calls.scatter(a[0], a[1], root), begin,
        lambda a: arrays.write(tensor, a[0]), async_op, lazy=bool(given) and _lazy(*given),
    )  # fmt: skip


def reduce_scatter(
    output: Tensor, input_list: list[Tensor], op: ReduceOp = ReduceOp.SUM, group: Group = None,
    async_op: bool = False,
) -> Work | None:  # fmt: skip
    """Join the lists of all, tensor by tensor, in the order of the ranks, and give each its tensor."""
    arrays.check("reduce_scatter", "output", output)
    found = resolve(group)
    if found is None:
        return None
    arrays.check_alike("reduce_scatter", output, input_list, found.size())
    return _reduced(found, "reduce_scatter", output, input_list, op, async_op)


def _reduced(
    found: ProcessGroup, name: str, output: Tensor, given: Sequence[Tensor], op: ReduceOp, async_op: bool
) -> Work | None:  # fmt: skip
    how = operator(name, op, output.dtype)
    reads, half = [arrays.begin(x) for x in given], output.dtype is tg.bfloat16
    found.bytes_given += output.numel() * output.dtype.itemsize * found.size()
    return found.run(
        name, told(output, op=how), [output],
        lambda a: found.calls.reduce_scatter(a[0], a[1], how, half),
        lambda: [arrays.empty_like(output), arrays.stacked([r() for r in reads])],
        lambda a: arrays.write(output, a[0]), async_op, lazy=_lazy(*given),
    )  # fmt: skip


def reduce_scatter_tensor(
    output: Tensor,
    input: Tensor,
    op: ReduceOp = ReduceOp.SUM,
    group: Group = None,
    async_op: bool = False,
) -> Work | None:
    """Join the tensors `input` of all, and give each a part of the first axis."""
    arrays.check("reduce_scatter_tensor", "tensor", output, input)
    found = resolve(group)
    if found is None:
        return None
    _fits("reduce_scatter_tensor", "input", input, output, found.size())
    return _reduced(found, "reduce_scatter_tensor", output, [input], op, async_op)


def all_to_all(
    output_tensor_list: list[Tensor], input_tensor_list: list[Tensor], group: Group = None,
    async_op: bool = False,
) -> Work | None:  # fmt: skip
    """Give tensor i of the input list to rank i, and write what comes from rank j to tensor j of the output.

    The tensors may differ in size; that for rank i must be as large as what rank i expects.
    """
    arrays.check("all_to_all", "tensor_list", *output_tensor_list, *input_tensor_list)
    found = resolve(group)
    if found is None:
        return None
    if len(output_tensor_list) != found.size() or len(input_tensor_list) != found.size():
        raise ValueError(
            f"all_to_all: expected a tensor for each of {found.size()} ranks in both lists, got "
            f"{len(output_tensor_list)} and {len(input_tensor_list)}"
        )
    if len({x.dtype for x in (*output_tensor_list, *input_tensor_list)}) > 1:
        raise ValueError("all_to_all: all tensors must be of one dtype")
    outs, reads = list(output_tensor_list), [arrays.begin(x) for x in input_tensor_list]
    count = len(outs)

    def finish(a: list[Any]) -> None:
        for out, part in zip(outs, a[:count], strict=True):
            arrays.write(out, part)

    return found.run(
        "all_to_all", str(outs[0].dtype), outs, lambda a: found.calls.all_to_all(a[:count], a[count:]),
        lambda: [arrays.empty_like(x) for x in outs] + [r() for r in reads], finish, async_op,
        lazy=_lazy(*input_tensor_list),
    )  # fmt: skip


def all_to_all_single(
    output: Tensor, input: Tensor, output_split_sizes: list[int] | None = None,
    input_split_sizes: list[int] | None = None, group: Group = None, async_op: bool = False,
) -> Work | None:  # fmt: skip
    """Divide `input` along its first axis among all, and write the parts that come from all to `output`.

    The sizes of the parts are equal, or those of the split sizes.
    """
    arrays.check("all_to_all_single", "tensor", output, input)
    found = resolve(group)
    if found is None:
        return None
    gives = _parts("input", input, input_split_sizes, found.size())
    takes = _parts("output", output, output_split_sizes, found.size())
    return all_to_all(takes, gives, group, async_op)


def _parts(what: str, x: Tensor, sizes: list[int] | None, count: int) -> list[Tensor]:
    n = x.shape[0]
    if not sizes:
        if n % count:
            raise RuntimeError(
                f"Tensor's dim 0 does not divide equally across group size (all_to_all_single: {what} has {n} "
                f"rows for {count} ranks)"
            )
        sizes = [n // count] * count
    if len(sizes) != count or sum(sizes) != n:
        raise RuntimeError(
            f"Split sizes doesn't match total dim 0 size (all_to_all_single: {what} has {n} rows, and its "
            f"split sizes are {sizes} for {count} ranks)"
        )
    return list(x.detach().split(sizes))


__all__ = [
    "all_gather", "all_gather_into_tensor", "all_reduce", "all_to_all", "all_to_all_single", "barrier",
    "broadcast", "gather", "monitored_barrier", "reduce", "reduce_scatter", "reduce_scatter_tensor",
    "scatter",
]  # fmt: skip
