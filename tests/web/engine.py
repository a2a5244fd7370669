"""The engines that Python runs in: two browsers, driven by Playwright, and two that have no pages."""

from __future__ import annotations

import os
import pathlib
import sys

from playwright.sync_api import Browser, Playwright

from tests.web import chromium
from tests.web.interpreter import ROOT, ProcessInterpreter

WITH_PAGES = ("chromium", "firefox")

# Firefox has WebGPU on Linux, but not for software drivers unless it is told so.
FIREFOX = {"dom.webgpu.enabled": True, "gfx.webgpu.ignore-blocklist": True}


def noted(engine: str) -> pathlib.Path:
    """The program of an engine, which set-up notes in `.cache`."""
    if engine == "chromium":
        return chromium.executable()
    note = ROOT / ".cache" / engine
    if not note.exists():
        raise FileNotFoundError(
            f"no {engine}: `npm test -- --only {engine}` sets it up, or says why not"
        )
    return pathlib.Path(note.read_text())


def launch(playwright: Playwright, engine: str) -> Browser:
    """Start a headless browser with an empty profile."""
    if engine == "chromium":
        return chromium.launch(playwright)
    return playwright.firefox.launch(
        channel="moz-firefox", executable_path=noted(engine), firefox_user_prefs=FIREFOX
    )


def start_process(
    engine: str, *, numpy: bool = False, pyodide: str = "node_modules/pyodide"
) -> ProcessInterpreter:
    """Start Python in a process of Deno or Node, from a folder of Pyodide."""
    program = str(noted(engine))
    if engine == "deno":
        command, env = [program, "run", "-A"], dict(os.environ)
    else:
        command, env = [program], {**os.environ, **swiftshader()}
    return ProcessInterpreter(command, env, numpy=numpy, pyodide=pyodide)


def swiftshader() -> dict[str, str]:
    """What lets Dawn find Chromium's software driver, for it takes Mesa's old ones for unfit."""
    if sys.platform != "linux" or "VK_DRIVER_FILES" in os.environ:
        return {}
    try:
        folders = [chromium.executable().resolve().parent, pathlib.Path("/usr/lib/chromium")]
    except FileNotFoundError:
        return {}
    for folder in folders:
        driver = folder / "vk_swiftshader_icd.json"
        if driver.exists():
            return {"VK_DRIVER_FILES": str(driver), "VK_ICD_FILENAMES": str(driver)}
    return {}
