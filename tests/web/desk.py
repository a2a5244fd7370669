"""The page as a visitor uses it: write a program, run it, stop it, read what it says, draw."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.sync_api import Page, TimeoutError

START = 90_000  # milliseconds; Python starts slowly on a machine that does other things
OFTEN = 25  # milliseconds; asked at each frame, as Playwright does else, a page that waits draws sixty a second
Stroke = Sequence[tuple[float, float]]


class Desk:
    """Drives one page; coordinates of strokes run from 0 to 1 over the pad."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(url)

    @property
    def busy(self) -> bool:
        """Whether a program runs or waits for Python, or the page doesn't answer."""
        try:
            return self.page.locator("#run").get_attribute("data-action", timeout=3000) == "stop"
        except TimeoutError:
            return True

    @property
    def stage(self) -> str:
        """What the page says it is doing."""
        return self.page.locator("#stage").text_content() or ""

    @property
    def output(self) -> str:
        """What the program has printed, and the notes of the page."""
        return self.page.locator("#output").text_content() or ""

    def until(self, condition: str, timeout: float = 30_000) -> None:
        """Wait until an expression of JavaScript is true."""
        self.page.wait_for_function(condition, timeout=timeout, polling=OFTEN)

    def until_stage(self, words: str, timeout: float = 30_000) -> None:
        """Wait until the page says something that begins with these words."""
        self.until(f"document.getElementById('stage').textContent.startsWith({words!r})", timeout)

    def until_ready(self) -> None:
        """Wait until Python has started."""
        self.until("!document.getElementById('stage').textContent.endsWith('…')", START)
        assert self.stage != "Python did not start", self.output

    def until_output(self, text: str, timeout: float = 30_000) -> None:
        """Wait until the output contains a text."""
        self.until(f"document.getElementById('output').textContent.includes({text!r})", timeout)

    def write(self, program: str) -> None:
        """Put a program into the editor."""
        self.page.locator(".cm-content").fill(program)

    def press(self) -> None:
        """Click the button that runs and stops."""
        self.page.locator("#run").click()

    def run(self, program: str, timeout: float = 30_000) -> str:
        """Run a program to its end; returns what it printed."""
        self.write(program)
        self.press()
        self.until("document.getElementById('run').dataset.action === 'run'", timeout)
        self.until("!document.getElementById('stage').textContent.endsWith('…')")
        return self.output

    def draws(self, frames: int = 10, within: int = 3_000) -> bool:
        """Whether the page draws so many frames in some milliseconds: one that is frozen draws none.

        How many it draws in a second says more of what else the machine does than of the page.
        """
        drawn: bool = self.page.evaluate(
            """([frames, within]) => new Promise((resolve) => {
                const begin = performance.now();
                let drawn = 0;
                const count = () => {
                    drawn += 1;
                    if (drawn > frames || performance.now() - begin > within) resolve(drawn > frames);
                    else requestAnimationFrame(count);
                };
                requestAnimationFrame(count);
            })""",
            [frames, within],
        )
        return drawn

    def draw(self, strokes: Sequence[Stroke]) -> None:
        """Draw on the pad with the mouse."""
        pad = self.page.locator("#pad")
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        assert box is not None
        for stroke in strokes:
            points = [
                (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke
            ]
            self.page.mouse.move(*points[0])
            self.page.mouse.down()
            for point in points[1:]:
                self.page.mouse.move(*point, steps=4)
            self.page.mouse.up()

    def shares(self) -> list[int]:
        """The prediction: percent for each digit."""
        texts = self.page.locator("#bars .share").all_text_contents()
        return [int(text.removesuffix(" %") or 0) for text in texts]
