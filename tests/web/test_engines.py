"""The pages in any browser, on the server of `npm start`: Firefox runs these too."""

from __future__ import annotations

from playwright.sync_api import Browser

from tests.web.desk import START, Desk
from tests.web.test_element import Guest


def test_the_page_runs_and_shows(browser: Browser, site_url: str) -> None:
    with browser.new_context() as context:
        desk = Desk(context.new_page(), site_url)
        desk.until_ready()
        output = desk.run(
            "import tabgrad as tg\nprint(tg.ones(3).sum().item())\ntg.ones(2)", 60_000
        )
        assert output.startswith("3.0\n")
        cells = desk.page.frame_locator("#output .shown iframe").locator("td")
        assert cells.all_text_contents() == ["1", "1"]


def test_the_element_runs_on_a_host_that_isolates(browser: Browser, site_url: str) -> None:
    with browser.new_context() as context:
        guest = Guest(context.new_page(), site_url + "element.html")
        guest.page.evaluate("document.querySelector('tabgrad-demo').id = 'd'")
        assert guest.page.evaluate("crossOriginIsolated")
        guest.press("d")
        guest.until("d", "output", "height after 60 steps", START)
