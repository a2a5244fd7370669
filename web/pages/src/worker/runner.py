"""Runs the visitor's programs in the page's worker.

The worker offers the module `tabgrad_page`: `emit(events)` sends progress to the page, `show(place, form,
data, label)` a picture or table, `hint(text, offer)` what to do about an error, `lost(message)` that the
device is gone, `pause()` lets messages of the page in, `stopping()` says whether one asked to stop,
`postpone()` has an interrupt come again, `load_numpy()` loads NumPy's wheel; `archives.py` tells of `library`.
Each program has a space of its own, named by the page, whose names stay until the space is run in again.
"""

import ast
import asyncio
import importlib
import importlib.machinery
import inspect
import io
import linecache
import random
import signal
import sys
import time
import traceback
import types
import warnings
from collections.abc import Callable
from typing import Any

import archives
import background
import controls
import defaults
import display
import hints
import tabgrad_page as page
from js import Object
from pyodide.ffi import JsException, can_run_sync, jsnull, run_sync, to_js

import tabgrad
from tabgrad.core import interrupts, settings
from tabgrad.core.errors import DeviceLostError
from tabgrad.utils import progress

PAUSE = 0.05  # seconds between two messages of progress
PROMPT = 0.005  # between two of which one says that a bar begins or ends
AT_ONCE = 20  # so many of these come promptly; one more for each PAUSE
MOST = 1000  # values in one message; of more, every second one goes
MOST_VALUES = 100  # in one log; the page takes no more
MOST_SHOWN = 200  # values that one run may show, those in a place of their own apart
COROUTINE = 0x80  # the flag of code with an await at its top level
LAST = "__last__"  # what the value of a last bare expression is bound to, for a moment


class Space:
    """What belongs to one program: its module, and what it has published."""

    def __init__(self, name: str, space: str = "") -> None:
        self.name = name
        self.space = space
        self.constants: dict[str, Any] = {}  # what names with controls had at first
        self.unfit: set[str] = set()  # names with controls whose value they can't take
        self.module = types.ModuleType("__main__")
        self.module.__file__ = name
        self.published: dict[str, Callable[..., Any]] = {}


spaces: dict[str, Space] = {}
current = Space("")
awaiting: asyncio.Task[Any] | None = None  # the program, while it is at an await of its own


