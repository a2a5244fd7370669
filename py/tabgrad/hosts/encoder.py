"""Writes packets; `commands.py` declares their commands, and `protocol.py` reads them."""

from array import array
from collections.abc import Mapping, Sequence

from tabgrad.hosts.commands import (
    HEADER_WORDS,
    MAGIC,
    VERSION,
    Alloc,
    Buffer,
    Command,
    Copy,
    Dispatch,
    Drop,
    DropPipeline,
    Free,
    Nested,
    Pipeline,
    Read,
    Replay,
    Routine,
    Store,
    TimedReplay,
    Write,
    WriteBlob,
)  # fmt: skip
from tabgrad.hosts.protocol import command_words, header, padded

# Getting a pointer to a Python buffer in JavaScript takes 8 to 15 microseconds, as long as copying this many
# bytes into the packet.
INLINE_BYTES = 32 * 1024

# Looked up once: this runs for each command of each packet.
_ALLOC = header(Alloc.TAG, 2)
_FREE, _WRITE, _WRITE_BLOB, _COPY = Free.TAG, Write.TAG, WriteBlob.TAG, Copy.TAG
_DISPATCH, _ROUTINE, _READ, _REPLAY = Dispatch.TAG, Routine.TAG, Read.TAG, Replay.TAG
_DROP, _DROP_PIPELINE = Drop.TAG, DropPipeline.TAG


