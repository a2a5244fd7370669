"""What `python -m tabgrad check` finds in the text of a program."""

from __future__ import annotations

import textwrap

import pytest

from tabgrad.pytorch.checking import check, problem_of
from tests.grouped import grouped

PROGRAMS = {
    "a module under another name": ("import torch.nn as nn\nnn.Linaer(1, 2)", [(2, "torch.nn.Linaer")]),
    "a name from a module": ("from torch import nn, foo as bar\nbar()", [(1, "torch.foo"), (2, "torch.foo")]),
    "a chain": ("import torch\ntorch.nn.functional.reluu(1)", [(2, "torch.nn.functional.reluu")]),
    "a module of the middle": ("import torch\ntorch.nm.Linear(1)", [(2, "torch.nm.Linear")]),
    "a module below torch binds torch": (
        "import torch.nn.functional\ntorch.linspaec(0, 1)",
        [(2, "torch.linspaec")],
    ),
    "a class": ("import torch\ntorch.Tensor.addd", [(2, "torch.Tensor.addd")]),
    "a member of a class that is whole": (
        "from torch.profiler import ProfilerActivity as A\nA.CUDA, A.TPU",
        [(2, "torch.profiler.ProfilerActivity.TPU")],
    ),
    "an assignment": ("import torch\nF = torch.nn.functional\nF.reluu", [(3, "torch.nn.functional.reluu")]),
    "a base and a default": (
        "import torch\nclass A(torch.nn.Modul):\n    def f(self, x=torch.nothing): ...",
        [(2, "torch.nn.Modul"), (3, "torch.nothing")],
    ),
    "an annotation": ("import torch\ndef f(x: torch.Tenser) -> torch.Tenso: ...",
                      [(2, "torch.Tenser"), (2, "torch.Tenso")]),
    "an import in a function": (
        "def f():\n    import torch as t\n    return t.nothing\nt = 3\nt.real",
        [(3, "torch.nothing")],
    ),
    "a function before the import": (
        "def f():\n    return torch.nothing\nimport torch",
        [(2, "torch.nothing")],
    ),
    "a parameter of the same name": (
        "import torch.nn.functional as F\ndef f(F): return F.reluu\nlambda F: F.x",
        [],
    ),
    "a name bound anew": ("import torch.nn as nn\nnn = object()\nnn.anything", []),
    "all names of a module": ("from torch.nn import *\nLinear(1, 2), Linaer", []),
    "a distributed program": ("import torch.distributed as d\nd.is_available()", []),
    "an object's attributes": ("import torch\ntorch.backends.cudnn.whatever = True\ntorch.float32.x", []),
    "internal packages": (
        "import torch\ntorch.hosts, torch.ops.aten.nothing",
        [(2, "torch.hosts"), (2, "torch.ops.aten.nothing")],
    ),
    "a method": ("x.storage_type()\nx.reshape(1)\nx.resize", [(1, "torch.Tensor.storage_type")]),
    "another package": (
        "import torchvision\nfrom torchvision import datasets\nimport numpy as torch\ntorch.foo",
        [],
    ),
    "a relative import": ("from .torch import foo\nfoo", []),
}  # fmt: skip


@grouped("name", PROGRAMS)
def test_what_is_missing_is_found(name: str) -> None:
    text, wanted = PROGRAMS[name]
    found = [(line, use.name) for use in check({"a.py": text}) if use.problem for line in use.lines]
    assert sorted(found) == sorted(wanted)


def test_what_is_used_is_listed_with_its_lines() -> None:
    text = """\
    import torch
    from torch.utils.data import DataLoader
    x = torch.zeros(2)
    y = torch.zeros(3).cuda()
    """
    found = {use.name: use.lines for use in check({"a.py": textwrap.dedent(text)})}
    assert found == {"torch": [1], "torch.utils.data.DataLoader": [2], "torch.zeros": [3, 4]}


def test_uses_inside_of_try_are_marked() -> None:
    text = "import torch\ntry:\n    torch.foo\nexcept AttributeError:\n    torch.bar\n"
    assert {u.name: u.guarded for u in check({"a.py": text}) if u.problem} == {
        "torch.foo": True,
        "torch.bar": False,
    }


def test_cells_share_their_names() -> None:
    found = check({"n[1]": "import torch.nn as nn", "n[2]": "nn.Linaer"})
    assert [(u.file, u.name) for u in found if u.problem] == [("n[2]", "torch.nn.Linaer")]


def test_the_problem_tells_the_part_that_is_missing() -> None:
    told = problem_of("torch.optimm.Adam")
    assert told == "is missing (torch.optimm); the nearest is 'optim'"
    assert problem_of("torch.version.cuda") == problem_of("torch.__version__") == ""


def test_what_is_no_python_raises() -> None:
    with pytest.raises(SyntaxError):
        check({"a.py": "import"})


def test_a_name_that_is_asked_for_first_is_guarded() -> None:
    text = """
import torch
if hasattr(torch, "no_such"):
    torch.no_such(1)
x = torch.none_such if getattr(torch, "none_such", None) else 0
torch.missing_one
"""
    found = {use.name: use.guarded for use in check({"a.py": text}) if use.problem}
    assert found == {"torch.no_such": True, "torch.none_such": True, "torch.missing_one": False}
