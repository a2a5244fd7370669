"""Kernels that native tests compiled, with naga, in Chromium's compiler, which is Tint."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.collected import FOLDER

COMPILE = """async (texts) => {
  const adapter = await navigator.gpu.requestAdapter();
  const requiredFeatures = ["shader-f16", "subgroups"].filter((f) => adapter.features.has(f));
  const device = await adapter.requestDevice({ requiredFeatures });
  const wrong = {};
  await Promise.all(Object.entries(texts).map(async ([name, code]) => {
    if (code.includes("enable f16;") && !device.features.has("shader-f16")) return;
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    const errors = messages.filter(({ type }) => type === "error");
    if (errors.length) wrong[name] = errors.map((e) => `line ${e.lineNum}: ${e.message}`);
  }));
  device.destroy();
  return wrong;
}"""


def test_kernels_of_native_tests_compile(page: Page) -> None:
    page.goto("shell/")
    broken = {"broken": "fn f() -> i32 { return 1.5; }"}
    assert list(page.evaluate(COMPILE, broken)) == ["broken"]
    paths = sorted(FOLDER.glob("*.wgsl"))
    assert paths, "no kernels were kept: run the stage wgpu with TABGRAD_SHADERS=1 first"
    wrong = {}
    for start in range(0, len(paths), 1000):
        texts = {path.name: path.read_text("utf-8") for path in paths[start : start + 1000]}
        wrong.update(page.evaluate(COMPILE, texts))
    assert wrong == {}
