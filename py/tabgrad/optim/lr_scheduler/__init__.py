"""Schedules of the learning rate."""

import typing as _typing

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.optim.lr_scheduler.base import LRScheduler as LRScheduler
from tabgrad.optim.lr_scheduler.combined import (
    ChainedScheduler as ChainedScheduler,
    ReduceLROnPlateau as ReduceLROnPlateau,
    SequentialLR as SequentialLR,
)  # fmt: skip
from tabgrad.optim.lr_scheduler.cosine import (
    CosineAnnealingLR as CosineAnnealingLR,
    CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts,
)  # fmt: skip
from tabgrad.optim.lr_scheduler.cycles import CyclicLR as CyclicLR, OneCycleLR as OneCycleLR
from tabgrad.optim.lr_scheduler.decay import (
    ConstantLR as ConstantLR,
    ExponentialLR as ExponentialLR,
    LambdaLR as LambdaLR,
    LinearLR as LinearLR,
    MultiplicativeLR as MultiplicativeLR,
    MultiStepLR as MultiStepLR,
    PolynomialLR as PolynomialLR,
    StepLR as StepLR,
)  # fmt: skip

_LRScheduler = LRScheduler  # its name before PyTorch 2.0

for _kind in list(globals().values()):
    if isinstance(_kind, type):
        _kind.__module__ = __name__  # PyTorch has them in one file

if not _typing.TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
