"""The progress of a program: bars, logged values, and functions to try.

On a terminal a bar is drawn, by tqdm where it is installed. A page, a notebook or a test
that wants to show progress itself installs a sink and receives events instead.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from html import escape
from types import ModuleType, TracebackType
from typing import Any, TypeVar

from tabgrad.core.settings import on_restore

Event = dict[str, Any]
Sink = Callable[[Event], None]
T = TypeVar("T")

_sink: Sink | None = None
_printed: dict[str, str] = {}  # what a terminal has last, by place
_numbers = itertools.count(1)


def set_sink(sink: Sink | None) -> None:
    """Send the events of bars made from now on to `sink`; None draws them on stderr again.

    An event is a dictionary. `event` is "start" (with `total`, `desc`), "update" (with `n`,
    the count so far), "log" (with `n`, `values`), "end", all with the number of their `bar`;
    "publish" (with `functions`), or "show" (with `value`, `place`).

    >>> events = []
    >>> set_sink(events.append)
    >>> with bar(total=2) as b:
    ...     b.update(2)
    ...     b.log(loss=0.5)
    >>> [e["event"] for e in events], events[2]["values"]
    (['start', 'update', 'log', 'end'], {'loss': 0.5})
    >>> set_sink(None)
    """
    global _sink
    _sink = sink
    _printed.clear()


on_restore(lambda: set_sink(None))


def bar(total: int | None = None, desc: str = "") -> Bar:
    """Begin a progress bar of `total` steps, or of an unknown number; use it in a `with`.

    Logged values must be Python numbers: reading a tensor for every step would make the GPU
    wait, so log every few steps.

    >>> with bar(total=100, desc="training") as b:
    ...     for i in range(100):
    ...         b.update()
    ...         if b.n % 10 == 0:
    ...             b.log(loss=1 / b.n)
    """
    return Bar(total, desc, _sink)


def publish(**functions: Callable[..., Any]) -> None:
    """Offer functions to the page that shows the progress; on a terminal this does nothing.

    The page of tabgrad knows `predict`: it gets 64 numbers from 0 to 1, the rows of an 8×8
    image, and returns the probabilities of the ten digits. Of modules it offers what they have
    learned, as a safetensors file of that name.

    >>> publish(predict=lambda pixels: [0.1] * 10)
    """
    if _sink is not None:
        _sink({"event": "publish", "functions": functions})


def show(value: Any, place: str = "") -> None:
    """Show a value where progress is shown: a page draws it, a notebook displays it, a terminal prints it.

    A page draws what has `_repr_html_`, `_repr_svg_` or `_repr_png_`, as drawings of `viz` do, and figures of
    matplotlib; of all else it shows the text. A value with a `place` replaces what was shown in that place
    before, so that a picture can change while a program runs: in a notebook within one run of a cell. A
    terminal prints it if its text is another than before.

    >>> show([1, 2])
    [1, 2]
    """
    if _sink is not None:
        _sink({"event": "show", "value": value, "place": place})
    elif _in_notebook():
        _display(value, place)
    elif not place or _printed.get(place) != repr(value):
        _printed[place] = repr(value)
        print(value)


_handles: dict[str, tuple[int, Any]] = {}


def _display(value: Any, place: str) -> None:
    """Display a value in a notebook; what the same run of a cell has in this place changes to it."""
    run = sys.modules["IPython"].get_ipython().execution_count
    made, handle = _handles.get(place, (-1, None))
    if place and handle is not None and made == run:
        handle.update(value)
    else:
        display = importlib.import_module("IPython.display").display
        _handles[place] = run, display(value, display_id=bool(place) or None)


class Bar:
    """A progress bar; `n` counts the steps done. Made by `bar`."""

    def __init__(self, total: int | None, desc: str, sink: Sink | None) -> None:
        self.n = 0
        if isinstance(total, str):
            raise TypeError(
                f"bar: total must be a number of steps or None, got {total!r}; say desc="
            )
        if total is not None and not math.isfinite(_number("bar: total", total)):
            total = None  # nobody knows how many
        self.total = total
        self.desc = desc
        self._number = next(_numbers)
        self._closed = False
        self._emit = sink or terminal()
        self._emit({"event": "start", "bar": self._number, "total": total, "desc": desc})

    def update(self, n: int = 1) -> None:
        """Count `n` more steps as done."""
        if not math.isfinite(_number("update: n", n)):
            raise ValueError(f"update: n must be a number of steps, got {n!r}")
        self.n += n
        self._emit({"event": "update", "bar": self._number, "n": self.n})

    def log(self, **values: float) -> None:
        """Show values, and record them at the step reached."""
        numbers = {name: _number(f"log: {name}", value) for name, value in values.items()}
        self._emit({"event": "log", "bar": self._number, "n": self.n, "values": numbers})

    def close(self) -> None:
        """End the bar; leaving the `with` does it too."""
        if not self._closed:
            self._closed = True
            self._emit({"event": "end", "bar": self._number})

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()


def _number(what: str, value: Any) -> float:
    """Return a value as a number; raises TypeError where it is none, which says of what it is."""
    shape = getattr(value, "shape", ())
    if isinstance(value, str | bytes) or not hasattr(value, "__float__") or math.prod(shape) != 1:
        got = f"a {type(value).__name__} of shape {tuple(shape)}" if shape else repr(value)
        raise TypeError(f"{what} must be one number, got {got}")
    return float(value)


def track(iterable: Iterable[T], total: int | str | None = None, desc: str = "") -> Iterator[T]:
    """Go through `iterable` under a progress bar; the module itself can be called for it.

    `total` is the number of steps; without it the length of the iterable, if it has one. A text in its place is
    the `desc`, as for tqdm.

    >>> from tabgrad.utils import progress
    >>> sum(progress.track(range(4))), sum(progress(range(4)))
    (6, 6)
    """
    if isinstance(total, str):
        desc, total = total, None
    size = len(iterable) if total is None and isinstance(iterable, Sized) else total
    with bar(size, desc) as shown:
        for item in iterable:
            yield item
            shown.update()


class _Callable(ModuleType):
    """This module, which is called as `track` is."""

    def __call__(
        self, iterable: Iterable[T], total: int | str | None = None, desc: str = ""
    ) -> Iterator[T]:
        return track(iterable, total, desc)


sys.modules[__name__].__class__ = _Callable


def terminal() -> Sink:
    """Return what draws one bar where no sink is set: in a notebook, by tqdm, or as a line of stderr."""
    if _in_notebook():
        return _Notebook()
    return _Tqdm() if importlib.util.find_spec("tqdm") else _Line()


def _in_notebook() -> bool:
    """Whether what is displayed reaches a notebook: IPython runs, and not in a terminal."""
    found = sys.modules.get("IPython")
    shell = found.get_ipython() if found is not None else None
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"


class _Notebook:
    """Keeps one output of a notebook up to date."""

    _PAUSE = 0.2  # seconds between two drawings

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "start":
                self._total, self._desc, self._n = event["total"], event["desc"], 0
                self._values = dict[str, float]()
                self._begun = self._drawn = time.monotonic()
                display = importlib.import_module("IPython.display")
                self._html = display.HTML
                self._output = display.display(self._shown(), display_id=True)
            case "update":
                self._n = event["n"]
                if time.monotonic() - self._drawn > self._PAUSE:
                    self._draw()
            case "log":
                self._values |= event["values"]
            case "end":
                self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if self._output is not None:
            self._output.update(self._shown())

    def _shown(self) -> Any:
        rate = self._n / max(time.monotonic() - self._begun, 1e-9)
        count = f"{self._n}/{self._total}" if self._total else str(self._n)
        parts = [escape(self._desc), count, f"{rate:.1f} steps/s" if self._n else ""]
        parts += [f"{escape(name)} {value:.4g}" for name, value in self._values.items()]
        limits = f'value="{self._n}" max="{self._total}"' if self._total else ""
        words = " · ".join(part for part in parts if part)
        return self._html(
            f'<progress {limits} style="vertical-align:middle"></progress> <code>{words}</code>'
        )


class _Tqdm:
    """Draws one bar with tqdm."""

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "start":
                tqdm = importlib.import_module("tqdm").tqdm
                if sys.platform == "emscripten":
                    tqdm.monitor_interval = 0  # it would start a thread, and warn that it can't
                self._bar = tqdm(total=event["total"], desc=event["desc"] or None)
                self._values: dict[str, float] = {}
            case "update":
                self._bar.update(event["n"] - self._bar.n)
            case "log":
                self._values |= event["values"]
                self._bar.set_postfix(self._values, refresh=False)
            case "end":
                self._bar.close()


class _Line:
    """Keeps one line of stderr up to date; without a terminal it writes the line once, at the end."""

    _PAUSE = 0.1  # seconds between two drawings

    def __call__(self, event: Event) -> None:
        match event["event"]:
            case "start":
                self._total, self._desc = event["total"], event["desc"]
                self._n, self._values = 0, dict[str, float]()
                self._begun = time.monotonic()
                self._drawn, self._width = 0.0, 0
                self._live = sys.stderr.isatty()
            case "update":
                self._n = event["n"]
                if self._live and time.monotonic() - self._drawn > self._PAUSE:
                    self._draw()
            case "log":
                self._values |= event["values"]
            case "end":
                self._draw()
                print(file=sys.stderr, flush=True)

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        rate = self._n / max(self._drawn - self._begun, 1e-9)
        count = f"{self._n}/{self._total}" if self._total else str(self._n)
        parts = [f"{self._desc} {count}".strip(), f"{rate:.1f} steps/s"]
        parts += [f"{name} {value:.4g}" for name, value in self._values.items()]
        line = "  ".join(parts)
        print(f"\r{line:<{self._width}}", end="", file=sys.stderr, flush=True)
        self._width = len(line)
