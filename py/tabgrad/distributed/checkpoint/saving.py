"""Writing a checkpoint."""

from __future__ import annotations

import hashlib
import os
import pathlib
import pickle
from typing import Any

import tabgrad as tg
from tabgrad.distributed.arrays import array_of
from tabgrad.distributed.checkpoint.storage import (
    CheckpointException,
    FileSystemWriter,
    Metadata,
    Path,
    flattened,
    kind_of,
    state_of,
)
from tabgrad.distributed.collectives import barrier
from tabgrad.distributed.group import group as groups, is_initialized
from tabgrad.distributed.objects import all_gather_object


def save(
    state_dict: dict[str, Any], *, checkpoint_id: str | os.PathLike[str] | None = None,
    storage_writer: FileSystemWriter | None = None, planner: Any = None, process_group: Any = None,
    no_dist: bool = False, use_collectives: bool = True,
) -> Metadata:  # fmt: skip
    """Write a state dict to the folder `checkpoint_id`; all processes of the group call it.

    Values that several processes have are written by one of them, so that each writes about as much; values
    that one process alone has (a part of an optimizer's state) are written by it. Where processes have
    different values under one key, that of the lowest rank is written, which is what DistributedDataParallel
    gives to all; what each is to keep, as the state of a communication hook, goes under a key of its own,
    `f"hook{rank}"`. Modules and optimizers may
    stand in the dict in place of their state dicts.

    >>> import tabgrad as tg, tempfile
    >>> from tabgrad.distributed import checkpoint
    >>> folder = tempfile.mkdtemp()
    >>> _ = checkpoint.save({"x": tg.ones(2, device="cpu")}, checkpoint_id=folder)
    >>> found = {"x": tg.zeros(2, device="cpu")}
    >>> checkpoint.load(found, checkpoint_id=folder)
    >>> found["x"]
    tensor([1., 1.])
    """
    folder, overwrite = where("save", checkpoint_id, storage_writer, planner)
    group = None if no_dist or not is_initialized() else process_group or groups.WORLD
    rank, size = (0, 1) if group is None else (group.rank(), group.size())
    folder.mkdir(parents=True, exist_ok=True)
    if not overwrite and (folder / ".metadata").exists():
        raise CheckpointException(f"save: {folder} holds a checkpoint already")
    values, containers = flattened(state_of(state_dict))
    own = {p: (kind_of(v), _nbytes(v), _digest(v) if size > 1 else "") for p, v in values.items()}
    everyone: list[Any] = [(own, containers, _generation(folder))]
    if group is not None:
        everyone = [None] * size
        all_gather_object(everyone, (own, containers, _generation(folder)), group)
    writers = _shared(everyone)
    number = 1 + max(part[2] for part in everyone)
    names = [f"__{r}_{number}.distcp" for r in range(size)]
    mine = {p: _copied(values[p]) for p, r in writers.items() if r == rank}
    tg.save(mine, folder / names[rank])
    if group is not None:
        barrier(group)
    metadata = Metadata(
        size, {p: names[r] for p, r in writers.items()},
        {p: part[0][p][0] for part in everyone for p in part[0]},
        {p: kind for part in everyone for p, kind in part[1].items()},
    )  # fmt: skip
    if rank == 0:
        metadata.write(folder)
        for old in folder.glob("__*_*.distcp"):
            if old.name not in names:
                old.unlink()
    if group is not None:
        barrier(group)
    return metadata


def where(name: str, checkpoint_id: Any, storage: Any, planner: Any) -> tuple[pathlib.Path, bool]:
    """Return the folder, and whether it may be written anew."""
    if planner is not None:
        raise NotImplementedError(f"{name}: planners are not there; leave `planner` out")
    if storage is not None:
        return storage.path, getattr(storage, "overwrite", True)
    if checkpoint_id is None:
        raise ValueError(f"{name}: give checkpoint_id, the path of a folder")
    return pathlib.Path(checkpoint_id), True


def _generation(folder: pathlib.Path) -> int:
    """Return the highest number of a save in the folder."""
    numbers = [p.stem.rpartition("_")[2] for p in folder.glob("__*_*.distcp")]
    return max([int(n) for n in numbers if n.isdigit()], default=0)


def _shared(everyone: list[Any]) -> dict[Path, int]:
    """Return the process that writes each value: of those that have it the one with least to write.

    Where they have different values it is the first.
    """
    loads = [0] * len(everyone)
    holders: dict[Path, list[int]] = {}
    for rank, (own, _, _) in enumerate(everyone):
        for path in own:
            holders.setdefault(path, []).append(rank)
    found: dict[Path, int] = {}
    for path, ranks in holders.items():
        alike = len({everyone[r][0][path][2] for r in ranks}) == 1
        best = min(ranks, key=lambda r: (loads[r], r)) if alike else ranks[0]
        found[path] = best
        loads[best] += everyone[best][0][path][1]
    return found


def _nbytes(value: Any) -> int:
    return value.numel() * value.dtype.itemsize if isinstance(value, tg.Tensor) else 64


def _digest(value: Any) -> str:
    """Return what is the same for values of the same bits."""
    if isinstance(value, tg.Tensor):
        return hashlib.blake2b(array_of(value.detach()).tobytes(), digest_size=16).hexdigest()
    try:
        return hashlib.blake2b(pickle.dumps(value), digest_size=16).hexdigest()
    except Exception:
        return repr(value)


def _copied(value: Any) -> Any:
    """Return a tensor alone: not the memory that it may be a part of."""
    return value.detach().cpu().clone() if isinstance(value, tg.Tensor) else value


def save_state_dict(
    state_dict: dict[str, Any], storage_writer: FileSystemWriter, process_group: Any = None,
    coordinator_rank: int = 0, no_dist: bool = False, planner: Any = None,
) -> Metadata:  # fmt: skip
    """Write a state dict: the older name of `save`."""
    return save(
        state_dict, storage_writer=storage_writer, process_group=process_group, no_dist=no_dist,
        planner=planner,
    )  # fmt: skip
