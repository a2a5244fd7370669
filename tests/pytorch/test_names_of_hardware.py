"""Names of hardware and tools do what PyTorch does on a machine with one device or none."""

from __future__ import annotations

import pathlib
import pickle
import warnings

import pytest

import tabgrad as tg
from tabgrad.core.errors import DeviceError
from tabgrad.core.trace import MODE

nn = tg.nn


@pytest.mark.every_host
def test_data_parallel_calls_the_module_where_it_is(device: str) -> None:
    layer = nn.Linear(2, 1, device=device)
    both = nn.DataParallel(layer)
    x = tg.ones(3, 2, device="cpu")
    assert both(x.to(device)).tolist() == layer(x.to(device)).tolist()
    if device != "cpu":
        assert both(x).device.type == device  # inputs are moved there
    assert list(both.state_dict()) == ["module.weight", "module.bias"]
    state = dict(both.state_dict())
    nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    layer.load_state_dict(state)
    with pytest.raises(ValueError, match="there is one device, got 2"):
        nn.DataParallel(layer, device_ids=[0, 1])
    with pytest.raises(ValueError, match="process group"):
        nn.parallel.DistributedDataParallel(layer)


def test_without_an_engine_a_group_of_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from tabgrad.distributed import environment

    dist = tg.distributed
    assert not dist.is_initialized()
    for ask in (dist.get_rank, dist.get_world_size, dist.barrier):
        with pytest.raises(ValueError, match="init_process_group"):
            ask()
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    assert not dist.is_available()
    with pytest.raises(RuntimeError, match=r"pip install 'tabgrad\[mpi\]'"):
        dist.init_process_group("mpi")
    monkeypatch.undo()
    monkeypatch.setattr("sys.platform", "emscripten")
    assert not dist.is_available()
    with pytest.raises(RuntimeError, match="a browser tab is one process"):
        dist.init_process_group("mpi")


def test_each_process_takes_a_part_of_a_data_set() -> None:
    sampler = tg.utils.data.DistributedSampler(range(7), num_replicas=3, rank=0)
    parts = []
    for rank in range(3):
        part = tg.utils.data.DistributedSampler(range(7), num_replicas=3, rank=rank)
        part.set_epoch(2)
        parts.append(list(part))
        assert len(part) == 3
    assert {i for part in parts for i in part} == set(range(7))
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert len(tg.utils.data.DistributedSampler(range(7), 3, 0, drop_last=True)) == 2
    with pytest.raises(RuntimeError, match="num_replicas and rank"):
        tg.utils.data.DistributedSampler(range(7))
    with pytest.raises(ValueError, match="Invalid rank 3"):
        tg.utils.data.DistributedSampler(range(7), 3, 3)


def test_scripts_and_traces_share_all_with_the_module(tmp_path: pathlib.Path) -> None:
    layer = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    scripted = tg.jit.script(layer)
    assert isinstance(scripted, tg.jit.ScriptModule)
    assert isinstance(scripted, nn.Sequential)
    assert scripted.original_name == "Sequential"
    layer[0].weight.data.fill_(2.0)
    assert scripted[0].weight is layer[0].weight
    assert tg.jit.script(scripted) is scripted
    x = tg.ones(1, 2)
    traced = tg.jit.trace(layer, x)
    traced.save(str(tmp_path / "layer.pt"))
    assert tg.jit.load(tmp_path / "layer.pt")(x).tolist() == layer(x).tolist()
    with pytest.raises(RuntimeError, match="trace it with an example"):
        scripted.save(str(tmp_path / "other.pt"))
    with pytest.raises(RuntimeError, match="eval"):
        tg.jit.freeze(layer)
    assert tg.jit.freeze(layer.eval()) is layer
    assert tg.jit.trace(lambda a, b: a + b, (x, x))(x, x).tolist() == [[2.0, 2.0]]
    with pytest.raises(tg.ExportError, match="TensorSpec"):
        tg.export.export(layer, (x,), dynamic_shapes={"input": {0: "batch"}})


