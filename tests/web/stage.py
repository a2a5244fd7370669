"""What the tests of one engine share: one server, one browser, and interpreters that live on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright, sync_playwright

from tests.web import engine
from tests.web.desk import Desk
from tests.web.interpreter import Interpreter, PageInterpreter
from tests.web.neighbours import Neighbours, Process
from tests.web.site import Site, build


class Stage:
    """Starts each thing when it is first wanted, and a new one in the place of what has died."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.playwright: Playwright | None = None
        self.running: Browser | None = None
        self.served: Site | None = None
        self.built = False
        self.interpreters: dict[tuple[bool, str], Interpreter] = {}
        self.kept: Neighbours | None = None
        self.shells: Process | None = None
        self.desks: Process | None = None
        self.desk: Desk | None = None

    def make(self) -> None:
        """Build what is tested, once."""
        if not self.built:
            build()
            self.built = True

    @property
    def site(self) -> Site:
        """The server, over a fresh build."""
        if self.served is None:
            self.make()
            self.served = Site()
        return self.served

    @property
    def browser(self) -> Browser:
        """Chromium, or the browser that `--engine` names."""
        if self.playwright is None:
            # Playwright's own copy of Node needs libraries that a small system may lack.
            os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", shutil.which("node") or "")
            self.playwright = sync_playwright().start()
        if self.running is None or not self.running.is_connected():
            self.running = engine.launch(self.playwright, self.engine)
        return self.running

    @property
    def neighbours(self) -> Neighbours:
        """What opens pages beside one that has Python."""
        if self.kept is not None and not self.kept.answers():
            self.kept.close()
            self.kept = None
        if self.kept is None:
            url = self.site.url
            self.kept = Neighbours(self.browser, url, lambda page: Desk(page, url).until_ready())
        return self.kept

    def new_desk(self, on_error: Callable[[Error], None]) -> Desk:
        """Open the page where nothing is kept yet. The one before goes when Python has started in this one.

        So they share what is compiled; where a program still runs in the one before, its process goes first.
        """
        before = self.desk
        if self.desks is not None and (before is None or before.busy):
            self.desks.close()
            self.desks = before = None
        if self.desks is None:
            self.desks = Process(self.browser, self.site.url)
            self.desks.first.goto("shell/")
        self.desks.forget()
        page = self.desks.open()
        page.on("pageerror", on_error)
        self.desk = Desk(page, self.site.url)
        self.desk.until_ready()
        if before is not None:
            before.page.close()
        return self.desk

    def new_interpreter(
        self, *, numpy: bool = False, thread: str = "worker", before: str = ""
    ) -> Interpreter:
        """An interpreter for one test, which closes it; its page runs the script `before` first."""
        if self.engine in engine.WITH_PAGES:
            place, url = self.place(thread), self.site.url
            return PageInterpreter(place, url, numpy=numpy, thread=thread, before=before)
        self.make()
        return engine.start_process(self.engine, numpy=numpy)

    def place(self, thread: str) -> BrowserContext | Page:
        """Where an interpreter may live: workers share a process, a main thread would hold up all its pages."""
        if thread == "page" or self.engine != "chromium":
            return self.browser.new_context()
        if self.shells is not None and not self.shells.answers():
            self.shells.close()
            self.shells = None
        if self.shells is None:
            self.shells = Process(self.browser, self.site.url)
            self.shells.first.goto("shell/")
        self.shells.forget()
        return self.shells.open()

    def interpreter(self, *, numpy: bool = False, thread: str = "worker") -> Interpreter:
        """The interpreter of this kind that tests share."""
        kept = self.interpreters.get((numpy, thread))
        if kept is None or kept.dead:
            if kept is not None:
                kept.close()
            kept = self.new_interpreter(numpy=numpy, thread=thread)
            self.interpreters[numpy, thread] = kept
        return kept

    def close(self) -> None:
        """Stop everything."""
        for interpreter in self.interpreters.values():
            if self.engine not in engine.WITH_PAGES:
                interpreter.close()
        if self.running is not None:
            self.running.close()
        if self.playwright is not None:
            self.playwright.stop()
        if self.served is not None:
            self.served.close()
