"""Every program of the page runs to its end on WebGPU, draws what it says, and learns what it teaches."""

from __future__ import annotations

import re

from playwright.sync_api import Page

from tests.web.desk import Desk
from tests.web.test_element import Guest

LONGEST = 120_000  # milliseconds; on an idle machine none takes a sixth of that

TEACHES = {
    "Tensors and derivatives": ("hessian", 0),
    "One neuron, step by step": ("-3.8341 by autograd, -3.8341 by hand", 1),
    "A race downhill": ("Adam     (+1.00, +1.00), height 0.0000", 1),
    "Newton against gradient descent": ("Newton           ends at height", 2),
    "Physics by gradient": ("the ball misses by", 1),
    "Two spirals": ("100.0% of the points", 1),
    "An autoencoder": ("two numbers tell ", 3),
    "A neural ODE": ("is never farther than 0.", 1),
    "Attention finds where to look": ("step  75: tabgrads becomes sdargbat", 1),
    "A GPT that writes numbers": ("step 80: 364=three hundred sixty-four", 0),
    "Diffusion in the plane": ("half of the points lie within 0.0", 1),
}
"""What each program says in the end, and how many places of the output show something."""

SHORTER = {
    "Two spirals": {"steps": 240},
    "An autoencoder": {"steps": 100},
    "A neural ODE": {"steps": 100},
    "Attention finds where to look": {"steps": 75},
    "A GPT that writes numbers": {"steps": 80},
    "Diffusion in the plane": {"steps": 300, "rate": 0.008},
}
"""Settings with which the programs that train longest have learned the same."""

COLOURS = """
() => [...document.querySelectorAll("#output .shown iframe")].every((frame) => {
    const drawing = frame.contentDocument.querySelector("svg");
    const box = drawing.getBoundingClientRect();
    return box.width > 100 && box.height > 50 && box.right <= frame.clientWidth + 1;
})
"""
"""Whether every drawing is there, and is not wider than its place."""


def text(desk: Desk) -> str:
    """The program in the editor, also those of its lines that are out of sight."""
    desk.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    desk.page.locator(".cm-content").press("Control+A")
    desk.page.keyboard.press("Control+C")
    copied: str = desk.page.evaluate("navigator.clipboard.readText()")
    return copied


def with_settings(program: str, settings: dict[str, float]) -> str:
    """The program with other numbers in its lines `name = number`."""
    for name, number in settings.items():
        program, found = re.subn(rf"^{name} = [\d.]+$", f"{name} = {number}", program, flags=re.M)
        assert found == 1, name
    return program


def test_every_program_of_the_page_runs(desk: Desk) -> None:
    titles = desk.page.locator("#program option").all_text_contents()
    # the digits have tests of their own
    assert sorted(titles) == sorted(["Handwritten digits", *TEACHES])
    for title, (words, places) in TEACHES.items():
        desk.page.locator("#program").select_option(label=title)
        if title in SHORTER:
            desk.write(with_settings(text(desk), SHORTER[title]))
        desk.press()
        desk.until("document.getElementById('run').dataset.action === 'run'", LONGEST)
        assert desk.stage.startswith("Finished"), (title, desk.output)
        desk.until_output(words)
        assert desk.page.locator("#output .shown").count() == places, title
        desk.until(f"({COLOURS.strip()})()", 5000)
    desk.page.locator("#program").select_option(label="Handwritten digits")


def test_the_gallery_has_sliders(page: Page, site_url: str) -> None:
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if "Content Security" in m.text else None)
    guest = Guest(page, f"{site_url}gallery.html")
    sources = page.locator("tabgrad-demo").evaluate_all(
        "(all) => all.map((e) => e.getAttribute('src'))"
    )
    assert len(sources) == 10
    for source in sources:
        assert page.request.get(f"{site_url}{source}").ok, source
    said = []
    for wind in ("-4", "6"):
        page.locator("#throw input").fill(wind)
        run(guest, "throw")
        said.append(guest.part("throw", "output"))
    speeds = [float(re.findall(r"thrown with \((\S+),", text)[-1]) for text in said]
    assert speeds[0] > speeds[1] + 1  # with the wind behind it takes less
    assert not wrong


def test_the_steps_of_the_neuron_are_all_in_sight(page: Page, site_url: str) -> None:
    guest = Guest(page, f"{site_url}gallery.html")
    run(guest, "neuron")
    page.wait_for_timeout(300)
    hidden = "(e) => e.scrollHeight - e.clientHeight"
    assert page.locator("#neuron >> #output").evaluate(hidden) == 0
    inside = page.frame_locator("#neuron >> .shown iframe")
    assert inside.locator("html").evaluate(hidden) == 0
    inside.locator("label >> visible=true").nth(3).click()
    # a finger hits what there is to press
    page.set_viewport_size({"width": 390, "height": 800})
    small = page.locator("main p > a").evaluate_all(
        "(all) => all.filter((e) => e.getBoundingClientRect().height < 44).map((e) => e.textContent)"
    )
    assert small == []


def test_points_are_put_by_hand(page: Page, site_url: str) -> None:
    guest = Guest(page, f"{site_url}gallery.html")
    canvas = page.locator("#spirals canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    for kind, x, y in (("0", 0.25, 0.25), ("1", 0.75, 0.75)):
        page.locator("#spirals select").select_option(kind)
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    canvas.press("ArrowRight")
    canvas.press("Enter")
    values = "document.getElementById('spirals').program().values"
    places = [point.split() for point in page.evaluate(values)["drawn"].split(", ")]
    assert [[round(float(v), 1) for v in place] for place in places] == [
        [-0.5, 0.5, 0], [0.5, -0.5, 1], [0.1, 0.0, 1]
    ]  # fmt: skip
    run(guest, "spirals")
    assert "100.0% of the points" in guest.part("spirals", "output")
    drawn = page.locator("#spirals >> .shown iframe").content_frame.locator("svg path").first
    assert (drawn.get_attribute("d") or "").count("M") == 1  # the blue one; two are red
    page.locator("#spirals button[data-clear]").click()
    assert page.evaluate(values)["drawn"] == ""


def run(guest: Guest, demo: str) -> None:
    """Run a program to its end."""
    guest.page.evaluate(
        "(demo) => { window.ended = new Promise((done) => document.getElementById(demo)"
        ".addEventListener('ended', ({ detail }) => done(detail), { once: true })); }",
        demo,
    )
    guest.press(demo)
    guest.page.set_default_timeout(LONGEST)
    assert guest.page.evaluate("window.ended") == "finished"
