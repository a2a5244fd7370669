"""Drawings of the autograd graph: what is in them, and that their boxes keep apart."""

from __future__ import annotations

import pathlib
import re
from typing import Any
from xml.etree import ElementTree

import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.viz.layout import placed


@pytest.mark.every_host
def test_it_has_the_ops_leaves_and_outputs(device: str) -> None:
    x = tg.tensor([1.0, 2.0], device=device, requires_grad=True)
    y = tg.tensor([[3.0], [4.0]], device=device, requires_grad=True)
    z = (x * y).exp()
    drawing = tg.viz.graph(z.sum(), z.mean(0), names={"x": x})
    titles = [v.title for v in drawing.vertices]
    assert titles[-2:] == ["output 0", "output 1"]
    assert titles.count("Exp") == 1  # shared by both outputs
    named = {v.title: v for v in drawing.vertices}
    assert (named["x"].kind, named["x"].lines) == ("leaf", ("[2]",))
    assert (named["leaf"].kind, named["leaf"].lines) == ("leaf", ("[2, 1]",))
    assert (named["Exp"].kind, named["Exp"].lines) == ("op", ("[2, 2]",))
    for a, b in drawing.edges:
        assert a < b
    into = [titles[a] for a, b in drawing.edges if titles[b] == "output 0"]
    assert into == ["Sum"]


def test_values_and_gradients_are_shown_where_they_are_few() -> None:
    net = nn.Sequential(nn.Linear(2, 1, device="cpu"), nn.Linear(1, 3, bias=False, device="cpu"))
    with tg.no_grad():
        net[0].weight.copy_(tg.tensor([[0.5, -1.0]], device="cpu"))
    x = tg.ones(1, 2, device="cpu")
    net(x).sum().backward()
    drawing = tg.viz.graph(net(x).sum(), names=net, values=True)
    named = {v.title: v for v in drawing.vertices}
    assert named["0.weight"].lines[:2] == ("[1, 2]", "0.5, -1")
    assert named["0.weight"].lines[2].startswith("grad ")
    assert len(named["1.weight"].lines) == 3
    assert named["output"].lines[0] == "[]"


def test_a_function_of_the_users_has_its_name() -> None:
    class Twice(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, ct: Any) -> Any:
            return ct * 2

    x = tg.ones(2, device="cpu", requires_grad=True)
    assert "Twice" in [v.title for v in tg.viz.graph(Twice.apply(x)).vertices]


def test_texts_and_files(tmp_path: pathlib.Path) -> None:
    x = tg.ones(2, device="cpu", requires_grad=True)
    drawing = tg.viz.graph((x * 2).sum(), names={'a "<b>\\': x})
    root = ElementTree.fromstring(drawing.svg())
    words = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert 'a "<b>\\' in words
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == len(drawing.vertices)
    assert 'label="a \\"<b>\\\\\\n[2]"' in drawing.dot()
    assert len(re.findall(r"n\d+ -> n\d+", drawing.dot())) == len(drawing.edges)
    for name, text in (("g.svg", drawing.svg()), ("g.dot", drawing.dot()), ("g.gv", drawing.dot())):
        drawing.save(tmp_path / name)
        assert (tmp_path / name).read_text() == text
    with pytest.raises(ValueError, match="ends in"):
        drawing.save(tmp_path / "g.png")


def test_what_can_not_be_drawn_is_refused() -> None:
    x = tg.ones(2, device="cpu", requires_grad=True)
    with pytest.raises(ValueError, match="grad_fn"):
        tg.viz.graph(x)
    with pytest.raises(TypeError, match="names must be"):
        tg.viz.graph(x * 2, names=[x])


def test_a_long_chain_is_drawn() -> None:
    y = tg.ones(1, device="cpu", requires_grad=True)
    for _ in range(3000):
        y = y * 2
    assert len(tg.viz.graph(y).vertices) == 3002


@pytest.mark.parametrize("seed", range(8))
def test_boxes_keep_apart_and_edges_point_down(seed: int) -> None:
    import random

    draw = random.Random(seed)
    n = draw.randint(2, 40)
    sizes = [(draw.uniform(20, 200), draw.uniform(20, 80)) for _ in range(n)]
    edges = sorted({(draw.randrange(b), b) for b in range(1, n) for _ in range(draw.randint(0, 3))})
    places, width, height = placed(sizes, edges)
    for i, p in enumerate(places):
        assert (p.w, p.h) == sizes[i]
        assert 0 <= p.x <= p.x + p.w <= width
        assert 0 <= p.y <= p.y + p.h <= height
        for q in places[:i]:
            apart = p.x + p.w < q.x or q.x + q.w < p.x or p.y + p.h < q.y or q.y + q.h < p.y
            assert apart
    for a, b in edges:
        assert places[a].y + places[a].h < places[b].y
