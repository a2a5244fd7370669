"""What DistributedDataParallel and ZeroRedundancyOptimizer do beside plain training."""

from __future__ import annotations

import copy
import pickle
import sys
import time
from contextlib import nullcontext

import pytest
from tabgrad.distributed.optim import ZeroRedundancyOptimizer

import tabgrad as tg
import tabgrad.distributed as dist
from tabgrad import nn
from tabgrad.distributed import checkpoint
from tabgrad.nn.parallel import DistributedDataParallel

DEVICE, FOLDER = sys.argv[1], sys.argv[2]
tg.set_default_device(DEVICE)
dist.init_process_group("mpi")
RANK, SIZE = dist.get_rank(), dist.get_world_size()


class Net(nn.Module):
    """Two heads, of which a call uses the one that is asked for."""

    def __init__(self) -> None:
        super().__init__()
        tg.manual_seed(1)
        self.body = nn.Linear(4, 6)
        self.heads = nn.ModuleList([nn.Linear(6, 2), nn.Linear(6, 2)])
        self.never = nn.Linear(3, 3)

    def forward(self, x, head=0):  # type: ignore[no-untyped-def]
        return self.heads[head](self.body(x).tanh())


def data(seed=0, n=8):  # type: ignore[no-untyped-def]
    tg.manual_seed(seed)
    return tg.randn(n, 4)


def plain(seed: int = 1) -> nn.Module:
    tg.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))


def close(a, b, what):  # type: ignore[no-untyped-def]
    assert (a.detach().cpu() - b.detach().cpu()).abs().max().item() < 1e-6, what


def same_grads(net, wanted, what):  # type: ignore[no-untyped-def]
    for (name, p), q in zip(net.named_parameters(), wanted.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), (what, name)
        if q.grad is not None:
            close(p.grad, q.grad, (what, name))


def mine(x):  # type: ignore[no-untyped-def]
    return x[RANK::SIZE]


def check_accumulation() -> None:
    net, alone = DistributedDataParallel(plain()), plain()
    for _ in range(2):
        with net.no_sync():
            net(mine(data(1))).square().mean().backward()
        net(mine(data(2))).square().mean().backward()
        for seed in (1, 2):
            alone(data(seed)).square().mean().backward()
        same_grads(net.module, alone, "no_sync")
    length = nn.utils.clip_grad_norm_(net.parameters(), 0.01)
    close(length, nn.utils.clip_grad_norm_(alone.parameters(), 0.01), "clip")
    same_grads(net.module, alone, "clip")


def check_unused() -> None:
    net, alone = DistributedDataParallel(Net(), find_unused_parameters=True), Net()
    head = RANK % 2  # each head is used on some processes only
    net(mine(data()), head).square().mean().backward()
    losses = [alone(data()[r::SIZE], r % 2).square().mean() for r in range(SIZE)]
    (sum(losses[1:], losses[0]) / SIZE).backward()
    same_grads(net.module, alone, "unused")
    check_left_out()
    strict = DistributedDataParallel(Net())
    with pytest.raises(RuntimeError, match=r"heads\.1\.weight.*find_unused_parameters=True"):
        strict(mine(data())).square().mean().backward()
    dist.barrier()


class Pair(Net):
    """Returns what both heads say."""

    def forward(self, x):  # type: ignore[no-untyped-def]
        return {"first": super().forward(x, 0), "both": [super().forward(x, 1)]}


def check_left_out() -> None:
    """An output that the loss leaves out, and a head that only steps without averaging use."""
    small = {"find_unused_parameters": True, "bucket_cap_mb": 1e-5}
    pair, alone = DistributedDataParallel(Pair(), **small), Pair()
    for step in range(2):
        for net, x in ((pair, mine(data(step))), (alone, data(step))):
            net(x)["first"].square().mean().backward()
        same_grads(pair.module, alone, "an output is left out")
    net, alone = DistributedDataParallel(Net(), **small), Net()
    for step in range(2):
        with net.no_sync():
            net(mine(data(step)), 1).square().mean().backward()
        net(mine(data(5)), 0).square().mean().backward()
        alone(data(step), 1).square().mean().backward()
        alone(data(5), 0).square().mean().backward()
        same_grads(net.module, alone, "used without averaging")
        net.zero_grad()
        alone.zero_grad()
    net(mine(data(5)), 0).square().mean().backward()
    assert net.module.heads[1].weight.grad is None


