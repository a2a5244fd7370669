"""Pipelines of a wgpu-py device, and command lists stored with them."""

import os
from array import array
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Thread
from typing import Any, NamedTuple

import wgpu

from tabgrad.core.interrupts import interruptible
from tabgrad.hosts.commands import Command, Copy, Dispatch, Pipeline, Store, Window

SLOT = 256
"""The alignment, in bytes, of each dispatch's uniform words in the arena."""

_TYPES = {"r": "read-only-storage", "w": "storage", "u": "uniform"}


class Layout(NamedTuple):
    """The layouts for one string of binding letters."""

    group: Any
    whole: Any
    number: int


class Compiled:
    """A compiled pipeline under one id; `gpu` is None if it did not compile."""

    __slots__ = ("command", "gpu", "layout")

    def __init__(self, command: Pipeline) -> None:
        self.command = command
        self.layout: Any = None
        self.gpu: Any = None

    @property
    def key(self) -> tuple[object, ...]:
        """The key that equal pipelines share."""
        return self.command.source, self.command.bindings, self.command.overrides


THREADS = min(4, os.cpu_count() or 1)
"""How many threads compile the pipelines of a packet. Errors of wgpu are those of the thread that calls."""
EARLY = 256
"""How many pipelines that were compiled in the background wait to be asked for."""


class Pipelines:
    """All pipelines by id; equal ones share one compiled pipeline.

    `_soon` are to be compiled in the background, `_early` those that are, and `_busy` the thread that does it.
    """

    def __init__(self, device: wgpu.GPUDevice) -> None:
        self._device = device
        self._layouts: dict[str, Layout] = {}
        self._shared: dict[tuple[object, ...], tuple[Any, list[int]]] = {}
        self.by_id: dict[int, Compiled] = {}
        self._soon: deque[tuple[Pipeline, Layout, tuple[object, ...]]] = deque()
        self._early: dict[tuple[object, ...], Any] = {}
        self._busy: Thread | None = None
        self._failed = False

    def add(self, command: Pipeline) -> None:
        """Compile a pipeline; after an error its id remains, without a pipeline."""
        compiled = self.by_id[command.id] = Compiled(command)
        compiled.layout = self._layout(command.bindings)
        shared = self._shared.get(compiled.key)
        if shared is None:
            shared = (self._compiled(command, compiled.layout, compiled.key), [])
            self._shared[compiled.key] = shared
        shared[1].append(command.id)
        compiled.gpu = shared[0]

    @interruptible
    def compile_ahead(self, commands: Sequence[Command]) -> None:
        """Compile the pipelines of a packet in advance, in several threads: this is slow, and may be
        interrupted safely."""
        missing: dict[tuple[object, ...], tuple[Pipeline, Layout]] = {}
        for command in commands:
            if isinstance(command, Pipeline):
                with suppress(wgpu.GPUError):
                    layout = self._layout(command.bindings)
                    key = Compiled(command).key
                    if key not in self._shared:
                        missing[key] = command, layout
        if not missing:
            return
        with ThreadPoolExecutor(min(THREADS, len(missing))) as pool:
            made = {
                key: pool.submit(self._compiled, command, layout, key)
                for key, (command, layout) in missing.items()
            }
        for key, found in made.items():
            # `add` reports the error
            with suppress(wgpu.GPUError):
                self._shared[key] = (found.result(), [])

    def compile_soon(self, command: Pipeline) -> None:
        """Compile a pipeline in a thread; `add` finds it if it is there by then."""
        key = Compiled(command).key
        if key in self._shared or key in self._early:
            return
        self._soon.append((command, self._layout(command.bindings), key))
        self.compiling()

    def _work(self) -> None:
        while self._soon:
            command, layout, key = self._soon[0]
            try:
                self._early[key] = self._compile(command, layout)
            except Exception:  # the program does without it
                self._failed = True
            while len(self._early) > EARLY:
                self._early.pop(next(iter(self._early)), None)
            self._soon.popleft()

    def compiling(self) -> int:
        """Return how many are compiled in the background; -1, once, if all are and one failed."""
        if self._soon and (self._busy is None or not self._busy.is_alive()):
            self._busy = Thread(target=self._work, name="tabgrad compiles")
            self._busy.start()
        if self._soon or not self._failed:
            return len(self._soon)
        self._failed = False
        return -1

    def _compiled(self, command: Pipeline, layout: Layout, key: tuple[object, ...]) -> Any:
        early = self._early.pop(key, None)
        return self._compile(command, layout) if early is None else early

    def drop(self, number: int) -> None:
        """Drop an id, and the compiled pipeline if no other id uses it."""
        compiled = self.by_id.pop(number)
        if compiled.gpu is not None:
            users = self._shared[compiled.key][1]
            users.remove(number)
            if not users:
                del self._shared[compiled.key]

    def named_in(self, text: str) -> int:
        """Return the id of a pipeline whose label an error message quotes, or 0."""
        for number, compiled in self.by_id.items():
            if f"'{compiled.command.label}'" in text:
                return number
        return 0

    def _compile(self, command: Pipeline, layout: Layout) -> Any:
        # wgpu's compiler has the subgroup functions, but not yet the directive that WGSL requires
        source = command.source.replace("enable subgroups;\n", "")
        module = self._device.create_shader_module(label=command.label, code=source)
        return self._device.create_compute_pipeline(
            label=command.label,
            layout=layout.whole,
            compute={"module": module, "entry_point": "main", "constants": dict(command.overrides)},
        )

    def _layout(self, bindings: str) -> Layout:
        known = self._layouts.get(bindings)
        if known is not None:
            return known
        entries = []
        for binding, letter in enumerate(bindings):
            buffer: dict[str, object] = {"type": _TYPES[letter]}
            if letter == "u":
                buffer["has_dynamic_offset"] = True
            visibility = wgpu.ShaderStage.COMPUTE
            entry = {"binding": binding, "visibility": visibility, "buffer": buffer}
            entries.append(entry)
        group = self._device.create_bind_group_layout(entries=entries)
        whole = self._device.create_pipeline_layout(bind_group_layouts=[group])
        known = self._layouts[bindings] = Layout(group, whole, len(self._layouts))
        return known


