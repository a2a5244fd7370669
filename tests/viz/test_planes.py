"""Points, paths and values in a plane."""

from __future__ import annotations

import base64
import itertools
import math
import re
from xml.etree import ElementTree

import pytest

import tabgrad as tg
from tabgrad import viz
from tests.viz.test_drawings import pixels

SVG = "{http://www.w3.org/2000/svg}"


def test_places_are_where_they_should_be_and_names_have_one_colour() -> None:
    drawn = viz.plane(
        (0, 4), (-1, 1), points={"a": [(0, 1), (4, -1)], "": [(2, 0)]},
        paths={"a": tg.tensor([[0.0, 0.0], [1.0, 1.0]]), "b": []},
    )  # fmt: skip
    assert repr(drawn) == "<plane with 3 points, 2 paths>"
    whole = ElementTree.fromstring(drawn.svg())
    paths = {p.get("d"): p.get("stroke") for p in whole.iter(f"{SVG}path")}
    # 360 pixels for 4 units: one scale for both axes
    assert set(paths) == {"M0.0 0.0h0M360.0 180.0h0", "M180.0 90.0h0", "M0.0 90.0L90.0 0.0"}
    assert paths["M0.0 0.0h0M360.0 180.0h0"] == paths["M0.0 90.0L90.0 0.0"]
    assert len(set(paths.values())) == 2
    assert [t.text for t in whole.iter(f"{SVG}text")] == ["a", "b"]


def lab(ink: str) -> tuple[float, float, float]:
    """A colour in CIELAB (CIE 15), of sRGB in D65."""
    shares = [int(ink[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089
    a, c, d = (v ** (1 / 3) if v > 216 / 24389 else 841 / 108 * v + 4 / 29 for v in (x, y, z))
    return 116 * c - 16, 500 * (a - c), 200 * (c - d)


def test_ten_names_have_ten_colours_that_are_told_apart() -> None:
    drawn = viz.plane(points={str(d): [(0, d / 10)] for d in range(10)})
    whole = ElementTree.fromstring(drawn.svg())
    inks = [lab(p.get("stroke", "")) for p in whole.iter(f"{SVG}path")]
    assert len(inks) == 10
    # a difference of 2.3 is just noticeable (Mahy and others 1994); ten times that for small dots
    assert min(math.dist(p, q) for p, q in itertools.combinations(inks, 2)) > 23
    # light enough for dark grounds, dark enough for light ones
    assert all(30 < light < 66 for light, _, _ in inks)


def test_what_is_not_finite_is_left_out_and_names_are_escaped() -> None:
    nan = float("nan")
    drawn = viz.plane(
        points={"<b>": [(nan, 0), (0, 0)]},
        paths={"": [(0, nan)], "way": [(-1, 1), (0, 1), (nan, 0), (1, 0), (1, -1)]},
    )
    whole = ElementTree.fromstring(drawn.svg())
    assert [p.get("d") for p in whole.iter(f"{SVG}path")] == [
        "M0.0 0.0L180.0 0.0M360.0 180.0L360.0 360.0",
        "M180.0 180.0h0",
    ]
    assert [t.text for t in whole.iter(f"{SVG}text")] == ["<b>", "way"]


def test_values_are_coloured_by_sign_and_size_with_the_lowest_row_below() -> None:
    field = tg.tensor([[0.0, -1.0, float("nan")], [0.5, 1.0, 7.0]])
    drawn = viz.plane(field=field)
    data = re.search(r"base64,([^\"]+)", drawn.svg())
    assert data
    width, height, channels, rows = pixels(base64.b64decode(data[1]))
    assert (width, height, channels) == (3, 2, 4)
    upper, lower = ([tuple(row[4 * i : 4 * i + 4]) for i in range(3)] for row in rows)
    assert upper[1] == upper[2] == (37, 99, 235, 153)
    assert upper[0][3] == 76
    assert lower[1] == (220, 38, 38, 153)
    assert lower[0][3] == lower[2][3] == 0
    assert repr(drawn) == "<plane with 2 x 3 values>"
    assert repr(viz.plane()) == "<plane with nothing>"


def test_what_is_no_plane_is_refused() -> None:
    for wrong, why in (
        ({"x": (1, 1)}, "low < high"),
        ({"field": tg.zeros(3)}, r"rows, columns\), got \(3,\)"),
        ({"points": {"a": [(1, 2, 3)]}}, "expected a of shape"),
        ({"paths": {"": [1, 2]}}, "expected points of shape"),
        ({"paths": {"": tg.zeros(2, 3)}}, "expected points of shape"),
    ):
        with pytest.raises(ValueError, match=why):
            viz.plane(**wrong)  # type: ignore[arg-type]
