"""Landscapes, images, attention, backward passes step by step, graphs by modules, and `show`."""

from __future__ import annotations

import math
import pathlib
import re
import struct
import zlib
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn, viz

SVG = "{http://www.w3.org/2000/svg}"
ROOT = pathlib.Path(__file__).parents[2]


def pixels(data: bytes) -> tuple[int, int, int, list[bytes]]:
    """Read a PNG file as `png` writes it: width, height, channels, rows."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(data):
        (n,) = struct.unpack(">I", data[at : at + 4])
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + n]
        assert struct.unpack(">I", data[at + 8 + n : at + 12 + n]) == (zlib.crc32(name + body),)
        chunks[name] = body
        at += 12 + n
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    channels = {0: 1, 2: 3, 6: 4}[kind]
    raw, step = zlib.decompress(chunks[b"IDAT"]), width * channels + 1
    assert depth == 8
    assert len(raw) == height * step
    return width, height, channels, [raw[i * step + 1 : (i + 1) * step] for i in range(height)]


# -- images --------------------------------------------------------------------------------------


@pytest.mark.every_host
def test_pixels_are_the_numbers(device: str) -> None:
    x = tg.tensor([[0.0, 0.5, 1.0], [0.25, 0.75, 0.1]], device=device)
    width, height, channels, rows = pixels(viz.image(x).png())
    assert (width, height, channels) == (3, 2, 1)
    assert [list(row) for row in rows] == [[0, 128, 255], [64, 191, 26]]
    colours = tg.stack([x, 1 - x, x * 0])
    _, _, channels, rows = pixels(viz.image(colours).png())
    assert channels == 3
    assert list(rows[0]) == [0, 255, 0, 128, 128, 0, 255, 0, 0]
    assert list(pixels(viz.image(x > 0.4).png())[3][0]) == [0, 255, 255]


def test_numbers_beyond_one_are_stretched_and_the_caption_says_so() -> None:
    x = tg.tensor([[-1.0, 0.0], [1.0, 3.0]], device="cpu")
    drawn = viz.image(x)
    assert drawn.caption == "[2, 2] float32, from -1 to 3"
    assert [list(row) for row in drawn.rows] == [[0, 64], [128, 255]]
    assert [list(row) for row in viz.image(x, limits=(0, 1)).rows] == [[0, 0], [255, 255]]
    flat = viz.image(tg.full((2, 2), 7.0, device="cpu"))
    assert flat.caption.endswith("7 everywhere")
    assert set(b"".join(flat.rows)) == {128}
    hole = viz.image(tg.tensor([[0.0, math.nan], [math.inf, 1.0]], device="cpu"))
    assert list(hole.rows[0]) == [0, 0, 0, 255, 0, 255]
    assert list(hole.rows[1]) == [255, 0, 255, 255, 255, 255]


def test_several_images_stand_in_a_grid() -> None:
    x = tg.ones(5, 1, 2, 3, device="cpu")
    drawn = viz.image(x, columns=3)
    assert (drawn.width, drawn.height) == (3 * 3 + 2, 2 * 2 + 1)
    assert list(drawn.rows[0]) == [255, 255, 255, 0] * 2 + [255] * 3
    assert set(drawn.rows[2]) == {0}
    assert list(drawn.rows[3]) == [255, 255, 255, 0, 255, 255, 255, 0, 0, 0, 0]


def test_lists_and_arrays_are_drawn() -> None:
    tiny = viz.image([[0, 1], [1, 0]])
    assert (repr(tiny), pixels(tiny.png())[3]) == (
        "<image of 2 x 2 pixels: [2, 2] int64, from 0 to 1>",
        [b"\x00\xff", b"\xff\x00"],
    )
    assert repr(viz.image(np.zeros((3, 4), np.float32))).startswith("<image of 3 x 4 pixels")
    assert repr(viz.attention([[0.5, 0.5], [1.0, 0.0]])) == "<attention of 1 head, 2 x 2>"
    assert repr(viz.show([1, 2, 3])) == "<lines of 3 numbers>"


def test_what_can_not_be_drawn_says_what_to_do() -> None:
    def flat(p: tg.Tensor) -> tg.Tensor:
        return p.sum()

    walks: dict[str, Any] = {"size": 4, "start": (0, 0), "optimizers": {"": lambda p: None}}
    for draw, words in (
        (lambda: viz.image("x"), "image: expected a tensor, or numbers in lists"),
        (lambda: viz.image([[1, 2], [3]]), "image: expected a tensor, or numbers in lists"),
        (lambda: viz.attention([[1, 2], [3]]), "attention: expected a tensor, or numbers"),
        (lambda: viz.landscape(flat, size=2.5), "landscape: size must be a whole number"),
        (lambda: viz.landscape(flat, levels=2.5), "landscape: levels must be a whole number"),
        (lambda: viz.landscape(flat, steps=2.5, **walks), "landscape: steps must be a whole"),
        (
            lambda: viz.landscape(flat, lambda: 1.0),
            r"landscape: x must be .*\(low, high\), got <func",
        ),  # type: ignore[arg-type]
        (lambda: viz.landscape(flat, y=3.0), r"landscape: y must be a range .* got 3\.0"),  # type: ignore[arg-type]
        (lambda: viz.landscape(3.0), "landscape: f must be a function"),  # type: ignore[arg-type]
        (lambda: viz.landscape(lambda p: 1.0, size=4), "landscape: .*got float; compute with"),
        (lambda: viz.landscape(lambda p: p.sum().item(), size=4), "landscape: .*got float"),
        (lambda: viz.graph(tg.nn.Linear(2, 3)), r"Linear needs inputs .*graph\(model, x\)"),
        (lambda: viz.steps(tg.nn.Linear(2, 3)), "steps: expected a tensor, got Linear"),
    ):
        with pytest.raises(TypeError, match=words):
            draw()


def test_what_is_no_image_is_refused() -> None:
    for x in (
        tg.ones(3, device="cpu"),
        tg.ones(2, 5, 5, device="cpu"),
        tg.ones(0, 4, device="cpu"),
        tg.ones(2, 2, dtype=tg.complex64, device="cpu"),
    ):
        with pytest.raises(ValueError, match=r"^image: "):
            viz.image(x)
    with pytest.raises(ValueError, match="low < high"):
        viz.image(tg.ones(2, 2, device="cpu"), limits=(1, 1))


# -- attention -----------------------------------------------------------------------------------


@pytest.mark.every_host
def test_attention_has_a_square_for_each_weight(device: str) -> None:
    weights = tg.softmax(tg.arange(24.0, device=device).reshape(1, 2, 3, 4), -1)
    drawn = viz.attention(weights, ["a", "<b>", "c"])
    root = ElementTree.fromstring(drawn.svg())
    titles = [t.text for t in root.iter(f"{SVG}title")]
    assert len(titles) == 24
    assert titles[0] == f"a looks at 0: {float(weights[0, 0, 0, 0]):.3f}"
    assert any("<b>" in str(t) for t in titles)
    words = [t.text for t in root.iter(f"{SVG}text")]
    assert words.count("<b>") == 2
    assert "head 1" in words
    many = viz.attention(tg.softmax(tg.zeros(4, 40, 40, device=device), -1))
    assert many.svg().count("<image") == 4
    assert "<rect" not in many.svg()


def test_attention_refuses_what_is_none() -> None:
    w = tg.ones(2, 3, device="cpu") / 3
    for call, words in (
        (lambda: viz.attention(w - 1), "softmax"),
        (lambda: viz.attention(w * math.nan), "softmax"),
        (lambda: viz.attention(tg.ones(2, 2, 3, 3, device="cpu")), "one example"),
        (lambda: viz.attention(w, ["a"]), "2 tokens"),
        (lambda: viz.attention(w, ["a", "b"], ["c"]), "3 keys"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


# -- landscapes ----------------------------------------------------------------------------------


def bowl(p: tg.Tensor) -> tg.Tensor:
    return (p * p).sum()


@pytest.mark.every_host
def test_a_landscape_has_values_contours_and_ways(device: str) -> None:
    drawn = viz.landscape(
        bowl, (-2, 2), (-1, 1), size=17, levels=5, steps=3, start=(1.0, 0.5), device=device,
        paths={"given": [(0, 0), tg.tensor([1.0, 1.0])]},
        optimizers={"SGD": lambda p: tg.optim.SGD(p, lr=0.25), "LBFGS": lambda p: tg.optim.LBFGS(p)},
    )  # fmt: skip
    assert drawn.values[0][0] == pytest.approx(5.0)
    assert drawn.values[8][16] == pytest.approx(4.0)
    assert drawn.values[16][8] == pytest.approx(1.0)
    assert drawn.paths["given"] == [(0.0, 0.0), (1.0, 1.0)]
    assert drawn.paths["SGD"] == [
        pytest.approx(p) for p in [(1, 0.5), (0.5, 0.25), (0.25, 0.125), (0.125, 0.0625)]
    ]
    assert drawn.paths["LBFGS"][-1] == pytest.approx((0, 0), abs=1e-4)
    for a, b in drawn.contour(0.64):
        for x, y in (a, b):
            assert math.hypot(x, y) == pytest.approx(0.8, abs=0.02)
    root = ElementTree.fromstring(drawn.svg())
    assert len(list(root.iter(f"{SVG}polyline"))) == 6
    assert len(drawn.levels) == 5
    assert {"given", "SGD", "LBFGS"} <= {t.text for t in root.iter(f"{SVG}text")}


def test_contours_of_saddles_close_and_holes_are_left_out() -> None:
    saddle = viz.landscape(lambda p: p[0] * p[1], size=9, device="cpu")
    for level in (-0.5, 0.5, 1e-3):
        for a, b in saddle.contour(level):
            assert a != b
            assert math.hypot(a[0] - b[0], a[1] - b[1]) <= math.hypot(0.5, 0.5) + 1e-9
    half = viz.landscape(lambda p: p[0].log(), (-1, 1), (-1, 1), size=9, device="cpu")
    assert all(min(a[0], b[0]) > 0 for a, b in half.contour(-1.0))
    assert half.contour(-1.0)

    def reads(p: tg.Tensor) -> tg.Tensor:
        return p[0] * 2 if p[0].item() > 0 else -p[0]

    drawn = viz.landscape(reads, size=3, device="cpu")  # vmap can't run it
    assert drawn.values[0] == [2.0, 0.0, 4.0]
    for call, words in (
        (lambda: viz.landscape(bowl, (1, 1), device="cpu"), "ranges"),
        (lambda: viz.landscape(lambda p: p, size=3, device="cpu"), "one number"),
        (lambda: viz.landscape(bowl, optimizers={"a": tg.optim.SGD}, device="cpu"), "start"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


# -- steps ---------------------------------------------------------------------------------------


@pytest.mark.every_host
def test_a_backward_pass_is_stepped_and_changes_no_gradient(device: str) -> None:
    w = tg.tensor([2.0, -1.0], requires_grad=True, device=device)
    b = tg.tensor(0.5, requires_grad=True, device=device)
    loss = (w * w).sum() * b
    passed = viz.steps(loss, names={"w": w, "b": b})
    assert w.grad is None
    assert b.grad is None
    by_title = {step.title: step for step in passed.steps}
    assert by_title["w"].comes == ("2, -1",)
    assert by_title["b"].comes == ("5",)
    assert by_title["Sum"].comes == ("0.5",)
    assert passed.steps[0].comes == ("1",)
    assert [s.title for s in passed.steps][-2:] in (["w", "b"], ["b", "w"])
    loss.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [2.0, -1.0]
    assert all(
        not node.notes or not node.notes.get("post") for node, _ in loss.grad_fn.next_functions
    )  # type: ignore[union-attr]
    first, last = passed.svg(0), passed.svg()
    assert "grad" not in first
    assert last.count("grad ") == len(passed)
    sizes = {re.search(r'viewBox="([^"]*)"', passed.svg(k)).group(1) for k in range(len(passed))}  # type: ignore[union-attr]
    assert len(sizes) == 1  # nothing moves
    page = passed.html()
    assert page.count('type="radio"') == len(passed) + 1
    assert page.count("<svg") == len(passed) + 1
    assert "<script" not in page
    assert passed.html().split('name="')[1] != page.split('name="')[1]  # two on a page keep apart


def test_steps_of_a_network_tell_norms() -> None:
    net = nn.Sequential(nn.Linear(3, 4, device="cpu"), nn.ReLU(), nn.Linear(4, 1, device="cpu"))
    x = tg.ones(2, 3, device="cpu")
    loss = net(x).square().mean()
    found = {s.title: s.comes for s in viz.steps(loss, names=net).steps}
    loss.backward()
    grad = net[0].weight.grad
    assert grad is not None
    assert found["0.weight"] == (f"[4, 3] norm {float(grad.square().sum().sqrt()):.3g}",)
    for bad in (net(x), tg.ones((), device="cpu")):
        with pytest.raises(ValueError, match=r"^steps: "):
            viz.steps(bad)


# -- modules -------------------------------------------------------------------------------------


class Block(nn.Module):
    """Adds to its input what a layer makes of it, twice with the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4, device="cpu")
        self.act = nn.Tanh()

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return x + self.act(self.layer(self.act(self.layer(x))))


