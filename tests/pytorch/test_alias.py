"""`import torch` means tabgrad: where it does, what of it, and until when."""

from __future__ import annotations

import copy
import importlib
import importlib.metadata
import importlib.util
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import DeviceError
from tabgrad.core.paths import PATHS
from tabgrad.core.places import Place, entries
from tabgrad.hosts import devices
from tests.grouped import grouped


@pytest.fixture
def torch() -> Iterator[Any]:
    before = devices.chosen_device()
    tg.set_default_device(None)
    with tg.as_torch():
        yield importlib.import_module("torch")
    tg.set_default_device(before)


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "best_accelerator", lambda: None)
    monkeypatch.setattr(tg.accelerator, "best_accelerator", lambda: None)


def test_every_module_is_tabgrads(torch: Any) -> None:
    nn = importlib.import_module("torch.nn")
    assert nn is tg.nn is torch.nn
    assert importlib.import_module("torch.nn.functional") is tg.nn.functional
    assert torch.Tensor is tg.Tensor
    assert nn.__spec__.name == "tabgrad.nn"
    assert sys.modules["torch.nn"] is nn
    importlib.import_module("torch.autograd.forward_ad")
    assert not hasattr(tg.autograd.forward_ad, "__path__")
    assert tg.autograd.forward_ad.__spec__.name == "tabgrad.autograd.forward_ad"


def test_the_version_answers(torch: Any) -> None:
    version = torch.__version__
    assert isinstance(version, str)
    assert version >= "2.6"
    assert version >= (2, 6)
    assert not version < "2.10"
    assert version == torch.version.__version__ == importlib.metadata.version("torch")
    assert torch.version.cuda is None
    from packaging.version import Version

    assert Version(version) >= Version("2.6")


def test_find_spec_answers(torch: Any) -> None:
    assert importlib.util.find_spec("torch") is not None
    assert importlib.util.find_spec("torch.nn.modules.conv") is not None
    assert importlib.util.find_spec("torch.nn.modules.nonsense") is None
    assert importlib.util.find_spec("torch.hosts") is None


def test_tools_that_walk_all_finders_go_on(torch: Any) -> None:
    importlib.invalidate_caches()
    assert "torch" in {found.metadata["Name"] for found in importlib.metadata.distributions()}
    assert list(pkgutil.iter_modules(torch.__path__)) == []


def test_it_begins_anew() -> None:
    for _ in range(2):
        with tg.as_torch():
            assert importlib.import_module("torch.backends.cudnn") is tg.backends.cudnn
            assert importlib.import_module("torch.nn.modules.conv").Conv2d is tg.nn.Conv2d


def test_it_ends() -> None:
    with tg.as_torch() as handle:
        assert importlib.import_module("torch").Size([1]).__repr__() == "torch.Size([1])"
        tg.as_torch()
        assert repr(handle) == "<torch means tabgrad; remove() undoes it>"
        handle.remove()
    handle.remove()
    assert repr(handle) == "<torch no longer means tabgrad>"
    assert not [name for name in sys.modules if name.partition(".")[0] == "torch"]
    assert repr(tg.Size([1])) == "tabgrad.Size([1])"
    assert repr(tg.float32) == "tabgrad.float32"


def test_the_real_torch_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    with pytest.raises(ImportError, match="the real torch"):
        tg.as_torch()
    assert repr(tg.float32) == "tabgrad.float32"


def test_what_is_missing_is_said_with_its_place(torch: Any) -> None:
    with pytest.raises(AttributeError, match=r"'torch.nn' has no attribute 'Linaer'.*'Linear'"):
        _ = torch.nn.Linaer
    with pytest.raises(
        AttributeError, match=r"module 'torch' has no attribute 'linspaec'.*'linspace'"
    ):
        _ = torch.linspaec
    with pytest.raises(AttributeError, match=r"'torch.nn.modules.conv' has no attribute 'Conv9d'"):
        _ = torch.nn.modules.conv.Conv9d
    with pytest.raises(ImportError, match="Linaer"):
        from torch.nn import Linaer  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"torch\.nonsense"):
        importlib.import_module("torch.nonsense")
    for name in ("hosts", "core", "lower"):
        assert not hasattr(torch, name), name
        assert name not in dir(torch)
    assert "sin" in dir(torch)
    assert callable(torch.tensor)


def test_names_print_as_pytorchs(torch: Any) -> None:
    x = torch.zeros(2, 3)
    assert f"{x.shape} {x.dtype} {x.type()}" == "torch.Size([2, 3]) torch.float32 torch.FloatTensor"
    assert x.type("torch.LongTensor").dtype is torch.int64
    assert isinstance(x, torch.FloatTensor)


def test_without_a_device_tensors_are_on_the_cpu(torch: Any) -> None:
    assert torch.zeros(1).device.type == "cpu"
    assert torch.get_default_device() == torch.device("cpu")
    assert torch.nn.Linear(1, 1).weight.device == torch.randn(2).device == torch.device("cpu")


def test_what_was_set_as_default_stays() -> None:
    tg.set_default_device("webgpu")  # a name alone connects to nothing
    with tg.as_torch():
        assert tg.get_default_device().type == "webgpu"


