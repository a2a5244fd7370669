"""Checks the ids and bounds in packets, for all hosts written in Python.

A whole packet is checked before any of it runs, so that a refused packet has no effect.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.hosts.commands import (
    WINDOW_ALIGNMENT,
    Alloc,
    Command,
    Copy,
    Dispatch,
    Drop,
    DropPipeline,
    Free,
    Nested,
    PacketError,
    Pipeline,
    Read,
    Replay,
    Routine,
    Store,
    TimedReplay,
    Window,
    Write,
    WriteBlob,
)


class _Ids:
    """Live ids with a value each, and the changes that the packet being checked would make."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.live: dict[int, tuple[int, ...]] = {}
        self.born: dict[int, tuple[int, ...]] = {}
        self.dead: set[int] = set()
        self.last: tuple[set[int], dict[int, tuple[int, ...]]] = (set(), {})

    def get(self, number: int) -> tuple[int, ...]:
        value = self.live.get(number)
        if value is None:
            value = self.born.get(number)
        if value is None or number in self.dead:
            raise PacketError(f"unknown {self.what} {number}")
        return value

    def add(self, number: int, value: tuple[int, ...]) -> None:
        if number == 0:
            raise PacketError(f"0 is not an id: {self.what} ids start at 1")
        if number in self.live or number in self.born or number in self.dead:
            raise PacketError(f"{self.what} {number} exists already")
        self.born[number] = value

    def remove(self, number: int) -> None:
        self.get(number)
        self.dead.add(number)

    def accept(self) -> None:
        dead = {number: self.get_any(number) for number in self.dead}
        self.last = (set(self.born), dead)
        self.live.update(self.born)
        for number in dead:
            del self.live[number]
        self.born = {}
        self.dead = set()

    def get_any(self, number: int) -> tuple[int, ...]:
        return self.live[number] if number in self.live else self.born[number]

    def undo(self) -> None:
        self.born = {}
        self.dead = set()
        born, dead = self.last
        self.live.update(dead)
        for number in born:
            self.live.pop(number, None)
        self.last = (set(), {})


