"""Collective calls over NCCL, which CuPy wraps; MPI brings the processes together and carries the rest.

NCCL adds and moves the values between the GPUs; on their way from and to tensors they pass through the host's
memory. What NCCL has no form for (objects, messages, numbers that it doesn't add) goes over MPI.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from tabgrad.distributed.mpi import Calls, Mpi, Steps
from tabgrad.distributed.reducing import ReduceOp

_OPS = {
    ReduceOp.SUM: "NCCL_SUM", ReduceOp.AVG: "NCCL_SUM", ReduceOp.PRODUCT: "NCCL_PROD",
    ReduceOp.MIN: "NCCL_MIN", ReduceOp.MAX: "NCCL_MAX",
}  # fmt: skip
_KINDS = {
    "float16": "NCCL_FLOAT16", "float32": "NCCL_FLOAT32", "float64": "NCCL_FLOAT64",
    "int32": "NCCL_INT32", "int64": "NCCL_INT64", "int8": "NCCL_INT8", "uint8": "NCCL_UINT8",
}  # fmt: skip


class NcclCalls(Calls):
    """The collective calls of one group of processes that have a CUDA device each."""

    def __init__(self, mpi: Mpi, comm: Any) -> None:
        super().__init__(mpi, comm)
        self.cupy: Any = import_module("cupy")
        self.nccl: Any = import_module("cupy.cuda.nccl")
        own = self.nccl.get_unique_id() if self.rank == 0 else None
        self.device = self.cupy.cuda.Device().id
        self.group: Any = self.nccl.NcclCommunicator(self.size, comm.bcast(own, 0), self.rank)
        self.stream: Any = self.cupy.cuda.Stream(non_blocking=True)

    def _on_device(self, given: Any, out: Any, call: Callable[[int, int, int, int], None]) -> Steps:
        """Call NCCL with the addresses of copies on the device, and copy the result to `out`."""
        with self.cupy.cuda.Device(self.device), self.stream:
            sent = self.cupy.asarray(given)
            got = sent if out is given else self.cupy.empty(out.shape, out.dtype)
            kind = getattr(self.nccl, _KINDS[given.dtype.name])
            call(sent.data.ptr, got.data.ptr, kind, self.stream.ptr)
            event = self.stream.record()
        yield [lambda: event.done]
        with self.cupy.cuda.Device(self.device):
            out[...] = self.cupy.asnumpy(got)

    def all_reduce(self, a: Any, op: ReduceOp, half: bool, ordered: bool) -> Steps:
        """Join the arrays of all, on all."""
        if half or ordered or op not in _OPS or a.dtype.name not in _KINDS:
            yield from super().all_reduce(a, op, half, ordered)
            return
        how = getattr(self.nccl, _OPS[op])
        yield from self._on_device(
            a, a, lambda x, y, kind, at: self.group.allReduce(x, y, a.size, kind, how, at)
        )
        if op is ReduceOp.AVG:
            a /= self.size

    def broadcast(self, a: Any, root: int) -> Steps:
        """Give all the array of `root`."""
        if a.dtype.name not in _KINDS:
            yield from super().broadcast(a, root)
            return
        yield from self._on_device(
            a, a, lambda x, _, kind, at: self.group.bcast(x, a.size, kind, root, at)
        )

    def all_gather(self, out: Any, a: Any) -> Steps:
        """Give all the arrays of all, one after the other in `out`."""
        if a.dtype.name not in _KINDS:
            yield from super().all_gather(out, a)
            return
        yield from self._on_device(
            a, out, lambda x, y, kind, at: self.group.allGather(x, y, a.size, kind, at)
        )

    def reduce_scatter(self, out: Any, given: Any, op: ReduceOp, half: bool) -> Steps:
        """Join the parts of all, and give each its part."""
        if half or op not in _OPS or out.dtype.name not in _KINDS:
            yield from super().reduce_scatter(out, given, op, half)
            return
        how = getattr(self.nccl, _OPS[op])
        yield from self._on_device(
            given, out,
            lambda x, y, kind, at: self.group.reduceScatter(x, y, out.size, kind, how, at),
        )  # fmt: skip
        if op is ReduceOp.AVG:
            out /= self.size
