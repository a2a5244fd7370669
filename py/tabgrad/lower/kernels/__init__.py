"""Ops with a loop of their own: each file holds how one of them, or a few that are alike, becomes kernels."""

from tabgrad.core.op import REGISTRY
from tabgrad.lower.kernels import (
    argsort as argsort,
    cat as cat,
    checked as checked,
    confined as confined,
    counting as counting,
    gather as gather,
    loop as loop,
    matmul as matmul,
    random_bits as random_bits,
    running_extreme as running_extreme,
    scan as scan,
    scatter as scatter,
    user as user,
)
from tabgrad.lower.record import check

REGISTRY.watch(check)