def test_modules_are_boxes_that_open() -> None:
    net = nn.Sequential(nn.Linear(3, 4, device="cpu"), Block(), nn.ReLU())
    drawn = viz.graph(net, tg.ones(2, 3, device="cpu"))
    assert {v.title for v in drawn.vertices} >= {"0.weight", "1.layer.weight", "Relu", "output"}
    boxes = drawn.collapsed()
    assert [v.title for v in boxes.vertices] == ["0: Linear", "1: Block", "2: ReLU", "output"]
    assert boxes.edges == [(0, 1), (1, 2), (2, 3)]
    assert boxes.vertices[1].lines[0] == "[2, 4]"
    inner = drawn.collapsed(2)
    titles = [v.title for v in inner.vertices]
    assert titles.count("1.layer: Linear") == 2
    assert titles.count("1.act: Tanh") == 2
    assert titles.count("1.layer.weight") == 1  # both calls use it, so it is in neither
    assert all(a < b for a, b in inner.edges)
    page = drawn.html()
    assert page.count("<details") >= 4
    assert "<script" not in page
    for svg in re.findall(r"<svg.*?</svg>", page):
        ElementTree.fromstring(svg)
    with pytest.raises(ValueError, match="graph\\(model, x\\)"):
        viz.graph(net(tg.ones(2, 3, device="cpu")).sum()).collapsed()
    with pytest.raises(ValueError, match="grad_fn"):
        viz.graph(nn.ReLU(), tg.ones(3, device="cpu"))