class Step(NamedTuple):
    """One dispatch of a stored list; `offset` is -1 without uniform words, and a buffer may be a window."""

    pipeline: Compiled
    buffers: tuple[int | Window, ...]
    grid: tuple[int, int, int]
    offset: int
    nbytes: int


class StoredList:
    """A stored list: its steps, and its uniform words in the layout of the arena.

    `tables` caches the resolved steps of the latest slot tables, and the bind groups that only they use.
    """

    __slots__ = ("_positions", "_words", "image", "steps", "tables")

    def __init__(self, command: Store, pipelines: dict[int, Compiled]) -> None:
        self.steps: list[Step | Copy] = []
        self.tables: dict[tuple[int, ...], tuple[list[tuple[Any, ...]], list[Any]]] = {}
        self._positions = array("I")
        words = array("I")
        slots: list[int | Window] = list(range(command.n_slots))
        for nested in command.commands:
            if isinstance(nested, Window):
                slots.append(nested)
            elif isinstance(nested, Dispatch):
                n_words = len(nested.uniform)
                start = len(words)
                self._positions.extend(range(start, start + n_words))
                words.extend(nested.uniform)
                words.extend([0] * (-n_words % (SLOT // 4)))
                self.steps.append(
                    Step(
                        pipelines[nested.pipeline],
                        tuple([slots[i] for i in nested.buffers]),
                        (nested.gx, nested.gy, nested.gz),
                        start * 4 if n_words else -1,
                        n_words * 4,
                    )
                )
            elif isinstance(nested, Copy):
                self.steps.append(nested)
        self.image = bytearray(words.tobytes())
        self._words = memoryview(self.image).cast("I")

    def patch(self, patches: tuple[int, ...]) -> None:
        """Change uniform words: index, word, index, word, ..."""
        words, positions = self._words, self._positions
        for i in range(0, len(patches), 2):
            words[positions[patches[i]]] = patches[i + 1]
