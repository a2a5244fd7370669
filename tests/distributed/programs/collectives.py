"""Every collective function, on every rank, beside what the ranks' numbers make."""

from __future__ import annotations

import sys

import pytest

import tabgrad as tg
import tabgrad.distributed as dist
from tabgrad.distributed.differentiable import all_to_all_single_autograd
from tabgrad.distributed.nn import functional as F

DEVICE = sys.argv[1] if len(sys.argv) > 1 else "cpu"
tg.set_default_device(DEVICE)
BACKEND = sys.argv[2] if len(sys.argv) > 2 else "mpi"
dist.init_process_group(BACKEND)
RANK, SIZE = dist.get_rank(), dist.get_world_size()
DTYPES = [tg.float32, tg.int32, tg.float16]
if DEVICE == "cpu":
    DTYPES += [tg.float64, tg.int64, tg.bfloat16, tg.uint8, tg.int8, tg.int16, tg.complex64]


def each(make):  # type: ignore[no-untyped-def]
    """Return what `make` makes of each rank."""
    return [make(r) for r in range(SIZE)]


def values(dtype, rank, n=5):  # type: ignore[no-untyped-def]
    return (tg.arange(n) * (rank + 1) + rank).to(dtype).to(DEVICE)


def same(got, wanted, what):  # type: ignore[no-untyped-def]
    assert got.cpu().tolist() == wanted.cpu().tolist(), (what, got, wanted)


def check_dtype(dtype):  # type: ignore[no-untyped-def]
    mine, all_of = values(dtype, RANK), each(lambda r: values(dtype, r))
    total = sum(all_of[1:], all_of[0])
    for ordered in (False, True):
        tg.use_deterministic_algorithms(ordered)
        x = mine.clone()
        assert dist.all_reduce(x) is None
        same(x, total, ("all_reduce", dtype))
    tg.use_deterministic_algorithms(False)
    x = mine.clone()
    dist.broadcast(x, src=SIZE - 1)
    same(x, all_of[-1], "broadcast")
    x = mine.clone()
    dist.reduce(x, dst=0)
    same(x, total if RANK == 0 else mine, "reduce")
    outs = each(lambda r: tg.zeros_like(mine))
    dist.all_gather(outs, mine)
    for got, wanted in zip(outs, all_of, strict=True):
        same(got, wanted, "all_gather")
    whole = tg.zeros(SIZE * 5, dtype=dtype, device=DEVICE)
    dist.all_gather_into_tensor(whole, mine)
    same(whole, tg.cat(all_of), "all_gather_into_tensor")
    outs = each(lambda r: tg.zeros_like(mine)) if RANK == 1 else None
    dist.gather(mine, outs, dst=1)
    for got, wanted in zip(outs or [], all_of if outs else [], strict=True):
        same(got, wanted, "gather")
    x = tg.zeros_like(mine)
    dist.scatter(x, all_of if RANK == 0 else None, src=0)
    same(x, mine, "scatter")
    parts = each(lambda r: values(dtype, RANK + r))
    dist.reduce_scatter(x, parts)
    wanted = each(lambda r: values(dtype, r + RANK))
    same(x, sum(wanted[1:], wanted[0]), "reduce_scatter")
    dist.reduce_scatter_tensor(x, tg.cat(parts))
    same(x, sum(wanted[1:], wanted[0]), "reduce_scatter_tensor")
    outs = each(lambda r: tg.zeros_like(mine))
    dist.all_to_all(outs, parts)
    for got, expected in zip(outs, wanted, strict=True):
        same(got, expected, "all_to_all")


def check_operators():  # type: ignore[no-untyped-def]
    op = dist.ReduceOp
    for how, wanted in (
        (op.AVG, sum(range(1, SIZE + 1)) / SIZE), (op.MIN, 1.0), (op.MAX, float(SIZE)),
    ):  # fmt: skip
        for dtype in (tg.float32, tg.float16):
            x = tg.full((2, 2), RANK + 1.0, dtype=dtype, device=DEVICE)
            dist.all_reduce(x, how)
            assert x.tolist() == [[wanted] * 2] * 2, (how, x)
    x = tg.tensor([1 << RANK, 3], dtype=tg.int32, device=DEVICE)
    dist.all_reduce(x, op.BOR)
    assert x.tolist() == [(1 << SIZE) - 1, 3]
    x = tg.tensor([RANK == 0, True], device=DEVICE)
    dist.all_reduce(x, op.PRODUCT)
    assert x.tolist() == [SIZE == 1, True]
    for bad, y in ((op.BOR, tg.ones(1)), (op.AVG, tg.ones(1, dtype=tg.int32))):
        with pytest.raises(RuntimeError, match=f"ReduceOp.{bad.name}"):
            dist.all_reduce(y, bad)


