"""The main job: on the page, the first program trains a network, and it reads what is drawn."""

from __future__ import annotations

import json

import pytest

from tests.examples.record import CURVE
from tests.web.desk import Desk, Stroke

TRAINED = 240_000  # milliseconds; a software adapter on a busy machine

# Without the program's own bar, so that this also tells what a plain script does.
CURVE_PROGRAM = """
import json
from tabgrad.examples.digits import train

trained = train(epochs=3)
print("curve", json.dumps(trained.losses))
"""

DRAWINGS: dict[int, list[Stroke]] = {
    0: [[(0.5, 0.1), (0.3, 0.3), (0.3, 0.7), (0.5, 0.9), (0.7, 0.7), (0.7, 0.3), (0.5, 0.1)]],
    1: [[(0.5, 0.1), (0.5, 0.9)]],
    3: [
        [(0.3, 0.15), (0.5, 0.1), (0.7, 0.25), (0.6, 0.42), (0.45, 0.48)],
        [(0.45, 0.48), (0.65, 0.55), (0.72, 0.7), (0.55, 0.9), (0.3, 0.85)],
    ],
    7: [[(0.25, 0.1), (0.72, 0.1), (0.45, 0.9)], [(0.35, 0.5), (0.7, 0.5)]],
}


def recorded(epochs: int) -> list[float]:
    """The losses of the first epochs of the curve that every device must give."""
    losses: list[float] = json.loads(CURVE.read_text())["losses"]
    return losses[: epochs * 44 // 10]


def test_the_first_program_trains_and_reads_what_is_drawn(desk: Desk) -> None:
    page = desk.page
    desk.press()
    desk.until("document.querySelectorAll('.chart output')[1]?.textContent", TRAINED)
    assert desk.stage == "Running…"
    assert "steps/s" in (page.locator("#rate").text_content() or "")
    assert desk.draws()
    desk.until_stage("Finished", TRAINED)
    share = desk.output.partition("%")[0]
    assert float(share) >= 96
    assert page.locator(".chart h3").all_text_contents() == ["Loss", "Held-out accuracy"]
    for digit, strokes in DRAWINGS.items():
        desk.draw(strokes)
        desk.until(f"document.getElementById('verdict').textContent.includes('a {digit} ')", 5000)
        page.locator("#clear-drawing").click()


def test_training_stops_at_once(desk: Desk) -> None:
    desk.press()
    desk.until("document.querySelector('.chart output')?.textContent", TRAINED)
    desk.press()
    desk.until("document.getElementById('run').dataset.action === 'run'", 1500)
    desk.until_ready()
    assert desk.run("import tabgrad as tg\nprint(tg.ones(3).sum().item())", 60_000) == "3.0\n"


def test_the_curve_on_webgpu_is_that_of_every_device(desk: Desk) -> None:
    losses = json.loads(desk.run(CURVE_PROGRAM, TRAINED).partition("curve ")[2])
    assert losses == pytest.approx(recorded(3), rel=0, abs=1e-3)
