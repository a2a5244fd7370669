"""A checkpoint that two processes wrote, read by as many as there are: training goes on where it was."""

from __future__ import annotations

import sys

import pytest
from tabgrad.distributed.optim import ZeroRedundancyOptimizer

import tabgrad as tg
import tabgrad.distributed as dist
from tabgrad import nn
from tabgrad.distributed import checkpoint

FOLDER = sys.argv[1]
tg.set_default_device("cpu")
dist.init_process_group("mpi")
RANK, SIZE = dist.get_rank(), dist.get_world_size()


def data(seed, n=8):  # type: ignore[no-untyped-def]
    tg.manual_seed(seed)
    return tg.randn(n, 4)


tg.manual_seed(100 + RANK)
model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
net = nn.parallel.DistributedDataParallel(model)
zero = ZeroRedundancyOptimizer(net.parameters(), tg.optim.Adam, lr=1.0)
schedule = tg.optim.lr_scheduler.StepLR(zero, 2)
found = {"schedule": schedule, "model": model, "optim": zero, "step": 0, "nested": {"list": None}}
checkpoint.load(found, checkpoint_id=FOLDER)
assert found["step"] == 3
own = {"own": {str(i): tg.ones(3) for i in range(4)}, f"of rank {min(RANK, 1)}": None}
checkpoint.load(own, checkpoint_id=FOLDER)
assert own[f"of rank {min(RANK, 1)}"] == min(RANK, 1)
assert all(x.tolist() == [0.0] * 3 for x in own["own"].values())
assert found["nested"]["list"][0].tolist() == [1.0, 1.0]
for step in (3, 4):
    zero.zero_grad()
    net(data(step)[RANK::SIZE]).square().mean().backward()
    zero.step()
    schedule.step()
wanted = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
checkpoint.load({"model": wanted}, checkpoint_id=FOLDER + "-after")
for p, q in zip(model.parameters(), wanted.parameters(), strict=True):
    assert (p - q).abs().max().item() < 1e-6
with pytest.raises(checkpoint.CheckpointException, match=r"0\.weight is float32 \(6, 4\)"):
    checkpoint.load({"model": {"0.weight": tg.zeros(2)}}, checkpoint_id=FOLDER)
with pytest.raises(checkpoint.CheckpointException, match=r"no value model\.absent"):
    checkpoint.load({"model": {"absent": tg.zeros(2)}}, checkpoint_id=FOLDER)
print(f"rank {RANK} is done", flush=True)
