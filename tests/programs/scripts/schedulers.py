import math

import torch
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
    _LRScheduler,
)


class WarmupCosine(_LRScheduler):
    def __init__(self, optimizer, warmup, total, last_epoch=-1):
        self.warmup, self.total = warmup, total
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch < self.warmup:
            return [base * (self.last_epoch + 1) / self.warmup for base in self.base_lrs]
        t = (self.last_epoch - self.warmup) / (self.total - self.warmup)
        return [base * 0.5 * (1 + math.cos(math.pi * t)) for base in self.base_lrs]


def get_lr(optimizer):
    for param_group in optimizer.param_groups:
        return param_group["lr"]


makers = {
    "step": lambda o: StepLR(o, 3, 0.5),
    "multi": lambda o: MultiStepLR(o, milestones=[2, 5], gamma=0.1),
    "exp": lambda o: ExponentialLR(o, 0.9),
    "cosine": lambda o: CosineAnnealingLR(o, T_max=8, eta_min=0.001),
    "restarts": lambda o: CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2),
    "cyclic": lambda o: CyclicLR(
        o, 0.01, 0.1, step_size_up=2, mode="triangular2", cycle_momentum=False
    ),
    "onecycle": lambda o: OneCycleLR(o, max_lr=0.2, total_steps=10, pct_start=0.3),
    "lambda": lambda o: LambdaLR(o, lr_lambda=lambda e: 0.95**e),
    "poly": lambda o: PolynomialLR(o, total_iters=5, power=2.0),
    "warmup": lambda o: WarmupCosine(o, 3, 10),
    "sequential": lambda o: SequentialLR(
        o, [LinearLR(o, 0.1, total_iters=3), ExponentialLR(o, 0.8)], milestones=[3]
    ),
    "chained": lambda o: ChainedScheduler([ConstantLR(o, 0.5, 3), ExponentialLR(o, 0.9)]),
}
for name, make in makers.items():
    p = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([p], lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    lrs = []
    for _ in range(8):
        p.grad = torch.ones(1)
        optimizer.step()
        lrs.append(get_lr(optimizer))
        scheduler.step()
    print(f"{name:10s}", " ".join(f"{lr:.4f}" for lr in lrs), f"{p.item():.4f}")
optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))], lr=0.1)
plateau = ReduceLROnPlateau(optimizer, "min", factor=0.5, patience=1)
for loss in (1.0, 0.9, 0.95, 0.96, 0.97, 0.5, 0.6):
    plateau.step(loss)
print(get_lr(optimizer), plateau.state_dict()["num_bad_epochs"], type(plateau).__name__)
