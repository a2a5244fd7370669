"""Groups of processes: how they are made, who is in them, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from tabgrad.distributed import environment
from tabgrad.distributed.engine import Engine, Operation
from tabgrad.distributed.errors import NO_GROUP, DistBackendError
from tabgrad.distributed.mpi import Calls, Steps
from tabgrad.distributed.reducing import DebugLevel
from tabgrad.distributed.work import Work

default_pg_timeout = timedelta(minutes=30)


class ProcessGroup:
    """Processes that call collective functions together."""

    def __init__(
        self, name: str, backend: str, ranks: Sequence[int], rank: int, timeout: float, engine: Engine,
        calls: Calls, checks: Calls, description: str | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.backend = backend
        self.ranks = list(ranks)
        """The rank in the world of each of its processes."""
        self._rank = rank
        self.timeout = timeout
        self.engine = engine
        self.calls = calls
        self.checks = checks
        self.description = description or name
        self.count = 0
        self.bytes_given = 0
        """The bytes of the values that this rank has given to collective calls."""
        self.trace: list[tuple[str, float, float]] | None = None
        """When the values of calls went to the engine and when they were there, once this is a list.

        The times are those of `time.monotonic`.
        """

    group_name = property(lambda self: self.name)
    group_desc = property(lambda self: self.description)

    def rank(self) -> int:
        """Return the number of this process in the group."""
        return self._rank

    def size(self) -> int:
        """Return the number of its processes."""
        return len(self.ranks)

    def __repr__(self) -> str:
        return f"ProcessGroup({self.name!r}, {self.backend}, rank {self._rank} of {self.size()})"

    def begin_all(self) -> None:
        """Hand the values of the calls that wait for their device to the engine.

        Those of all groups, in the order of the calls: another rank may wait for any of them first.
        """
        unbegun = self.engine.unbegun
        while unbegun:
            unbegun.pop(0).begin()

    def run(
        self, name: str, told: str, tensors: Sequence[Any], steps: Callable[[list[Any]], Steps],
        begin: Callable[[], list[Any]], finish: Callable[[list[Any]], None], async_op: bool = False,
        timeout: float | None = None, lazy: bool = False,
    ) -> Work | None:  # fmt: skip
        """Make one collective call.

        `begin` returns the arrays, waiting for the device where it has to, `steps` sends them, `finish`
        writes what has come to the tensors. `told` says what is asked for, for ranks to compare.
        """
        self.engine.check()
        self.count += 1
        operation = Operation(self, name, self.count, timeout or self.timeout)
        messages = self.engine.messages
        messages.doing = f"in {operation} of group {self.name!r}"
        arrays: list[Any] = []

        def hand_over() -> None:
            arrays.extend(begin())
            operation.steps = self._checked(name, told, operation, steps(arrays))
            messages.counts[self.name] = operation.number
            self.engine.add(operation)

        def end() -> None:
            finish(arrays)
            if self.trace is not None:
                self.trace.append((str(operation), operation.given, operation.ended))

        self.begin_all()
        work = Work(self.engine, operation, tensors, hand_over, end)
        if async_op and lazy:
            self.engine.unbegun.append(work)
            messages.doing = (
                f"after {operation} of group {self.name!r}, which it has not waited for"
            )
            return work
        work.begin()
        if async_op:
            return work
        work.wait()
        messages.doing = f"between two calls, after {operation} of group {self.name!r}"
        return None

    def message(
        self, name: str, tensors: Sequence[Any], steps: Callable[[Operation], Steps],
        finish: Callable[[], None], peer: int | None,
    ) -> Work:  # fmt: skip
        """Begin to send a message to one rank of the group, or to receive one."""
        self.engine.check()
        self.begin_all()
        operation = Operation(self, name, 0, self.timeout)
        operation.peers = None if peer is None else [self.ranks[peer]]
        operation.steps = steps(operation)
        self.engine.messages.doing = f"in {name} in group {self.name!r}"
        self.engine.add(operation, ordered=False)
        return Work(self.engine, operation, tensors, lambda: None, finish)

    def _checked(self, name: str, told: str, operation: Operation, steps: Steps) -> Steps:
        """Compare the call with those of the other ranks first, if that is asked for."""
        if environment.get_debug_level() is not DebugLevel.DETAIL:
            return steps

        def judge(lines: list[str]) -> None:
            if len(set(lines)) > 1:
                each = "; ".join(
                    f"rank {r} called {x}" for r, x in zip(self.ranks, lines, strict=True)
                )
                raise DistBackendError(
                    f"the ranks of group {self.name!r} call different things: {each}"
                )

        def both() -> Steps:
            yield from self.checks.compare(f"{operation}({told})", judge)
            yield from steps

        return both()


class State:
    """What `init_process_group` made."""

    world: ProcessGroup | None = None
    engine: Engine | None = None
    groups: dict[str, ProcessGroup]
    made = 0
    local: dict[tuple[int, ...], int]
    """How many groups of these ranks were made by their members alone."""
    process = 0
    """The process that is of the group, not one that it forked."""
    stored_atexit = False


State.groups = {}
State.local = {}


class _NotMember:
    """What `new_group` returns on a process that is not in the group."""

    def __repr__(self) -> str:
        return "<group that this process is not in>"


class _Worldly(type):
    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The group of all processes."""
        return State.world