class Inner(tg.autograd.Function):
    """Calls a module; backward runs a backward of its own, so parameters get their gradients in parts."""

    @staticmethod
    def forward(ctx, x, module):  # type: ignore[no-untyped-def]
        ctx.module = module
        ctx.save_for_backward(x)
        with tg.no_grad():
            return module(x)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with tg.enable_grad():
            ctx.module(x).backward(grad)
        return x.grad, None


class Twice(nn.Module):
    """Uses one layer twice."""

    def __init__(self, parts: bool) -> None:
        super().__init__()
        tg.manual_seed(1)
        self.parts = parts
        self.never = nn.Linear(2, 2)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):  # type: ignore[no-untyped-def]
        for _ in range(2):
            x = Inner.apply(x, self.a).tanh() if self.parts else self.a(x).tanh()
        return self.b(x)


def check_when_gradients_come() -> None:
    """Each gradient is whole when it is sent, whatever is called in between, or the error says so."""
    small = {"bucket_cap_mb": 1e-5}
    net, alone = DistributedDataParallel(plain()), plain()
    first = net(mine(data(1)))
    second = net(mine(data(2)))
    with tg.no_grad():
        net(mine(data(2)))
    first.square().mean().backward()
    second.square().mean().backward()
    for seed in (1, 2):
        alone(data(seed)).square().mean().backward()
    same_grads(net.module, alone, "forwards before backwards")

    static, whole = DistributedDataParallel(Twice(True), static_graph=True, **small), Twice(False)
    later = DistributedDataParallel(Twice(True), **small)
    later._set_static_graph()
    for step in range(3):
        whole.zero_grad()
        whole(data(step)).square().mean().backward()
        for net in (static, later):
            net.zero_grad()
            net(mine(data(step)).requires_grad_()).square().mean().backward()
            same_grads(net.module, whole, "static")
    parts = DistributedDataParallel(Twice(True), find_unused_parameters=True, **small)
    with pytest.raises(RuntimeError, match=r"ready only once: parameter a\.\w+ .*static_graph"):
        parts(mine(data()).requires_grad_()).square().mean().backward()
    beside = DistributedDataParallel(Twice(False), find_unused_parameters=True, **small)
    penalty = beside.module.never.weight.square().sum()  # its gradient comes last
    with pytest.raises(RuntimeError, match=r"ready only once: parameter never\.weight"):
        (beside(mine(data())).square().mean() + penalty).backward()
    seen = DistributedDataParallel(Twice(False), **small)
    with pytest.raises(RuntimeError, match=r"no gradient to the parameters never\.bias;"):
        (seen(mine(data())).square().mean() + seen.module.never.weight.sum()).backward()


def check_copies_and_sparse() -> None:
    for make in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        net, alone = make(DistributedDataParallel(plain())), plain()
        net(mine(data())).square().mean().backward()
        alone(data()).square().mean().backward()
        same_grads(net.module, alone, "a copy")
    table = DistributedDataParallel(nn.Embedding(6, 2, sparse=True))
    table(tg.tensor([RANK, RANK + 1])).sum().backward()
    found = table.module.weight.grad
    assert found.is_sparse
    wanted = sum(
        (nn.functional.one_hot(tg.tensor([r, r + 1]), 6).sum(0) for r in range(SIZE)), tg.zeros(6)
    )
    close(found.to_dense(), (wanted / SIZE).reshape(6, 1).expand(6, 2), "sparse")