def check_async():  # type: ignore[no-untyped-def]
    tensors = [tg.full((1000,), float(RANK + i), device=DEVICE) for i in range(8)]
    works = [dist.all_reduce(x, async_op=True) for x in tensors]
    futures = [w.get_future().then(lambda f: f.value()[0] * 2) for w in works]
    seen = dist.all_reduce(tg.ones(2, device=DEVICE), async_op=True)
    earlier = seen.get_future()
    seen.wait()
    assert earlier.value()[0].tolist() == [SIZE] * 2
    for i, (work, future) in reversed(list(enumerate(zip(works, futures, strict=True)))):
        wanted = float(sum(r + i for r in range(SIZE)))
        assert work.wait()
        assert work.is_completed()
        assert work.is_success()
        assert work.exception() is None
        assert tensors[i].unique().tolist() == [wanted]
        assert future.wait()[0].item() == 2 * wanted
        assert future.done()
    view = tg.zeros(3, 4, device=DEVICE)
    column = view[:, 1]
    column += RANK
    dist.all_reduce(column)
    assert view.sum().item() == 3 * sum(range(SIZE))
    assert view[:, 0].sum().item() == 0
    leaf = tg.ones(2, requires_grad=True, device=DEVICE)
    dist.broadcast(leaf, 0)
    assert leaf.is_leaf
    assert leaf.requires_grad


def check_messages():  # type: ignore[no-untyped-def]
    after, before = (RANK + 1) % SIZE, (RANK - 1) % SIZE
    x, y = values(tg.float32, RANK), tg.zeros(5, device=DEVICE)
    ops = [dist.P2POp(dist.isend, x, after), dist.P2POp(dist.irecv, y, before)]
    for work in dist.batch_isend_irecv(ops):
        work.wait()
    same(y, values(tg.float32, before), "batch_isend_irecv")
    if RANK == 0:
        dist.send(x, 1, tag=3)
        dist.send_object_list([{"a": 1}, "b"], 1)
    elif RANK == 1:
        assert dist.recv(y, tag=3) == 0
        same(y, values(tg.float32, 0), "recv")
        got = [None, None]
        assert dist.recv_object_list(got, 0) == 0
        assert got == [{"a": 1}, "b"]


def check_derivatives():  # type: ignore[no-untyped-def]
    """Each gives the gradient of the sum of all losses, as the same sums and lists in one process do."""
    lists = [[values(tg.float32, r + i) for i in range(SIZE)] for r in range(SIZE)]
    zeros = tg.zeros(5, device=DEVICE)
    last = SIZE - 1

    def total(xs):  # type: ignore[no-untyped-def]
        return sum(xs[1:], xs[0])

    def on(rank, r, outs):  # type: ignore[no-untyped-def]
        return outs if r == rank else [zeros] * len(outs)

    for name, call, wanted in (
        ("all_gather", lambda a: F.all_gather(a[0]), lambda p, r: [a[0] for a in p]),
        ("all_reduce", lambda a: [F.all_reduce(a[0])], lambda p, r: [total([a[0] for a in p])]),
        ("broadcast", lambda a: [F.broadcast(a[0], last)], lambda p, r: [p[last][0]]),
        ("gather", lambda a: F.gather(a[0], last), lambda p, r: on(last, r, [a[0] for a in p])),
        ("scatter", lambda a: [F.scatter(a, last)], lambda p, r: [p[last][r]]),
        ("reduce_scatter", lambda a: [F.reduce_scatter(zeros, a)], lambda p, r: [total([a[r] for a in p])]),
        ("all_to_all", lambda a: F.all_to_all([zeros] * SIZE, a), lambda p, r: [a[r] for a in p]),
    ):  # fmt: skip
        mine = [x.clone().requires_grad_() for x in lists[RANK]]
        whole = [[x.clone().requires_grad_() for x in part] for part in lists]
        outs = [wanted(whole, r) for r in range(SIZE)]
        for got, expected in zip(call(mine), outs[RANK], strict=True):
            same(got.detach(), expected.detach(), name)
        losses = [
            (o.square() * (r + 1 + i)).sum() for r in range(SIZE) for i, o in enumerate(outs[r])
        ]
        total(losses).backward()
        total([(o.square() * (RANK + 1 + i)).sum() for i, o in enumerate(call(mine))]).backward()
        for x, y in zip(mine, whole[RANK], strict=True):
            got = zeros if x.grad is None else x.grad
            same(got, zeros if y.grad is None else y.grad, (name, "gradient"))
    x = tg.ones(2, device=DEVICE, requires_grad=True)
    y = F.reduce(x * (RANK + 1), 0)
    (y.sum() if RANK == 0 else (y * 0).sum()).backward()
    assert x.grad.tolist() == [RANK + 1.0] * 2
    with pytest.raises(NotImplementedError, match="only the sum"):
        F.all_reduce(x, dist.ReduceOp.MAX)