class Encoder:
    """Writes commands into one growing buffer of words, which is reused for every packet.

    `finish` returns the arguments of `Host.submit`; call `reset` after the submit. `commands`, `dispatches`,
    `pipelines`, `reads` and `bytes_up` count what is in this packet, without the dispatches of replayed lists.

    `write` does not copy buffers longer than INLINE_BYTES: they must not change before the submit.

    >>> from tabgrad.hosts.protocol import decode
    >>> encoder = Encoder()
    >>> encoder.alloc(1, 8)
    >>> encoder.write(1, 0, b"abcdefgh")
    >>> packet, nbytes, blobs = encoder.finish()
    >>> decode(packet, nbytes, blobs)
    [Alloc(id=1, nbytes=8), Write(id=1, offset=0, data=b'abcdefgh')]
    """

    __slots__ = (
        "_before", "_buffer", "_bytes", "_capacity", "_position", "_words", "blobs", "bytes_up", "commands",
        "dispatches", "pipelines", "reads",
    )  # fmt: skip

    _buffer: bytearray
    _bytes: memoryview
    _words: "memoryview[int]"
    _capacity: int
    _position: int
    _before: int
    commands: int
    blobs: list[Buffer]

    def __init__(self, capacity: int = 16384) -> None:
        self._buffer, self._bytes = self._memory(capacity)
        self._words, self._capacity = self._bytes.cast("I"), capacity
        self._before = self.commands = 0
        self.blobs = []
        self.reset()

    def reset(self) -> None:
        """Start a new packet in the same memory."""
        self._before, self.commands, self._position, self.blobs = self.clock, 0, HEADER_WORDS, []
        self.dispatches = 0
        self.pipelines = 0
        self.reads = 0
        self.bytes_up = 0

    @property
    def clock(self) -> int:
        """The number of the next command: how many commands all packets so far have."""
        return self._before + self.commands

    @property
    def start(self) -> int:
        """The number of the first command of this packet."""
        return self._before

    def finish(self) -> tuple[bytearray, int, list[Buffer]]:
        """Complete the packet; return its memory, its length in bytes, and its blobs."""
        words = self._words
        words[0] = MAGIC
        words[1] = VERSION
        words[2] = self.commands
        return self._buffer, self._position * 4, self.blobs

    def cut(self, clock: int) -> None:
        """Remove the commands before number `clock` from the packet, because they have been carried out."""
        n = clock - self._before
        if n == self.commands:
            self.reset()
        elif n > 0:
            words, p = self._words, HEADER_WORDS
            for _ in range(n):
                p += 1 + (words[p] >> 8)
            rest = bytes(words[p : self._position])
            buffer, view = self._memory(self._capacity)
            view[HEADER_WORDS * 4 : HEADER_WORDS * 4 + len(rest)] = rest
            self._buffer, self._bytes, self._words, self._position, self._before, self.commands = (
                buffer, view, view.cast("I"), HEADER_WORDS + len(rest) // 4, clock, self.commands - n
            )  # fmt: skip

    def alloc(self, buffer: int, nbytes: int) -> None:
        """Add an Alloc; `nbytes` is rounded up to whole words."""
        p = self._room(3)
        words = self._words
        words[p] = _ALLOC
        words[p + 1] = buffer
        words[p + 2] = (nbytes + 3) & -4
        self._position, self.commands = p + 3, self.commands + 1

    def free(self, buffers: Sequence[int]) -> None:
        """Add a Free of all `buffers`."""
        self._append(_FREE, buffers)

    def write(self, buffer: int, offset: int, data: Buffer) -> None:
        """Add a Write or WriteBlob; data is padded with zeros to whole words."""
        view = memoryview(data).cast("B") if not isinstance(data, bytes) else data
        nbytes = len(view)
        if nbytes & 3:
            view = padded(bytes(view))
            nbytes = len(view)
        self.bytes_up += nbytes
        if nbytes > INLINE_BYTES:
            self.blobs.append(view)
            self._append(_WRITE_BLOB, (buffer, offset, nbytes, len(self.blobs) - 1))
            return
        n = 4 + (nbytes >> 2)
        p = self._room(n)
        words = self._words
        words[p] = _WRITE | n - 1 << 8
        words[p + 1] = buffer
        words[p + 2] = offset
        words[p + 3] = nbytes
        self._bytes[p * 4 + 16 : p * 4 + 16 + nbytes] = view
        self._position, self.commands = p + n, self.commands + 1

    def copy(self, src: int, src_offset: int, dst: int, dst_offset: int, nbytes: int) -> None:
        """Add a Copy."""
        self._append(_COPY, (src, src_offset, dst, dst_offset, nbytes))

    def pipeline(
        self, pipeline: int, label: str, source: str, bindings: str,
        overrides: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        """Add a Pipeline."""
        pairs = tuple((overrides or {}).items())
        self.append(Pipeline(pipeline, label, source, bindings, pairs))
        self.pipelines += 1

    def dispatch(
        self, pipeline: int, groups: tuple[int, int, int], buffers: Sequence[int], uniform: Sequence[int] = ()
    ) -> None:  # fmt: skip
        """Add a Dispatch."""
        self._append(_DISPATCH, (pipeline, *groups, len(buffers), *buffers, *uniform))
        self.dispatches += 1

    def routine(self, routine: int, buffers: Sequence[int], parameters: Sequence[int] = ()) -> None:
        """Add a Routine."""
        self._append(_ROUTINE, (routine, len(buffers), *buffers, *parameters))
        self.dispatches += 1

    def read(self, token: int, buffer: int, offset: int, nbytes: int) -> None:
        """Add a Read; `Host.read(token, ...)` then returns the bytes."""
        self._append(_READ, (token, buffer, offset, nbytes))
        self.reads += 1

    def store(self, list_id: int, n_slots: int, commands: Sequence[Nested]) -> None:
        """Add a Store of `commands`, whose buffers are slot numbers below `n_slots`."""
        self.append(Store(list_id, n_slots, tuple(commands)))

    def replay(self, list_id: int, slots: Sequence[int], patches: Sequence[int] = ()) -> None:
        """Add a Replay; `patches` is flat: index, word, index, word, ...

        An `array("I")` for either is copied without a conversion of its elements.
        """
        n_slots = len(slots)
        n_patches = len(patches)
        n = 3 + n_slots + n_patches
        p = self._room(n)
        words = self._words
        words[p] = _REPLAY | n - 1 << 8
        words[p + 1] = list_id
        words[p + 2] = n_slots
        words[p + 3 : p + 3 + n_slots] = _as_words(slots)
        if n_patches:
            words[p + 3 + n_slots : p + n] = _as_words(patches)
        self._position, self.commands = p + n, self.commands + 1

    def timed_replay(
        self, token: int, list_id: int, slots: Sequence[int], patches: Sequence[int] = ()
    ) -> None:
        """Add a TimedReplay; `Host.read(token, ...)` then returns when its dispatches ran."""
        self.append(TimedReplay(token, list_id, tuple(slots), tuple(patches)))
        self.reads += 1

    def drop(self, lists: Sequence[int]) -> None:
        """Add a Drop of stored lists."""
        self._append(_DROP, lists)

    def drop_pipelines(self, pipelines: Sequence[int]) -> None:
        """Add a DropPipeline."""
        self._append(_DROP_PIPELINE, pipelines)

    def append(self, command: Command) -> None:
        """Add any command."""
        words = command_words(command)
        p = self._room(len(words))
        self._words[p : p + len(words)] = words
        self._position, self.commands = p + len(words), self.commands + 1

    def _append(self, tag: int, payload: Sequence[int]) -> None:
        n = len(payload)
        p = self._room(n + 1)
        words = self._words
        words[p] = header(tag, n)
        words[p + 1 : p + 1 + n] = _as_words(payload)
        self._position, self.commands = p + n + 1, self.commands + 1

    def _room(self, n_words: int) -> int:
        """Make room for a command and return its position.

        The command joins the packet only when all its words are written: an exception before that changes
        nothing.
        """
        position = self._position
        end = position + n_words
        if end > self._capacity:
            self._grow(end)
        return position

    def _grow(self, n_words: int) -> None:
        # A bytearray whose memory a host has pinned cannot be resized: make a new one.
        kept = self._position * 4
        capacity = max(2 * self._capacity, n_words)
        buffer, view = self._memory(capacity)
        view[:kept] = self._bytes[:kept]
        self._buffer, self._bytes, self._words, self._capacity = (
            buffer,
            view,
            view.cast("I"),
            capacity,
        )

    @staticmethod
    def _memory(capacity: int) -> tuple[bytearray, memoryview]:
        buffer = bytearray(capacity * 4)
        return buffer, memoryview(buffer)


def _as_words(values: Sequence[int]) -> "array[int]":
    if isinstance(values, array) and values.typecode == "I":
        return values
    return array("I", values)
