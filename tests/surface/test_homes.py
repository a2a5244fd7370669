"""Under the alias classes and functions say that they are from where PyTorch has them: `homes.txt`."""

from __future__ import annotations

import importlib
import importlib.util
import io
import pathlib
import pickle
import subprocess
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.naming import Home, is_own, module_of
from tests.grouped import grouped

RECORDED = pathlib.Path(__file__).with_name("homes.txt").read_text().splitlines()
DIFFERENT = {
    ":Event": "one class here for torch.Event and torch.cuda.Event",
    ":Stream": "as Event",
    ":compile": "a file of its own, as are the next ones, that has all of one topic",
    ":is_grad_enabled": "in `autograd`",
    ":is_inference_mode_enabled": "in `autograd`",
    ":istft": "one of PyTorch's C++, which stands in `functional` too",
    "distributed.tensor.placement_types:_StridedShard": "one class here with Shard",
    "export:Dim": "`export` is a function here, below which no module stands",
    "export:ExportedProgram": "as Dim",
    "futures:Future": "a class of PyTorch's C++, which has it in torch.jit",
    "jit:ScriptFunction": "as Future",
    "nn.attention:SDPBackend": "as Future",
    "optim.lr_scheduler:_LRScheduler": "one class here with LRScheduler",
}


@pytest.fixture(scope="module", autouse=True)
def alias() -> Iterator[None]:
    with tg.as_torch():
        yield


def thing(line: str) -> Any:
    place, _, name = line.split()[0].partition(":")
    return getattr(importlib.import_module(f"torch.{place}".rstrip(".")), name)


CLASSES = [line for line in RECORDED if not line.endswith(" -")]


@grouped("line", CLASSES, ids=lambda line: line.split()[0])
def test_classes_are_from_where_pytorch_has_them(line: str) -> None:
    kind, (told, *expected) = thing(line), line.split()
    if told not in DIFFERENT and isinstance(kind, type):
        assert [kind.__module__, kind.__qualname__] == expected


@grouped("line", CLASSES, ids=lambda line: line.split()[0])
def test_pickles_of_classes_need_no_alias(line: str) -> None:
    kind = thing(line)
    if isinstance(kind, type) and is_own(kind):
        written = pickle.dumps(kind)
        assert b"torch." not in written
        assert pickle.loads(written) is kind


@grouped(
    "line", [line for line in RECORDED if line.endswith(" -")], ids=lambda line: line.split()[0]
)
def test_functions_are_from_where_pytorch_has_them(line: str) -> None:
    fn, (told, module, _) = thing(line), line.split()
    if module in ("torch", "torch.functional", "torch.nn.functional") and is_function(fn):
        assert told in DIFFERENT or fn.__module__ in (module, f"torch.{told.partition(':')[0]}")
        assert pickle.loads(pickle.dumps(fn)) is fn


def is_function(fn: Any) -> bool:
    return isinstance(fn, types.FunctionType) and fn.__name__ == fn.__qualname__


def test_it_is_undone() -> None:
    """All of it, in a process where modules come before the alias, under it, and after it."""
    command = [sys.executable, "-c", UNDONE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")


UNDONE = """
import importlib, pickle, sys
import tabgrad as tg, tabgrad.nn
from tabgrad.core.naming import Home

def told():
    kinds = [v for m in list(sys.modules.values()) if m.__name__.startswith("tabgrad")
             for v in list(vars(m).values()) if isinstance(v, type)]
    return {k: (k.__module__, k.__name__, k.__qualname__) for k in kinds}

before = told()
with tg.as_torch():
    import torch.optim
    from torch import nn
    class Mine(nn.Linear):
        pass
    assert Mine.__module__ == "__main__", Mine
    for given in (nn.Linear(1, 1), Mine(1, 1), torch.float32, torch.Size([1]), nn.Parameter(torch.ones(1))):
        for protocol in (2, 4, 5):
            assert type(pickle.loads(pickle.dumps(given, protocol))) is type(given), given
    under = pickle.dumps([nn.Linear(1, 1), nn.Linear, torch.dtype, torch.add, torch.relu, nn.functional.relu])
    assert repr(torch.optim.Adam) == "<class 'torch.optim.adam.Adam'>"
after = told()
assert {k: after[k] for k in before} == before
assert not [k for k in after if type(k.__module__) is Home]
assert repr(tg.optim.Adam) == "<class 'tabgrad.optim.adam.Adam'>"
made, *others = pickle.loads(under)
assert type(made) is tg.nn.Linear
assert others == [tg.nn.Linear, tg.DType, tg.add, tg.relu, tg.nn.functional.relu]
plain = pickle.dumps([made, tg.nn.Linear, tg.relu])
import tabgrad.distributions
with tg.as_torch():
    assert repr(pickle.loads(plain)[1]) == "<class 'torch.nn.modules.linear.Linear'>"
    assert repr(tg.distributions.Normal) == "<class 'torch.distributions.normal.Normal'>"
"""


def test_programs_see_pytorchs_names() -> None:
    torch: Any = importlib.import_module("torch")
    assert repr(type(torch.zeros(1))) == "<class 'torch.Tensor'>"
    assert repr(type(torch.float32)) == "<class 'torch.dtype'>"
    assert repr(type(torch.device("cpu"))) == "<class 'torch.device'>"
    assert torch.typename(torch.nn.ReLU()) == "torch.nn.modules.activation.ReLU"
    leaves = [m for m in torch.nn.TransformerEncoderLayer(4, 2).modules() if not [*m.children()]]
    assert all(type(m).__module__.startswith("torch.nn") for m in leaves)


def test_files_have_the_same_names_under_the_alias() -> None:
    given = [tg.nn.Linear, tg.distributions.Normal(tg.zeros(1, device="cpu"), 1.0), tg.nn.ReLU()]
    with tg.serialization.safe_globals([type(given[1])]):
        under = [*tg.serialization.get_safe_globals()]
        first = written(given)
    tg.as_torch().remove()
    with tg.serialization.safe_globals([type(given[1])]):
        assert written(given) == first
        assert tg.serialization.get_safe_globals() == under
        assert isinstance(tg.load(io.BytesIO(first), weights_only=False)[1], type(given[1]))
        tg.load(io.BytesIO(written(given[1])))
    tg.as_torch()


def written(given: Any) -> bytes:
    file = io.BytesIO()
    tg.save(given, file)
    return file.getvalue()


def test_what_is_the_librarys_stays_known() -> None:
    class Mine(tg.nn.Linear):
        pass

    named = types.new_class(
        "Named", (tg.Tensor,), exec_body=lambda its: its.update(__module__="tabgrad_user")
    )
    assert all(map(is_own, (tg.nn.Linear, tg.Tensor)))
    assert not any(map(is_own, (Mine, named, int)))
    assert type(tg.nn.Linear.__module__) is Home
    assert module_of(tg.nn.Linear) == "tabgrad.nn.linear"


def test_sources_of_classes_are_found() -> None:
    import inspect

    for kind in (
        tg.nn.Linear,
        tg.nn.Conv2d,
        tg.nn.ReLU,
        tg.nn.LSTM,
        tg.nn.CrossEntropyLoss,
        tg.optim.Adam,
    ):
        assert inspect.getsource(kind).startswith(f"class {kind.__name__}(")


def test_a_module_found_under_the_alias_keeps_its_loader() -> None:
    found: Any = importlib.import_module("tabgrad.cuda.nvtx")
    assert found.__spec__.loader is found.__loader__
    assert type(found.__loader__).__name__ != "Moving"
    assert importlib.util.find_spec("tabgrad.nothing") is None
