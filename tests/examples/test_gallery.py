"""The programs of the page teach what they say: each runs to its end, with fewer steps where that is enough."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest

from tabgrad.examples.__main__ import main
from tabgrad.examples.settings import PROGRAMS, compiled, text_of
from tabgrad.utils import progress

ROOT = pathlib.Path(__file__).parents[2]
LONGEST = 120
"""Lines of a program: one page."""


class Ran:
    """What a program printed, logged and showed, and its names."""

    def __init__(self, said: str, events: list[progress.Event], names: dict[str, Any]) -> None:
        self.said, self.names = said, names
        self.logged: list[dict[str, float]] = [e["values"] for e in events if e["event"] == "log"]
        self.shown: dict[str, list[Any]] = {}
        for e in events:
            if e["event"] == "show":
                self.shown.setdefault(e["place"], []).append(e["value"])

    def number(self, pattern: str) -> float:
        """The last number that was printed so."""
        return float(re.findall(pattern, self.said)[-1])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a program as the page does: by its text, with other settings."""

    def run(name: str, **settings: float) -> Ran:
        events: list[progress.Event] = []
        names: dict[str, Any] = {"__name__": "__main__"}
        progress.set_sink(events.append)
        try:
            exec(compiled(name, settings), names)
        finally:
            progress.set_sink(None)
        ran = Ran(capsys.readouterr().out, events, names)
        for its in ran.shown.values():
            assert "<" in its[-1]._repr_html_()
        return ran

    return run


def test_spirals_are_told_apart(run: Any) -> None:
    ran = run("spirals", steps=240)
    assert ran.number(r"([\d.]+)% of the points") >= 99
    first, last = ran.shown["plane"][0], ran.shown["plane"][-1]
    assert first.field != last.field
    assert ran.logged[-1]["loss"] < ran.logged[0]["loss"] / 10


def test_a_neuron_steps_back_and_learns(run: Any) -> None:
    ran = run("neuron")
    (passed,) = ran.shown["backward"]
    assert len(passed) >= 5
    slope, by_hand = re.search(r"([-\d.]+) by autograd, ([-\d.]+) by hand", ran.said).groups()
    assert slope == by_hand
    assert ran.number(r"loss ([\d.]+)") < 0.001


def test_of_four_optimizers_the_adaptive_one_wins(run: Any) -> None:
    ran = run("descent")
    order = [line.split()[0] for line in ran.said.splitlines()]
    assert order == ["Adam", "momentum", "RMSprop", "SGD"]
    assert len(ran.shown["race"]) == 8
    assert len(ran.shown["race"][-1].paths["SGD"]) == 201


def test_newton_needs_few_steps(run: Any) -> None:
    ran = run("curvature")
    heights = ran.names["heights"]
    assert heights["Newton"][-1] < 1e-9
    assert len(heights["Newton"]) < 25
    assert heights["gradient descent"][-1] > 1
    assert all(b <= a for a, b in zip(heights["Newton"], heights["Newton"][1:], strict=False))


def test_the_ball_hits_whatever_the_wind(run: Any) -> None:
    for wind in (-4.0, 3.0):
        assert run("throw", wind=wind).number(r"misses by ([\d.]+) cm") < 20


def test_digits_become_two_numbers(run: Any) -> None:
    ran = run("autoencoder")
    assert ran.number(r"two numbers tell (\d+)%") >= 50
    assert len(ran.shown["map"][-1].points) == 10
    before = ran.shown["look"][-1].png()
    ran.names["across"] = 0.8
    seen: list[Any] = []
    progress.set_sink(seen.append)
    try:
        ran.names["look"]()
    finally:
        progress.set_sink(None)
    assert seen[-1]["value"].png() != before


def test_a_network_swings_as_the_pendulum_does(run: Any) -> None:
    assert run("ode").number(r"never farther than ([\d.]+)") < 0.2


def test_noise_becomes_a_heart(run: Any) -> None:
    ran = run("diffusion", steps=400)
    assert ran.number(r"within ([\d.]+) of the outline") < 0.12
    assert len(ran.shown["points"][-1].points[""]) == 400


def test_attention_turns_to_the_other_diagonal(run: Any) -> None:
    ran = run("attention")
    assert ran.said.splitlines()[-1].endswith("tabgrads becomes sdargbat")
    weights = ran.shown["map"][-1].heads[0]
    assert [row.index(max(row)) for row in weights] == [7, 6, 5, 4, 3, 2, 1, 0]


def test_a_gpt_writes_numbers(run: Any) -> None:
    ran = run("gpt", steps=100)
    assert "step 100: 364=three hundred sixty-four" in ran.said
    assert ran.logged[-1]["loss"] < ran.logged[0]["loss"] / 5


def test_each_is_one_page_with_an_introduction_of_two_lines() -> None:
    for name in PROGRAMS:
        lines = text_of(name).splitlines()
        assert len(lines) <= LONGEST, name
        assert lines[0].startswith('"""'), name
        assert max(map(len, lines)) <= 110, name
    offered = re.findall(
        r"from \S*/examples/(\w+)\.py", (ROOT / "web/pages/src/programs.js").read_text()
    )
    assert sorted(offered) == sorted(PROGRAMS)


def test_the_command_line_lists_runs_and_saves(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [])
    main([])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PROGRAMS)
    main(["throw", "throws=2", "--device", "cpu", "--save", str(tmp_path)])
    said, bars = capsys.readouterr()
    assert "the ball misses by" in said
    assert "2/2" in bars
    assert "<svg" in (tmp_path / "throw-flight.html").read_text()
    main(["throw", "throws=8", "--device", "cpu"])
    assert capsys.readouterr().out.count("<plane with") == 1  # of two, with one text
    for wrong, why in (
        ("winds=2", "no setting 'winds'; it has wind, throws"),
        ("wind=x", "such as rate"),
    ):
        with pytest.raises(SystemExit):
            main(["throw", wrong])
        assert why in capsys.readouterr().err
