"""Gradients of several processes, averaged while backward goes on.

A hook at each parameter says that its gradient is there. When those of a bucket are all there, they become one
vector, which is sent; backward goes on. On a device that records, making the vector also submits what it needs,
and asks for its bytes; they are waited for when the next bucket has been submitted, so that the device computes
that one while the first is on its way. Buckets are sent in one order on all processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import tabgrad as tg
import tabgrad.distributed as dist
from tabgrad.autograd.variable import Variable
from tabgrad.distributed.gradients import GradBucket, Hook

Tensor = tg.Tensor
FIRST = 1 << 20
"""The bytes of the first bucket, which is small so that sending begins early."""


class Reducer:
    """The buckets of a model's parameters, and the state of one backward."""

    def __init__(
        self, named: Sequence[tuple[str, Tensor]], group: Any, cap: int, find_unused: bool, as_view: bool,
        static: bool, hook: Hook, state: Any,
    ) -> None:  # fmt: skip
        self.names = [name for name, _ in named]
        self.parameters = [p for _, p in named]
        self.group = group
        self.cap = cap
        self.find_unused = find_unused or static
        self.as_view = as_view
        self.static = static
        self.counts: list[int] | None = None
        """How often the gradient of each parameter comes in a backward, once a static one has ended."""
        self.hook, self.state = hook, state
        self.syncs = True
        self.expected = False
        """Whether a forward whose gradients are averaged waits for its backward."""
        self.kept: set[int] = set()
        """The parameters that got a gradient in a backward without averaging, since the last with it."""
        self.divisor = group.size()
        """By what the sum of the gradients is to be divided; hooks divide by the number of processes."""
        self.order: list[int] = []
        """The parameters in the order in which their gradients came in the first backward."""
        self.arrange(list(reversed(range(len(named)))))
        self.handles = [
            p.register_post_accumulate_grad_hook(partial(self._hooked, i))
            for i, p in enumerate(self.parameters)
        ]
        self.reset()

    def arrange(self, order: Sequence[int]) -> None:
        """Divide the parameters into buckets, in that order."""
        buckets: list[list[int]] = []
        open_ones: dict[Any, tuple[list[int], int]] = {}
        for i in order:
            p = self.parameters[i]
            kind, size = (p.dtype, p.device), p.numel() * p.dtype.itemsize
            limit = min(FIRST, self.cap) if len(buckets) <= 1 else self.cap
            found, filled = open_ones.get(kind, (None, 0))
            if found is None or filled + size > limit:
                found, filled = [], 0
                buckets.append(found)
            found.append(i)
            open_ones[kind] = (found, filled + size)
        self.members = buckets
        self.buckets = [
            GradBucket(n, [self.parameters[i] for i in part], n == len(buckets) - 1)
            for n, part in enumerate(buckets)
        ]
        self.bucket_of = {i: n for n, part in enumerate(buckets) for i in part}

    def reset(self, unused: Sequence[int] = ()) -> None:
        """Begin anew. Nothing is waited for at the parameters `unused`."""
        self.used = [False] * len(self.parameters)
        self.came = [0] * len(self.parameters)
        self.waiting = [set(part) for part in self.members]
        self.futures: list[Any] = []
        self.begun = False
        self.unused = list(unused)

    def expect(self, unused: Sequence[int]) -> None:
        """Expect a backward whose gradients are averaged."""
        self.syncs = self.expected = True
        self.reset(unused)

    def expect_none(self) -> None:
        """Expect a backward whose gradients stay here, unless another forward waits for its own."""
        if not self.expected:
            self.syncs = False

    def _hooked(self, i: int, _: Tensor) -> None:
        self.ready(i)

    def ready(self, i: int) -> None:
        """Note that the gradient of a parameter is there; send the buckets that are complete."""
        if not self.syncs:
            self.kept.add(i)
            return
        if self.bucket_of[i] < len(self.futures):
            self.reset()
            raise RuntimeError(
                f"Expected to mark a variable ready only once: parameter {self.names[i]} got a gradient after "
                "its bucket was sent. Either the loss uses it beside what forward returns, which "
                "find_unused_parameters does not see: leave that off. Or its gradient comes in several parts, "
                "of a backward within backward: DistributedDataParallel(static_graph=True) counts them"
            )
        if not self.begun:
            self.begun = True
            Variable._execution_engine.queue_callback(self.finish)
            for j in self.unused:
                self.waiting[self.bucket_of[j]].discard(j)
            for j, count in enumerate(self.counts or ()):
                if count == 0:
                    self.waiting[self.bucket_of[j]].discard(j)
        if not self.used[i] and len(self.order) < len(self.parameters):
            self.order.append(i)
        self.used[i] = True
        self.came[i] += 1
        if self.static and (self.counts is None or self.came[i] < self.counts[i]):
            return
        self.waiting[self.bucket_of[i]].discard(i)
        self.launch()

    def launch(self) -> None:
        """Send the buckets that are complete, in order."""
        while len(self.futures) < len(self.buckets) and not self.waiting[len(self.futures)]:
            self.send(len(self.futures))

    def send(self, n: int) -> None:
        """Begin to average the gradients of a bucket."""
        bucket = self.buckets[n]
        with tg.no_grad():
            parts = [
                (tg.zeros_like(p) if p.grad is None else _dense(p.grad)).reshape(-1)
                for p in bucket.parameters()
            ]
            bucket.set_buffer(parts[0].clone() if len(parts) == 1 else tg.cat(parts))
            self.futures.append(self.hook(self.state, bucket))

    def send_zeros(self) -> None:
        """Take part in the average of the others with gradients of zeros."""
        self.reset()
        self.kept.clear()
        with tg.no_grad():
            for bucket in self.buckets:
                first = bucket.parameters()[0]
                bucket.set_buffer(
                    tg.zeros(sum(bucket.sizes), dtype=first.dtype, device=first.device)
                )
                self.futures.append(self.hook(self.state, bucket))
            if self.find_unused:
                self.used_anywhere()
            for future in self.futures:
                future.wait()
        self.reset()

    def finish(self) -> None:
        """Wait for the averages at the end of backward, and write them to the gradients."""
        if self.static and self.counts is None:
            # the first backward tells how often each comes; the next ones send while they go on
            self.counts = self.came
            self.waiting = [set[int]() for _ in self.members]
            self.launch()
        elif self.find_unused and not self.static:
            # outputs that the loss leaves out give their parameters nothing
            self.waiting = [set[int]() for _ in self.members]
            self.launch()
        missing = [self.names[i] for part in self.waiting for i in sorted(part)]
        if missing:
            self.reset()
            raise RuntimeError(
                "Expected to have finished reduction: backward gave no gradient to the parameters "
                f"{', '.join(missing)}; the loss does not depend on them. "
                "DistributedDataParallel(find_unused_parameters=True) looks for such parameters in each forward"
            )
        used = self.used_anywhere() if self.find_unused else None
        scale = self.group.size() / self.divisor
        with tg.no_grad():
            for part, bucket, future in zip(self.members, self.buckets, self.futures, strict=True):
                flat = future.wait()
                flat = flat[0] if isinstance(flat, list | tuple) else flat
                if scale != 1.0:
                    flat = flat * scale
                for i, grad in zip(part, bucket.split(flat), strict=True):
                    if used is None or used[i]:
                        self.write(self.parameters[i], grad)
        self.expected = False
        self.kept.clear()
        self.reset()

    def write(self, p: Tensor, grad: Tensor) -> None:
        """Give a parameter its averaged gradient."""
        if p.grad is not None and p.grad.layout is not tg.strided:
            p.grad = grad.to_sparse(p.grad.sparse_dim())
        elif self.as_view or p.grad is None:
            p.grad = grad if self.as_view else grad.clone()
        else:
            p.grad.copy_(grad)

    def used_anywhere(self) -> list[bool]:
        """Return which parameters got a gradient on any of the processes, since they were averaged last."""
        own = [
            used or (i in self.kept and p.grad is not None)
            for i, (used, p) in enumerate(zip(self.used, self.parameters, strict=True))
        ]
        flags = tg.tensor([int(u) for u in own], dtype=tg.int32, device="cpu")
        dist.all_reduce(flags, dist.ReduceOp.MAX, group=self.group)
        return [bool(u) for u in flags.tolist()]


def _dense(grad: Tensor) -> Tensor:
    grad = grad.detach()
    return grad if grad.layout is tg.strided else grad.to_dense()


def unreached(outputs: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[int]:
    """Return the numbers of the parameters that the outputs don't depend on."""
    seen: set[Any] = set()
    found: set[int] = {id(x) for x in outputs}
    stack = [x.grad_fn for x in outputs if x.grad_fn is not None]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.add(id(leaf))
        stack += [n for n, _ in node.next_functions if n is not None]
    return [i for i, p in enumerate(parameters) if id(p) not in found]
