"""Runs the visitor's programs in the page's worker.

The worker offers the module `tabgrad_page`: `emit(events)` sends progress to the page, `lost(message)`
that the device is gone, `pause()` lets messages of the page in, `stopping()` says whether one asked to
stop, `load_numpy()` loads NumPy's wheel.
"""

import ast
import asyncio
import importlib
import importlib.machinery
import linecache
import sys
import time
import traceback
import types
import warnings
from collections.abc import Callable
from typing import Any

import tabgrad_page as page
from js import Object
from pyodide.ffi import can_run_sync, run_sync, to_js

import tabgrad
from tabgrad.core import settings
from tabgrad.core.errors import DeviceLostError
from tabgrad.utils import progress

PAUSE = 0.05  # seconds between two messages of progress
PROMPT = 0.005  # between two of which one says that a bar begins or ends
MOST = 1000  # values in one message; of more, every second one goes
MOST_VALUES = 100  # in one log; the page takes no more
COROUTINE = 0x80  # the flag of code with an await at its top level

published: dict[str, Callable[..., Any]] = {}
awaiting: asyncio.Task[Any] | None = None  # the program, while it is at an await of its own


class Feed:
    """Gathers the events of progress bars and passes them on a few times a second."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.counts: dict[int, dict[str, Any]] = {}
        self.sent = 0.0
        self.entries = Object.fromEntries  # a program may change what it finds there

    def __call__(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        event = plain(event, now * 1000)
        kind = event["event"]
        if kind == "update":
            # Only the latest count matters.
            self.counts[event["bar"]] = event
        else:
            self.events.append(event)
        if len(self.events) > MOST:
            self.thin()
        if now - self.sent > (PAUSE if kind in ("update", "log") else PROMPT):
            self.flush()
            let_messages_in()

    def thin(self) -> None:
        """Keep every second of the logged values, and of bars that came and went the latest."""
        logs = [event for event in self.events if event["event"] == "log"]
        gone = {id(event) for event in logs[::2]}
        self.events = [event for event in self.events if id(event) not in gone][-MOST:]

    def flush(self) -> None:
        """Send what has gathered."""
        events = [*self.counts.values(), *self.events]
        self.counts.clear()
        self.events.clear()
        self.sent = time.monotonic()
        if events:
            page.emit(to_js(events, dict_converter=self.entries))


def plain(event: dict[str, Any], now: float) -> dict[str, Any]:
    """Return an event of numbers and text alone; raises TypeError or ValueError where it has others."""
    kind = event["event"]
    if kind == "publish":
        published.update(event["functions"])
        return {"event": kind, "names": list(event["functions"])}
    sent = {"event": kind, "bar": event["bar"], "time": now}
    if kind == "start":
        total = event["total"]
        sent |= {"total": None if total is None else float(total), "desc": str(event["desc"])}
    elif kind == "update":
        sent |= {"n": float(event["n"])}
    elif kind == "log":
        values = dict(event["values"])
        if len(values) > MOST_VALUES:
            raise ValueError(
                f"log: a page takes at most {MOST_VALUES} values at a time, got {len(values)}; log fewer"
            )
        sent |= {"n": float(event["n"]), "values": values}
    return sent


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
    settings.restore()
    progress.set_sink(feed)
    tabgrad.set_default_device(device)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    try:
        code = compile(source, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with warnings.catch_warnings():
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
        tell_of_loss(error)
        print(explain(error, name), end="", file=sys.stderr)
        return "failed"
    finally:
        awaiting = None
        feed.flush()
        sys.stdout.flush()
        sys.stderr.flush()
    return "finished"


def tell_of_loss(error: BaseException | None) -> None:
    """Tell the page if the device is gone, which this error or what led to it says."""
    while error is not None and not isinstance(error, DeviceLostError):
        error = error.__cause__ or error.__context__
    if error is not None:
        why = str(error).rstrip(".")
        page.lost(f"The GPU's device was lost, and all that lay on it ({why}).")


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


async def call(name: str, values: list[float]) -> tuple[list[float], str]:
    """Call a published function with one list of numbers; returns its numbers, or in a line what it raised."""
    function = published.get(name)
    if function is None:
        return [], f"the program has published no {name}"
    try:
        # JavaScript has no integers, and hands over whole numbers as if they were.
        return [float(value) for value in function([float(value) for value in values])], ""
    except Exception as error:
        tell_of_loss(error)
        return [], "".join(traceback.format_exception_only(error)).strip()
    finally:
        sys.stdout.flush()
