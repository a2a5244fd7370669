"""Collective calls over MPI: generators of requests, on arrays. mpi4py is imported when a group is made."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from tabgrad.core.lazy_numpy import np
from tabgrad.distributed.environment import advice, get_debug_level
from tabgrad.distributed.errors import DistBackendError
from tabgrad.distributed.reducing import DebugLevel, ReduceOp

Steps = Iterator[list[Any]]

_FOLDS: dict[ReduceOp, str] = {
    ReduceOp.SUM: "add", ReduceOp.AVG: "add", ReduceOp.PRODUCT: "multiply", ReduceOp.MIN: "minimum",
    ReduceOp.MAX: "maximum", ReduceOp.BAND: "bitwise_and", ReduceOp.BOR: "bitwise_or",
    ReduceOp.BXOR: "bitwise_xor",
}  # fmt: skip
_OPS = {
    ReduceOp.SUM: "SUM", ReduceOp.AVG: "SUM", ReduceOp.PRODUCT: "PROD", ReduceOp.MIN: "MIN",
    ReduceOp.MAX: "MAX", ReduceOp.BAND: "BAND", ReduceOp.BOR: "BOR", ReduceOp.BXOR: "BXOR",
}  # fmt: skip


class Mpi:
    """What the engine needs of mpi4py."""

    def __init__(self, seconds: float) -> None:
        if "mpi4py.MPI" not in sys.modules:
            import_module("mpi4py").rc.initialize = False
        self.module: Any = import_module("mpi4py.MPI")
        self.started = not self.module.Is_initialized()
        """Whether MPI was started here, so that it is to be finalized here."""
        if self.started:
            self._start(seconds)

    def _start(self, seconds: float) -> None:
        """Start MPI, which waits for all processes without a deadline, in a thread that may be left behind."""
        begin, failed = self._beginning(), []

        def serve() -> None:
            try:
                begin()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=serve, name="tabgrad mpi start", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            raise DistBackendError(
                f"init_process_group: not all processes have called it within {seconds:g} s; one is late, "
                "or has ended before"
            )
        if failed:
            raise failed[0]

    def _beginning(self) -> Callable[[], Any]:
        """Return MPI_Init_thread as a function that lets other threads run, which mpi4py's own does not."""
        level = self.module.THREAD_MULTIPLE
        try:
            function = ctypes.CDLL(self.module.__file__).MPI_Init_thread
        except (OSError, AttributeError, TypeError):
            return lambda: self.module.Init_thread(level)

        def begin() -> None:
            code = function(None, None, level, ctypes.byref(ctypes.c_int()))
            if code:
                raise RuntimeError(f"MPI_Init_thread returned the error code {code}")

        return begin

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def all_complete(self, requests: list[Any]) -> bool:
        """Whether all are complete; moves them on. One that is to be asked for its status is a function."""
        return all([r() if callable(r) else r.Test() for r in requests])

    def explained(self, error: Exception) -> str:
        """Return what an error of MPI means, "" for an error of another kind."""
        if not isinstance(error, self.module.Exception):
            return ""
        kind = error.Get_error_class()
        text = str(error)
        if kind == self.module.ERR_TRUNCATE:
            return f"{text}: the ranks sent different numbers of values{advice()}"
        if kind == self.module.ERR_OTHER:
            return f"{text}: the ranks may have called different things{advice()}"
        if kind in (self.module.ERR_ARG, self.module.ERR_COUNT):
            return f"{text}; MPI takes fewer than 2**31 values at once, in most calls bytes: divide the tensor"
        if "PROC_FAILED" in text or "Process Failure" in text:
            failed = self._failed()
            who = f"rank {', '.join(map(str, failed))}" if failed else "a rank"
            return f"{who} is dead ({text})"
        return text

    def _failed(self) -> list[int]:
        """Return the ranks that a fault-tolerant MPI knows to be dead."""
        world = self.module.COMM_WORLD
        try:
            dead = world.Get_failed()
            everyone = world.Get_group()
            return list(self.module.Group.Translate_ranks(dead, range(dead.Get_size()), everyone))
        except (self.module.Exception, AttributeError, NotImplementedError):
            return []


