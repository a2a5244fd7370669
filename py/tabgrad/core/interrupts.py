"""Delays interrupts (Ctrl-C, the stop button of a notebook) until tabgrad's data structures are consistent.

Python runs a signal's handler between any two instructions of the main thread. An exception there could leave
a graph or a packet half-written. The handler installed here looks at the interrupted frame. In tabgrad's own
code it waits until that code has returned to its caller, and raises there. In the user's code, in a wait, or
while a graph is lowered, it raises at once. Under `asyncio.run` the first interrupt cancels the task, as
asyncio does, and none of this is needed. Between interrupts it costs nothing.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

PATIENCE = 0.12
"""Seconds that an interrupt waits for the end of a whole step (an optimizer's, a backward pass). After that it
waits only for code that must not be left half-done."""

_WHOLE = (
    "tabgrad.core.",
    "tabgrad.hosts.",
    "tabgrad_native.",
    "tabgrad.dispatch",
    "tabgrad.random",
)
"""Modules whose code is never interrupted."""
_FREE = ("tabgrad.lower.", "tabgrad.examples.", "tabgrad.utils.", "tabgrad.testing.",
         "tabgrad.__main__", "tabgrad.exporting.", "tabgrad.serialization", "tabgrad.printing")  # fmt: skip
"""Modules whose code can be interrupted anywhere, like a user's."""
_HELPERS = frozenset(
    ("wgpu", "cffi", "cupy", "numpy", "threading", "contextlib", "contextvars", "functools", "weakref", "enum",
     "importlib", "abc", "collections", "copy", "typing", "logging", "asyncio", "pyodide", "_pyodide")
)  # fmt: skip
"""Libraries that both tabgrad and users call: their code is treated like the code that called it."""

_GENERATOR = 0x20
"""The flag that marks a generator's code object."""
_SWALLOWING = frozenset(("_weakrefset", "weakref"))
"""Modules whose functions Python calls when an object dies: as in `__del__`, their exceptions are lost."""
_interruptible: set[CodeType] = set()
_uninterruptible: set[CodeType] = set()
F = TypeVar("F", bound=Callable[..., Any])
TraceFunction = Callable[[FrameType, str, Any], Any]


def interruptible(function: F) -> F:
    """Mark a tabgrad function that may be interrupted at any point: it waits, or changes nothing."""
    _interruptible.add(function.__code__)
    return function


def uninterruptible(function: F) -> F:
    """Mark a function that must finish first, whatever it calls."""
    _uninterruptible.add(function.__code__)
    return function


FREE, STEP, WHOLE = 0, 1, 2
"""Kinds of code: may be interrupted anywhere; should finish first; must finish first."""


def kind_of(
    frame: FrameType | None, until: FrameType | None = None
) -> tuple[int, FrameType | None]:
    """Return the kind of the code that runs in `frame`, and the frame it returns to when it is finished.

    Frames from `until` on outwards are known to be free.
    """
    kind = FREE
    outer = frame
    while outer is not until and outer is not None:
        name, code = outer.f_globals.get("__name__", ""), outer.f_code
        switches = code.co_name in ("__enter__", "__exit__") and name.startswith("tabgrad")
        if name in _SWALLOWING or code.co_name == "__del__" or switches or code in _uninterruptible:
            # Python would discard an exception raised inside, or it would leave things half-done
            kind, frame = WHOLE, outer.f_back
        outer = outer.f_back
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if frame.f_code in _interruptible:
            break
        if name.startswith("tabgrad"):
            if name.startswith(_FREE) and not frame.f_code.co_flags & _GENERATOR:
                break  # a generator may be one that is being closed: Python would discard the exception
            kind = WHOLE if kind == WHOLE or name.startswith(_WHOLE) else STEP
        elif name.partition(".")[0] not in _HELPERS:
            break
        frame = frame.f_back
    return kind, frame


class Deferred:
    """An interrupt that waits for tabgrad's code to return to `frame`."""

    def __init__(self, number: int, frame: FrameType) -> None:
        self.number = number
        self.frame = frame
        self.since = time.monotonic()
        self.tracing = sys.gettrace()
        self.local = frame.f_trace
        self.opcodes = frame.f_trace_opcodes

    def start(self) -> None:
        """Trace the frame, to learn when it continues, and the start of every function."""
        self.frame.f_trace_opcodes = True
        self.frame.f_trace = self.returned
        sys.settrace(self.called)

    def returned(self, frame: FrameType, event: str, arg: object) -> TraceFunction | None:
        """Raise in the frame: tabgrad's code has returned to it."""
        if event in ("exception", "return") and frame.f_code.co_flags & _GENERATOR:
            # a generator that is being closed would discard the exception: raise at the next call instead
            return self.returned
        return self.fire(frame)

    def called(self, frame: FrameType, event: str, arg: object) -> TraceFunction | None:
        """Raise at the start of a function that may be interrupted, or of one whose step takes too long."""
        code, name = frame.f_code, frame.f_globals.get("__name__", "")
        if code not in _interruptible and name.startswith((*_WHOLE, "wgpu.", "cffi.")):
            return None  # walking the outer frames for each call would be slow
        if code.co_flags & _GENERATOR:
            return None  # a `finally` around the `yield` that it goes on from would not run
        kind, _ = kind_of(frame, self.frame)
        if kind == FREE or (kind == STEP and time.monotonic() - self.since > PATIENCE):
            return self.fire(frame)
        return None

    def fire(self, frame: FrameType) -> TraceFunction | None:
        """Restore tracing and raise KeyboardInterrupt."""
        _State.deferred = None
        sys.settrace(self.tracing)
        self.frame.f_trace_opcodes = self.opcodes
        if self.local is None:
            del self.frame.f_trace
        else:
            self.frame.f_trace = self.local
        return signal.default_int_handler(self.number, frame)


class _State:
    deferred: Deferred | None = None


def asyncio_run(frame: FrameType | None) -> tuple[Any, Any] | None:
    """Return the runner and the task of the `asyncio.run` around a frame, if an interrupt cancels that task.

    asyncio cancels the task at the first interrupt, if Python's own handler was installed when it started.
    """
    runners = sys.modules.get("asyncio.runners")
    code = runners and runners.Runner.run.__code__
    while frame is not None:
        if frame.f_code is code:
            runner, task = frame.f_locals.get("self"), frame.f_locals.get("task")
            first = getattr(runner, "_interrupt_count", 1) == 0 and hasattr(runner, "_on_sigint")
            return (runner, task) if first and task is not None and not task.done() else None
        frame = frame.f_back
    return None


def on_interrupt(number: int, frame: FrameType | None) -> object:
    """Handle SIGINT: raise KeyboardInterrupt, now or when tabgrad's code has returned."""
    running = asyncio_run(frame)
    if running is not None:
        runner, task = running
        return runner._on_sigint(number, frame, main_task=task)
    kind, outer = kind_of(frame)
    if kind == FREE or outer is None:
        return signal.default_int_handler(number, frame)
    if _State.deferred is None:
        _State.deferred = Deferred(number, outer)
        _State.deferred.start()
    return None


def install() -> None:
    """Replace the SIGINT handler of Python or asyncio with this one; keep a handler that the user has set."""
    if threading.current_thread() is not threading.main_thread():
        return
    now = signal.getsignal(signal.SIGINT)
    runners = sys.modules.get("asyncio.runners")
    method = getattr(getattr(now, "func", None), "__func__", None)
    theirs = method is not None and method is getattr(
        runners and runners.Runner, "_on_sigint", None
    )
    if now is signal.default_int_handler or theirs:
        signal.signal(signal.SIGINT, on_interrupt)


def watch_notebook() -> None:
    """Install the handler before every notebook cell: the kernel sets its own for each."""
    shell = sys.modules.get("IPython")
    current = shell.get_ipython() if shell is not None else None
    if current is not None:
        current.events.register("pre_run_cell", _before_cell)


def _before_cell(*_: object) -> None:
    install()