def check_checkpointed_and_scaled() -> None:
    net, alone = DistributedDataParallel(plain(), gradient_as_bucket_view=True), plain()
    scaler = tg.amp.GradScaler("cpu" if DEVICE == "cpu" else "cuda", init_scale=64.0, enabled=True)
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
    body = net.module
    out = tg.utils.checkpoint.checkpoint(lambda x: net(x), mine(data()), use_reentrant=False)
    scaler.scale(out.square().mean()).backward()
    scaler.unscale_(optimizer)
    alone(data()).square().mean().backward()
    same_grads(body, alone, "checkpoint, scaler")
    scaler.step(optimizer)
    scaler.update()


def check_buffers_and_names() -> None:
    tg.manual_seed(RANK)
    inner = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    net = DistributedDataParallel(inner)
    for step in range(3):
        net(data(step * SIZE + RANK)).sum().backward()
    net.eval()
    first = inner[1].running_mean.clone()
    with tg.no_grad():
        net(data(0))  # the buffers of rank 0 came before this
    wanted = inner[1].running_mean.clone()
    assert (wanted.tolist() == first.tolist()) == (RANK == 0)
    net.train()
    found = [tg.zeros_like(wanted) for _ in range(SIZE)]
    dist.all_gather(found, wanted)
    assert all(x.tolist() == found[0].tolist() for x in found)
    state = net.state_dict()
    assert next(iter(state)) == "module.0.weight"
    net.load_state_dict(inner.state_dict())
    net.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"rank 0 has .* rank 1 has"):
        DistributedDataParallel(nn.Linear(2, 2 + RANK))


def check_synchronised_batch_norm() -> None:
    """The statistics are those of all batches, of different sizes."""
    tg.manual_seed(4)
    parts = [tg.randn(3 + r, 4, 2) for r in range(SIZE)]
    for momentum in (0.1, None):
        alone = nn.BatchNorm1d(4, momentum=momentum)
        net = DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(alone)))
        whole, part = tg.cat(parts).requires_grad_(), parts[RANK].clone().requires_grad_()
        for _ in range(2):
            alone(whole).pow(3).sum().backward()
            net(part).pow(3).sum().backward()
        at = sum(3 + r for r in range(RANK))
        for got, wanted in (
            (part.grad, whole.grad[at : at + 3 + RANK]), (net.module.running_mean, alone.running_mean),
            (net.module.running_var, alone.running_var),
        ):  # fmt: skip
            assert (got - wanted).abs().max().item() < 1e-5, momentum
        # each process has a loss, and DistributedDataParallel averages
        assert (net.module.weight.grad * SIZE - alone.weight.grad).abs().max().item() < 1e-4
        assert net.module.num_batches_tracked.item() == 2


