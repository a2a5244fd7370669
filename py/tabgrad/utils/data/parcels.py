"""Messages from a worker process to the caller: batches, and errors with their tracebacks.

Large arrays go through a file in memory where the system has those. It has no name, so none is left behind
whoever dies, and costs the caller less than half of what a pipe does.
"""

from __future__ import annotations

import io
import itertools
import os
import pickle
import traceback
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from typing import Any, NamedTuple

import numpy as np

import tabgrad as tg
from tabgrad.core import tree

LARGE = 1 << 19
"""The least bytes of an array that is sent by a file in memory."""


class Failure:
    """An error that a worker met, to be raised in the caller."""

    def __init__(self, error: BaseException, worker: int) -> None:
        self.kind: type[BaseException] = type(error)
        self.worker = worker
        self.text = "".join(traceback.format_exception(error))

    def error(self) -> BaseException:
        """Make an error of the same type (else a RuntimeError) whose message has the worker's traceback."""
        said = (
            f"Caught {self.kind.__name__} in DataLoader worker process {self.worker}.\n"
            f"Original {self.text}"
        )
        if issubclass(self.kind, StopIteration):  # a loop would take it for the end
            return RuntimeError(said)
        try:
            if issubclass(self.kind, KeyError):
                return self.kind(_Verbatim(said))
            if getattr(self.kind, "message", None):
                return self.kind(message=said)  # type: ignore[call-arg]
            return self.kind(said)
        except Exception:
            return RuntimeError(said)


class _Verbatim(str):
    """A message that a KeyError shows without quotes."""

    def __repr__(self) -> str:
        return str(self)


class Luggage:
    """The objects that a worker starts with: a fork carries them as they are, else they are pickled apart.

    So the worker is set up before its data set is made there, and can report if that fails.
    """

    def __init__(self, *things: Any) -> None:
        self._things: tuple[Any, ...] | bytes = things

    def __getstate__(self) -> dict[str, Any]:
        return {"_things": bytes(ForkingPickler.dumps(self._things))}

    def unpack(self) -> tuple[Any, ...]:
        """Unpickle the objects."""
        held = self._things
        return pickle.loads(held) if isinstance(held, bytes) else held


def packed_index(index: Any) -> bytes:
    """Pickle the indices of a sampler for a worker; tensors of other devices become tensors of the CPU."""
    index = tree.map(_on_cpu, index)
    try:
        return bytes(ForkingPickler.dumps(index))
    except Exception as error:
        error.add_note(
            "What a sampler yields is pickled on its way to a worker, and this can't be."
        )
        raise


def _on_cpu(x: Any) -> Any:
    return x.cpu() if isinstance(x, tg.Tensor) else x


class _Pickler(ForkingPickler):
    """Pickles a batch. It refuses a tensor with a gradient history, which would be lost."""

    def reducer_override(self, x: Any) -> Any:
        if isinstance(x, tg.Tensor) and x.requires_grad and not x.is_leaf:
            raise RuntimeError(
                "DataLoader: a tensor that a worker made by operations on one with requires_grad can't be "
                "sent, as derivatives do not cross processes; detach() it before"
            )
        return NotImplemented


class Parcel(NamedTuple):
    """An answer that has arrived, still pickled; `sizes` are those of the arrays that stand in `arrays`."""

    epoch: int
    number: int
    ended: bool
    body: bytes
    sizes: tuple[int, ...] = ()
    arrays: memoryview = memoryview(b"")

    def unpack(self) -> Any:
        """Unpickle the answer."""
        starts = itertools.accumulate(map(_aligned, self.sizes), initial=0)
        buffers = [self.arrays[at : at + n] for at, n in zip(starts, self.sizes, strict=False)]
        return pickle.loads(self.body, buffers=buffers)


class Packed:
    """An answer that is pickled at once, to be sent later."""

    def __init__(self, value: Any) -> None:
        self._large: list[memoryview] = []
        body = io.BytesIO()
        _Pickler(body, 5, True, self._in_body).dump(value)
        self._body = body.getvalue()
        self._file = _written(self._large) if self._large else None
        self._sizes = tuple(array.nbytes for array in self._large)
        self._large.clear()

    def _in_body(self, buffer: pickle.PickleBuffer) -> bool:
        if not hasattr(os, "memfd_create") or memoryview(buffer).nbytes < LARGE:
            return True
        self._large.append(buffer.raw())
        return False

    def send(self, line: Connection, epoch: int, number: int, ended: bool) -> None:
        """Send it as the answer to the task of this number."""
        line.send_bytes(pickle.dumps((epoch, number, ended, self._sizes)))
        line.send_bytes(self._body)
        if self._file is not None:
            send_handle(line, self._file, None)
            os.close(self._file)


def receive(line: Connection) -> Parcel:
    """Receive the next answer from a worker."""
    epoch, number, ended, sizes = pickle.loads(line.recv_bytes())
    body = line.recv_bytes()
    if not sizes:
        return Parcel(epoch, number, ended, body)
    with open(recv_handle(line), "rb", buffering=0) as file:
        # not mapped: Python keeps the file of a mapping open, and there may be many batches
        whole = np.empty(os.fstat(file.fileno()).st_size, np.uint8).data
        at = 0
        while at < len(whole):
            at += os.preadv(file.fileno(), [whole[at:]], at)
    return Parcel(epoch, number, ended, body, sizes, whole)


def _aligned(size: int) -> int:
    return -(-size // 64) * 64


def _written(arrays: list[memoryview]) -> int:
    """Write arrays to a new file in memory, each at a multiple of 64; return the file's number."""
    file = os.memfd_create("tabgrad")
    at = 0
    for array in arrays:
        done = 0
        while done < array.nbytes:
            done += os.pwrite(file, array[done:], at + done)
        at += _aligned(array.nbytes)
    os.ftruncate(file, at)
    return file
