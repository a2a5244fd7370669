"""Messages from one process to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.distributed import arrays
from tabgrad.distributed.collectives import root_of
from tabgrad.distributed.group import ProcessGroup, resolve
from tabgrad.distributed.work import Work

Tensor = tg.Tensor
Group = ProcessGroup | None


def isend(
    tensor: Tensor,
    dst: int | None = None,
    group: Group = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> Work | None:
    """Begin to send a tensor to rank `dst`, which receives it with the same tag."""
    arrays.check("isend", "tensor", tensor)
    found = resolve(group)
    if found is None:
        return None
    to = root_of("isend", "dst", found, dst, group_dst)
    if to == found.rank():
        raise ValueError("Invalid destination rank: destination rank should not be the same as the rank of the "
                         "current process.")  # fmt: skip
    a = arrays.array_of(tensor)
    found.bytes_given += a.nbytes
    return found.message(
        f"send to rank {found.ranks[to]}", [tensor], lambda _: found.calls.send(a, to, tag), lambda: None, to
    )  # fmt: skip


def irecv(
    tensor: Tensor,
    src: int | None = None,
    group: Group = None,
    tag: int = 0,
    group_src: int | None = None,
) -> Work | None:
    """Begin to receive a tensor from rank `src`, or from any, that was sent with the same tag."""
    arrays.check("irecv", "tensor", tensor)
    found = resolve(group)
    if found is None:
        return None
    anyone = src is None and group_src is None
    source = None if anyone else root_of("irecv", "src", found, src, group_src)
    a = arrays.empty_like(tensor)

    def steps(operation: Any) -> Any:
        def note(rank: int) -> None:
            operation.source = rank

        return found.calls.receive(a, source, tag, note)

    whom = "any rank" if source is None else f"rank {found.ranks[source]}"
    return found.message(
        f"receive from {whom}", [tensor], steps, lambda: arrays.write(tensor, a), source
    )


def send(
    tensor: Tensor,
    dst: int | None = None,
    group: Group = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> None:
    """Send a tensor to rank `dst`, and wait until it may be changed again."""
    work = isend(tensor, dst, group, tag, group_dst)
    if work is not None:
        work.wait()


def recv(
    tensor: Tensor,
    src: int | None = None,
    group: Group = None,
    tag: int = 0,
    group_src: int | None = None,
) -> int:
    """Receive a tensor from rank `src`, or from any; return the rank that it came from."""
    work = irecv(tensor, src, group, tag, group_src)
    if work is None:
        return -1
    work.wait()
    return work.source_rank()


class P2POp:
    """One message of `batch_isend_irecv`: `op` is `isend` or `irecv`, `peer` the other rank."""

    def __init__(
        self, op: Callable[..., Any], tensor: Tensor, peer: int | None = None, group: Group = None,
        tag: int = 0, group_peer: int | None = None,
    ) -> None:  # fmt: skip
        if op not in (isend, irecv):
            raise ValueError(
                "Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                "``torch.distributed.irecv``."
            )
        arrays.check("P2POp", "tensor", tensor)
        self.op, self.tensor, self.group, self.tag = op, tensor, group, tag
        self.peer, self.group_peer = peer, group_peer


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Work]:
    """Begin all the messages of the list, and return the Work of each."""
    if not p2p_op_list or not all([isinstance(p, P2POp) for p in p2p_op_list]):
        raise ValueError("batch_isend_irecv: expected a list of P2POp that is not empty")
    works = [p.op(p.tensor, p.peer, p.group, p.tag, p.group_peer) for p in p2p_op_list]
    return [w for w in works if w is not None]


__all__ = ["P2POp", "batch_isend_irecv", "irecv", "isend", "recv", "send"]
