"""`<tabgrad-demo>` in a page that isn't ours, under a strict policy, on a host that sends no header."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.web.desk import OFTEN, START
from tests.web.neighbours import Neighbours
from tests.web.site import ROOT
from tests.web.stage import Stage


class Guest:
    """Drives the elements of one page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(url)

    def part(self, demo: str, part: str) -> str:
        """What a part of an element says; "" where it is hidden."""
        said: str = self.page.evaluate(
            "([demo, part]) => { const e = document.getElementById(demo).root.getElementById(part);"
            " return e.hidden ? '' : e.textContent; }",
            [demo, part],
        )
        return said

    def until(self, demo: str, part: str, words: str, timeout: float = 30_000) -> None:
        """Wait until a part of an element says something."""
        self.page.wait_for_function(
            "([demo, part, words]) => document.getElementById(demo).root.getElementById(part)"
            ".textContent.includes(words)",
            arg=[demo, part, words],
            timeout=timeout,
            polling=OFTEN,
        )

    def press(self, demo: str) -> None:
        """Click the button that runs and stops."""
        self.page.locator(f"#{demo} >> #run").click()


def serve(*mounts: str) -> Iterator[str]:
    """A plain host, as most are: no headers."""
    options = [part for mount in mounts for part in ("--mount", mount)]
    server = subprocess.Popen(
        ["node", ".dev/server.mjs", *options, "--plain"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.terminate()
    server.wait(10)
    server.stdout.close()


@pytest.fixture(scope="module")
def host(stage: Stage) -> Iterator[str]:
    """A site of someone else, with what the build makes under some folder of its own."""
    assert stage.site.url  # built
    yield from serve("/lessons/=tests/web/guest", "/tools/tabgrad/=web/dist")


def forbidden(text: str) -> bool:
    """Whether the policy of the page has forbidden something; not what a test asks of `example.invalid`."""
    return "Content Security" in text and "example.invalid" not in text


@pytest.fixture(scope="module")
def lessons(stage: Stage, host: str) -> Iterator[Neighbours]:
    """Opens pages beside one of someone else where a program has run."""

    def start(page: Page) -> None:
        guest = Guest(page, host + "lessons/")
        guest.press("first")
        guest.until("first", "stage", "Finished", START)

    lessons = Neighbours(stage.browser, host, start)
    yield lessons
    lessons.close()


@pytest.fixture
def guest(lessons: Neighbours, host: str) -> Iterator[Guest]:
    """The page of someone else; nothing may violate its policy, nor be thrown in it."""
    wrong: list[str] = []
    page = lessons.open()
    page.set_viewport_size({"width": 1000, "height": 1600})
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if forbidden(m.text) else None)
    page.add_init_script(
        "document.addEventListener('DOMContentLoaded', () => {"
        " const far = document.getElementById('far'); if (far) far.style.height = '3000px'; })"
    )
    yield Guest(page, host + "lessons/")
    lessons.tidy()
    assert wrong == []


def test_two_on_one_page_share_one_python(guest: Guest) -> None:
    page = guest.page
    assert page.frames == [page.main_frame]  # nothing is loaded before it is wanted
    guest.press("first")
    guest.until("first", "output", "rate 0.5 True a 1.0", START)
    assert guest.part("first", "output").startswith("__main__ False\n")
    guest.until("first", "stage", "Finished")
    assert len([f for f in page.frames if f.url.endswith("tabgrad-frame.html")]) == 1
    # the other has names of its own, and a bar and a chart of its own
    guest.press("second")
    guest.until("second", "charts", "Count")
    guest.until("second", "stage", "Running…")
    # one runs at a time: the first waits for its turn
    guest.press("first")
    guest.until("first", "stage", "Waits for the other program")
    guest.press("second")
    guest.until("second", "stage", "Stopped")
    guest.until("first", "stage", "Finished")
    assert "False" in guest.part("first", "output")
    assert guest.part("first", "training") == ""
    assert len([f for f in page.frames if f.url.endswith("tabgrad-frame.html")]) == 1
    assert page.evaluate("crossOriginIsolated") is False


def test_controls_are_bound_to_names(guest: Guest) -> None:
    page = guest.page
    assert page.locator("#first button[data-call]").is_disabled()
    assert page.locator("#first [data-value=rate]").text_content() == "0.5"
    page.locator("#first select").select_option("b")
    guest.press("first")
    guest.until("first", "output", "rate 0.5 True b 1.0", START)
    guest.until("first", "stage", "Finished")
    page.locator("#first input[type=checkbox]").uncheck()
    page.locator("#first input[type=range]").fill("0.75")
    guest.until("first", "output", "rate 0.75 False b 1.5")
    assert page.locator("#first [data-value=rate]").text_content() == "0.75"
    cell = page.frame_locator("#first >> .shown iframe").locator("td")
    page.wait_for_timeout(300)
    assert cell.text_content() == "0.75"
    assert page.locator("#first >> .shown").count() == 1
    guest.until("first", "stage", "Finished")
    page.locator("#first button[data-call]").click()
    page.wait_for_timeout(500)
    assert guest.part("first", "output").count("rate 0.75 False b 1.5") == 2
    # as the policy of the author has it, styles in the text do not count, but those of a shown table do
    assert cell.evaluate("(td) => getComputedStyle(td).color") == "rgb(255, 0, 0)"


def test_a_control_reaches_a_program_that_runs(guest: Guest) -> None:
    guest.press("second")
    guest.until("second", "charts", "Count", START)
    guest.page.locator("#second input").fill("1000000")
    guest.page.wait_for_function(
        "() => Number(document.getElementById('second').root.querySelector('.chart output').textContent) > 1e6"
    )
    guest.press("second")
    guest.until("second", "stage", "Stopped")


def count(guest: Guest) -> str:
    return guest.part("second", "count")


def test_what_nobody_sees_waits_and_yields(guest: Guest) -> None:
    page = guest.page
    guest.press("second")
    guest.until("second", "stage", "Running…", START)
    guest.until("second", "charts", "Count")
    page.evaluate("scrollTo(0, 2100)")  # neither it nor what starts at sight
    page.wait_for_timeout(500)
    guest.until("second", "stage", "Paused")
    seen = count(guest)
    page.wait_for_timeout(500)
    assert count(guest) == seen
    page.evaluate("scrollTo(0, 0)")
    guest.until("second", "stage", "Running…")
    page.wait_for_function(
        "(seen) => document.getElementById('second').root.getElementById('count').textContent !== seen",
        arg=seen,
    )
    # another program does not wait for one that nobody sees
    page.evaluate("document.getElementById('second').style.display = 'none'")
    page.wait_for_timeout(300)
    guest.press("first")
    guest.until("first", "stage", "Finished")


def add(guest: Guest, name: str, controls: str = "", **attributes: str) -> None:
    """Put another element at the end of the page, far below the others."""
    given = {"id": name, "src": "second.py", **attributes}
    guest.page.evaluate(
        """([given, controls]) => {
            const made = document.createElement("tabgrad-demo");
            for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
            made.innerHTML = controls;
            made.style.marginTop = "2500px";
            document.body.append(made);
        }""",
        [given, controls],
    )


def program(guest: Guest, name: str, text: str, kind: str = "text/x-python") -> None:
    """Let the host of the page have a program."""
    answer = {"body": text, "content_type": kind, "status": 200}
    guest.page.route(f"**/{name}", lambda route: route.fulfill(**answer))  # type: ignore[arg-type]


def test_what_is_in_view_comes_before_what_nobody_sees(guest: Guest) -> None:
    """A reader starts three programs while Python loads, and looks at the last."""
    page = guest.page
    held: list[Route] = []
    page.route("**/python/snapshot-*", lambda route: held.append(route))
    for name in ("one", "two", "three"):
        add(guest, name)
    for name in ("one", "two", "three"):
        page.locator(f"#{name}").scroll_into_view_if_needed()
        guest.press(name)
    guest.until("three", "stage", "Loading Python: ")
    for route in held:
        route.continue_()
    page.unroute("**/python/snapshot-*")
    guest.until("three", "stage", "Running…", START)
    for name in ("one", "two"):
        assert guest.part(name, "stage").startswith("Waits for the other program")
    # it is stopped only for one that is seen
    page.evaluate("scrollTo(0, 0)")
    guest.until("three", "stage", "Paused")
    page.locator("#two").scroll_into_view_if_needed()
    guest.until("two", "stage", "Running…")
    assert guest.part("three", "stage") == "Stopped"
    guest.press("one")
    guest.until("one", "stage", "Stopped")


def test_what_was_stopped_while_it_waited_has_not_run(guest: Guest) -> None:
    held: list[Route] = []
    guest.page.route("**/python/snapshot-*", lambda route: held.append(route))
    guest.press("first")
    guest.until("first", "run", "Stop")
    guest.press("first")
    guest.until("first", "stage", "Stopped")
    assert guest.part("first", "run") == "Run"
    assert guest.page.locator("#first button[data-call]").is_disabled()
    assert guest.part("first", "output") == ""


def test_a_value_that_a_name_cannot_take_is_said(guest: Guest) -> None:
    page = guest.page
    warned: list[str] = []
    page.on("console", lambda m: warned.append(m.text) if m.type == "warning" else None)
    fields = "".join(f"<input data-name={name} value={value}>" for name, value in FIELDS.items())
    program(guest, "kinds.py", "whole = 1\nreal = 0.5\nyes: bool = True\nword = 'a'\ndef tell():\n"
            "    print(whole, real, yes, word)\ntell()\n")  # fmt: skip
    add(guest, "kinds", fields + "<button data-call=tell></button>", src="kinds.py")
    page.locator("#kinds").scroll_into_view_if_needed()
    guest.press("kinds")
    guest.until("kinds", "output", "1 0.5 True b", START)
    said = guest.part("kinds", "unfit")
    assert said == (
        "whole stays 1: it is a whole number, and 'zz' is not; real stays 0.5: it is a number, "
        "and '1e' is not; yes stays True: it is True or False, and 'maybe' is not"
    )
    assert any("no constant to the name nothing" in text for text in warned)
    guest.until("kinds", "stage", "Finished")
    for name, value in {"whole": "7", "real": "1", "yes": "False"}.items():
        page.locator(f"#kinds input[data-name={name}]").fill(value)
    page.locator("#kinds button[data-call]").evaluate("(button) => button.click()")
    guest.until("kinds", "output", "7 1.0 False b")
    assert guest.part("kinds", "unfit") == ""
    page.locator("#kinds input[data-name=real]").fill("-")
    guest.until("kinds", "unfit", "real stays 1.0: it is a number, and '-' is not")
    # an int is one again after a fraction
    page.locator("#kinds input[data-name=whole]").evaluate("(field) => { field.type = 'number'; }")
    for value, told in {"2.5": "2.5 1.0", "4": "4 1.0"}.items():
        page.locator("#kinds input[data-name=whole]").fill(value)
        page.locator("#kinds button[data-call]").evaluate("(button) => button.click()")
        guest.until("kinds", "output", told)
        guest.until("kinds", "stage", "Finished")
    assert guest.part("kinds", "run") == "Run again"


def test_functions_pressed_in_a_row_are_all_called(guest: Guest) -> None:
    page = guest.page
    slow = "async def slow():\n    import asyncio\n    await asyncio.sleep(0.3)\n"
    quick = "async def go():\n    print('go')\ndef other():\n    print('other')\n"
    program(guest, "calls.py", f"x = -True\n{slow}{quick}print('ready', x)\n")
    names = ("slow", "go", "other", "go")
    buttons = "".join(f"<button data-call={name}></button>" for name in dict.fromkeys(names))
    add(guest, "calls", f"<input data-name=x value=1>{buttons}", src="calls.py")
    page.locator("#calls").scroll_into_view_if_needed()
    guest.press("calls")
    guest.until("calls", "stage", "Finished", START)
    assert guest.part("calls", "output") == "ready -1\n"
    page.evaluate(
        "(names) => names.forEach((n) => document.querySelector(`#calls [data-call=${n}]`).click())",
        names,
    )
    guest.until("calls", "output", "go")
    assert guest.part("calls", "output") == "ready -1\nother\ngo\n"


def test_what_is_set_later_counts_and_what_is_gone_does_not_run(guest: Guest) -> None:
    page = guest.page
    add(guest, "late", src="absent.py", label="Before")
    assert guest.part("late", "title") == "Before"
    held: list[Route] = []
    page.route("**/held.py", lambda route: held.append(route))
    page.evaluate(
        """() => {
            const late = document.getElementById("late");
            late.setAttribute("label", "After");
            late.setAttribute("src", "held.py");
            late.run();
            window.late = late;
        }"""
    )
    assert guest.part("late", "title") == "After"
    assert page.locator("#late").get_attribute("aria-label") == "After"
    page.wait_for_timeout(200)
    page.evaluate("window.late.remove()")
    for route in held:
        route.fulfill(body="print('ran')", content_type="text/x-python")
    page.wait_for_timeout(500)
    assert len(held) == 1
    said = page.evaluate(
        "[window.late.root.getElementById('stage').textContent, window.late.began > 0]"
    )
    assert said == ["", True]
    assert page.frames == [page.main_frame]  # no Python was started for it


FIELDS = {"whole": "zz", "real": "1e", "yes": "maybe", "word": "b", "nothing": "1"}


def test_a_first_program_that_fails_says_why(guest: Guest) -> None:
    """Its report has frames of a library that is fetched after it."""
    lines = "try:\n    json.loads('x')\nexcept ValueError:\n    traceback.print_exc()\n"
    program(guest, "second.py", f"import json, traceback\n{lines}json.loads('[')")
    add(guest, "failing")
    guest.press("failing")
    guest.until("failing", "stage", "Ended with an error", START)
    guest.until("failing", "output", "in raw_decode")
    guest.until("failing", "output", "JSONDecodeError: Expecting value: line 1 column 2")


def test_the_hint_on_pytorch_has_its_line(guest: Guest) -> None:
    program(guest, "torchy.py", "import torch")
    add(guest, "torchy", src="torchy.py")
    guest.page.locator("#torchy").scroll_into_view_if_needed()
    guest.press("torchy")
    guest.until("torchy", "output", "means tabgrad:\nimport tabgrad; tabgrad.as_torch()", START)


def test_a_frame_that_is_blocked_is_said(guest: Guest) -> None:
    guest.page.route("**/tabgrad-frame.html", lambda route: route.abort())
    guest.press("first")
    guest.until("first", "told", "has blocked the frame that Python runs in")
    assert guest.part("first", "stage") == "Python did not start"
    assert guest.part("first", "run") == "Run"


def test_it_starts_at_sight_unless_motion_is_unwanted(lessons: Neighbours, host: str) -> None:
    for motion, runs in (("no-preference", True), ("reduce", False)):
        page = lessons.open()
        page.emulate_media(reduced_motion=motion)  # type: ignore[arg-type]
        guest = Guest(page, host + "lessons/")
        page.evaluate("document.getElementById('far').style.height = '3000px'")
        page.wait_for_timeout(300)
        page.evaluate("scrollTo(0, 1e6)")
        if runs:
            guest.until("eager", "charts", "Count", START)
        else:
            page.wait_for_timeout(1000)
            assert guest.part("eager", "stage") == ""


def test_the_frame_keeps_nothing_without_a_sandbox(browser: Browser, site_url: str) -> None:
    """Else its worker would be of the site's origin, for whoever opens or frames it."""
    with browser.new_context() as context:
        page = context.new_page()
        with page.expect_event("pageerror") as thrown:
            page.goto(site_url + "tabgrad-frame.html")
        assert "must be sandboxed" in str(thrown.value)
        page.wait_for_timeout(300)
        assert page.workers == []


def test_what_is_missing_is_said(guest: Guest) -> None:
    guest.press("missing")
    guest.until("missing", "told", "/lessons/missing.py cannot be loaded: the host answers 404")
    program(guest, "page.py", "<!doctype html>", "text/html")
    others = {"page.py": "a page of HTML", "https://example.invalid/a.py": "connect-src"}
    others["http://["] = "The program http://[ cannot be loaded: this is no address."
    for src, why in others.items():
        guest.page.evaluate(
            "(src) => document.getElementById('missing').setAttribute('src', src)", src
        )
        guest.press("missing")
        guest.until("missing", "told", why)
    # what is named now is what runs
    for src, said in {"first.py": "True\nrate", "print.py": "another"}.items():
        program(guest, "print.py", "print('another')")
        guest.page.evaluate(
            "(src) => document.getElementById('missing').setAttribute('src', src)", src
        )
        guest.press("missing")
        guest.until("missing", "output", said.split("\n")[-1], START)
        guest.until("missing", "stage", "Finished")
        assert guest.part("missing", "told") == ""


def test_the_page_of_the_element_runs_both(page: Page, site_url: str) -> None:
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.set_viewport_size({"width": 390, "height": 900})
    guest = Guest(page, site_url + "element.html")
    page.evaluate(
        "document.querySelectorAll('tabgrad-demo').forEach((e, i) => { e.id = `d${i}`; })"
    )
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        guest.press("d0")
        guest.until("d0", "output", "height after 60 steps", START)
        guest.until("d0", "stage", "Finished")
        page.locator("#d0 input").nth(1).fill("0.8" if width == 390 else "0.7")
        guest.until("d0", "stage", "Finished")
        if width == 1280:
            guest.press("d1")
            guest.until("d1", "stage", "Finished", START)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            path = ROOT / ".cache" / "screenshots" / f"element-{width}-{scheme}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            page.wait_for_timeout(500)
            page.screenshot(path=path, full_page=True)
    assert wrong == []