def test_values_shared_by_modules_make_no_circle() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3, bias=False, device="cpu")
            self.b = nn.Linear(3, 3, bias=False, device="cpu")
            self.b.weight = self.a.weight

        def forward(self, x: tg.Tensor) -> tg.Tensor:
            y = self.a(x)
            return self.a(self.b(y) + y) * y

    boxes = viz.graph(Tied(), tg.ones(1, 3, device="cpu")).collapsed()
    titles = [v.title for v in boxes.vertices]
    assert titles.count("a: Linear") == 2
    assert titles.count("b: Linear") == 1
    assert titles.count("a.weight") == 1
    assert all(a < b for a, b in boxes.edges)


# -- show and save -------------------------------------------------------------------------------


@pytest.mark.every_host
def test_show_finds_what_fits(device: str) -> None:
    x = tg.rand(3, 16, 16, device=device)
    w = tg.ones(2, requires_grad=True, device=device)
    net = nn.Linear(2, 2)
    for given, kind in (
        (x, viz.Image),
        (x[0], viz.Image),
        (x.unsqueeze(0), viz.Image),
        ((w * w).sum(), viz.Graph),
        (viz.image(x), viz.Image),
    ):
        assert isinstance(viz.show(given), kind)
    assert "numbers" in repr(viz.show(tg.rand(100, device=device)))
    assert "<table" in viz.show(tg.ones(3, 2, device=device)).html()
    assert "Linear" in viz.show(net).html()
    assert "SGD" in viz.show(tg.optim.SGD(net.parameters(), lr=0.1)).html()
    assert "&lt;" in viz.show("<b>").html()
    assert "<svg" in viz.show("<b>").svg()
    lines = viz.show({"a": [1.0, math.nan, 3.0, 4.0], "b": tg.arange(3.0, device=device)})
    paths = re.findall(r'<path d="([^"]*)"', lines.svg())
    assert [p.count("M") for p in paths] == [2, 1]
    assert isinstance(viz.show([True, False]).html(), str)
    assert viz.show(tg.ones(2, 2, dtype=tg.complex64, device=device)).html()