def test_what_is_not_to_be_compiled_is_not() -> None:
    calls = []

    @tg.compiler.disable
    def note(x: tg.Tensor) -> tg.Tensor:
        calls.append(MODE.get().capture)
        return x + 1

    f = tg.compile(lambda x: note(x) * 2)
    x = tg.ones(2)
    for _ in range(3):
        assert f(x).tolist() == [4.0, 4.0]
    assert len(calls) == 3  # each call ran as Python


def test_what_would_be_downloaded_or_written_raises() -> None:
    with pytest.raises(RuntimeError, match="never"):
        tg.hub.load("owner/repo", "model")
    with pytest.raises(RuntimeError, match="download the file yourself"):
        tg.hub.load_state_dict_from_url("https://example.org/a.pt")
    with pytest.raises(tg.onnx.OnnxExporterError, match=r"tabgrad\.export"):
        tg.onnx.export(nn.Linear(1, 1), tg.ones(1, 1), "a.onnx")


def test_one_device_has_index_0() -> None:
    for choose in (tg.cuda.set_device, tg.accelerator.set_device_index):
        choose(0)
        choose(-1)
        with pytest.raises(DeviceError, match="one device"):
            choose(1)
    with tg.cuda.stream(tg.cuda.Stream()), tg.cuda.device(0):
        pass


def test_older_amp_is_off_without_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    from tabgrad.hosts import devices

    monkeypatch.setattr(devices, "best_accelerator", lambda: None)
    with tg.as_torch():
        with pytest.warns(UserWarning, match="autocast"):
            context = tg.cuda.amp.autocast()
        with context:
            x = tg.ones(2, 2, device="cpu") @ tg.ones(2, 2, device="cpu")
        assert x.dtype is tg.float32
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not tg.cuda.amp.GradScaler(enabled=False).is_enabled()
        with pytest.warns(UserWarning, match="GradScaler"):
            scaler = tg.cuda.amp.GradScaler()
        assert not scaler.is_enabled()
        assert scaler.scale(x) is x


def test_switches_take_flags_alone() -> None:
    switches = (
        tg.set_autocast_cpu_enabled,
        tg.set_autocast_cache_enabled,
        tg.set_anomaly_enabled,
        tg.set_warn_always,
    )
    for switch in switches:
        with pytest.raises(TypeError, match="bool"):
            switch(tg.ones(1))  # type: ignore[arg-type]


def test_types_of_tensors_on_the_accelerator() -> None:
    x = tg.ones(2, device="cpu")
    assert not isinstance(x, tg.cuda.FloatTensor)
    assert x.type(tg.DoubleTensor).dtype is tg.float64
    assert x.type("torch.LongTensor").dtype is tg.int64
    for wrong in ("torch.foo.FloatTensor", "Tensor", 3):
        with pytest.raises(tg.DTypeError, match="invalid type"):
            x.type(wrong)
    assert pickle.loads(pickle.dumps(tg.FloatTensor)) is tg.FloatTensor
    tg.set_default_tensor_type("torch.DoubleTensor")
    try:
        assert tg.zeros(1).dtype is tg.float64
    finally:
        tg.set_default_dtype(tg.float32)
    with pytest.raises(tg.DTypeError, match="floating-point"):
        tg.set_default_tensor_type(tg.LongTensor)


def test_hooks_show_as_pytorchs_tables() -> None:
    layer = nn.ReLU()
    handle = layer.register_forward_hook(lambda m, args, out: out + 1)
    layer.register_forward_pre_hook(lambda m, args: None)
    assert len(layer._forward_hooks) == len(layer._forward_pre_hooks) == 1
    assert layer(tg.zeros(1)).tolist() == [1.0]
    handle.remove()
    assert not layer._forward_hooks
    layer._forward_pre_hooks.clear()
    assert not layer._forward_pre_hooks


def test_plain_sgd_has_no_state() -> None:
    p = nn.Parameter(tg.ones(2))
    for momentum, kept in ((0.0, []), (0.9, [p])):
        optimizer = tg.optim.SGD([p], lr=0.1, momentum=momentum)
        p.grad = tg.ones(2)
        optimizer.step()
        assert len(optimizer.state) == len(kept)
        assert (p in optimizer.state) is bool(kept)
        assert list(map(id, optimizer.state)) == list(map(id, kept))
