"""With TABGRAD_SHADERS=1: the text of each kernel that native tests compile, kept for Chromium."""

from __future__ import annotations

import hashlib
import os
import pathlib
from typing import Any

COLLECTING = os.environ.get("TABGRAD_SHADERS") == "1"
FOLDER = pathlib.Path(__file__).parents[1] / ".cache" / "shaders"


def collect() -> None:
    """Keep the text of each kernel from now on, in a file named by its digest."""
    from tabgrad_native.wgpu_pipelines import Pipelines

    compile_one = Pipelines._compile
    FOLDER.mkdir(parents=True, exist_ok=True)

    def collecting(self: Pipelines, command: Any, layout: Any) -> Any:
        text = command.source.encode()
        name = f"{hashlib.sha256(text).hexdigest()[:32]}.wgsl"
        (FOLDER / name).write_bytes(text)
        return compile_one(self, command, layout)

    Pipelines._compile = collecting  # type: ignore[method-assign]
