"""The folder of a checkpoint, and what is in which file."""

from __future__ import annotations

import json
import os
import pathlib
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import tabgrad as tg

Path = tuple[Any, ...]
"""The keys that lead to a value: strings, and numbers in dicts and lists."""


@runtime_checkable
class Stateful(Protocol):
    """What has a state dict: modules, optimizers, schedules."""

    def __init__(self) -> None:
        """Make nothing: a protocol says what others have."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take over a state."""


class CheckpointException(RuntimeError):
    """A checkpoint could not be written or read; it says what and where."""


@dataclass
class Metadata:
    """Which file holds which value."""

    world_size: int
    files: dict[Path, str]
    kinds: dict[Path, str]
    """What each value is: dtype and shape of a tensor, or the name of a type."""
    containers: dict[Path, str]
    """Which of the paths above the values are lists or tuples, and which dicts are empty."""

    def write(self, folder: pathlib.Path) -> None:
        """Write it to the folder, in place of the one before, at once."""
        data = {
            "format": 1,
            "world_size": self.world_size,
            "values": [[list(p), f, self.kinds[p]] for p, f in self.files.items()],
            "containers": [[list(p), kind] for p, kind in self.containers.items()],
        }
        part = folder / ".metadata.part"
        part.write_text(json.dumps(data))
        os.replace(part, folder / ".metadata")


class FileSystemWriter:
    """Writes checkpoints to a folder."""

    def __init__(
        self, path: str | os.PathLike[str], single_file_per_rank: bool = True, sync_files: bool = True,
        thread_count: int = 1, per_thread_copy_ahead: int = 10_000_000,
        cache_staged_state_dict: bool = False, overwrite: bool = True,
    ) -> None:  # fmt: skip
        self.path = pathlib.Path(path)
        self.overwrite = overwrite


class FileSystemReader:
    """Reads checkpoints of a folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path)
        self._opened: dict[str, dict[Path, Any]] = {}

    def read_metadata(self) -> Metadata:
        """Return what is in which file; CheckpointException where no whole checkpoint is there."""
        try:
            data = json.loads((self.path / ".metadata").read_text())
        except FileNotFoundError:
            raise CheckpointException(
                f"{self.path} holds no whole checkpoint: there is no .metadata, which is written last"
            ) from None
        if data.get("format") != 1:
            raise CheckpointException(
                f"{self.path}: the checkpoint is of format {data.get('format')}, which this version can't read"
            )
        values = [(tuple(p), f, kind) for p, f, kind in data["values"]]
        return Metadata(
            data["world_size"], {p: f for p, f, _ in values}, {p: kind for p, _, kind in values},
            {tuple(p): kind for p, kind in data["containers"]},
        )  # fmt: skip

    def value(self, metadata: Metadata, path: Path) -> Any:
        """Return one value, a tensor on the CPU."""
        name = metadata.files[path]
        if name not in self._opened:
            try:
                found = tg.load(self.path / name, map_location="cpu", weights_only=False)
            except OSError as error:
                raise CheckpointException(f"{self.path / name} can't be read: {error}") from error
            self._opened[name] = dict(found)
        return self._opened[name][path]


def flattened(state: Any, at: Path = ()) -> tuple[dict[Path, Any], dict[Path, str]]:
    """Return the values in nested dicts and lists by their paths, and what the containers are."""
    values: dict[Path, Any] = {}
    containers: dict[Path, str] = {}
    if isinstance(state, dict):
        items: Any = state.items()
        containers[at] = "dict"
    elif isinstance(state, list | tuple):
        items = enumerate(state)
        containers[at] = "tuple" if isinstance(state, tuple) else "list"
    else:
        return {at: state}, {}
    for key, value in items:
        if not isinstance(key, str | int):
            raise CheckpointException(
                f"a key of a state dict is {key!r}; expected a string or number"
            )
        inside, below = flattened(value, (*at, key))
        values.update(inside)
        containers.update(below)
    return values, containers


def nested(values: dict[Path, Any], containers: dict[Path, str], at: Path) -> Any:
    """Return the nested dicts and lists under a path."""
    if at not in containers:
        return values[at]
    n = len(at)
    paths = [p for p in (*values, *containers) if len(p) > n and p[:n] == at]
    keys = list(dict.fromkeys([p[n] for p in paths]))
    if containers[at] == "dict":
        return {key: nested(values, containers, (*at, key)) for key in keys}
    found = [nested(values, containers, (*at, key)) for key in sorted(keys)]
    return tuple(found) if containers[at] == "tuple" else found


def state_of(value: Any) -> Any:
    """Return the state of what has one, this process's part of it where it is divided; else the value."""
    if isinstance(value, dict):
        return {k: state_of(v) for k, v in value.items()}
    if hasattr(value, "sharded_state_dict"):
        return value.sharded_state_dict()
    return value.state_dict() if isinstance(value, Stateful) else value


def kind_of(value: Any) -> str:
    """Say what a value is."""
    if isinstance(value, tg.Tensor):
        return f"{str(value.dtype).rpartition('.')[2]} {tuple(value.shape)}"
    return type(value).__name__
