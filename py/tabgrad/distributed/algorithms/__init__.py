"""What is built of collective calls: compression of gradients, uneven inputs, averages of models."""

from tabgrad.distributed.algorithms.join import (
    Join as Join,
    Joinable as Joinable,
    JoinHook as JoinHook,
)
