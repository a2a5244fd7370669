"""Kernels of the CUDA host, and command lists stored with them."""

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.hosts.commands import Copy, Dispatch, Pipeline, Store, Window

ALIGN_WORDS = 4
"""The alignment, in words, of each dispatch's uniform words."""

Launch = Callable[[], None]


def place(words: "array[int]", uniform: Sequence[int]) -> int:
    """Append uniform words, padded to the alignment; return their start."""
    start = len(words)
    words.extend(uniform)
    words.extend([0] * (-len(words) % ALIGN_WORDS))
    return start


class CompiledKernel:
    """A compiled pipeline; `function` is None if it did not compile."""

    __slots__ = ("block", "command", "function")

    def __init__(self, command: Pipeline) -> None:
        self.command = command
        given = dict(command.overrides)
        self.block = tuple(int(given.get(name, 1)) for name in ("WX", "WY", "WZ"))
        self.function: Any = None


class Table:
    """The launches of a list for one table of slots; the second run records them as a CUDA graph."""

    __slots__ = ("graph", "launches", "runs")

    def __init__(self, launches: list[Launch]) -> None:
        self.launches = launches
        self.runs = 0
        self.graph: Any = None


class StoredList:
    """A stored list, whose uniform words are on the device, where a CUDA graph reads them.

    `kernels` are those of its dispatches, kept even if their ids are dropped; `starts` has the position in
    `words` of each dispatch's uniform words.
    """

    __slots__ = ("_positions", "command", "device_words", "kernels", "starts", "tables", "words")

    def __init__(self, command: Store, kernels: dict[int, CompiledKernel]) -> None:
        self.command = command
        self.kernels: list[CompiledKernel] = []
        self.starts: list[int] = []
        self.words = array("I")
        self.device_words: Any = None
        self.tables: dict[tuple[int, ...], Table] = {}
        self._positions = array("I")
        for nested in command.commands:
            if isinstance(nested, Dispatch):
                start = place(self.words, nested.uniform)
                self._positions.extend(range(start, start + len(nested.uniform)))
                self.starts.append(start)
                self.kernels.append(kernels[nested.pipeline])

    def patch(self, patches: Sequence[int]) -> None:
        """Change the CPU copy of uniform words: index, word, index, word, ..."""
        for i in range(0, len(patches), 2):
            self.words[self._positions[patches[i]]] = patches[i + 1]


class Times:
    """When the dispatches of a list ran, by CUDA events around each; the answer to a TimedReplay."""

    def __init__(self, cupy: Any, stream: Any) -> None:
        self._elapsed = cupy.cuda.get_elapsed_time
        self._stream = stream
        self._events: list[Any] = []

    @property
    def nbytes(self) -> int:
        """The bytes of the answer."""
        return 8 * len(self._events)

    def run(self, stored: StoredList, table: Table) -> None:
        """Launch the commands of a list one by one."""
        commands = [c for c in stored.command.commands if not isinstance(c, Window)]
        for command, launch in zip(commands, table.launches, strict=True):
            if isinstance(command, Copy):
                launch()
                continue
            self._events.append(self._stream.record())
            launch()
            self._events.append(self._stream.record())

    def tobytes(self) -> bytes:
        """Return the nanoseconds since the first dispatch began; all of them must have ended."""
        if not self._events:
            return b""
        first = self._events[0]
        return array("Q", [round(1e6 * self._elapsed(first, e)) for e in self._events]).tobytes()


def bytes_of(answer: Any, nbytes: int) -> bytes:
    """Return the bytes of an answer that has come: times, or pinned memory."""
    return answer.tobytes() if isinstance(answer, Times) else bytes(memoryview(answer)[:nbytes])