def test_every_drawing_is_saved_as_its_ending_says(tmp_path: pathlib.Path) -> None:
    w = tg.ones(2, requires_grad=True, device="cpu")
    net = nn.Linear(2, 1, device="cpu")
    net(tg.ones(1, 2, device="cpu")).sum().backward()
    drawings: dict[str, Any] = {
        "image": viz.image(tg.rand(8, 8, device="cpu")),
        "attention": viz.attention(tg.ones(2, 2, device="cpu")),
        "landscape": viz.landscape(bowl, size=4, device="cpu"),
        "steps": viz.steps((w * w).sum()),
        "graph": viz.graph((w * w).sum()),
        "modules": viz.graph(net, tg.ones(1, 2, device="cpu")),
        "flow": viz.flow(net),
        "lines": viz.show([1.0, 2.0]),
        "object": viz.show("plain"),
    }
    for name, drawn in drawings.items():
        drawn.save(tmp_path / f"{name}.svg")
        ElementTree.parse(tmp_path / f"{name}.svg")
        drawn.save(str(tmp_path / f"{name}.html"))
        page = (tmp_path / f"{name}.html").read_text("utf-8")
        assert page.startswith("<!doctype html>")
        assert "<script" not in page
        assert drawn._repr_html_()
        with pytest.raises(ValueError, match=r"\.svg"):
            drawn.save(tmp_path / f"{name}.pdf")
    drawings["image"].save(tmp_path / "image.png")
    assert pixels((tmp_path / "image.png").read_bytes())[:3] == (8, 8, 1)


