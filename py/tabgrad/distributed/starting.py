"""How groups of processes are made and how they end."""

from __future__ import annotations

import atexit
import os
import sys
import time
import zlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from tabgrad.distributed import environment
from tabgrad.distributed.engine import Engine, flush_output
from tabgrad.distributed.errors import NO_GROUP, DistBackendError, DistNetworkError
from tabgrad.distributed.group import GroupMember, ProcessGroup, State, default_pg_timeout, world
from tabgrad.distributed.messages import Messages
from tabgrad.distributed.mpi import Calls, Mpi

LOCAL = 3
"""The tag of what the members of a new group say to each other alone."""
THERE = ""
"""In place of a group's name in the question whether a rank is there at all."""


def init_process_group(
    backend: str | None = None, init_method: str | None = None, timeout: timedelta | None = None,
    world_size: int = -1, rank: int = -1, store: Any = None, group_name: str = "", pg_options: Any = None,
    device_id: Any = None,
) -> None:  # fmt: skip
    """Make this process one of the group of all processes, and wait until all have come.

    `backend` is "mpi" for tensors on any device, or "nccl" for those on CUDA devices. With MPI the program is
    started by `mpiexec` or `srun`, which says rank and number of processes: `world_size` and `rank` must agree
    where they are given, as must RANK and WORLD_SIZE. `timeout` (30 minutes) is the deadline of each wait.
    `store`, `init_method` and `pg_options` are not needed. RuntimeError where no engine is installed.
    """
    if State.world is not None:
        raise ValueError("trying to initialize the default process group twice!")
    kind = _chosen(backend)
    seconds = _seconds(timeout)
    engine, comm = _connect(seconds)
    _agree(comm, world_size, rank)
    made = _made(
        group_name or "world", kind, range(comm.Get_size()), comm, seconds, engine, "default_pg"
    )
    State.world, State.engine = made, engine
    State.groups = {made.name: made}
    State.process = os.getpid()
    for name, value in (
        ("RANK", made.rank()),
        ("WORLD_SIZE", made.size()),
        ("LOCAL_RANK", environment.get_node_local_rank(0)),
    ):
        os.environ.setdefault(name, str(value))
    if not State.stored_atexit:
        State.stored_atexit = True
        atexit.register(leave)


def _chosen(backend: str | None) -> str:
    """Return the engine's name, or raise."""
    if environment.in_a_tab():
        raise RuntimeError(f"init_process_group: {environment.IN_A_TAB}")
    if not (environment.is_mpi_available() or environment.is_nccl_available()):
        raise RuntimeError(f"init_process_group: {environment.NO_ENGINE}")
    if backend is None:
        backend = "mpi" if environment.is_mpi_available() else "nccl"
    named = {part.rpartition(":")[2].strip().lower() for part in backend.split(",")}
    if named == {"mpi", "nccl"}:
        named = {"mpi"}  # it takes tensors of every device
    if _is_alias() and named - {"mpi"} and named <= _OTHERS and not _has_nccl(named):
        named = {"mpi"}
    kind = named.pop()
    if named or kind not in ("mpi", "nccl"):
        raise ValueError(
            f"Invalid backend: '{backend}'. tabgrad has 'mpi', for tensors of every device, and 'nccl'"
        )
    if not environment.is_mpi_available():
        raise RuntimeError(
            f"init_process_group: {kind} needs mpi4py here, which `pip install 'tabgrad[mpi]'` installs"
        )
    if kind == "nccl" and not environment.is_nccl_available():
        raise RuntimeError(
            "init_process_group: nccl needs CuPy, which `pip install 'tabgrad[cuda]'` installs; "
            "backend='mpi' takes tensors of every device"
        )
    return kind


_OTHERS = {"gloo", "nccl", "ucc", "xccl", "mpi"}