class Calls:
    """The collective calls of one group. Arrays are contiguous, and changed in place."""

    def __init__(self, mpi: Mpi, comm: Any) -> None:
        self.mpi = mpi
        self.comm = comm
        self.size: int = comm.Get_size()
        self.rank: int = comm.Get_rank()

    def barrier(self) -> Steps:
        """Wait for all."""
        yield [self.comm.Ibarrier()]

    def broadcast(self, a: Any, root: int) -> Steps:
        """Give all the array of `root`."""
        yield [self.comm.Ibcast(_plain(a), root)]

    def all_reduce(self, a: Any, op: ReduceOp, half: bool, ordered: bool) -> Steps:
        """Join the arrays of all, on all."""
        if half or ordered or a.dtype == np.float16:
            yield from self._ordered(a, op, half)
        else:
            flat = _plain(a)
            yield [self.comm.Iallreduce(self.mpi.IN_PLACE, flat, getattr(self.mpi, _OPS[op]))]
            if op is ReduceOp.AVG:
                flat /= self.size

    def _ordered(self, a: Any, op: ReduceOp, half: bool) -> Steps:
        """Join them in the order of the ranks: each adds up one part, then all get all parts.

        It sends as much as a ring does. Numbers of 16 bits are joined in float32 and rounded once.
        """
        n, part = a.size, -(-a.size // self.size)
        sent = np.zeros(part * self.size, a.dtype)
        sent[:n] = a.reshape(-1)
        got = np.empty_like(sent)
        yield [self.comm.Ialltoall(_bytes(sent), _bytes(got))]
        joined = fold(got.reshape(self.size, part), op, half)
        yield [self.comm.Iallgather(_bytes(joined), _bytes(got))]
        a.reshape(-1)[:] = got[:n]

    def reduce(self, a: Any, op: ReduceOp, root: int, half: bool) -> Steps:
        """Join the arrays of all in that of `root`, in the order of the ranks."""
        got = np.empty((self.size, a.size), a.dtype) if self.rank == root else None
        yield [self.comm.Igather(_bytes(a), None if got is None else _bytes(got), root)]
        if got is not None:
            a.reshape(-1)[:] = fold(got, op, half)

    def all_gather(self, out: Any, a: Any) -> Steps:
        """Give all the arrays of all, one after the other in `out`."""
        yield [self.comm.Iallgather(_bytes(a), _bytes(out))]

    def gather(self, out: Any | None, a: Any, root: int) -> Steps:
        """Give `root` the arrays of all."""
        yield [self.comm.Igather(_bytes(a), None if out is None else _bytes(out), root)]

    def scatter(self, a: Any, given: Any | None, root: int) -> Steps:
        """Give each its part of what `root` has."""
        yield [self.comm.Iscatter(None if given is None else _bytes(given), _bytes(a), root)]

    def reduce_scatter(self, out: Any, given: Any, op: ReduceOp, half: bool) -> Steps:
        """Join the parts of all, in the order of the ranks, and give each its part."""
        got = np.empty_like(given)
        yield [self.comm.Ialltoall(_bytes(given), _bytes(got))]
        out.reshape(-1)[:] = fold(got.reshape(self.size, -1), op, half)

    def all_to_all(self, outs: Sequence[Any], given: Sequence[Any]) -> Steps:
        """Give each its part of what each has; parts may differ in size."""
        if get_debug_level() is DebugLevel.DETAIL:
            yield from self._sizes_agree(outs, given)
        kind = outs[0].dtype if outs else given[0].dtype
        sent = np.concatenate([a.reshape(-1) for a in given])
        got = np.empty(sum(a.size for a in outs), kind)
        out_counts = [a.nbytes for a in outs]
        in_counts = [a.nbytes for a in given]
        byte = self.mpi.BYTE
        yield [
            self.comm.Ialltoallv(
                [sent, in_counts, _starts(in_counts), byte],
                [got, out_counts, _starts(out_counts), byte],
            )
        ]
        at = 0
        for a in outs:
            a.reshape(-1)[:] = got[at : at + a.size]
            at += a.size

    def _sizes_agree(self, outs: Sequence[Any], given: Sequence[Any]) -> Steps:
        """Raise, on all, unless each gives each as much as that one expects."""
        mine = np.array([[a.size for a in given], [a.size for a in outs]], np.int64)
        all_of = np.empty((self.size, 2, self.size), np.int64)
        yield [self.comm.Iallgather(mine, all_of)]
        gives, takes = all_of[:, 0], all_of[:, 1].T
        wrong = [
            f"rank {i} gives {gives[i, j]} values to rank {j}, which expects {takes[i, j]}"
            for i, j in np.argwhere(gives != takes).tolist()
        ]
        if wrong:
            raise DistBackendError(f"the sizes differ: {'; '.join(wrong[:8])} (ranks of the group)")

    def send(self, a: Any, to: int, tag: int) -> Steps:
        """Send an array to one rank of the group."""
        yield [self.comm.Isend(_bytes(a), to, tag)]

    def receive(self, a: Any, source: int | None, tag: int, told: Callable[[int], None]) -> Steps:
        """Receive an array of one rank of the group, or of any."""
        where = self.mpi.ANY_SOURCE if source is None else source
        status = self.mpi.Status()
        request = self.comm.Irecv(a.reshape(-1).view(np.uint8), where, tag)
        yield [lambda: request.Test(status)]
        if status.Get_count(self.mpi.BYTE) != a.nbytes:
            raise DistBackendError(
                f"expected {a.nbytes} bytes of rank {status.Get_source()}, got "
                f"{status.Get_count(self.mpi.BYTE)}: the tensors of send and recv differ"
            )
        told(status.Get_source())

    def objects(self, data: bytes, deliver: Callable[[list[bytes]], None]) -> Steps:
        """Give all the bytes of all."""
        lengths = np.empty(self.size, np.int64)
        yield [self.comm.Iallgather(np.array([len(data)], np.int64), lengths)]
        counts = lengths.tolist()
        got = np.empty(sum(counts), np.uint8)
        mine = np.frombuffer(data, np.uint8)
        yield [self.comm.Iallgatherv(mine, [got, counts, _starts(counts), self.mpi.BYTE])]
        whole = got.tobytes()
        starts = _starts(counts)
        deliver([whole[at : at + n] for at, n in zip(starts, counts, strict=True)])

    def compare(self, line: str, judge: Callable[[list[str]], None]) -> Steps:
        """Give all what each is about to do, for `judge` to raise."""
        mine = np.zeros(512, np.uint8)
        data = line.encode()[:512]
        mine[: len(data)] = np.frombuffer(data, np.uint8)
        lines = np.empty((self.size, 512), np.uint8)
        yield [self.comm.Iallgather(mine, lines)]
        judge([bytes(row).rstrip(b"\0").decode() for row in lines])


def fold(rows: Any, op: ReduceOp, half: bool) -> Any:
    """Join the rows, one after the other; bits of bfloat16 if `half`."""
    wide = _widened(rows, half)
    joined = wide[0].copy()
    for row in wide[1:]:
        getattr(np, _FOLDS[op])(joined, row, out=joined)
    if op is ReduceOp.AVG:
        joined /= len(rows)
    return _bits(joined) if half else joined.astype(rows.dtype)


def _widened(a: Any, half: bool) -> Any:
    if half:
        return (a.astype(np.uint32) << 16).view(np.float32)
    return a.astype(np.float32) if a.dtype == np.float16 else a


def _bits(a: Any) -> Any:
    """Round float32 to bfloat16, to the nearest, ties to even; NaN stays NaN."""
    bits = a.view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) >> 16).astype(np.uint16)
    return np.where(np.isnan(a), np.uint16(0x7FC0), rounded)


def _starts(counts: Sequence[int]) -> list[int]:
    return [sum(counts[:i]) for i in range(len(counts))]


def _plain(a: Any) -> Any:
    """Return the same memory as a vector of a dtype that MPI knows."""
    flat = a.reshape(-1)
    return flat.view(np.uint8) if flat.dtype == np.bool_ or flat.dtype == np.float16 else flat


def _bytes(a: Any) -> Any:
    return np.ascontiguousarray(a).reshape(-1).view(np.uint8)
