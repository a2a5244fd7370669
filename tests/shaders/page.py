"""Run WGSL in Chromium, whose compiler is stricter than wgpu's."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from playwright.sync_api import Page

from tests.shaders import gpu

OPEN = """async () => {
  const adapter = await navigator.gpu.requestAdapter();
  const requiredFeatures = ["subgroups"].filter((name) => adapter.features.has(name));
  globalThis.device = await adapter.requestDevice({ requiredFeatures });
}"""

COMPILE = """async (code) => {
  const info = await device.createShaderModule({ code }).getCompilationInfo();
  return info.messages.map((m) => `${m.type}: ${m.message} (line ${m.lineNum})`);
}"""

MAP = """async ({ code, inputs, size, groups }) => {
  const usage = GPUBufferUsage;
  const buffers = inputs.map((text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const buffer = device.createBuffer({ size: bytes.length, usage: usage.STORAGE | usage.COPY_DST });
    device.queue.writeBuffer(buffer, 0, bytes);
    return buffer;
  });
  const out = device.createBuffer({ size, usage: usage.STORAGE | usage.COPY_SRC });
  const back = device.createBuffer({ size, usage: usage.MAP_READ | usage.COPY_DST });
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  const entries = [...buffers, out].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(groups);
  pass.end();
  encoder.copyBufferToBuffer(out, 0, back, 0, size);
  device.queue.submit([encoder.finish()]);
  await back.mapAsync(GPUMapMode.READ);
  return btoa(Array.from(new Uint8Array(back.getMappedRange()), (b) => String.fromCharCode(b)).join(""));
}"""


def open_device(page: Page) -> None:
    """Give the page a device; a page of a local address may have one."""
    page.route(
        "**/*", lambda route: route.fulfill(body="<title>shaders</title>", content_type="text/html")
    )
    page.goto("http://localhost/")
    page.evaluate(OPEN)


def compile_messages(page: Page, source: str) -> list[str]:
    """Return what the compiler has to say about a module."""
    messages: list[str] = page.evaluate(COMPILE, source)
    return messages


def map_function(
    page: Page, prelude: str, name: str, inputs: Sequence[np.ndarray], result: str
) -> np.ndarray:
    """Apply the WGSL scalar function `name` to arrays of equal length."""
    source, arrays, size = gpu.mapping(prelude, name, inputs, result)
    job = {
        "code": source,
        "inputs": [base64.b64encode(array.tobytes()).decode() for array in arrays],
        "size": np.dtype(gpu.SCALARS[result]).itemsize * arrays[0].size,
        "groups": arrays[0].size // 64,
    }
    data = base64.b64decode(page.evaluate(MAP, job))
    return np.frombuffer(data, gpu.SCALARS[result])[:size]
