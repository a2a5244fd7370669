"""What notebooks show of tensors, modules, optimizers, compiled functions and datasets."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn


class Reader(HTMLParser):
    """Collects cells and all text; fails on elements that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.colours: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        if tag == "td":
            self.cells.append("")
            self.colours += re.findall(r"rgba\(([^)]*)\)", dict(attrs).get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data
        if "td" in self.open:
            self.cells[-1] += data


@pytest.mark.every_host
def test_a_small_tensor_is_a_table_coloured_by_value(device: str) -> None:
    x = tg.tensor([[1.0, -2.5], [float("nan"), 0.0]], device=device, requires_grad=True)
    shown = Reader(x._repr_html_() or "")
    assert shown.cells == ["1", "-2.5", "nan", "0"]
    assert shown.colours == ["37,99,235,0.16", "220,38,38,0.40", "220,38,38,0.00", "220,38,38,0.00"]
    assert shown.words.endswith(f"float32 [2, 2] on {device}, requires_grad")
    assert "grad_fn=MulBackward0" in ((x * 2)._repr_html_() or "")
    assert Reader((x.detach() > 0)._repr_html_() or "").cells == ["True", "False", "False", "False"]
    assert Reader(tg.arange(3, device=device)._repr_html_() or "").cells == ["0", "1", "2"]


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 2, 2), (21, 2), (2, 21), (21,)])
def test_other_tensors_are_text(shape: tuple[int, ...]) -> None:
    assert tg.zeros(shape, device="cpu")._repr_html_() is None


def test_under_the_alias_tensors_are_text_as_in_pytorch() -> None:
    with tg.as_torch():
        assert tg.ones(2, device="cpu")._repr_html_() is None


def test_inside_vmap_a_tensor_has_no_table() -> None:
    seen: list[Any] = []
    tg.vmap(lambda x: (seen.append(x._repr_html_()), x)[1])(tg.ones(2, 3, device="cpu"))
    assert seen == [None]


def test_a_module_is_a_tree_with_shapes_and_counts() -> None:
    class Odd(nn.Module):
        def extra_repr(self) -> str:
            return "<b>&"

    net = nn.Sequential(
        nn.Linear(2, 3, device="cpu"), nn.Sequential(nn.Sequential(nn.Tanh(), Odd()))
    )
    text = net._repr_html_() or ""
    shown = Reader(text)
    assert (
        "0: Linear(in_features=2, out_features=3, bias=True) weight [3, 2], bias [3], 9 parameters"
        in shown.words
    )
    assert "(<b>&)" in shown.words
    assert text.count("<details open") == 2
    assert text.count("<details") == 3  # the third level is folded


def test_optimizers_functions_and_datasets_are_tables() -> None:
    net = nn.Linear(2, 3, device="cpu")
    groups = Reader(tg.optim.SGD(net.parameters(), lr=0.1)._repr_html_() or "")
    assert groups.cells[:2] == ["group 0", "2 tensors, 9 numbers"]
    assert "lr=0.1" in groups.cells[2]
    double = tg.compile(lambda x: x * 2)
    assert "no plan yet" in (double._repr_html_() or "")
    data = tg.utils.data.TensorDataset(tg.ones(5, 2, device="cpu"), tg.arange(5, device="cpu"))
    assert Reader(data._repr_html_() or "").cells[:2] == [
        "5 examples", "each float32 [2] on cpu; int64 [] on cpu",
    ]  # fmt: skip

    class Stream(tg.utils.data.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(())

    assert Stream()._repr_html_() is None
