"""Progress: events for a sink, tqdm or a plain line on a terminal."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import io
import pathlib
import sys
import types
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.utils import progress


@pytest.fixture
def events() -> Iterator[list[progress.Event]]:
    seen: list[progress.Event] = []
    progress.set_sink(seen.append)
    yield seen
    progress.set_sink(None)


@pytest.fixture
def without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tqdm" else found(name)
    )


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_sink_receives_what_happens(events: list[progress.Event]) -> None:
    with progress.bar(total=3, desc="work") as bar:
        bar.update()
        bar.update(2)
        bar.log(loss=1)
    kinds = [event["event"] for event in events]
    assert kinds == ["start", "update", "update", "log", "end"]
    assert events[0]["total"] == 3
    assert events[0]["desc"] == "work"
    assert [event["n"] for event in events[1:4]] == [1, 3, 3]
    assert events[3]["values"] == {"loss": 1.0}
    assert len({event["bar"] for event in events}) == 1


def test_two_bars_have_two_numbers(events: list[progress.Event]) -> None:
    with progress.bar() as outer, progress.bar() as inner:
        inner.update()
        outer.update()
    assert events[0]["bar"] != events[1]["bar"]


def test_a_bar_ends_once_even_after_an_error(events: list[progress.Event]) -> None:
    def fail() -> None:
        with progress.bar() as bar:
            bar.close()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [event["event"] for event in events] == ["start", "end"]


def test_published_functions_reach_the_sink_and_nobody_else(events: list[progress.Event]) -> None:
    progress.publish(predict=max)
    assert events == [{"event": "publish", "functions": {"predict": max}}]
    progress.set_sink(None)
    progress.publish(predict=max)
    assert len(events) == 1


@pytest.mark.usefixtures("without_tqdm")
def test_a_plain_line_is_kept_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.bar(total=2, desc="work") as bar:
        bar.log(loss=0.25)
        bar.update()
        bar.update()
    drawn = terminal.getvalue()
    assert drawn.startswith("\rwork 1/2")
    assert "loss 0.25" in drawn
    assert drawn.rsplit("\r", 1)[1].startswith("work 2/2")
    assert drawn.endswith("\n")


@pytest.mark.usefixtures("without_tqdm")
def test_a_log_file_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar(desc="work") as bar:
        for _ in range(1000):
            bar.update()
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("work 1000")


def test_tqdm_draws_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Drawing:
        n = 0

        def __init__(self, **options: Any) -> None:
            calls.append(options)

        def update(self, n: int) -> None:
            self.n += n

        def set_postfix(self, values: dict[str, float], refresh: bool) -> None:
            calls.append(dict(values))

        def close(self) -> None:
            calls.append(self.n)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "tqdm")
    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=Drawing))
    with progress.bar(total=5, desc="work") as bar:
        bar.update(4)
        bar.log(loss=2)
    assert calls == [{"total": 5, "desc": "work"}, {"loss": 2.0}, 4]


def test_the_page_says_where_a_log_has_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, parts in {
        "tabgrad_page": {}, "js": {"Object": types.SimpleNamespace(fromEntries=dict)}, "pyodide": {},
        "pyodide.ffi": {
            "JsException": OSError, "can_run_sync": bool, "jsnull": "null", "run_sync": None, "to_js": None,
        },
    }.items():  # fmt: skip
        fake = types.ModuleType(name)
        vars(fake).update(parts)
        monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    path = pathlib.Path(__file__).parents[2] / "web/pages/src/worker/runner.py"
    monkeypatch.syspath_prepend(str(path.parent))  # where its own modules are
    spec = importlib.util.spec_from_file_location("runner", path)
    assert spec is not None
    assert spec.loader is not None
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    start = {"event": "start", "bar": 1, "total": None, "desc": ""}
    assert runner.plain(start, 0.0)["total"] == "null"  # None would be undefined there
    event = {"event": "log", "bar": 1, "n": 2, "values": dict.fromkeys(map(str, range(100)), 1.0)}
    assert runner.plain(event, 0.0)["values"] == event["values"]
    event["values"]["more"] = 1.0
    with pytest.raises(ValueError, match="log: a page takes at most 100 values at a time, got 101"):
        runner.plain(event, 0.0)


def test_going_through_an_iterable_is_counted(events: list[progress.Event]) -> None:
    assert list(progress.track("abc", desc="letters")) == ["a", "b", "c"]
    assert [e["event"] for e in events] == ["start", "update", "update", "update", "end"]
    assert (events[0]["total"], events[0]["desc"]) == (3, "letters")
    events.clear()
    assert list(progress(x for x in (1, 2))) == [1, 2]  # type: ignore[operator]
    assert events[0]["total"] is None
    events.clear()
    with contextlib.suppress(ZeroDivisionError):
        for x in progress.track([1, 0]):
            1 / x
    gc.collect()
    assert events[-1]["event"] == "end"


def test_the_second_argument_may_be_a_description_as_for_tqdm(
    events: list[progress.Event],
) -> None:
    assert list(progress.track("ab", "epoch")) == ["a", "b"]
    assert (events[0]["total"], events[0]["desc"]) == (2, "epoch")
    with pytest.raises(
        TypeError, match="bar: total must be a number of steps or None, got 'epoch'"
    ):
        progress.bar("epoch")  # type: ignore[arg-type]


def test_what_is_no_number_is_named(events: list[progress.Event]) -> None:
    for endless in (float("inf"), float("nan")):
        with progress.bar(total=endless) as bar:  # type: ignore[arg-type]
            assert bar.total is None
    assert [e["total"] for e in events if e["event"] == "start"] == [None, None]
    bar = progress.bar()
    bar.log(a=tg.ones(1, 1, device="cpu"), b=True, c=float("nan"))
    for wrong, said in {
        "abc": "log: loss must be one number, got 'abc'",
        None: "log: loss must be one number, got None",
        tg.ones(2, device="cpu"): r"log: loss must be one number, got a Tensor of shape \(2,\)",
    }.items():
        with pytest.raises(TypeError, match=said):
            bar.log(loss=wrong)  # type: ignore[arg-type]
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="update: n must be a number of steps, got"):
            bar.update(wrong)  # type: ignore[arg-type]
    assert bar.n == 0


def test_values_are_shown_by_the_page_or_printed(
    events: list[progress.Event], capsys: pytest.CaptureFixture[str]
) -> None:
    progress.show([1], place="here")
    assert events == [{"event": "show", "value": [1], "place": "here"}]
    progress.set_sink(None)
    progress.show([1], place="here")
    assert capsys.readouterr().out == "[1]\n"


class Output:
    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, html: str) -> None:
        self.shown.append(html)


def test_a_notebook_gets_one_output_that_is_kept_up_to_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = Output()

    def display(html: str, display_id: bool) -> Output:
        assert display_id
        output.shown.append(html)
        return output

    shell = types.ModuleType("IPython")
    shell.get_ipython = lambda: object()  # type: ignore[attr-defined]
    kit = types.ModuleType("IPython.display")
    kit.display, kit.HTML = display, str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", kit)
    monkeypatch.setattr(progress._Notebook, "_PAUSE", 0.0)
    with progress.bar(2, "<fit>") as bar:
        bar.update()
        bar.log(loss=0.5)
        bar.update()
    assert 'value="0" max="2"' in output.shown[0]
    assert 'value="2" max="2"' in output.shown[-1]
    assert "&lt;fit&gt; · 2/2" in output.shown[-1]
    assert "loss 0.5" in output.shown[-1]


def test_what_is_shown_in_a_place_replaces_what_was_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, place in ((1, "a"), (1, "a"), (1, "b"), (2, "a"), (1, "a"), (3, ""), (3, "")):
        progress.show(value, place)
    assert capsys.readouterr().out.split() == ["1", "1", "2", "1", "3", "3"]
    progress.set_sink(None)
    progress.show(1, "a")
    assert capsys.readouterr().out == "1\n"

    outputs: list[Output] = []

    def display(value: str, display_id: bool | None) -> Output | None:
        outputs.append(Output())
        outputs[-1].update(value)
        return outputs[-1] if display_id else None

    run = types.SimpleNamespace(execution_count=1)
    shell, kit = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    shell.get_ipython, kit.display = lambda: run, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", kit)
    for value, place in (("1", "a"), ("2", "b"), ("3", "a"), ("4", ""), ("5", "")):
        progress.show(value, place)
    run.execution_count = 2  # what a cell showed before is gone when it runs again
    progress.show("6", "a")
    assert [o.shown for o in outputs] == [["1", "3"], ["2"], ["4"], ["5"], ["6"]]
