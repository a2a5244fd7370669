"""Python objects between processes, pickled. Receive only from processes that you trust: pickles run code."""

from __future__ import annotations

import pickle
from typing import Any

import tabgrad as tg
from tabgrad.distributed import point_to_point
from tabgrad.distributed.collectives import root_of
from tabgrad.distributed.group import ProcessGroup, resolve

Group = ProcessGroup | None


def exchanged(found: ProcessGroup, name: str, data: bytes, told: str = "") -> list[bytes]:
    """Return the bytes of all, on all."""
    got: list[bytes] = []
    found.bytes_given += len(data)
    found.run(
        name, told, [], lambda _: found.calls.objects(data, got.extend), lambda: [], lambda _: None
    )  # fmt: skip
    return got


def all_gather_object(object_list: list[Any], obj: Any, group: Group = None) -> None:
    """Write the objects of all to the list, which has a place for each, on all."""
    found = resolve(group)
    if found is None:
        return
    _places("all_gather_object", object_list, found.size())
    data = exchanged(found, "all_gather_object", pickle.dumps(obj))
    object_list[:] = [pickle.loads(d) for d in data]


def _places(name: str, places: list[Any], count: int) -> None:
    if len(places) != count:
        raise ValueError(
            f"{name}: the list needs a place for each of {count} ranks, got {len(places)}"
        )


def gather_object(
    obj: Any, object_gather_list: list[Any] | None = None, dst: int | None = None, group: Group = None,
    group_dst: int | None = None,
) -> None:  # fmt: skip
    """Write the objects of all to the list on `dst` (rank 0); the others give no list."""
    found = resolve(group)
    if found is None:
        return
    within = 0 if dst is None and group_dst is None else group_dst
    root = root_of("gather_object", "dst", found, dst, within)
    own = found.rank() == root
    if (own and object_gather_list is None) or (not own and object_gather_list):
        raise ValueError(
            "gather_object: object_gather_list is given on the rank that gathers, and on no other"
        )
    if own and object_gather_list is not None:
        _places("gather_object", object_gather_list, found.size())
    data = exchanged(found, "gather_object", pickle.dumps(obj), f"dst={root}")
    if own and object_gather_list is not None:
        object_gather_list[:] = [pickle.loads(d) for d in data]


def broadcast_object_list(
    object_list: list[Any], src: int | None = None, group: Group = None, device: Any = None,
    group_src: int | None = None,
) -> None:  # fmt: skip
    """Give the lists of all the objects of that on `src` (rank 0); the lists are of one length."""
    found = resolve(group)
    if found is None:
        return
    within = 0 if src is None and group_src is None else group_src
    root = root_of("broadcast_object_list", "src", found, src, within)
    data = pickle.dumps(list(object_list)) if found.rank() == root else b""
    got = exchanged(found, "broadcast_object_list", data, f"src={root}")[root]
    objects = pickle.loads(got)
    if len(objects) != len(object_list):
        raise ValueError(
            f"broadcast_object_list: rank {root} has {len(objects)} objects, and this list has "
            f"{len(object_list)}"
        )
    object_list[:] = objects


def scatter_object_list(
    scatter_object_output_list: list[Any], scatter_object_input_list: list[Any] | None = None,
    src: int | None = None, group: Group = None, group_src: int | None = None,
) -> None:  # fmt: skip
    """Give each an object of the list that `src` (rank 0) has, as the first of its output list."""
    found = resolve(group)
    if found is None:
        return
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError(
            "Expected argument scatter_object_output_list to be a list of size at least 1."
        )
    within = 0 if src is None and group_src is None else group_src
    root = root_of("scatter_object_list", "src", found, src, within)
    given = scatter_object_input_list
    if found.rank() == root:
        if given is None:
            raise ValueError("scatter_object_list: the rank that scatters gives a list")
        _places("scatter_object_list", given, found.size())
    data = pickle.dumps([pickle.dumps(x) for x in given or ()]) if found.rank() == root else b""
    got = exchanged(found, "scatter_object_list", data, f"src={root}")[root]
    scatter_object_output_list[0] = pickle.loads(pickle.loads(got)[found.rank()])


def send_object_list(
    object_list: list[Any], dst: int | None = None, group: Group = None, device: Any = None,
    group_dst: int | None = None, use_batch: bool = False,
) -> None:  # fmt: skip
    """Send the objects of a list to rank `dst`, which calls `recv_object_list`."""
    data = bytearray(pickle.dumps(list(object_list)))
    length = tg.tensor([len(data)], dtype=tg.int32, device="cpu")
    point_to_point.send(length, dst, group, 0, group_dst)
    body = tg.tensor(list(data), dtype=tg.uint8, device="cpu")
    point_to_point.send(body, dst, group, 0, group_dst)


def recv_object_list(
    object_list: list[Any], src: int | None = None, group: Group = None, device: Any = None,
    group_src: int | None = None, use_batch: bool = False,
) -> int:  # fmt: skip
    """Receive the objects of a list that `send_object_list` sent; return the rank that they came from."""
    length = tg.zeros(1, dtype=tg.int32, device="cpu")
    source = point_to_point.recv(length, src, group, 0, group_src)
    body = tg.zeros(int(length.item()), dtype=tg.uint8, device="cpu")
    point_to_point.recv(body, source, group)
    objects = pickle.loads(bytes(body.tolist()))
    if len(objects) != len(object_list):
        raise ValueError(
            f"recv_object_list: rank {source} sent {len(objects)} objects, and this list has {len(object_list)}"
        )
    object_list[:] = objects
    return source


__all__ = [
    "all_gather_object", "broadcast_object_list", "gather_object", "recv_object_list",
    "scatter_object_list", "send_object_list",
]  # fmt: skip
