"""Gradients averaged as they are, or in numbers of 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.distributed.algorithms.ddp_comm_hooks.sending import begin_all_reduce
from tabgrad.distributed.gradients import GradBucket
from tabgrad.distributed.group import resolved
from tabgrad.futures import Future

Hook = Callable[[Any, GradBucket], Future[Any]]


def allreduce_hook(process_group: Any, bucket: GradBucket) -> Future[Any]:
    """Average the gradients as they are."""
    found = resolved(process_group)
    return begin_all_reduce(found, bucket.buffer() / found.size())


def _compress(dtype: tg.DType, process_group: Any, bucket: GradBucket) -> Future[Any]:
    found = resolved(process_group)
    flat = bucket.buffer()
    small = (flat / found.size()).to(dtype)
    return begin_all_reduce(found, small).then(lambda future: future.value().to(flat.dtype))


def fp16_compress_hook(process_group: Any, bucket: GradBucket) -> Future[Any]:
    """Average the gradients in float16: half the bytes. They are divided by the number of processes first."""
    return _compress(tg.float16, process_group, bucket)


def bf16_compress_hook(process_group: Any, bucket: GradBucket) -> Future[Any]:
    """Average the gradients in bfloat16: half the bytes, float32's range."""
    return _compress(tg.bfloat16, process_group, bucket)


def _wrapper(dtype: tg.DType, hook: Hook) -> Hook:
    def wrapped(state: Any, bucket: GradBucket) -> Future[Any]:
        flat = bucket.buffer()
        bucket.set_buffer(flat.to(dtype))
        return hook(state, bucket).then(lambda future: future.value().to(flat.dtype))

    return wrapped


def fp16_compress_wrapper(hook: Hook) -> Hook:
    """Return a hook that gives `hook` the gradients in float16."""
    return _wrapper(tg.float16, hook)


def bf16_compress_wrapper(hook: Hook) -> Hook:
    """Return a hook that gives `hook` the gradients in bfloat16."""
    return _wrapper(tg.bfloat16, hook)


__all__ = [
    "allreduce_hook", "bf16_compress_hook", "bf16_compress_wrapper", "fp16_compress_hook",
    "fp16_compress_wrapper",
]  # fmt: skip