def test_without_an_accelerator_its_names_raise_when_used(torch: Any, no_accelerator: None) -> None:
    assert not torch.cuda.is_available()
    assert not torch.backends.mps.is_available()
    assert not torch.accelerator.is_available()
    assert torch.cuda.device_count() == 0
    for name in ("cuda", "cuda:0", "mps"):
        assert isinstance(torch.device(name), torch.device)
    with pytest.raises(DeviceError):
        torch.zeros(1, device="cuda:9")
    with pytest.raises(DeviceError):
        torch.device(0)


@pytest.mark.every_host
def test_names_of_accelerators_mean_the_one_there_is(device: str, torch: Any) -> None:
    if device == "cpu":
        return
    there = torch.device(device)
    assert torch.cuda.is_available()
    assert torch.backends.mps.is_available()
    assert torch.cuda.device_count() == torch.accelerator.device_count() == 1
    assert torch.device("cuda") is torch.device("mps") is torch.device("cuda:0") is there
    assert torch.device("cuda", 0) is torch.device(0) is torch.accelerator.current_accelerator()
    x = torch.ones(2)
    for moved in (x.cuda(), x.to("mps"), x.to("cuda", non_blocking=True), torch.ones(2, device=0)):
        assert moved.device is there
        assert moved.is_cuda
        assert (moved + torch.ones(2, device="cuda")).cpu().tolist() == [2.0, 2.0]
    assert not x.is_cuda
    assert torch.nn.Linear(2, 1).cuda()(x.cuda()).device is there
    assert torch.get_default_device().type == "cpu"
    with pytest.raises(DeviceError, match="one accelerator"):
        torch.device("cuda:1")
    with torch.autocast("cuda", dtype=torch.float16, enabled=False):
        assert not torch.is_autocast_enabled("cuda")


@pytest.fixture
def functions() -> Iterator[None]:
    """Put functions back that a module of their name has taken the place of."""
    own = [
        (p, n) for p in PATHS for a, _, n in [p.rpartition(".")] if n in {e[0] for e in entries(p)}
    ]
    above = {p: importlib.import_module(f"tabgrad.{p.rpartition('.')[0]}") for p, _ in own}
    before = {p: getattr(above[p], n) for p, n in own}
    yield
    for path, name in own:
        setattr(above[path], name, before[path])


@grouped("path", PATHS)
def test_modules_of_the_table(path: str, functions: None) -> None:
    """Each can be imported and asked for, and each of its names is the one in its home."""
    module = importlib.import_module(f"tabgrad.{path}")
    above: Any = tg
    for part in path.split("."):
        above = getattr(above, part)
    if PATHS[path].startswith("="):
        assert above is module
        return
    assert isinstance(above, ModuleType) or callable(above)
    for name, home, there in entries(path):
        found = getattr(importlib.import_module(home), there)
        assert getattr(module, name) is (
            getattr(found, name) if isinstance(found, Place) else found
        )
        assert name in dir(module)
    assert set(module.__all__) == {n for n, _, _ in entries(path) if n[0] != "_"}


def test_a_module_with_a_file_is_not_in_the_table() -> None:
    from importlib.machinery import PathFinder

    for path in PATHS:
        above, _, name = f"tabgrad.{path}".rpartition(".")
        where = getattr(importlib.import_module(above), "__path__", [])
        assert PathFinder.find_spec(f"tabgrad.{path}", where) is None or name == "export", path


def test_a_function_stays_one_where_its_module_is_imported(functions: None) -> None:
    importlib.import_module("tabgrad.autograd.gradcheck")
    x = tg.ones(2, dtype=tg.float64, device="cpu", requires_grad=True)
    assert tg.autograd.gradcheck(lambda x: x * x, (x,))
    importlib.import_module("tabgrad.nn.parallel.data_parallel")
    assert tg.nn.parallel.data_parallel(tg.nn.Identity(), x) is x


def test_what_is_pickled_under_the_alias_is_read_without(torch: Any) -> None:
    raw = pickle.dumps(
        {"size": torch.Size([2]), "dtype": torch.int8, "device": torch.device("cpu")}
    )
    script = f"import pickle, tabgrad; print(pickle.loads({raw!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.startswith("{'size': tabgrad.Size([2]), 'dtype': tabgrad.int8"), done.stderr


def test_tensors_carry_what_users_put_on_them() -> None:
    import weakref

    p = tg.nn.Parameter(tg.ones(2, device="cpu"))
    p.my_flag = {"a": 1}  # type: ignore[attr-defined]
    assert not hasattr(copy.deepcopy(p), "my_flag")  # as in PyTorch: of parameters the tensor alone
    assert pickle.loads(pickle.dumps(p)).my_flag == {"a": 1}
    assert copy.copy(p).my_flag is p.my_flag  # type: ignore[attr-defined]
    assert weakref.ref(p)() is p
    x: Any = tg.tensor(1.5, device="cpu")
    x.note = [1]
    assert copy.deepcopy(x).note == [1]
    assert f"{x:.3f} {x} {x.item():>6}" == "1.500 1.5    1.5"
    assert f"{tg.nn.Parameter(x.detach())}".startswith("Parameter")