class Feed:
    """Gathers the events of progress bars and passes them on a few times a second."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.counts: dict[int, dict[str, Any]] = {}
        self.places: dict[str, Any] = {}
        self.shown = 0
        self.sent = 0.0
        self.allowance: float = AT_ONCE
        self.entries = Object.fromEntries  # a program may change what it finds there

    def __call__(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        kind = event["event"]
        if kind == "show" and not event["place"]:
            return self.show(event["value"])
        if kind != "show":
            event = plain(event, now * 1000)
        if kind == "show":
            # Of a place only the latest value matters, and it is drawn when it is sent.
            self.places[str(event["place"])] = event["value"]
        elif kind == "update":
            # Only the latest count matters.
            self.counts[event["bar"]] = event
        else:
            self.events.append(event)
        if len(self.events) > MOST:
            self.thin()
        prompt = kind not in ("update", "log", "show") and self.allowance >= 1
        if now - self.sent > (PROMPT if prompt else PAUSE):
            self.allowance = min(self.allowance + (now - self.sent) / PAUSE - prompt, AT_ONCE)
            self.flush()
            let_messages_in()

    def thin(self) -> None:
        """Keep every second of the logged values, and of bars that came and went the latest."""
        logs = [event for event in self.events if event["event"] == "log"]
        gone = {id(event) for event in logs[::2]}
        self.events = [event for event in self.events if id(event) not in gone][-MOST:]

    def show(self, value: Any) -> None:
        """Send a value to the end of the output; of a flood the first ones, and a note in place of the rest."""
        self.shown += 1
        if self.shown <= MOST_SHOWN:
            present(value, "", str)
        elif self.shown == MOST_SHOWN + 1:
            text = f"… a page shows {MOST_SHOWN} values of one run, and the rest was skipped: give them a place"
            print("\n" * page.mid_line() + f"{text}, where each replaces the one before …")

    def flush(self) -> None:
        """Send what has gathered."""
        places, self.places = self.places, {}
        for place, value in places.items():
            present(value, place, str)
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
        current.published.update(event["functions"])
        weights = [
            name for name, value in current.published.items() if hasattr(value, "state_dict")
        ]
        odd = event["functions"].get("predict", print)
        if not callable(odd):
            raise TypeError(f"publish: predict must be a function, got {type(odd).__name__}")
        return {"event": kind, "names": list(event["functions"]), "weights": weights}
    sent = {"event": kind, "bar": event["bar"], "time": now}
    if kind == "start":
        total = event["total"]
        sent |= {"total": jsnull if total is None else float(total), "desc": str(event["desc"])}
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


def interrupted(number: int, frame: types.FrameType | None) -> object:
    """Stop the program where it runs: in the event loop an interrupt would end a step that others wait for."""
    outer = frame
    while outer is not None and outer.f_code.co_filename != current.name:
        outer = outer.f_back
    return page.postpone() if outer is None else interrupts.on_interrupt(number, frame)


class NumPyOnDemand:
    """Loads NumPy's wheel when a program first imports it, and gives its random numbers the run's seed."""

    def __init__(self) -> None:
        self.loaded = False
        self.seed: int | None = None

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find numpy after loading it, and its random numbers; everything else is left to others."""
        if name == "numpy" and not self.loaded and can_run_sync():
            self.load(name)
            self.loaded = True
            importlib.invalidate_caches()
            return importlib.machinery.PathFinder.find_spec(name, path, target)
        if name != "numpy.random":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self.seeded(spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def load(self, name: str) -> None:
        """Have NumPy's files; raises ImportError where they could not be fetched."""
        try:
            run_sync(page.load_numpy())
        except JsException as error:
            raise ImportError(
                f"numpy: it comes from this page's host when it is first imported, and could not be fetched "
                f"({error}); is there a network? Run again",
                name=name,
            ) from None

    def seeded(self, execute: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return what executes the module and then seeds its numbers."""

        def exec_module(module: Any) -> None:
            execute(module)
            if self.seed is not None:
                module.seed(self.seed)

        return exec_module

    def begin(self, seed: int | None) -> None:
        """Take the seed of a run."""
        self.seed = None if seed is None else seed % 2**32
        known = sys.modules.get("numpy.random")
        if known is not None and self.seed is not None:
            known.seed(self.seed)


feed = Feed()
numpy_on_demand = NumPyOnDemand()
sys.meta_path.insert(0, numpy_on_demand)
archives.begin()


def present(value: Any, place: str, text: Callable[[Any], str] = repr) -> None:
    """Show a value on the page: drawn if it can be, else as its text, after the reason if drawing failed."""
    try:
        made = display.drawn(value)
    except display.Undrawn as error:
        made = None
        defaults.flush()
        defaults.complain(explain(error.__cause__ or error, current.name))
    except display.TooMuch as error:
        made = None
        page.hint(str(error), "")
    defaults.flush()
    if made is not None:
        page.show(place, *made, type(value).__name__)
    elif place:
        page.show(place, "text", text(value)[: display.MOST], type(value).__name__)
    else:
        print("\n" * page.mid_line() + text(value))


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Show a warning; of a lost coroutine what to do, for the line that loses it is one of this file."""
    if category is RuntimeWarning and "was never awaited" in str(message):
        return page.hint(f"{message}: write await before the call.", "")
    defaults.complain(warnings.formatwarning(message, category, filename, lineno, line))


warnings.showwarning = show_warning


def code_of(source: str, name: str, values: dict[str, Any]) -> types.CodeType:
    """Compile a program: its last bare expression is kept, and constants get the values of controls."""
    tree = ast.parse(source, name)
    for statement in tree.body:
        target = controls.assigned(statement)
        if target in values:
            value = fitted(current, target, values.pop(target), ast.literal_eval(statement.value))
            statement.value = ast.copy_location(ast.Constant(value), statement.value)
    for rest in values:
        page.unbound(current.space, rest)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr) and not source.rstrip().endswith(";"):
        target = ast.copy_location(ast.Name(LAST, ast.Store()), last)
        tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
    return compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def fitted(space: Space, name: str, value: Any, old: Any) -> Any:
    """Return the value of a control like its name's constant, or the old one, and tell the page why."""
    if old is not None:
        space.constants.setdefault(name, old)
    new, why = controls.fit(name, value, old, space.constants.get(name))
    if why or name in space.unfit:
        page.fit(space.space, name, why)
        (space.unfit.add if why else space.unfit.discard)(name)
    return new


async def run(
    source: str,
    name: str,
    device: str | None,
    space: str,
    seed: float | None,
    values: dict[str, Any],
) -> str:
    """Run a program as `__main__`; returns "finished", "failed" or "stopped"."""
    global current
    current = spaces[space] = Space(name, space)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    enter(current)
    feed.shown = 0
    settings.restore()
    progress.set_sink(feed)
    tabgrad.set_default_device(device)
    numpy_on_demand.begin(None if seed is None else int(seed))
    if seed is not None:
        tabgrad.manual_seed(int(seed))
        random.seed(int(seed))
    names = current.module.__dict__

    def work() -> Any:
        code = code_of(source, name, values)
        result = eval(code, names)
        return result if code.co_flags & COROUTINE else None

    return await attempt(work, lambda _: names.pop(LAST, None))


async def press(space: str, name: str) -> str:
    """Call a function of a program that has run, for a button; what it returns is shown."""
    global current
    if space not in spaces:
        return "failed"
    current = spaces[space]
    enter(current)
    progress.set_sink(feed)

    def work() -> Any:
        function = current.module.__dict__.get(name)
        if not callable(function):
            raise NameError(f"a control calls {name}, which is no function of {current.name}")
        result = function()
        return result if inspect.isawaitable(result) else finished(result)

    return await attempt(work, lambda result: result)


async def finished(result: Any) -> Any:
    """Return what is known already."""
    return result


def enter(space: Space) -> None:
    """Make a program's module the one that runs."""
    sys.modules["__main__"] = space.module
    sys.argv = [space.name]
    defaults.bring_back()
    warnings.showwarning = show_warning
    signal.signal(signal.SIGINT, interrupted)


async def attempt(work: Callable[[], Any], value: Callable[[Any], Any]) -> str:
    """Do some work of the program that runs, show its value, wait for its tasks; returns how it ended."""
    global awaiting
    background.watch()
    outcome = "finished"
    try:
        with warnings.catch_warnings():
            await done(work, value)
    except BaseException as error:
        defaults.bring_back_builtins()
        outcome = ended(error)
    awaiting = None
    defaults.bring_back_builtins()
    await background.end()
    defaults.bring_back_builtins()
    settle()
    return outcome


async def done(work: Callable[[], Any], value: Callable[[Any], Any]) -> None:
    """Do the work, and all that it leaves running."""
    global awaiting
    result = work()
    if result is not None:
        awaiting = asyncio.current_task()
        result = await result
    shown = value(result)
    feed.flush()
    if shown is not None:
        present(shown, "")
    if background.tasks() or background.callbacks():
        defaults.flush()
        awaiting = asyncio.current_task()
        await background.rest()


def ended(error: BaseException) -> str:
    """Return how a program ended that this has ended, and tell of an error."""
    try:
        if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            return "stopped"
        if isinstance(error, SystemExit):
            if error.code in (None, 0):
                return "finished"
            if isinstance(error.code, int):
                itself = f"The program ended itself: sys.exit({error.code})."
                page.hint(hints.DEBUGGER if hints.debugged(error) else itself, "")
            else:
                defaults.complain(f"{error.code}\n")
            return "failed"
        tell_of_loss(error)
        defaults.complain(explain(error, current.name))
        text, offer = hints.hint(error)
        if text:
            page.hint(text, offer)
    except BaseException as odd:  # methods of an error are the program's, and may do anything
        kinds = type(error).__name__, type(odd).__name__
        page.hint(
            "The program ended with {}, which can't be shown: it raises {}.".format(*kinds), ""
        )
    return "failed"


def settle() -> None:
    """Send what the program has left to send."""
    try:
        feed.flush()
    except BaseException as error:
        ended(error)
    defaults.flush()


def set_value(space: str, name: str, value: Any) -> None:
    """Give a name of a program the value of a control."""
    if space in spaces:
        names = spaces[space].module.__dict__
        names[name] = fitted(spaces[space], name, value, names.get(name))


async def weights(space: str, name: str) -> tuple[Any, str]:
    """Return what a published model has learned as safetensors, or in a line why not."""
    from tabgrad.serialization import safetensors

    try:
        file = io.BytesIO()
        await safetensors.save_async(dict(spaces[space].published[name].state_dict()), file)
        return to_js(file.getbuffer()), ""
    except Exception as error:
        return None, "".join(traceback.format_exception_only(error)).strip()


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
    """Format an error with the frames of the program alone; no source of any other is read."""
    report = traceback.TracebackException.from_exception(error, lookup_lines=False)
    pending = [report]
    while pending:
        part = pending.pop()
        own = [frame for frame in part.stack if frame.filename == name]
        part.stack = traceback.StackSummary.from_list(own)
        pending += [p for p in (part.__cause__, part.__context__) if p is not None]
        pending += part.exceptions or []
    return "".join(report.format())


async def call(space: str, name: str, values: list[float]) -> tuple[list[float], str]:
    """Call a published function with one list of numbers; returns its numbers, or in a line what it raised."""
    function = spaces[space].published.get(name) if space in spaces else None
    if function is None:
        return [], f"the program has published no {name}"
    try:
        # JavaScript has no integers, and hands over whole numbers as if they were.
        return [float(value) for value in function([float(value) for value in values])], ""
    except Exception as error:
        tell_of_loss(error)
        return [], "".join(traceback.format_exception_only(error)).strip()
    finally:
        defaults.flush()