def test_the_pictures_of_the_pages_are_drawn_by_their_script(tmp_path: pathlib.Path) -> None:
    import importlib.util

    where = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    assert where is not None
    assert where.loader is not None
    pictures = importlib.util.module_from_spec(where)
    where.loader.exec_module(pictures)
    pictures.HERE = tmp_path
    tg.manual_seed(0)
    pictures.small()
    for path in tmp_path.iterdir():
        ElementTree.parse(path)
        assert (ROOT / "docs" / path.name).exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_keys_of_one_letter_stand_upright() -> None:
    weights = tg.softmax(tg.eye(3), -1)
    assert "rotate" not in viz.attention(weights, list("abc")).svg()
    assert viz.attention(weights, ["a", "bc", "d"]).svg().count("rotate") == 3


def test_long_passes_are_one_drawing_and_a_list() -> None:
    x = tg.ones(3, requires_grad=True, device="cpu")
    y = x
    for _ in range(60):
        y = y * 1.01
    passed = tg.viz.steps(y.sum())
    made = passed.html()
    assert len(made) < 100_000
    assert (made.count("<svg"), made.count("<li>")) == (1, len(passed))
    assert passed.told(len(passed)).endswith("is its gradient")
    for k in (-1, len(passed) + 1):
        with pytest.raises(IndexError, match=f"expected a step from 0 to {len(passed)}, got {k}"):
            passed.told(k)


def test_steps_of_what_is_gone_say_what_to_keep() -> None:
    loss = nn.Linear(2, 1, device="cpu")(tg.ones(1, 2, device="cpu")).sum()
    with pytest.raises(ValueError, match="keep the model, or the tensors"):
        tg.viz.steps(loss)


def test_large_pictures_are_thinned_out() -> None:
    shown = tg.viz.image(tg.zeros(3000, 2000, dtype=tg.uint8, device="cpu"))
    assert (shown.height, shown.width) == (1500, 1000)
    assert shown.caption.endswith(", every 2nd pixel")
    with pytest.raises(ValueError, match="columns of at least 1"):
        tg.viz.image(tg.zeros(2, 2, device="cpu"), columns=0)


def test_a_module_without_others_is_its_own_drawing() -> None:
    drawn = tg.viz.graph(nn.Linear(2, 2, device="cpu"), tg.ones(1, 2, device="cpu"))
    assert sorted(drawn.collapsed().vertices) == sorted(drawn.vertices)
    for wrong in ((), (3,), ({"a": 1},)):
        with pytest.raises(TypeError, match="graph: expected tensors"):
            tg.viz.graph(*wrong)


def test_profiles_and_sparse_tensors_in_notebooks() -> None:
    with tg.profiler.profile(profile_memory=True) as prof:
        tg.ones(8, device="cpu").exp()
    made = prof._repr_html_()
    table = ElementTree.fromstring(made).find("table")
    assert table is not None
    titles, *rows = [[cell.text for cell in row] for row in table]
    assert titles[0] == "Name"
    assert "CPU mem" in titles
    assert "exp" in [row[0] for row in rows]
    assert tg.eye(2, device="cpu").to_sparse()._repr_html_() is None


def test_drawings_become_coarser_where_a_page_takes_less() -> None:
    tg.manual_seed(0)
    fine = viz.image(tg.rand(3, 60, 90, device="cpu"))
    assert fine._within(10**6) is fine
    coarse = fine._within(8000)
    assert len(coarse._repr_html_()) <= 8000
    assert isinstance(coarse, viz.Image)
    assert "every 2nd pixel, to be small" in coarse.caption
    assert (coarse.height, coarse.width) == (30, 45)
    assert coarse.rows[1][3:6] == fine.rows[2][6:9]
    weights = tg.rand(2, 50, 70, device="cpu")
    weights[1, 4, 9] = 3.0
    many = viz.attention(weights)
    few = many._within(6000)
    assert len(few._repr_html_()) <= 6000
    assert isinstance(few, viz.Attention)
    assert "to be small, each square is the largest weight of" in few.svg()
    assert max(max(row) for row in few.heads[1]) == 3.0
    assert len(few.heads[0]) == len(few.queries) < 50
    assert repr(viz.attention([[1.0]])) == "<attention of 1 head, 1 x 1>"
