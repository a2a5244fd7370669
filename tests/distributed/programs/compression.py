"""Each communication hook: what it sends and leaves out makes the gradient; the digits are learnt with it."""

from __future__ import annotations

import math
import pickle
import sys
from functools import partial

from tabgrad.distributed.optim import PostLocalSGDOptimizer

import tabgrad as tg
import tabgrad.distributed as dist
from tabgrad import nn
from tabgrad.distributed.algorithms.ddp_comm_hooks import (
    default_hooks,
    post_localSGD_hook as local,
    powerSGD_hook as power,
    quantization_hooks as quantization,
    sign_hooks as sign,
    sparsification_hooks as sparse,
)
from tabgrad.distributed.algorithms.model_averaging.averagers import PeriodicModelAverager
from tabgrad.examples import load_digits

DEVICE, WHAT = sys.argv[1], sys.argv[2]
tg.set_default_device(DEVICE)
dist.init_process_group("mpi")
RANK, SIZE = dist.get_rank(), dist.get_world_size()
WORLD = dist.group.WORLD
ALONE = dist.new_subgroups(1)[0]


def power_state(group, rank=2, start=2):  # type: ignore[no-untyped-def]
    return power.PowerSGDState(group, matrix_approximation_rank=rank, start_powerSGD_iter=start)


HOOKS = {
    "none": (lambda g: g, default_hooks.allreduce_hook),
    "fp16": (lambda g: g, default_hooks.fp16_compress_hook),
    "bf16": (lambda g: g, default_hooks.bf16_compress_hook),
    "PowerSGD, rank 2": (power_state, power.powerSGD_hook),
    "PowerSGD, batched": (partial(power_state, rank=4), power.batched_powerSGD_hook),
    "PowerSGD in fp16": (power_state, default_hooks.fp16_compress_wrapper(power.powerSGD_hook)),
    "top 5 %": (lambda g: sparse.TopKState(g, 0.05), sparse.topk_hook),
    "random 10 %": (lambda g: sparse.RandomKState(g, 0.1), sparse.randomk_hook),
    "signs": (sign.SignState, sign.signSGD_hook),
    "8 bits": (quantization.QuantizationState, quantization.quantization_pertensor_hook),
    "8 bits by parts": (
        quantization.QuantizationState,
        partial(quantization.quantization_perchannel_hook, bucket_size=64),
    ),
    "local": (lambda g: local.PostLocalSGDState(g, ALONE, 20), local.post_localSGD_hook),
}
RATE = 0.3
EPOCHS = {"random 10 %": 8, "signs": 8}
EXACT = {"top 5 %", "random 10 %", "8 bits", "8 bits by parts"}


def summed(x):  # type: ignore[no-untyped-def]
    x = x.cpu().double()
    dist.all_reduce(x)
    return x


def check_sums(name, make, hook):  # type: ignore[no-untyped-def]
    """What one process sends and what it leaves out are its gradient; so are the sums over all."""
    for group, size in ((ALONE, 1), (WORLD, SIZE)):
        state = make(group)
        if isinstance(state, power.PowerSGDState):
            state.iter = state.start_powerSGD_iter
        tg.manual_seed(10 + RANK)
        params = [nn.Parameter(tg.zeros(40, 30)), nn.Parameter(tg.zeros(7))]
        for step in range(3):
            before = state.error_dict.get(0, tg.zeros(1207)).clone()
            bucket = dist.GradBucket(0, params, True)
            grad = tg.randn(1207)
            bucket.set_buffer(grad.clone())
            result = hook(state, bucket).wait()
            wanted, left = grad + before, state.error_dict[0]
            if group is ALONE and name in EXACT:
                assert (result + left).tolist() == wanted.tolist(), (name, step)
            if name == "signs" and group is WORLD:
                continue  # a vote is not a sum
            total = summed(left) + size * (result.cpu().double() if size > 1 else 0)
            if size == 1:
                total = total + summed(result)
            error = (total - summed(wanted)).abs().max().item()
            assert error < 2e-6 * SIZE * 4, (name, step, error)
        state = pickle.loads(pickle.dumps(state))
        assert state.error_dict[0].tolist() == left.tolist()


class Backwards(nn.Module):
    """Uses its layers in another order than it has them, for which buckets would be arranged anew."""

    def __init__(self) -> None:
        super().__init__()
        tg.manual_seed(1)
        self.last = nn.Linear(8, 8, bias=False)
        self.first = nn.Linear(8, 8, bias=False)

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.last(self.first(x).tanh())