def check_objects():  # type: ignore[no-untyped-def]
    got = [None] * SIZE
    dist.all_gather_object(got, {"rank": RANK, "tensor": tg.ones(RANK)})
    assert [g["rank"] for g in got] == list(range(SIZE)), got
    assert [g["tensor"].numel() for g in got] == list(range(SIZE))
    given = ["x" * 3000, 4] if RANK == 0 else [None, None]
    dist.broadcast_object_list(given, src=0)
    assert given == ["x" * 3000, 4]
    out = [None]
    dist.scatter_object_list(out, [f"for {r}" for r in range(SIZE)] if RANK == 0 else None)
    assert out == [f"for {RANK}"]
    places = [None] * SIZE if RANK == 0 else None
    dist.gather_object(RANK * 10, places)
    assert places is None or places == [r * 10 for r in range(SIZE)]


def check_errors() -> None:
    """What MPI says after calls that differ comes with advice."""
    mpi = dist.group.WORLD.engine.mpi
    level = dist.get_debug_level()
    dist.environment.set_debug_level(dist.DebugLevel.OFF)
    for kind in (mpi.ERR_OTHER, mpi.ERR_TRUNCATE):
        told = mpi.explained(mpi.module.Exception(kind))
        assert "the ranks" in told, told
        assert "TORCH_DISTRIBUTED_DEBUG=DETAIL" in told, told
    dist.environment.set_debug_level(level)


def check_groups():  # type: ignore[no-untyped-def]
    last = dist.new_group([SIZE - 1])
    both = dist.new_group([0, SIZE - 1])
    x = tg.ones(1, device=DEVICE) * RANK
    dist.all_reduce(x, group=both)
    assert x.item() == (SIZE - 1 if RANK in (0, SIZE - 1) else RANK)
    assert dist.get_rank(last) == (0 if RANK == SIZE - 1 else -1)
    if RANK in (0, SIZE - 1):
        assert dist.get_process_group_ranks(both) == [0, SIZE - 1]
        assert dist.get_global_rank(both, 1) == SIZE - 1
        assert dist.get_group_rank(both, SIZE - 1) == 1
        dist.broadcast(x, group=both, group_src=1)
    if RANK in (0, SIZE - 1):
        for _ in range(2):  # those in it call it, and no other
            pair = dist.new_group([0, SIZE - 1], use_local_synchronization=True)
            x = tg.ones(1, device=DEVICE)
            dist.all_reduce(x, group=pair)
            assert x.item() == 2
        # what has not been waited for does not hold up what another rank waits for first
        if RANK == 0:
            work = dist.all_reduce(x, group=pair, async_op=True)
            dist.recv(tg.zeros(1, device="cpu"), SIZE - 1, group=both)
            work.wait()
        else:
            dist.all_reduce(x, group=pair)
            dist.send(tg.zeros(1, device="cpu"), 0, group=both)
        assert x.item() == 4
    own, parts = dist.new_subgroups(1)
    assert dist.get_world_size(own) == 1
    assert len(parts) == SIZE
    dist.monitored_barrier()
    assert dist.get_backend() == BACKEND
    assert dist.group.WORLD is dist.GroupMember.WORLD


for each_dtype in DTYPES:
    check_dtype(each_dtype)
check_operators()
check_async()
check_messages()
check_derivatives()
check_objects()
check_errors()
check_groups()
sizes = [r + 1 for r in range(SIZE)]
out = tg.zeros(SIZE * (RANK + 1), device=DEVICE)
dist.all_to_all_single(out, tg.ones(sum(sizes), device=DEVICE) * RANK, [RANK + 1] * SIZE, sizes)
assert out.tolist() == [float(r) for r in range(SIZE) for _ in range(RANK + 1)]
x = tg.ones(sum(sizes), device=DEVICE, requires_grad=True)
with tg.enable_grad():
    y = all_to_all_single_autograd(x, [RANK + 1] * SIZE, sizes, None)
    (y * (RANK + 1)).sum().backward()
# what went to rank r was multiplied by r + 1 there
assert x.grad.tolist() == [float(r + 1) for r in range(SIZE) for _ in range(r + 1)]
dist.barrier()
dist.destroy_process_group()
assert not dist.is_initialized()
print(f"rank {RANK} of {SIZE} is done", flush=True)
