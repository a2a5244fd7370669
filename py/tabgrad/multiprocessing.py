"""Python's `multiprocessing`, which PyTorch shows under its own name.

Tensors that `share_memory_` has moved travel as what they are: the receiver has the same elements. All others
are copied. A process that sends a shared tensor must not end before it has arrived.
"""

from __future__ import annotations

import multiprocessing as _python
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tabgrad.core.settings import setting


@setting
class _Sharing:
    strategy = "file_descriptor"


def get_sharing_strategy() -> str:
    """Return the name that `set_sharing_strategy` was told; shared tensors travel by file descriptors."""
    return _Sharing.strategy


def get_all_sharing_strategies() -> set[str]:
    """Return the names of PyTorch's ways in which shared tensors can travel between processes."""
    return {"file_descriptor", "file_system"}


def set_sharing_strategy(new_strategy: str) -> None:
    """Remember how shared tensors are to travel between processes; there is one way.

    >>> import tabgrad as tg
    >>> tg.multiprocessing.set_sharing_strategy("file_system")
    """
    if new_strategy not in get_all_sharing_strategies():
        raise ValueError(
            f"set_sharing_strategy: expected 'file_descriptor' or 'file_system', got {new_strategy!r}"
        )
    _Sharing.strategy = new_strategy


class ProcessExitedException(Exception):
    """A process of `spawn` ended with a status that is not 0, or by a signal."""


class ProcessRaisedException(Exception):
    """A function of `spawn` raised; the message has its traceback."""


def _call(fn: Callable[..., Any], i: int, args: tuple[Any, ...], faults: Any) -> None:
    import sys
    import traceback

    try:
        fn(i, *args)
    except KeyboardInterrupt:
        pass
    except Exception:
        faults.put((i, traceback.format_exc()))
        faults.close()
        faults.join_thread()
        sys.exit(1)


class SpawnContext:
    """The processes that `spawn` started: `processes`, and `join`, which waits for them."""

    def __init__(self, processes: list[Any], faults: list[Any]) -> None:
        self.processes = processes
        self._faults = faults

    def pids(self) -> list[int]:
        """Return the numbers of the processes."""
        return [p.pid for p in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until one has ended, `timeout` seconds at most; return whether all have ended well.

        When one fails the others are ended, killed after `grace_period` seconds, and its error is raised.
        """
        from multiprocessing.connection import wait

        codes = [p.exitcode for p in self.processes]
        running = [
            p.sentinel for p, code in zip(self.processes, codes, strict=True) if code is None
        ]
        if running and not any(codes):
            wait(running, timeout)
        failed = [i for i, p in enumerate(self.processes) if p.exitcode]
        if not failed:
            return all(p.exitcode == 0 for p in self.processes)
        for p in self.processes:
            if p.is_alive():
                p.terminate()
        for p in self.processes:
            p.join(grace_period)
            if p.is_alive():
                p.kill()
                p.join()
        i = failed[0]
        if not self._faults[i].empty():
            at, told = self._faults[i].get()
            raise ProcessRaisedException(f"spawn: process {at} raised\n\n{told}")
        code = self.processes[i].exitcode
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        raise ProcessExitedException(f"spawn: process {i} {how}")


def spawn(
    fn: Callable[..., Any], args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True,
    daemon: bool = False, start_method: str = "spawn",
) -> SpawnContext | None:  # fmt: skip
    """Call `fn(i, *args)` in `nprocs` processes, i from 0, and wait for them.

    An error in one ends all and is raised here, as ProcessRaisedException with its traceback. Without `join`
    return the SpawnContext, whose `join` waits. `fn` and `args` are pickled: tensors are copied, but those that
    `share_memory_` has moved are shared.
    """
    context = _python.get_context(start_method)
    processes, faults = [], []
    for i in range(nprocs):
        queue: Any = context.Queue()
        process = context.Process(target=_call, args=(fn, i, args, queue), daemon=daemon)  # type: ignore[attr-defined]
        process.start()
        processes.append(process)
        faults.append(queue)
    made = SpawnContext(processes, faults)
    if not join:
        return made
    while not made.join():
        pass
    return None


def start_processes(*args: Any, **kwargs: Any) -> SpawnContext | None:
    """Do what `spawn` does; `start_method` says how processes are started."""
    return spawn(*args, **kwargs)


__path__: list[str] = []  # modules of `core/paths.py` stand below it
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return the name of Python's module."""
        if name.startswith("__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(_python, name)

    def __dir__() -> list[str]:
        """Return the names of Python's module, and those here."""
        return sorted({*globals(), *dir(_python)})
