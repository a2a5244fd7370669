"""The collective functions over NCCL, with a stand-in for CuPy whose device is memory and whose NCCL is MPI."""

from __future__ import annotations

import ctypes
import importlib.machinery
import pathlib
import runpy
import sys
import types

import numpy
from mpi4py import MPI

KINDS = {
    "FLOAT16": "f2", "FLOAT32": "f4", "FLOAT64": "f8", "INT32": "i4", "INT64": "i8", "INT8": "i1",
    "UINT8": "u1",
}  # fmt: skip
OPS = {"SUM": MPI.SUM, "PROD": MPI.PROD, "MIN": MPI.MIN, "MAX": MPI.MAX}
CALLS: list[str] = []


class Array:
    def __init__(self, values) -> None:  # type: ignore[no-untyped-def]
        self.values = numpy.array(values)
        self.shape, self.dtype, self.size = values.shape, values.dtype, values.size
        self.data = types.SimpleNamespace(ptr=self.values.ctypes.data)


class Device:
    id = 0

    def __init__(self, number: int = 0) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class Stream(Device):
    ptr = 0

    def __init__(self, non_blocking: bool = False) -> None: ...

    def record(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(done=True)


def at(address: int, count: int, kind: str):  # type: ignore[no-untyped-def]
    """The numbers at an address, in float32 where MPI has no such numbers."""
    dtype = numpy.dtype(kind)
    return numpy.frombuffer(
        (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(address), dtype
    )


class NcclCommunicator:
    def __init__(self, size: int, own: str, rank: int) -> None:
        assert own == "the id of rank 0"
        self.size = size
        self.comm = MPI.COMM_WORLD.Split(0, rank) if size == MPI.COMM_WORLD.Get_size() else None

    def joined(self, x, op):  # type: ignore[no-untyped-def]
        wide = x.astype("f4") if x.dtype == numpy.float16 else x
        out = numpy.empty_like(wide)
        self.comm.Allreduce(wide, out, op) if self.comm else out.__setitem__(..., wide)
        return out

    def allReduce(self, send, out, count, kind, op, stream) -> None:  # type: ignore[no-untyped-def]
        CALLS.append("allReduce")
        at(out, count, kind)[:] = self.joined(at(send, count, kind), op)

    def bcast(self, buffer, count, kind, root, stream) -> None:  # type: ignore[no-untyped-def]
        CALLS.append("bcast")
        if self.comm:
            self.comm.Bcast(at(buffer, count, kind).view("u1"), root)

    def allGather(self, send, out, count, kind, stream) -> None:  # type: ignore[no-untyped-def]
        CALLS.append("allGather")
        got = at(out, count * self.size, kind).view("u1")
        assert self.comm
        self.comm.Allgather(at(send, count, kind).view("u1"), got)

    def reduceScatter(self, send, out, count, kind, op, stream) -> None:  # type: ignore[no-untyped-def]
        CALLS.append("reduceScatter")
        assert self.comm
        whole = self.joined(at(send, count * self.size, kind), op)
        rank = self.comm.Get_rank()
        at(out, count, kind)[:] = whole[rank * count : (rank + 1) * count]


def module(name: str, **names: object) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__dict__.update(names, __spec__=importlib.machinery.ModuleSpec(name, None))
    sys.modules[name] = made
    return made


nccl = module(
    "cupy.cuda.nccl", get_unique_id=lambda: "the id of rank 0", NcclCommunicator=NcclCommunicator,
    **{f"NCCL_{k}": v for k, v in (KINDS | OPS).items()},
)  # fmt: skip
cuda = module("cupy.cuda", Device=Device, Stream=Stream, nccl=nccl)
module(
    "cupy", cuda=cuda, asarray=Array, asnumpy=lambda x: x.values,
    empty=lambda shape, dtype: Array(numpy.empty(shape, dtype)),
)  # fmt: skip
sys.argv = ["collectives.py", "cpu", "nccl"]
runpy.run_path(str(pathlib.Path(__file__).with_name("collectives.py")), run_name="__main__")
assert {"allReduce", "bcast", "allGather", "reduceScatter"} == set(CALLS)
