"""A full Chromium with WebGPU on its software adapter, driven by Playwright."""

from __future__ import annotations

import os
import pathlib
import sys

from playwright.sync_api import Browser, Playwright

ROOT = pathlib.Path(__file__).parents[2]

# The software adapter is the same on every machine; the rest keeps Chromium from calling home.
FLAGS = [
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


def executable() -> pathlib.Path:
    """The Chromium that $CHROMIUM names, or that set-up found."""
    note = ROOT / ".cache" / "chromium"
    named = os.environ.get("CHROMIUM") or (note.read_text() if note.exists() else "")
    if not named:
        raise FileNotFoundError("no Chromium: run `npm test -- --only browser`, or set CHROMIUM")
    if not pathlib.Path(named).exists():
        raise FileNotFoundError(f"no Chromium at {named}")
    return pathlib.Path(named)


def launch(playwright: Playwright, *, webgpu: bool = True) -> Browser:
    """Start a headless Chromium with an empty profile; without `webgpu` it finds no adapter."""
    as_root = sys.platform == "linux" and os.getuid() == 0
    flags = [flag for flag in FLAGS if webgpu or "webgpu" not in flag]
    if as_root:
        flags.append("--no-sandbox")
    return playwright.chromium.launch(executable_path=executable(), args=flags)
