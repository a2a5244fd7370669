"""Pyodide in a page, or in a process of Deno or Node, called from here under a deadline."""

from __future__ import annotations

import abc
import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page

from tests.web import packed
from tests.web.packed import ROOT

START_DEADLINE = 120.0
FATAL = "Pyodide has suffered a fatal error"


class InsideError(AssertionError):
    """Python inside raised; the message is its traceback there."""


class DeadError(Exception):
    """Python inside is gone: it gave no answer in time, or suffered a fatal error."""


class Interpreter(abc.ABC):
    """One Pyodide with our wheel installed.

    A call that is not answered within its deadline raises DeadError, and the interpreter is dead
    from then on: a fatal error in Pyodide never settles its promise, so nothing else can be known.
    """

    def __init__(self) -> None:
        self.dead = ""
        self.output: list[str] = []
        self.console: list[str] = []
        self.answers: dict[int, dict[str, str]] = {}
        self.calls = 0

    @abc.abstractmethod
    def send(self, call: dict[str, Any]) -> None:
        """Send a call, and wait for nothing."""

    @abc.abstractmethod
    def listen(self, milliseconds: float) -> None:
        """Take the reports that arrive within some milliseconds."""

    @abc.abstractmethod
    def close(self) -> None:
        """End it, whether it still answers or not."""

    def on_report(self, text: str) -> None:
        report = json.loads(text)
        if report["kind"] == "output":
            self.output.append(report["text"])
        elif report["kind"] == "console":
            self.on_console(report["text"])
        else:
            self.answers[report["id"]] = report

    def on_console(self, text: str) -> None:
        self.console.append(text)
        if FATAL in text:
            self.die(text)

    def die(self, reason: str) -> None:
        self.dead = self.dead or reason

    def wait(self, number: int, deadline: float) -> str:
        """Wait for the report with this number and return its text."""
        until = time.monotonic() + deadline
        pause = 2.0
        while number not in self.answers:
            if not self.dead and time.monotonic() > until:
                self.die(f"no answer within {deadline:g} s")
            if self.dead:
                raise DeadError(self.dead + self.log())
            self.listen(pause)
            pause = min(pause * 1.3, 50.0)
        answer = self.answers.pop(number)
        if answer["kind"] == "broken":
            self.die(answer["text"])
            raise DeadError(self.dead + self.log())
        return answer["text"]

    def call(self, target: str, *args: Any, deadline: float = 60.0) -> Any:
        """Call `module:function` inside with JSON arguments and return its JSON result."""
        if self.dead:
            raise DeadError(self.dead)
        self.calls += 1
        self.output.clear()
        self.console.clear()
        self.send({"id": self.calls, "target": target, "args": json.dumps(args)})
        answer = json.loads(self.wait(self.calls, deadline))
        if "error" in answer:
            raise InsideError(answer["error"] + self.log())
        return answer["value"]

    def log(self) -> str:
        """What was printed, inside and on the console, since the last call."""
        parts = {"printed inside": self.output, "console": self.console}
        return "".join(f"\n--- {name} ---\n" + "\n".join(t) for name, t in parts.items() if t)


class PageInterpreter(Interpreter):
    """Python in a page of a browser, in a worker or on the main thread; the page runs `before` first.

    Its end is that of the page, or of the context where one is given.
    """

    def __init__(
        self,
        place: BrowserContext | Page,
        url: str,
        *,
        numpy: bool = False,
        thread: str = "worker",
        before: str = "",
    ) -> None:
        super().__init__()
        self.place = place
        self.page = place if isinstance(place, Page) else place.new_page()
        if before:
            self.page.add_init_script(before)
        self.page.on("console", self.on_message)
        self.page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        self.page.on("crash", lambda _: self.die("the page crashed"))
        self.page.expose_function("report", self.on_report)
        self.page.goto(f"{url}shell/")
        self.page.wait_for_function("globalThis.startPython !== undefined")
        options = {"files": f"{url}tests/{packed.NAME}", "numpy": numpy}
        options["archive"] = f"{url}python/{packed.archive().name}"
        self.page.evaluate("(how) => { startPython(how); }", {"thread": thread, "options": options})
        self.wait(0, START_DEADLINE)

    def on_message(self, message: ConsoleMessage) -> None:
        self.on_console(f"{message.type}: {message.text}")

    def send(self, call: dict[str, Any]) -> None:
        self.page.evaluate("(call) => { callPython(call); }", call)

    def listen(self, milliseconds: float) -> None:
        # Playwright hands out events only while it waits for something, and its asking takes from the
        # processor what the page could use: the longer an answer takes, the less often it is asked for.
        self.page.wait_for_timeout(milliseconds)

    def close(self) -> None:
        """Close the page; one that does not answer any more goes with the browser."""
        with contextlib.suppress(Error):
            self.place.close()


class ProcessInterpreter(Interpreter):
    """Python in a process of Deno or Node, which speaks in lines."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        numpy: bool = False,
        pyodide: str = "node_modules/pyodide",
    ) -> None:
        super().__init__()
        self.process = subprocess.Popen(
            [*command, "tests/web/engines/process.mjs", pyodide],
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        files, archive = packed.folder() / packed.NAME, packed.archive()
        self.send({"files": str(files), "archive": str(archive), "numpy": numpy})
        self.wait(0, START_DEADLINE)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def send(self, call: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(call) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.die("the process has ended")

    def listen(self, milliseconds: float) -> None:
        try:
            line = self.lines.get(timeout=milliseconds / 1000)
        except queue.Empty:
            return
        if not line:
            self.die(f"the process has ended ({self.process.wait(10)})")
        elif line.startswith('{"id":'):
            self.on_report(line)
        else:  # what the engine says itself
            self.on_console(line.rstrip("\n"))

    def close(self) -> None:
        """Kill the process: one with a loop without end would not listen."""
        self.process.kill()
        self.process.wait(10)
        self.reader.join(10)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