class GroupMember(metaclass=_Worldly):
    """`WORLD`, the group of all processes, and what stands for a group that this process is not in."""

    NON_GROUP_MEMBER: Any = _NotMember()


class group(metaclass=_Worldly):
    """`group.WORLD` is the group of all processes."""


def is_initialized() -> bool:
    """Whether this process is one of a group: `init_process_group` was called."""
    return State.world is not None


def world() -> ProcessGroup:
    """Return the group of all processes, or raise ValueError."""
    if State.world is None:
        raise ValueError(NO_GROUP)
    return State.world


def resolve(given: Any) -> ProcessGroup | None:
    """Return the group that a parameter `group` means; None if this process is not in it."""
    if given is None:
        return world()
    if given is GroupMember.NON_GROUP_MEMBER:
        return None
    if not isinstance(given, ProcessGroup):
        raise TypeError(f"expected a ProcessGroup or None, got {type(given).__name__}")
    world()
    return given


def resolved(given: Any) -> ProcessGroup:
    """Return the group that a parameter means; raise ValueError if this process is not in it."""
    found = resolve(given)
    if found is None:
        raise ValueError("Invalid process group specified: this process is not in it")
    return found


def get_rank(group: ProcessGroup | None = None) -> int:
    """Return the number of this process in the group, -1 if it is not in it."""
    found = resolve(group)
    return -1 if found is None else found.rank()


def get_world_size(group: ProcessGroup | None = None) -> int:
    """Return the number of processes in the group, -1 if this one is not in it."""
    found = resolve(group)
    return -1 if found is None else found.size()


def get_backend(group: ProcessGroup | None = None) -> str:
    """Return the name of the group's engine."""
    found = resolve(group)
    if found is None:
        raise ValueError("Invalid process group specified")
    return found.backend


def get_process_group_ranks(group: ProcessGroup | None) -> list[int]:
    """Return the ranks, of the world, of the group's processes."""
    found = resolve(group)
    return [] if found is None else list(found.ranks)


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """Return the rank in the group of a rank of the world."""
    found = resolve(group)
    if found is None or global_rank not in found.ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return found.ranks.index(global_rank)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """Return the rank in the world of a rank of the group."""
    found = resolve(group)
    if found is None or not 0 <= group_rank < found.size():
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return found.ranks[group_rank]


def get_pg_count() -> int:
    """Return the number of groups that this process is in."""
    return len(State.groups)


__all__ = [
    "GroupMember", "ProcessGroup", "default_pg_timeout", "get_backend", "get_global_rank", "get_group_rank",
    "get_pg_count", "get_process_group_ranks", "get_rank", "get_world_size", "group", "is_initialized",
]  # fmt: skip