def check_join() -> None:
    net, alone = DistributedDataParallel(plain(), bucket_cap_mb=1e-4), plain()
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
    other = tg.optim.SGD(alone.parameters(), lr=0.1)
    counts = [2 + 2 * r for r in range(SIZE)]
    with net.join(divide_by_initial_world_size=False):
        for step in range(counts[RANK]):
            optimizer.zero_grad()
            net(data(10 * RANK + step)).square().mean().backward()
            optimizer.step()
    for step in range(max(counts)):
        there = [r for r in range(SIZE) if step < counts[r]]
        losses = [alone(data(10 * r + step)).square().mean() for r in there]
        other.zero_grad()
        (sum(losses[1:], losses[0]) / len(losses)).backward()
        other.step()
    for p, q in zip(net.parameters(), alone.parameters(), strict=True):
        close(p, q, "join")
    # buffers are given in each step, whatever a process did before it had no more batches
    normed = DistributedDataParallel(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    with normed.join():
        for step in range(counts[RANK]):
            with nullcontext() if step % 2 else normed.no_sync():
                normed(data(10 * RANK + step)).square().mean().backward()
    found: list[object] = [None] * SIZE
    mean = normed.module[1].running_mean.tolist()
    dist.all_gather_object(found, [mean, normed.module[0].weight.tolist()])
    assert all(x == found[0] for x in found)
    with pytest.raises(RuntimeError, match="exhausted inputs"):  # noqa: PT012
        with net.join(throw_on_early_termination=True):
            for step in range(counts[RANK]):
                net(data(step)).sum().backward()


def check_zero() -> None:
    net, alone = DistributedDataParallel(plain()), plain()
    zero = ZeroRedundancyOptimizer(net.parameters(), tg.optim.Adam, lr=0.05)
    other = tg.optim.Adam(alone.parameters(), lr=0.05)
    schedule = tg.optim.lr_scheduler.StepLR(zero, 2)
    other_schedule = tg.optim.lr_scheduler.StepLR(other, 2)

    def steps(count, seed):  # type: ignore[no-untyped-def]
        for step in range(count):
            for model, optimizer, part in ((net, zero, mine), (alone, other, lambda x: x)):
                optimizer.zero_grad()
                model(part(data(seed + step))).square().mean().backward()
                optimizer.step()
            schedule.step()
            other_schedule.step()

    steps(3, 0)
    for p, q in zip(net.parameters(), alone.parameters(), strict=True):
        close(p, q, "zero")
    own = sum(zero.owner[id(p)] == RANK for p in net.parameters())
    assert len(zero.optim.state) == own < 4
    zero.consolidate_state_dict(to=1)
    if RANK == 1:
        whole = other.state_dict()
        for i, state in zero.state_dict()["state"].items():
            close(state["exp_avg"], whole["state"][i]["exp_avg"], "state")
        assert zero.state_dict()["param_groups"][0]["lr"] == whole["param_groups"][0]["lr"]
    else:
        with pytest.raises(RuntimeError, match="not been consolidated"):
            zero.state_dict()
    with pytest.raises(ValueError, match="LBFGS needs all"):
        ZeroRedundancyOptimizer(net.parameters(), tg.optim.LBFGS)
    parts = {
        "model": net.module,
        "optim": zero,
        "schedule": schedule,
        "step": 3,
        "nested": {"list": [tg.ones(2), "a"]},
        # each has its own: that of rank 0 is kept, on which of them the rest may lie
        "own": {str(i): tg.full((3,), float(RANK)) for i in range(4)},
        f"of rank {RANK}": RANK,
    }
    metadata = checkpoint.save(parts, checkpoint_id=FOLDER)
    assert len(set(metadata.files.values())) == SIZE  # each process wrote a part
    steps(2, 3)
    with pytest.raises(RuntimeError, match="not been consolidated"):
        zero.state_dict()  # there were steps since
    checkpoint.save({"model": alone, "optim": other}, checkpoint_id=FOLDER + "-after")


def check_compiled() -> None:
    compiled, alone = DistributedDataParallel(tg.compile(plain())), plain()
    for _ in range(3):
        compiled.zero_grad()
        compiled(mine(data())).square().mean().backward()
    alone(data()).square().mean().backward()
    same_grads(compiled.module, alone, "compiled")


def check_overlap() -> None:
    """Gradients are on their way while backward goes on."""
    tg.manual_seed(0)
    layers = [m for _ in range(6) for m in (nn.Linear(48, 48), nn.Tanh())]
    net = DistributedDataParallel(nn.Sequential(*layers), bucket_cap_mb=0.01)
    x, world, ends = mine(tg.randn(32, 48)), dist.group.WORLD, []
    finish = net.reducer.finish
    net.reducer.finish = lambda: (ends.append(time.monotonic()), finish())
    for _ in range(2):
        world.trace = []
        net(x).square().mean().backward()
    sent, end = [given for _, given, _ in world.trace[-6:]], ends[-1]
    # on a device that records, the last waits for the device at the end of backward
    early = sum(given < end for given in sent)
    assert early >= (6 if DEVICE == "cpu" else 5), (sent, end)
    assert sent == sorted(sent)
    world.trace = None


for check in (
    check_accumulation, check_unused, check_when_gradients_come, check_copies_and_sparse,
    check_checkpointed_and_scaled, check_buffers_and_names, check_join,
    check_zero, check_compiled, check_overlap,
):  # fmt: skip
    if DEVICE == "cpu" or check is not check_when_gradients_come:
        check()
print(f"rank {RANK} is done", flush=True)
