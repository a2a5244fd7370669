"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn


@pytest.fixture(autouse=True)
def on_cpu() -> Any:
    tg.set_default_device("cpu")
    yield
    tg.set_default_device(None)


def kinds(row: Any) -> list[str]:
    return [type(m).__name__ for m in row]


def test_sequential() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert net(tg.ones(4, 2)).shape == (4, 1)
    assert len(net) == 3
    assert net[-1].out_features == 1
    assert kinds(net[:2]) == ["Linear", "ReLU"]
    assert net[0] in net
    net[1] = nn.Tanh()
    net.append(nn.Identity()).extend([nn.GELU()]).insert(0, nn.Flatten())
    assert kinds(net) == ["Flatten", "Linear", "Tanh", "Linear", "Identity", "GELU"]
    assert [n for n, _ in net.named_children()] == ["0", "1", "2", "3", "4", "5"]
    del net[4:]
    assert type(net.pop(0)).__name__ == "Flatten"
    assert kinds(net + net[:1]) == ["Linear", "Tanh", "Linear", "Linear"]
    named = nn.Sequential(OrderedDict(first=nn.Linear(2, 2), act=nn.ReLU()))
    assert named.first.out_features == 2
    assert [n for n, _ in named[1:].named_children()] == ["act"]
    with pytest.raises(IndexError, match="index 7 is out of range"):
        net[7]


def test_a_slice_shares_its_modules() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    assert net[:1][0] is net[0]


def test_module_list() -> None:
    row = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    row += [nn.ReLU()]
    row.insert(1, nn.Tanh())
    assert kinds(row) == ["Linear", "Tanh", "Linear", "Linear", "ReLU"]
    assert len(list(row.parameters())) == 6
    assert kinds(row[1:3]) == ["Tanh", "Linear"]
    assert isinstance(row[1:3], nn.ModuleList)
    assert repr(row) == (
        "ModuleList(\n"
        "  (0): Linear(in_features=2, out_features=2, bias=True)\n"
        "  (1): Tanh()\n"
        "  (2-3): 2 x Linear(in_features=2, out_features=2, bias=True)\n"
        "  (4): ReLU()\n"
        ")"
    )
    with pytest.raises(NotImplementedError):
        row(1)
    with pytest.raises(TypeError, match="not a Module"):
        row.append(3)


def test_module_dict() -> None:
    table = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(1, 1)})
    table["c"] = nn.Tanh()
    assert list(table) == ["a", "b", "c"]
    assert "a" in table
    assert type(table.pop("a")).__name__ == "ReLU"
    del table["c"]
    assert list(table.keys()) == ["b"]
    assert kinds(table.values()) == ["Linear"]
    assert len(table) == 1
    assert [n for n, _ in table.named_parameters()] == ["b.weight", "b.bias"]
    table.clear()
    assert len(table) == 0


def test_parameter_list() -> None:
    row = nn.ParameterList([tg.zeros(2), nn.Parameter(tg.ones(3))])
    row.append(tg.zeros(1))
    assert len(row) == 3
    assert all(isinstance(p, nn.Parameter) for p in row)
    row[0] = tg.ones(2)
    assert row[0].tolist() == [1.0, 1.0]
    assert [n for n, _ in row.named_parameters()] == ["0", "1", "2"]
    assert isinstance(row[:2], nn.ParameterList)
    assert row[-1].shape == (1,)
    assert repr(row).startswith(
        "ParameterList(\n    (0): Parameter containing: [tabgrad.float32 of size 2]\n"
    )
    with pytest.raises(IndexError, match="out of range"):
        row[3]


def test_parameter_dict() -> None:
    table = nn.ParameterDict({"a": tg.zeros(2), "b": tg.zeros(1)})
    table["c"] = tg.ones(1)
    assert list(table.keys()) == ["a", "b", "c"]
    assert "\n    (a): Parameter containing: [tabgrad.FloatTensor of size 2]\n" in repr(table)
    assert table.pop("a").shape == (2,)
    assert table.get("a") is None
    assert "a" not in table
    assert [n for n, _ in table.named_parameters()] == ["b", "c"]
    del table["b"]
    assert [k for k, _ in table.items()] == ["c"]
    assert len(table.values()) == 1
    with pytest.raises(KeyError):
        table["b"]


def test_a_sequential_times_a_number_repeats_its_modules() -> None:
    row = nn.Sequential(nn.ReLU(), nn.Tanh())
    for made in (row * 2, 2 * row):
        assert list(made) == [*row, *row]
        assert list(made._modules) == ["0", "1", "2", "3"]
    for none in (0, -1):
        with pytest.raises(ValueError, match=f"Non-positive multiplication factor {none} for"):
            row * none
    with pytest.raises(TypeError):
        row * 1.5
    same, first = row, row[0]
    row *= 3
    assert row is same
    assert len(row) == 6
    assert row[4] is first


def test_a_parameter_dict_has_the_methods_of_a_dict() -> None:
    d = nn.ParameterDict({"a": tg.ones(1, device="cpu")})
    a = d["a"]
    assert d.setdefault("a", 3) is a
    assert isinstance(d.setdefault("b", tg.ones(2, device="cpu")), nn.Parameter)
    assert d.setdefault("c") is None
    assert list(reversed(d)) == ["c", "b", "a"]
    assert d.popitem() == ("c", None)
    copied = d.copy()
    assert copied is not d
    assert copied["a"] is a
    joined = d | nn.ParameterDict({"b": tg.zeros(3, device="cpu")})
    assert [list(p.shape) for p in joined.parameters()] == [[1], [3]]
    assert list(d["b"].shape) == [2]
    assert list(d.fromkeys(["x", "y"], 1).items()) == [("x", 1), ("y", 1)]
    d |= nn.ParameterDict({"z": tg.zeros(3, device="cpu")})
    assert list(d) == ["a", "b", "z"]
    d.clear()
    assert len(d) == len(list(d.parameters())) == 0
    with pytest.raises(KeyError):
        d.popitem()
