"""What a program can set for the whole process goes back to its default when that is asked for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core import settings
from tabgrad.core.op import REGISTRY
from tabgrad.distributions import kl
from tabgrad.nn import hooks
from tabgrad.nn.modules import module as every_module
from tabgrad.utils import progress

# How each is set, and how it is read.
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "set_default_dtype": (lambda: tg.set_default_dtype(tg.float64), tg.get_default_dtype),
    "set_default_device": (
        lambda: tg.set_default_device("webgpu"),
        lambda: tg.hosts.devices.chosen_device(),
    ),
    "set_grad_enabled": (lambda: tg.set_grad_enabled(False), tg.is_grad_enabled),
    "set_autocast_enabled": (
        lambda: tg.set_autocast_enabled("cpu", True),
        lambda: tg.is_autocast_enabled("cpu"),
    ),
    "set_autocast_dtype": (
        lambda: tg.set_autocast_dtype("cpu", tg.float16),
        lambda: tg.get_autocast_dtype("cpu"),
    ),
    "set_warn_always": (lambda: tg.set_warn_always(True), tg.is_warn_always_enabled),
    "set_default_tensor_type": (
        lambda: tg.set_default_tensor_type(tg.DoubleTensor),
        tg.get_default_dtype,
    ),
    "set_anomaly_enabled": (lambda: tg.set_anomaly_enabled(True), tg.is_anomaly_enabled),
    "set_autocast_cache_enabled": (
        lambda: tg.set_autocast_cache_enabled(False),
        lambda: tg.is_autocast_cache_enabled(),
    ),
    "set_autocast_cpu_enabled": (
        lambda: tg.set_autocast_cpu_enabled(True),
        lambda: tg.is_autocast_cpu_enabled(),
    ),
    "set_autocast_cpu_dtype": (
        lambda: tg.set_autocast_cpu_dtype(tg.float16),
        lambda: tg.get_autocast_cpu_dtype(),
    ),
    "set_autocast_gpu_dtype": (
        lambda: tg.set_autocast_gpu_dtype(tg.bfloat16),
        lambda: tg.get_autocast_gpu_dtype(),
    ),
    "set_sharing_strategy": (
        lambda: tg.multiprocessing.set_sharing_strategy("file_system"),
        lambda: tg.multiprocessing.get_sharing_strategy(),
    ),
    "set_dir": (lambda: tg.hub.set_dir("models"), tg.hub.get_dir),
    "as_torch": (tg.as_torch, lambda: repr(tg.Size())),
    "the configuration of the compiler": (
        lambda: setattr(tg._dynamo.config, "verbose", True),
        lambda: tg._dynamo.config.verbose,
    ),
    "set_num_threads": (lambda: tg.set_num_threads(99), lambda: tg.get_num_threads()),
    "set_num_interop_threads": (
        lambda: tg.set_num_interop_threads(99),
        lambda: tg.get_num_interop_threads(),
    ),
    "set_float32_matmul_precision": (
        lambda: tg.set_float32_matmul_precision("medium"),
        tg.get_float32_matmul_precision,
    ),
    "use_deterministic_algorithms": (
        lambda: tg.use_deterministic_algorithms(True),
        tg.are_deterministic_algorithms_enabled,
    ),
    "set_deterministic_debug_mode": (
        lambda: tg.set_deterministic_debug_mode(1),
        tg.get_deterministic_debug_mode,
    ),
    "set_printoptions": (
        lambda: tg.set_printoptions(precision=1),
        lambda: repr(tg.tensor([1.23456])),
    ),
    "manual_seed": (lambda: tg.manual_seed(1), lambda: (tg.initial_seed(), tg.rand(2).tolist())),
    "seed": (tg.seed, lambda: (tg.initial_seed(), tg.rand(2).tolist())),
    "set_rng_state": (
        lambda: tg.set_rng_state(tg.Generator().manual_seed(5).get_state()),
        lambda: (tg.initial_seed(), tg.rand(2).tolist()),
    ),
    "set_detect_anomaly": (
        lambda: tg.autograd.set_detect_anomaly(True),
        tg.autograd.is_anomaly_enabled,
    ),
    "set_multithreading_enabled": (
        lambda: tg.autograd.set_multithreading_enabled(False),
        tg.autograd.is_multithreading_enabled,
    ),
    "set_sink": (lambda: progress.set_sink(print), lambda: progress._sink),
    "backends": (
        lambda: setattr(tg.backends.cudnn, "benchmark", True),
        lambda: tg.backends.cudnn.benchmark,
    ),
    "the switches of a backend within another": (
        lambda: setattr(tg.backends.cuda.matmul, "allow_tf32", True),
        lambda: tg.backends.cuda.matmul.allow_tf32,
    ),
    "with device, not left": (
        tg.device("webgpu").__enter__,
        lambda: tg.core.trace.MODE.get().device,
    ),
    "saved_tensors_hooks, not left": (
        tg.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x).__enter__,
        lambda: tg.core.trace.MODE.get().saved_tensors,
    ),
    "enter_dual_level, not left": (
        tg.autograd.forward_ad.enter_dual_level,
        lambda: len(tg.core.trace.MODE.get().levels),
    ),
    "ops of a user": (
        lambda: tg.extend.elementwise(wgsl="{x} * 2.0", derivative=None)(twice_as_much),
        lambda: "twice_as_much" in REGISTRY.ops,
    ),
    "set_debug_level": (
        lambda: tg.distributed.set_debug_level(tg.distributed.DebugLevel.DETAIL),
        tg.distributed.get_debug_level,
    ),
    "register_kl": (
        lambda: tg.distributions.register_kl(tg.distributions.Cauchy, tg.distributions.Normal)(min),
        lambda: (tg.distributions.Cauchy, tg.distributions.Normal) in kl.FORMULAS,
    ),
    **{
        f"register_optimizer_step_{kind}_hook": (
            lambda kind=kind: getattr(tg.optim.optimizer, f"register_optimizer_step_{kind}_hook")(min),
            lambda kind=kind: len(tg.optim.stepping.EVERYWHERE[f"step_{kind}"]),
        )
        for kind in ("pre", "post")
    },
    **{
        f"register_module_{kind}_hook": (
            lambda kind=kind: getattr(every_module, f"register_module_{kind}_hook")(lambda *a: None),
            lambda: sum(map(len, hooks.EVERYWHERE.values())),
        )
        for kind in (
            "forward_pre", "forward", "full_backward_pre", "full_backward", "module_registration",
            "parameter_registration", "buffer_registration",
        )
    },
}  # fmt: skip
FROM_THE_ENVIRONMENT = {"set_debug_level_from_env"}
FOR_A_BLOCK = {"set_checkpoint_early_stop", "set_checkpoint_debug_enabled"}
OF_A_DEVICE = {"set_memory_limit"}
"""Tested in tests/device/test_memory.py."""
OF_NOTHING = {
    "set_device", "set_device_idx", "set_model_state_dict", "set_optimizer_state_dict",
    "set_device_index", "set_flush_denormal", "set_rng_state_all",
}  # fmt: skip
"""They take the one value that there is, or raise; `set_rng_state_all` calls set_rng_state for each device."""
OF_AN_OBJECT = {
    "register", "registered", "register_hook", "register_multi_grad_hook", "register_post_accumulate_grad_hook",
    "register_autograd", "register_fake", "register_parametrization",
    "register_pytree_node", "set_", "set_data", "set_rate",
}  # fmt: skip


def twice_as_much(x: Any) -> Any: ...


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    device = tg.hosts.devices.chosen_device()
    settings.restore()
    yield
    settings.restore()
    tg.set_default_device(device)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_goes_back_to_its_default(name: str) -> None:
    change, ask = SETTINGS[name]
    settings.restore()
    before = ask()
    change()
    assert ask() != before
    settings.restore()
    assert ask() == before


def test_every_setter_is_among_them() -> None:
    """Of all modules; what is new says here what it sets, and goes back."""
    found = set()
    for info in pkgutil.walk_packages(tg.__path__, "tabgrad."):
        if info.name.endswith(("__main__", ".cuda_host", ".browser")):
            continue
        if info.name.startswith("tabgrad.examples."):
            continue  # programs, which run when they are imported
        for name, x in vars(importlib.import_module(info.name)).items():
            if name.startswith(("set_", "use_", "register")) and callable(x):
                found.add(name)
    assert (
        found - set(SETTINGS)
        == FROM_THE_ENVIRONMENT | FOR_A_BLOCK | OF_A_DEVICE | OF_NOTHING | OF_AN_OBJECT
    )


def test_threads_and_names_of_types():
    before = tg.get_num_threads()
    assert before >= 1
    tg.set_num_threads(3)
    assert tg.get_num_threads() == 3
    tg.set_num_threads(before)
    for wrong, error in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="set_num_threads expects"):
            tg.set_num_threads(wrong)
    x = tg.zeros(2, 3, device="cpu")
    assert tg.is_same_size(x, x.int())
    assert not x.is_same_size(x.t())
    assert tg.typename(x) == x.type()
    assert tg.typename(tg.nn.Linear) == "tabgrad.nn.linear.Linear"
    assert not tg.set_flush_denormal(True)
    between = tg.get_num_interop_threads()
    tg.set_num_interop_threads(2)
    assert tg.get_num_interop_threads() == 2
    tg.set_num_interop_threads(between)
    with pytest.raises(ValueError, match="set_num_interop_threads expects"):
        tg.set_num_interop_threads(0)
