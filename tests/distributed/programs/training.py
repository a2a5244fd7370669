"""A model trained by all ranks, beside the same model trained by one with the whole batches."""

from __future__ import annotations

import hashlib
import sys

import tabgrad as tg
import tabgrad.distributed as dist
from tabgrad import nn

DEVICE, STEPS = sys.argv[1], int(sys.argv[2])
tg.set_default_device(DEVICE)
dist.init_process_group("mpi")
RANK, SIZE = dist.get_rank(), dist.get_world_size()


def model(seed: int = 0) -> nn.Module:
    tg.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 3)
    )


def batches(count: int = STEPS):  # type: ignore[no-untyped-def]
    tg.manual_seed(7)
    for _ in range(count):
        x = tg.randn(16, 8)
        yield x, (x[:, :3] * 2).sin() + 0.1 * x[:, 3:6]


def train(net, optimizer, mine):  # type: ignore[no-untyped-def]
    for x, y in batches():
        if mine:
            x, y = x[RANK::SIZE], y[RANK::SIZE]
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()


def vector(net):  # type: ignore[no-untyped-def]
    return nn.utils.parameters_to_vector([p.detach().cpu() for p in net.parameters()])


def largest(a, b):  # type: ignore[no-untyped-def]
    return (a - b).abs().max().item()


alone = model()
train(alone, tg.optim.SGD(alone.parameters(), lr=0.05, momentum=0.9), False)
for view in (False, True) if DEVICE == "cpu" else (True,):
    # each rank begins with parameters of its own; those of rank 0 count
    net = nn.parallel.DistributedDataParallel(
        model(RANK), bucket_cap_mb=0.001, gradient_as_bucket_view=view
    )
    assert len(net.reducer.buckets) > 2
    train(net, tg.optim.SGD(net.parameters(), lr=0.05, momentum=0.9), True)
    found = vector(net)
    everyone = [tg.zeros_like(found) for _ in range(SIZE)]
    dist.all_gather(everyone, found)
    assert all(x.tolist() == found.tolist() for x in everyone)
    assert largest(vector(alone), vector(model())) > 0.1
    print(f"rank {RANK} difference {largest(found, vector(alone)):.2e}", flush=True)
digest = hashlib.sha256(found.numpy().tobytes()).hexdigest()
print(f"rank {RANK} digest {digest}", flush=True)