def _is_alias() -> bool:
    """Whether the program is one for PyTorch, whose "gloo" or "nccl" means what is here."""
    alias = sys.modules.get("tabgrad.pytorch.alias")
    return alias is not None and bool(alias.placed())


def _has_nccl(named: set[str]) -> bool:
    return "nccl" in named and environment.is_nccl_available()


def _seconds(timeout: timedelta | None) -> float:
    if timeout is None:
        return default_pg_timeout.total_seconds()
    if not isinstance(timeout, timedelta):
        raise TypeError(
            f"Expected timeout argument to be of type datetime.timedelta, got {type(timeout)}"
        )
    return timeout.total_seconds()


def _connect(seconds: float) -> tuple[Engine, Any]:
    """Start MPI, and the thread that moves it on."""
    if State.engine is not None:
        State.engine.check()
    try:
        mpi = State.engine.mpi if State.engine is not None else Mpi(seconds)
    except DistBackendError:
        raise
    except (ImportError, RuntimeError) as error:
        raise DistNetworkError(
            f"init_process_group: mpi4py can't load an MPI library: {error}; `pip install 'tabgrad[mpi]'` "
            "installs one"
        ) from error
    comm, request = mpi.COMM_WORLD.Idup()
    _within(mpi, request, seconds, "init_process_group: not all processes have called it")
    if State.engine is not None and not State.engine.stopped:
        return State.engine, comm
    control, request = mpi.COMM_WORLD.Idup()
    _within(mpi, request, seconds, "init_process_group: not all processes have called it")
    threaded = mpi.Query_thread() >= mpi.THREAD_SERIALIZED
    engine = Engine(mpi, Messages(control, mpi), threaded)
    engine.start()
    return engine, comm


