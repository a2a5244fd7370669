"""Pyodide in a page of Chromium, called from here under a deadline."""

from __future__ import annotations

import contextlib
import json
import pathlib
import time
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Error

ROOT = pathlib.Path(__file__).parents[2]
START_DEADLINE = 120.0
FATAL = "Pyodide has suffered a fatal error"


class InsideError(AssertionError):
    """Python inside raised; the message is its traceback there."""


class DeadError(Exception):
    """Python inside is gone: it gave no answer in time, or suffered a fatal error."""


def test_files() -> dict[str, str]:
    """The text of every Python file of the tests, and of the data beside them, by path."""
    files = sorted(
        path
        for pattern in ("*.py", "*.json")
        for path in (ROOT / "tests").rglob(pattern)
        if "bench" not in path.parts
    )
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files}


class Interpreter:
    """One Pyodide with our wheel installed, in a worker or on the page's main thread.

    A call that is not answered within its deadline raises DeadError, and the interpreter is dead
    from then on: a fatal error in Pyodide never settles its promise, so nothing else can be known.
    """

    def __init__(
        self, browser: Browser, url: str, *, numpy: bool = False, thread: str = "worker"
    ) -> None:
        self.dead = ""
        self.output: list[str] = []
        self.console: list[str] = []
        self.answers: dict[int, dict[str, str]] = {}
        self.calls = 0
        self.context = browser.new_context()
        self.page = self.context.new_page()
        self.page.on("console", self.on_console)
        self.page.on("pageerror", lambda error: self.console.append(f"uncaught: {error}"))
        self.page.on("crash", lambda _: self.die("the page crashed"))
        self.page.expose_function("report", self.on_report)
        self.page.goto(f"{url}shell/")
        self.page.wait_for_function("globalThis.startPython !== undefined")
        options = {"files": test_files(), "numpy": numpy}
        self.page.evaluate("(how) => { startPython(how); }", {"thread": thread, "options": options})
        self.wait(0, START_DEADLINE)

    def on_console(self, message: ConsoleMessage) -> None:
        self.console.append(f"{message.type}: {message.text}")
        if FATAL in message.text:
            self.die(message.text)

    def on_report(self, text: str) -> None:
        report = json.loads(text)
        if report["kind"] == "output":
            self.output.append(report["text"])
        else:
            self.answers[report["id"]] = report

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
            # Playwright hands out events only while it waits for something, and its asking takes from the
            # processor what the page could use: the longer an answer takes, the less often it is asked for.
            self.page.wait_for_timeout(pause)
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
        call = {"id": self.calls, "target": target, "args": json.dumps(args)}
        self.page.evaluate("(call) => { callPython(call); }", call)
        answer = json.loads(self.wait(self.calls, deadline))
        if "error" in answer:
            raise InsideError(answer["error"] + self.log())
        return answer["value"]

    def log(self) -> str:
        """What was printed, inside and on the console, since the last call."""
        parts = {"printed inside": self.output, "console": self.console}
        return "".join(f"\n--- {name} ---\n" + "\n".join(t) for name, t in parts.items() if t)

    def close(self) -> None:
        """Close the page; one that does not answer any more goes with the browser."""
        with contextlib.suppress(Error):
            self.context.close()
