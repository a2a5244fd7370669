"""Reading a checkpoint."""

from __future__ import annotations

import os
from typing import Any

import tabgrad as tg
from tabgrad.distributed.checkpoint.saving import where
from tabgrad.distributed.checkpoint.storage import (
    CheckpointException,
    FileSystemReader,
    Metadata,
    Path,
    Stateful,
    kind_of,
    nested,
)


def load(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike[str] | None = None,
    storage_reader: FileSystemReader | None = None, planner: Any = None, process_group: Any = None,
    no_dist: bool = False,
) -> None:  # fmt: skip
    """Give the values of a state dict those of a checkpoint, which any number of processes may have written.

    Tensors are written in place; what is no tensor is replaced. A module or an optimizer in the dict takes over
    its whole state. CheckpointException names a value that is missing or of another shape; then no value of the
    dict was changed.
    """
    folder, _ = where("load", checkpoint_id, storage_reader, planner)
    reader = storage_reader or FileSystemReader(folder)
    metadata = reader.read_metadata()
    _check(state_dict, metadata, ())
    _fill(state_dict, metadata, reader, ())


def _check(state: Any, metadata: Metadata, at: Path) -> None:
    for key, value in state.items():
        path = (*at, key)
        if isinstance(value, dict):
            _check(value, metadata, path)
        elif isinstance(value, Stateful):
            if path not in metadata.containers:
                raise CheckpointException(f"load: the checkpoint has nothing at {_shown(path)}")
        elif path not in metadata.kinds and path not in metadata.containers:
            raise CheckpointException(
                f"load: the checkpoint has no value {_shown(path)}; it has "
                f"{', '.join(map(_shown, list(metadata.kinds)[:8]))}, ..."
            )
        elif isinstance(value, tg.Tensor) and metadata.kinds.get(path) != kind_of(value):
            raise CheckpointException(
                f"load: {_shown(path)} is {metadata.kinds.get(path)} in the checkpoint, and "
                f"{kind_of(value)} here"
            )


def _shown(path: Path) -> str:
    return ".".join(map(str, path))


def _fill(state: Any, metadata: Metadata, reader: FileSystemReader, at: Path) -> None:
    for key, value in state.items():
        path = (*at, key)
        if isinstance(value, dict):
            _fill(value, metadata, reader, path)
        elif isinstance(value, Stateful):
            value.load_state_dict(_under(metadata, reader, path))
        elif isinstance(value, tg.Tensor):
            with tg.no_grad():
                value.detach().copy_(reader.value(metadata, path))
        else:
            state[key] = _under(metadata, reader, path)


def _under(metadata: Metadata, reader: FileSystemReader, at: Path) -> Any:
    """Return all that the checkpoint has under a path."""
    n = len(at)
    values = {p: reader.value(metadata, p) for p in metadata.files if p[:n] == at}
    return nested(values, metadata.containers, at)


def load_state_dict(
    state_dict: dict[str, Any], storage_reader: FileSystemReader, process_group: Any = None,
    coordinator_rank: int = 0, no_dist: bool = False, planner: Any = None,
) -> None:  # fmt: skip
    """Give a state dict the values of a checkpoint: the older name of `load`."""
    load(state_dict, storage_reader=storage_reader, planner=planner)
