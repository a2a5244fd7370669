"""Modules of PyTorch's that are only names here: importing one is no error, using one names what is missing."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.paths import PATHS
from tabgrad.pytorch.checking import check
from tests.grouped import grouped

USES = [
    "ao.quantization.get_default_qconfig", "quantization.quantize_dynamic", "nested.nested_tensor",
    "masked.masked_tensor",
    "nn.intrinsic.ConvReLU2d", "nn.quantized.Linear", "monitor.Stat", "package.PackageExporter",
    "utils.cpp_extension.load", "utils.mobile_optimizer.optimize_for_mobile", "utils.data.datapipes.iter",
    "utils.data.graph.traverse_dps", "fx.symbolic_trace", "xpu.Stream", "cuda.comm.broadcast",
    "nn.attention.bias.CausalBias",
    "optim._functional.adam", "utils.flop_counter.FlopCounterMode", "utils.deterministic.fill",
]  # fmt: skip


@grouped("use", USES)
def test_a_use_names_what_is_missing(use: str) -> None:
    path, _, name = use.rpartition(".")
    module = importlib.import_module(f"tabgrad.{path}")
    with pytest.raises(AttributeError, match=f"module 'tabgrad.{path}' has no attribute '{name}'"):
        getattr(module, name)
    found: Any = tg
    for part in path.split("."):
        found = getattr(found, part)
    assert found is module
    text = f"import torch.{path}\ntorch.{use}()\n"
    assert [(u.name, u.lines) for u in check({"a.py": text}) if u.problem] == [
        (f"torch.{use}", [2])
    ]
    text = f"from torch.{path} import {name}\n"
    assert [u.lines for u in check({"a.py": text}) if u.problem] == [[1]]


def test_each_empty_module_is_among_them() -> None:
    empty = {path for path, names in PATHS.items() if not names}
    above = {p.rpartition(".")[0] for p in PATHS}
    assert empty - above <= {use.rpartition(".")[0] for use in USES} | {"ao.nn"}


def test_nothing_is_of_a_symbolic_trace() -> None:
    for kind in (tg.fx.Proxy, tg.fx.Graph, tg.fx.GraphModule, tg.fx.Node):
        assert not isinstance(tg.nn.ReLU(), kind)
        with pytest.raises(
            NotImplementedError, match=f"{kind.__name__}: there are no symbolic traces"
        ):
            kind()
    assert tg.fx.wrap(len) is len


def test_hardware_that_is_not_here() -> None:
    assert not tg.xpu.is_available()
    assert tg.xpu.device_count() == 0
    nvtx = importlib.import_module("tabgrad.cuda.nvtx")
    for call in (nvtx.range_pop, lambda: nvtx.mark("a"), lambda: nvtx.range("{}", 1).__enter__()):
        with pytest.raises(RuntimeError, match="NVTX functions not installed"):
            call()


def test_dtypes_of_parts() -> None:
    pairs = {tg.float32: tg.complex64, tg.float64: tg.complex128, tg.bfloat16: tg.complex64}
    for real, its in pairs.items():
        assert real.to_complex() is its is its.to_complex()
        assert real.to_real() is real
    assert (tg.complex64.to_real(), tg.complex128.to_real()) == (tg.float32, tg.float64)
    assert tg.int32.to_real() is tg.int32
    for none in (tg.float16, tg.int32, tg.bool):
        with pytest.raises(TypeError, match="no complex dtype"):
            none.to_complex()
    assert tg.zeros(1, device="cpu").is_quantized is False


@grouped("n, groups", [(n, groups) for n in (1, 2, 3) for groups in (1, 2)])
def test_gradients_of_convolutions_by_name(n: int, groups: int) -> None:
    grad, conv = tg.nn.grad, getattr(tg.nn.functional, f"conv{n}d")
    options = {"stride": 2, "padding": 1, "dilation": 1, "groups": groups}
    with tg.device("cpu"):
        x = tg.randn(2, 2, *[5, 6, 4][:n], dtype=tg.float64).requires_grad_()
        w = tg.randn(4, 2 // groups, *[3, 2, 3][:n], dtype=tg.float64).requires_grad_()
        y = conv(x, w, **options)
        g = tg.randn_like(y).requires_grad_()
    wanted = tg.autograd.grad(y, [x, w], g, create_graph=True)
    found = (
        getattr(grad, f"conv{n}d_input")(x.shape, w, g, **options),
        getattr(grad, f"conv{n}d_weight")(x, w.shape, g, **options),
    )
    for a, b in zip(found, wanted, strict=True):
        tg.testing.assert_close(a, b)
        again = [tg.autograd.grad((t * t).sum(), g, retain_graph=True)[0] for t in (a, b)]
        tg.testing.assert_close(*again)
    with pytest.raises(RuntimeError, match="expected grad_output of shape"):
        getattr(grad, f"conv{n}d_input")(x.shape, w, g[..., :1], **options)
