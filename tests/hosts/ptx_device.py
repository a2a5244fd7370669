"""A device of CUDA without a GPU: NVRTC compiles its kernels, and NumPy runs their PTX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from tabgrad.hosts.commands import Dispatch, Routine
from tests.hosts import ptx
from tests.hosts.nvrtc import compile_cuda
from tests.lower import recorder

compiled = cache(compile_cuda)


def device(
    routines: Sequence[str] = (),
    routine: Callable[[Routine, Sequence[Any]], None] | None = None,
    backwards: bool = False,
) -> Any:
    """Return a device with tensor cores that runs kernels; `routine` carries out calls."""

    def run(command: Dispatch | Routine, buffers: Sequence[Any]) -> None:
        if isinstance(command, Routine):
            assert routine is not None
            routine(command, buffers)
            return
        pipeline = where.backend.host.pipelines[command.pipeline]
        overrides = dict(pipeline.overrides)
        text = compiled(pipeline.source, tuple(pipeline.overrides), "compute_80").decode()
        arrays = [np.frombuffer(b, np.uint8) for b in buffers]
        arrays += [np.array(command.uniform, np.uint32)] if command.uniform else []
        grid = (command.gx, command.gy)
        made = ptx.run(text, grid, int(overrides["WX"]), arrays, backwards)
        for buffer, after in zip(buffers, made, strict=False):
            buffer[:] = after.tobytes()

    where = recorder.device("cuda", features=("tensor-cores",), routines=routines, run=run)
    return where
