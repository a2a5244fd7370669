"""Runs the visitor's programs in the page's worker.

The worker offers the module `tabgrad_page`: `emit(json)` sends progress to the page, `pause()`
lets messages of the page in, `stopping()` says whether one asked to stop, `load_numpy()` loads
NumPy's wheel.
"""

import ast
import asyncio
import importlib
import importlib.machinery
import json
import linecache
import sys
import time
import traceback
import types
from collections.abc import Callable
from typing import Any

import tabgrad_page as page
from pyodide.ffi import can_run_sync, run_sync

import tabgrad
from tabgrad.utils import progress

PAUSE = 0.05  # seconds between two messages of progress
COROUTINE = 0x80  # the flag of code with an await at its top level

published: dict[str, Callable[..., Any]] = {}
awaiting: asyncio.Task[Any] | None = None  # the program, while it is at an await of its own


class Feed:
    """Gathers the events of progress bars and passes them on a few times a second."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.counts: dict[int, dict[str, Any]] = {}
        self.sent = 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        kind = event["event"]
        if kind == "update":
            # Only the latest count matters.
            self.counts[event["bar"]] = {**event, "time": now * 1000}
        elif kind == "publish":
            published.update(event["functions"])
            self.events.append({"event": kind, "names": list(event["functions"])})
        else:
            self.events.append({**event, "time": now * 1000})
        if kind not in ("update", "log") or now - self.sent > PAUSE:
            self.flush()
            let_messages_in()

    def flush(self) -> None:
        """Send what has gathered."""
        events = [*self.counts.values(), *self.events]
        self.counts.clear()
        self.events.clear()
        self.sent = time.monotonic()
        if events:
            page.emit(json.dumps(events))


def let_messages_in() -> None:
    """Give the worker a moment to receive messages, and stop if one of them says so."""
    if can_run_sync():
        run_sync(page.pause())
        if page.stopping():
            raise KeyboardInterrupt


class NumPyOnDemand:
    """Loads NumPy's wheel when a program first imports it."""

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find numpy after loading it; everything else is left to others."""
        if name != "numpy" or not can_run_sync():
            return None
        sys.meta_path.remove(self)
        run_sync(page.load_numpy())
        importlib.invalidate_caches()
        return importlib.machinery.PathFinder.find_spec(name, path, target)


feed = Feed()
sys.meta_path.append(NumPyOnDemand())


async def run(source: str, name: str, device: str | None) -> str:
    """Run a program as `__main__`; returns "finished", "failed" or "stopped"."""
    global awaiting
    module = types.ModuleType("__main__")
    module.__file__ = name
    sys.modules["__main__"] = module
    sys.argv = [name]
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    published.clear()
    progress.set_sink(feed)
    tabgrad.set_default_device(device)
    try:
        code = compile(source, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, module.__dict__)
        if code.co_flags & COROUTINE:
            awaiting = asyncio.current_task()
            await result
    except (KeyboardInterrupt, asyncio.CancelledError):
        return "stopped"
    except SystemExit as error:
        if error.code in (None, 0):
            return "finished"
        if not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
        return "failed"
    except BaseException as error:
        print(explain(error, name), end="", file=sys.stderr)
        return "failed"
    finally:
        awaiting = None
        feed.flush()
        sys.stdout.flush()
        sys.stderr.flush()
    return "finished"


def cancel() -> None:
    """Stop the program if it is waiting for something of its own."""
    if awaiting is not None:
        awaiting.cancel()


def explain(error: BaseException, name: str) -> str:
    """Format an error with the frames of the program alone."""
    report = traceback.TracebackException.from_exception(error)
    pending = [report]
    while pending:
        part = pending.pop()
        own = [frame for frame in part.stack if frame.filename == name]
        part.stack = traceback.StackSummary.from_list(own)
        pending += [p for p in (part.__cause__, part.__context__) if p is not None]
        pending += part.exceptions or []
    return "".join(report.format())


async def call(name: str, values: list[float]) -> list[float]:
    """Call a published function with one list of numbers."""
    function = published.get(name)
    if function is None:
        raise LookupError(f"the program has published no {name}")
    try:
        # JavaScript has no integers, and hands over whole numbers as if they were.
        return [float(value) for value in function([float(value) for value in values])]
    finally:
        sys.stdout.flush()