def _within(mpi: Mpi, request: Any, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not mpi.all_complete([request]):
        if time.monotonic() > end:
            raise DistBackendError(f"{what} within {seconds:g} s")
        time.sleep(0.001)


def _agree(comm: Any, world_size: int, rank: int) -> None:
    """Raise unless what was given, and what the environment says, is what MPI says."""
    size, own = comm.Get_size(), comm.Get_rank()
    for what, given, is_ in (
        ("world_size", world_size, size),
        ("rank", rank, own),
        ("the environment's WORLD_SIZE", environment.number(("WORLD_SIZE",)), size),
        ("the environment's RANK", environment.number(("RANK",)), own),
    ):
        if given is not None and given >= 0 and given != is_:
            raise ValueError(
                f"init_process_group: {what} is {given}, and MPI says {is_}; a program that uses MPI is "
                "started with `mpiexec -n 2 python program.py`, `srun`, or "
                "`python -m tabgrad.distributed.run --nproc-per-node=2 program.py`, not with torchrun"
            )


def _made(
    name: str, kind: str, ranks: Sequence[int], comm: Any, seconds: float, engine: Engine,
    description: str | None,
) -> ProcessGroup:  # fmt: skip
    checks = comm.Dup()
    calls: Calls = Calls(engine.mpi, comm)
    if kind == "nccl":
        from tabgrad.distributed.nccl import NcclCalls

        calls = NcclCalls(engine.mpi, comm)
    found = ProcessGroup(
        name, kind, ranks, comm.Get_rank(), seconds, engine, calls, Calls(engine.mpi, checks), description
    )  # fmt: skip
    engine.messages.counts[name] = 0
    return found


def new_group(
    ranks: Sequence[int] | None = None, timeout: timedelta | None = None, backend: str | None = None,
    pg_options: Any = None, use_local_synchronization: bool = False, group_desc: str | None = None,
    device_id: Any = None, sort_ranks: bool = True,
) -> Any:  # fmt: skip
    """Make a group of some of the processes. All processes of the world call it, in the same order.

    With `use_local_synchronization` those in the group alone call it. It returns
    `GroupMember.NON_GROUP_MEMBER` on those that are not in it. The ranks are in rising order, or with
    `sort_ranks=False` in that of `ranks`. DistBackendError where the processes ask for different groups.
    """
    whole = world()
    members = list(range(whole.size())) if ranks is None else [int(r) for r in ranks]
    if sort_ranks:
        members.sort()
    if len(set(members)) != len(members) or not set(members) <= set(range(whole.size())):
        raise ValueError(
            f"new_group: the new group's ranks must be different ranks of the world, 0 to {whole.size() - 1}; "
            f"got {members}"
        )
    own = whole.rank()
    inside = own in members
    if use_local_synchronization:
        if not inside:
            return GroupMember.NON_GROUP_MEMBER
        name = _together(whole, members)
    else:
        _same_on_all(whole, members, backend)
        State.made += 1
        name = str(State.made)
    engine = whole.engine
    with engine.lock:
        if use_local_synchronization:
            within = whole.checks.comm.Get_group().Incl(members)
            comm = whole.checks.comm.Create_group(within, LOCAL)
        else:
            color = 0 if inside else engine.mpi.UNDEFINED
            comm = whole.calls.comm.Split(color, members.index(own) if inside else 0)
        if not inside:
            return GroupMember.NON_GROUP_MEMBER
        seconds = whole.timeout if timeout is None else _seconds(timeout)
        kind = whole.backend if backend is None else _chosen(backend)
        made = _made(name, kind, members, comm, seconds, engine, group_desc)
    State.groups[name] = made
    return made


def _same_on_all(whole: ProcessGroup, members: list[int], backend: str | None) -> None:
    """Wait for all; raise unless they ask for the same group."""
    line = f"new_group({members}, backend={backend})"
    # a comparison has 512 bytes: what differs may stand behind them
    told = f"{zlib.crc32(line.encode()):08x} {line}"

    def judge(lines: list[str]) -> None:
        if len(set(lines)) > 1:
            each = "; ".join(f"rank {r} called {x[9:]}" for r, x in enumerate(lines))
            raise DistBackendError(f"new_group: the ranks ask for different groups: {each}")

    whole.run(
        "new_group", line, [], lambda _: whole.calls.compare(told, judge), lambda: [], lambda _: None
    )  # fmt: skip


def _together(whole: ProcessGroup, members: list[int]) -> str:
    """Wait for the members of a new group alone, with a deadline; return its name."""
    peers = [r for r in members if r != whole.rank()]
    count = State.local.get(tuple(members), 0)
    State.local[tuple(members)] = count + 1
    comm, byte = whole.checks.comm, whole.engine.mpi.BYTE
    buffers = [bytearray(1) for _ in peers]

    def steps(operation: Any) -> Any:
        operation.peers = peers
        yield [
            *[comm.Isend([b"1", byte], r, LOCAL) for r in peers],
            *[comm.Irecv([b, byte], r, LOCAL) for b, r in zip(buffers, peers, strict=True)],
        ]

    whole.message("new_group", [], steps, lambda: None, None).wait()
    return f"local {members} {count}"


def new_subgroups(
    group_size: int | None = None, group: ProcessGroup | None = None, timeout: timedelta | None = None,
    backend: str | None = None, pg_options: Any = None, group_desc: str | None = None,
) -> tuple[Any, list[Any]]:  # fmt: skip
    """Divide the processes into groups of `group_size` neighbours; return this process's group and all of them.

    Without `group_size` it is the number of processes on this machine (LOCAL_WORLD_SIZE).
    """
    size = world().size()
    local = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
    count = environment.number(local) if group_size is None else group_size
    if not count or count <= 0 or size % count:
        raise ValueError(
            f"new_subgroups: the world size ({size}) must be divisible by group_size={count}"
        )
    parts = [list(range(at, at + count)) for at in range(0, size, count)]
    return new_subgroups_by_enumeration(parts, timeout, backend, pg_options, group_desc)


def new_subgroups_by_enumeration(
    ranks_per_subgroup_list: list[list[int]], timeout: timedelta | None = None,
    backend: str | None = None, pg_options: Any = None, group_desc: str | None = None,
) -> tuple[Any, list[Any]]:  # fmt: skip
    """Make a group of each list of ranks; return this process's group (None if it is in none) and all."""
    if not ranks_per_subgroup_list:
        raise ValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
    everyone = [r for part in ranks_per_subgroup_list for r in part]
    if len(set(everyone)) != len(everyone):
        raise ValueError("new_subgroups_by_enumeration: a rank may be in one of the groups only")
    own, made = None, []
    for part in ranks_per_subgroup_list:
        made.append(new_group(part, timeout, backend, pg_options, False, group_desc))
        if world().rank() in part:
            own = made[-1]
    return own, made


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Leave a group; without one, all groups, after which `init_process_group` may be called again."""
    if State.world is None:
        raise ValueError(NO_GROUP)
    State.world.begin_all()
    if group is not None and group is not State.world:
        if State.groups.pop(getattr(group, "name", ""), None) is None:
            raise ValueError("Invalid process group specified")
        return
    State.world = None
    State.groups = {}
    engine = State.engine
    if engine is not None and engine.broken is None:
        with engine.lock:
            engine.messages.doing = "no longer in any group: it has called destroy_process_group"


def leave() -> None:
    """End MPI as the process ends: at once where something is broken, else when all processes end."""
    engine = State.engine
    if engine is None or engine.stopped or os.getpid() != State.process:
        return
    error = getattr(sys, "last_value", None)
    if error is not None and engine.broken is None:
        how = f"has ended with {type(error).__name__}: {str(error)[:500]}"
        engine.broken = how
        with engine.lock:
            engine.messages.tell_ended(how, failed=True)
    if engine.broken is not None:
        _abort(engine)
    engine.messages.doing = "at the end of its program"
    with engine.lock:
        engine.messages.tell_ended("has ended its program", failed=False)
        request = engine.messages.comm.Ibarrier()
    _wait_for_the_others(engine, request)
    engine.stop()
    engine.messages.close()
    if engine.mpi.started:
        engine.mpi.Finalize()


def _wait_for_the_others(engine: Engine, request: Any) -> None:
    """Wait until all have ended, however long they work, as long as they answer."""
    seconds = State.world.timeout if State.world else default_pg_timeout.total_seconds()
    messages = engine.messages
    everyone = set(range(messages.size)) - {messages.rank}
    asked, end = False, time.monotonic() + seconds
    while not engine.mpi.all_complete([request]):
        engine.serve_for(0.005)
        if time.monotonic() > end:
            silent = everyone - messages.gone.keys() - messages.answers.get(THERE, {}).keys()
            if asked and silent:
                ranks = ", ".join(map(str, sorted(silent)))
                engine.broken = f"rank {ranks} does not answer: it is dead, stopped or out of reach"
            messages.answers[THERE] = {}
            for rank in everyone - messages.gone.keys():
                messages.send(rank, "where", THERE)
            asked, end = True, time.monotonic() + seconds
        if engine.broken is not None:
            print(f"tabgrad.distributed: {engine.broken}", file=sys.stderr)
            _abort(engine)


def _abort(engine: Engine) -> None:
    """End all processes, once the others had the time to say what they know."""
    flush_output()
    messages = engine.messages
    with engine.lock:
        messages.tell_ended("has ended, after an error", failed=False)
    everyone = set(range(messages.size)) - {messages.rank}
    engine.serve_for(5.0, lambda: everyone <= messages.silent | messages.gone.keys())
    engine.serve_for(0.05)
    engine.stopped = True
    engine.mpi.COMM_WORLD.Abort(1)


__all__ = [
    "destroy_process_group", "init_process_group", "new_group", "new_subgroups",
    "new_subgroups_by_enumeration",
]  # fmt: skip