def gradients(net):  # type: ignore[no-untyped-def]
    return tg.stack([net.last.weight.grad, net.first.weight.grad]).cpu()


def check_steps(name, make, hook):  # type: ignore[no-untyped-def]
    """Over steps of a model too, where each residual belongs to its parameter; infinite gradients pass."""
    state = make(WORLD)
    net, alone = nn.parallel.DistributedDataParallel(Backwards()), Backwards()
    net.register_comm_hook(state, hook)
    sent = wanted = tg.zeros(2, 8, 8, device="cpu")
    for step in range(7):
        tg.manual_seed(step)
        x = tg.randn(SIZE, 6, 8)
        net.zero_grad()
        loss = net(x[RANK]).square().mean()
        (loss * math.inf if step == 5 and RANK == 1 else loss).backward()
        got = gradients(net.module)
        assert bool(got.isfinite().all()) == (step != 5), (name, step)
        if step < 5:
            sent = sent + got
            alone.zero_grad()
            alone(x.reshape(-1, 8)).square().mean().backward()
            wanted = wanted + gradients(alone)
        if step == 4 and name != "signs":
            bucket = net.reducer.buckets[0]
            left = dict(
                zip(map(id, bucket.parameters()), bucket.split(state.error_dict[0]), strict=True)
            )
            parts = [left[id(p)] for p in (net.module.last.weight, net.module.first.weight)]
            total = sent + summed(tg.stack(parts)) / SIZE
            assert (total - wanted).abs().max().item() < 1e-6, name


def check_low_rank() -> None:
    """PowerSGD sends a gradient of lower rank than its own exactly."""
    state = power_state(WORLD, rank=6)
    state.min_compression_rate = 0.5
    net = nn.parallel.DistributedDataParallel(nn.Linear(12, 12, bias=False))
    net.register_comm_hook(state, power.powerSGD_hook)
    for step in range(4):
        tg.manual_seed(step)
        x = tg.randn(1, 12)  # one example on each: rank 2 with two processes
        net.zero_grad()
        net(x * (RANK + 1)).square().sum().backward()
        wanted = summed((2 * net.module(x * (RANK + 1)).T @ (x * (RANK + 1))).detach()) / SIZE
        got = net.module.weight.grad.cpu()
        assert (got - wanted).abs().max().item() < 1e-4 * wanted.abs().max().item(), step


def digits():  # type: ignore[no-untyped-def]
    images, labels = load_digits()
    held = tg.arange(len(images), device="cpu") % 5 == 0
    images = images.reshape(len(images), -1).to(DEVICE)
    images = 6 * (images - images.mean(0))
    labels = labels.to(DEVICE)
    rest, kept = (~held).nonzero().reshape(-1).to(DEVICE), held.nonzero().reshape(-1).to(DEVICE)
    return images[rest], labels[rest], images[kept], labels[kept]


def learn(name, make, hook, data, epochs=5):  # type: ignore[no-untyped-def]
    images, labels, test_images, test_labels = data
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 10))
    net = nn.parallel.DistributedDataParallel(model)
    net.register_comm_hook(make(WORLD), hook)
    optimizer = tg.optim.SGD(net.parameters(), lr=RATE)
    if name == "local":
        averager = PeriodicModelAverager(period=4, warmup_steps=20, process_group=WORLD)
        optimizer = PostLocalSGDOptimizer(optimizer, averager)
    sampler = tg.utils.data.DistributedSampler(range(len(images)))
    before, steps, total = WORLD.bytes_given, 0, epochs * math.ceil(len(sampler) / 32)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        order = tg.tensor(list(sampler))
        for batch in order.split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimizer.step()
            steps += 1
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - steps / total)
    with tg.no_grad():
        right = (net(test_images).argmax(1) == test_labels).float().mean().item()
    sent = (WORLD.bytes_given - before) / steps
    print(f"rank {RANK} {name}: {100 * right:.1f} % with {sent:.0f} bytes a step", flush=True)
    assert right >= 0.95, name


for hook_name, (make_state, its_hook) in HOOKS.items():
    if WHAT == "sums" and hook_name not in ("none", "fp16", "bf16", "PowerSGD in fp16", "local"):
        check_sums(hook_name, make_state, its_hook)
        check_steps(hook_name, make_state, its_hook)
    elif WHAT == "digits":
        learn(hook_name, make_state, its_hook, digits(), EPOCHS.get(hook_name, 5))
if WHAT == "sums":
    check_low_rank()
print(f"rank {RANK} is done", flush=True)
