"""What ranks tell each other about themselves: where they are, that something is broken, that one has ended."""

from __future__ import annotations

import math
import pickle
import time
from typing import TYPE_CHECKING, Any

from tabgrad.distributed.environment import advice

if TYPE_CHECKING:
    from tabgrad.distributed.engine import Engine, Operation

SIZE = 4096
"""The most bytes of a message."""
TAG = 1


def shortened(text: str, size: int) -> str:
    """Return the beginning of a text that has at most so many bytes."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")


class Messages:
    """Small messages over a communicator of their own, received by whoever moves the engine on."""

    def __init__(self, comm: Any, mpi: Any) -> None:
        self.comm = comm
        self.mpi = mpi
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self.counts: dict[str, int] = {}
        """How many collective calls this rank has begun in each group."""
        self.doing = "between two calls"
        self.answers: dict[str, dict[int, tuple[int, str]]] = {}
        self.gone: dict[int, tuple[str, dict[str, int] | None]] = {}
        """What the ranks that have ended said, and how many calls they had begun in each group."""
        self.ended: dict[int, float] = {}
        """When they said so."""
        self.silent: set[int] = set()
        """The ranks that have not answered."""
        self.buffer = bytearray(SIZE)
        self.sent: list[tuple[Any, bytes]] = []
        self.request: Any = None
        self._listen()

    def _listen(self) -> None:
        self.request = self.comm.Irecv([self.buffer, self.mpi.BYTE], self.mpi.ANY_SOURCE, TAG)

    def close(self) -> None:
        """Stop listening."""
        if self.request is not None:
            self.request.Cancel()
            self.request.Wait()
            self.request = None

    def send(self, to: int, kind: str, *words: Any) -> None:
        """Send a message, and don't wait for it: the rank may be dead."""
        data = pickle.dumps((kind, self.rank, *words))
        try:
            request = self.comm.Isend([data, self.mpi.BYTE], to, TAG)
        except self.mpi.Exception:
            return
        self.sent.append((request, data))

    def serve(self, engine: Engine) -> None:
        """Answer what has come."""
        while self.request is not None:
            try:
                if not self.request.Test():
                    break
            except self.mpi.Exception:
                # a message from a rank that has died: there will be more from others
                self._listen()
                break
            kind, source, *words = pickle.loads(self.buffer)
            self._listen()
            self._take(engine, kind, source, words)
        if self.sent:
            self.sent[:] = [(r, data) for r, data in self.sent if not self._left(r)]

    def _left(self, request: Any) -> bool:
        try:
            return bool(request.Test())
        except self.mpi.Exception:
            return True

    def _take(self, engine: Engine, kind: str, source: int, words: list[Any]) -> None:
        if kind == "where":
            group = words[0]
            self.send(source, "here", group, self.counts.get(group, 0), self.doing)
        elif kind == "here":
            group, count, doing = words
            self.answers.setdefault(group, {})[source] = (count, doing)
        elif kind == "broken":
            engine.fail_all(f"rank {source} reports: {words[0]}", tell=False)
        elif kind == "ended":
            how, failed, counts = words
            self.gone[source] = (how, counts)
            self.ended[source] = time.monotonic()
            if failed:
                engine.fail_all(f"rank {source} {how}", tell=False)

    def _others(self, operation: Operation) -> list[int]:
        ranks = operation.group.ranks if operation.peers is None else operation.peers
        return [r for r in ranks if r != self.rank]

    def ask(self, operation: Operation) -> None:
        """Ask the ranks that the operation needs where they are."""
        self.answers[operation.group.name] = {}
        for rank in self._others(operation):
            self.send(rank, "where", operation.group.name)

    def tell_broken(self, reason: str) -> None:
        """Tell all ranks that nothing goes on."""
        for rank in range(self.size):
            if rank != self.rank:
                self.send(rank, "broken", shortened(reason, SIZE - 256))

    def tell_ended(self, how: str, failed: bool) -> None:
        """Tell all ranks that this one has left."""
        # of very many groups the counts don't fit; then waits for this rank end at their deadlines
        few = len(pickle.dumps(self.counts)) < SIZE // 2 - 256
        for rank in range(self.size):
            if rank != self.rank:
                counts = self.counts if few else None
                self.send(rank, "ended", shortened(how, SIZE // 2), failed, counts)

    def never(self, operation: Operation) -> bool:
        """Whether a rank that the operation needs has ended without it."""
        if not self.gone:
            return False
        group, number = operation.group.name, operation.number
        if not number:
            return self._unsent(operation)
        for rank in self._others(operation):
            counts = self.gone[rank][1] if rank in self.gone else None
            if counts is not None and number > counts.get(group, 0):
                return True
        return False

    def _unsent(self, operation: Operation) -> bool:
        """Whether a message can't come any more: all who could send it have ended, and some time ago."""
        whom = self._others(operation)
        now = time.monotonic()
        return bool(whom) and all([now > self.ended.get(r, math.inf) + 1.0 for r in whom])

    def verdict(self, operation: Operation) -> str:
        """Say which ranks an operation has waited for in vain."""
        answers = self.answers.get(operation.group.name, {})
        words, there = [], []
        for rank in self._others(operation):
            if rank in self.gone:
                words.append(f"rank {rank} {self.gone[rank][0]}")
            elif not operation.asked:
                continue
            elif rank not in answers:
                self.silent.add(rank)
                words.append(f"rank {rank} does not answer: it is dead, stopped or out of reach")
            elif operation.number and answers[rank][0] < operation.number:
                count, doing = answers[rank]
                words.append(
                    f"rank {rank} is late: it has begun {count} of {operation.number} calls, and is {doing}"
                )
            elif not operation.number:
                words.append(f"rank {rank} is {answers[rank][1]}")
            else:
                there.append(str(rank))
        if not words:
            words.append(f"all ranks have begun it, so they wait for different things{advice()}")
        waited = time.monotonic() - operation.began
        if there:
            words.append(f"waiting with it: rank {', '.join(there)}")
        return (
            f"{operation} of group {operation.group.name!r} was not done on rank {self.rank} after "
            f"{waited:.1f} s (deadline {operation.timeout:g} s): {'; '.join(words)}"
        )
