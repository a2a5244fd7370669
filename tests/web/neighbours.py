"""Pages of one process: a start of Python takes half as long where another page has it compiled already."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Browser, Page, TimeoutError

# so that no page meets what the first one stores, nor is told of by it
FORGETS = (
    "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no storage'); } })"
)


class Process:
    """Opens pages from a first one of the same site: such pages live in its process."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.context = browser.new_context(base_url=url)
        self.url = url
        self.first = self.context.new_page()

    def answers(self) -> bool:
        """Whether the process lives and no page holds it up."""
        try:
            self.first.wait_for_function("true", timeout=5000)
        except Exception as error:
            if isinstance(error, TimeoutError) or "crash" in str(error) or self.first.is_closed():
                return False
            raise
        return True

    def open(self) -> Page:
        """A fresh page at no address."""
        with self.first.expect_popup() as opened:
            self.first.evaluate("() => { window.open('about:blank'); }")
        return opened.value

    def forget(self) -> None:
        """Let the browser forget what pages have left, and what they may do."""
        self.context.unroute_all()
        self.context.clear_cookies()
        self.context.clear_permissions()
        what = {"origin": self.url.rstrip("/"), "storageTypes": "all"}
        session = self.context.new_cdp_session(self.first)
        session.send("Storage.clearDataForOrigin", what)
        session.detach()

    def close(self) -> None:
        """Close them all."""
        self.context.close()


class Neighbours(Process):
    """Opens pages one at a time beside a first one, which has started Python and does nothing more.

    Each is as a browser of its own would have it: no other is open but the first, nothing is stored, nothing
    is permitted.
    """

    def __init__(self, browser: Browser, url: str, start: Callable[[Page], None]) -> None:
        super().__init__(browser, url)
        self.first.add_init_script(FORGETS)
        start(self.first)

    def open(self) -> Page:
        """A fresh page at no address."""
        self.tidy()
        return super().open()

    def tidy(self) -> None:
        """Close all pages but the first, and let the browser forget what they have left."""
        for page in self.context.pages:
            if page is not self.first:
                page.close()
        self.forget()
