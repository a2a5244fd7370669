"""What Safari lacks, switched off in Chromium: Python can't wait (JSPI), WebGPU's limits are the least."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.interpreter import Interpreter
from tests.web.stage import Stage

PROGRAMS = "tests.web.inside.narrow"

# The limits that WebGPU guarantees of every device.
LEAST = {
    "maxBufferSize": 256 << 20,
    "maxStorageBufferBindingSize": 128 << 20,
    "maxStorageBuffersPerShaderStage": 8,
    "maxUniformBufferBindingSize": 64 << 10,
    "maxComputeWorkgroupSizeX": 256,
    "maxComputeWorkgroupSizeY": 256,
    "maxComputeWorkgroupSizeZ": 64,
    "maxComputeInvocationsPerWorkgroup": 256,
    "maxComputeWorkgroupStorageSize": 16 << 10,
    "maxComputeWorkgroupsPerDimension": 65535,
}

SWITCHED_OFF = f"""
delete WebAssembly.Suspending;
delete WebAssembly.promising;
const request = GPU.prototype.requestAdapter;
GPU.prototype.requestAdapter = async function (options) {{
  const adapter = await request.call(this, options);
  Object.defineProperty(adapter, "limits", {{ value: {LEAST} }});
  Object.defineProperty(adapter, "features", {{ value: new Set() }});
  return adapter;
}};
"""


@pytest.fixture(scope="module")
def narrow(stage: Stage) -> Iterator[Interpreter]:
    narrow = stage.new_interpreter(thread="page", before=SWITCHED_OFF)
    yield narrow
    narrow.close()


def test_connecting_is_awaited_and_the_limits_are_the_least(narrow: Interpreter) -> None:
    got = narrow.call(f"{PROGRAMS}:before_it_is_connected")
    limits = {name.lower(): value for name, value in LEAST.items()}
    assert {n.replace("_", ""): v for n, v in got["limits"].items()}.items() >= limits.items()
    assert not {"shader-f16", "subgroups", "timestamp-query"} & set(got["features"])


def test_what_would_block_says_what_can_be_awaited(narrow: Interpreter) -> None:
    said = narrow.call(f"{PROGRAMS}:blocking_forms")
    assert [n for n, text in said.items() if not text.startswith("WouldBlockError")] == []


@pytest.mark.parametrize("program", ["training", "large_kernels", "more_than_a_binding"])
def test_programs_give_right_numbers(narrow: Interpreter, program: str) -> None:
    narrow.call(f"{PROGRAMS}:{program}")


def test_a_lost_device_is_said_and_a_new_one_computes(narrow: Interpreter) -> None:
    assert "lost" in narrow.call(f"{PROGRAMS}:lost_on_the_way")