class Ledger:
    """Tracks which ids are alive; `check` accepts a whole packet or raises PacketError.

    >>> ledger = Ledger()
    >>> ledger.check([Alloc(1, 16), Read(token=1, id=1, offset=0, nbytes=16)])
    >>> ledger.check([Free((2,))])
    Traceback (most recent call last):
      ...
    tabgrad.hosts.commands.PacketError: Free: unknown buffer 2
    """

    def __init__(self, n_routines: int = 0, timers: bool = False) -> None:
        self._n_routines = n_routines
        self._timers = timers
        self._buffers = _Ids("buffer")
        self._pipelines = _Ids("pipeline")
        self._lists = _Ids("list")
        self._tokens = _Ids("read token")
        self._copies: dict[int, tuple[Copy | Window, ...]] = {}
        self._ended: list[int] = []

    def check(self, commands: Sequence[Command]) -> None:
        """Check all commands in order; if one is wrong, keep no change."""
        ids = (self._buffers, self._pipelines, self._lists, self._tokens)
        self.begin()
        try:
            self._check(commands)
            for each in ids:
                each.accept()
            self._ended = list(self._lists.last[1])
        except BaseException:
            self.undo()
            raise

    def begin(self) -> None:
        """Make the last packet permanent: `undo` has no effect until the next `check`."""
        for number in self._ended:
            self._copies.pop(number, None)
        self._ended = []
        for each in (self._buffers, self._pipelines, self._lists, self._tokens):
            each.last = (set(), {})

    def _check(self, commands: Sequence[Command]) -> None:
        for index, command in enumerate(commands):
            try:
                _CHECKS[type(command)](self, command)
            except PacketError as error:
                message = f"{type(command).__name__}: {error}"
                raise PacketError(message, index) from None

    def undo(self) -> None:
        """Revert the changes of the last accepted packet, because it did not run."""
        for each in (self._buffers, self._pipelines, self._lists, self._tokens):
            each.undo()
        self._ended = []

    def answered(self, token: int) -> None:
        """Forget a token whose read was finished or cancelled."""
        self._tokens.live.pop(token, None)

    def _span(self, number: int, offset: int, nbytes: int) -> None:
        size = self._buffers.get(number)[0]
        if (offset | nbytes) & 3:
            raise PacketError(f"offset {offset} and size {nbytes} must be multiples of 4")
        if offset + nbytes > size:
            raise PacketError(
                f"bytes {offset} to {offset + nbytes} are outside buffer {number}, which has {size}"
            )

    def _alloc(self, command: Alloc) -> None:
        if command.nbytes & 3:
            raise PacketError(f"size {command.nbytes} must be a multiple of 4")
        self._buffers.add(command.id, (command.nbytes,))

    def _free(self, command: Free) -> None:
        for number in command.ids:
            self._buffers.remove(number)

    def _write(self, command: Write) -> None:
        self._span(command.id, command.offset, len(command.data))

    def _write_blob(self, command: WriteBlob) -> None:
        self._span(command.id, command.offset, command.nbytes)

    def _copy(self, command: Copy) -> None:
        self._span(command.src, command.src_offset, command.nbytes)
        self._span(command.dst, command.dst_offset, command.nbytes)

    def _pipeline(self, command: Pipeline) -> None:
        letters = command.bindings
        if set(letters) - set("rwu") or "u" in letters[:-1]:
            raise PacketError(f"bindings {letters!r}: expected letters r and w, then at most one u")
        has_uniform = letters.endswith("u")
        n_buffers = len(letters) - has_uniform
        self._pipelines.add(command.id, (n_buffers, int(has_uniform)))

    def _bindings(self, command: Dispatch) -> None:
        n_buffers, has_uniform = self._pipelines.get(command.pipeline)
        if len(command.buffers) != n_buffers:
            raise PacketError(
                f"pipeline {command.pipeline} takes {n_buffers} buffers, "
                f"{len(command.buffers)} came"
            )
        if bool(command.uniform) != bool(has_uniform):
            raise PacketError(
                f"pipeline {command.pipeline} {'takes' if has_uniform else 'takes no'} "
                f"uniform words, {len(command.uniform)} came"
            )

    def _dispatch(self, command: Dispatch) -> None:
        self._bindings(command)
        for number in command.buffers:
            self._buffers.get(number)

    def _known_routine(self, command: Routine) -> None:
        if command.routine >= self._n_routines:
            raise PacketError(
                f"routine {command.routine} does not exist: this host offers {self._n_routines}"
            )

    def _routine(self, command: Routine) -> None:
        self._known_routine(command)
        for number in command.buffers:
            self._buffers.get(number)

    def _read(self, command: Read) -> None:
        self._span(command.id, command.offset, command.nbytes)
        self._tokens.add(command.token, ())

    def _window(self, command: Window) -> None:
        raise PacketError("only a stored list holds windows")

    def _nested(self, command: Nested, n_slots: int, n_windows: int) -> int:
        """Check one command of a stored list; return the number of its uniform words."""
        n_words = 0
        used: tuple[int, ...]
        if isinstance(command, Copy):
            used = (command.src, command.dst)
            if (command.src_offset | command.dst_offset | command.nbytes) & 3:
                raise PacketError("offsets and size must be multiples of 4")
        elif isinstance(command, Dispatch):
            used = command.buffers
            self._bindings(command)
            n_words = len(command.uniform)
            n_slots += n_windows
        elif isinstance(command, Window):
            used = (command.slot,)
            if command.offset % WINDOW_ALIGNMENT or command.nbytes & 3 or not command.nbytes:
                raise PacketError(
                    f"offset {command.offset} must be a multiple of {WINDOW_ALIGNMENT}, and size "
                    f"{command.nbytes} one of 4 above 0"
                )
        else:
            used = command.buffers
            self._known_routine(command)
        for slot in used:
            if slot >= n_slots:
                raise PacketError(f"slot {slot} is outside the list's {n_slots}")
        return n_words

    def _store(self, command: Store) -> None:
        n_words = n_windows = 0
        for nested in command.commands:
            try:
                n_words += self._nested(nested, command.n_slots, n_windows)
            except PacketError as error:
                raise PacketError(f"{type(nested).__name__}: {error}") from None
            n_windows += isinstance(nested, Window)
        self._lists.add(command.list_id, (command.n_slots, n_words))
        self._copies[command.list_id] = tuple(
            nested for nested in command.commands if isinstance(nested, Copy | Window)
        )

    def _timed_replay(self, command: TimedReplay) -> None:
        if not self._timers:
            raise PacketError("this host measures no kernels")
        self._replay(command)
        self._tokens.add(command.token, ())

    def _replay(self, command: Replay | TimedReplay) -> None:
        n_slots, n_words = self._lists.get(command.list_id)
        if len(command.slots) != n_slots:
            raise PacketError(
                f"list {command.list_id} has {n_slots} slots, {len(command.slots)} buffers came"
            )
        for number in command.slots:
            self._buffers.get(number)
        if len(command.patches) & 1:
            raise PacketError("patches must be pairs of index and word")
        if command.patches and max(command.patches[::2]) >= n_words:
            raise PacketError(
                f"patch of word {max(command.patches[::2])}: list {command.list_id} has "
                f"{n_words} uniform words"
            )
        for copy in self._copies[command.list_id]:
            if isinstance(copy, Window):
                self._span(command.slots[copy.slot], copy.offset, copy.nbytes)
                continue
            self._span(command.slots[copy.src], copy.src_offset, copy.nbytes)
            self._span(command.slots[copy.dst], copy.dst_offset, copy.nbytes)

    def _drop(self, command: Drop) -> None:
        for number in command.ids:
            self._lists.remove(number)

    def _drop_pipeline(self, command: DropPipeline) -> None:
        for number in command.ids:
            self._pipelines.remove(number)


_CHECKS: dict[type[Command], Callable[[Ledger, Any], None]] = {
    Alloc: Ledger._alloc,
    Free: Ledger._free,
    Write: Ledger._write,
    WriteBlob: Ledger._write_blob,
    Copy: Ledger._copy,
    Pipeline: Ledger._pipeline,
    Dispatch: Ledger._dispatch,
    Routine: Ledger._routine,
    Read: Ledger._read,
    Store: Ledger._store,
    Replay: Ledger._replay,
    Drop: Ledger._drop,
    DropPipeline: Ledger._drop_pipeline,
    Window: Ledger._window,
    TimedReplay: Ledger._timed_replay,
}


class CompilesAtOnce:
    """The part of a host that compiles nothing in the background."""

    foresee = None

    def compile_soon(self, pipeline: Pipeline) -> None:
        """Leave it for later."""

    def compiling(self) -> int:
        """Return 0: nothing is waited for."""
        return 0
