"""Which element of a matrix lane l of a warp holds, as the PTX ISA says of `ldmatrix` and `mma`.

Written from its chapters on matrix fragments, not from a kernel: g = l / 4 and t = l % 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LANE = np.arange(32)
GROUP, THREAD = LANE // 4, LANE % 4


def load_blocks(shared: Any, addresses: Any, turned: bool) -> list[Any]:
    """Load four 8 x 8 blocks of 16-bit elements; lanes 8q to 8q + 7 give the addresses of rows of block q."""
    assert not (addresses % 16).any(), "the address of a row is not aligned to 16 bytes"
    found = []
    for q in range(4):
        places = addresses[8 * q : 8 * q + 8, None] + np.arange(16)
        block = shared[places].view(np.uint16)
        block = block.T if turned else block
        low, high = (block[GROUP, 2 * THREAD + e].astype(np.uint32) for e in (0, 1))
        found.append(low | high << np.uint32(16))
    return found


def multiply(name: tuple[str, ...], a: Any, b: Any, c: Any) -> list[Any]:
    """Multiply a 16 x k matrix by one of k x 8, and add one of 16 x 8."""
    shape, kinds = name[3], name[6:]
    assert name[:3] == ("mma", "sync", "aligned")
    assert name[4:6] == ("row", "col")
    k, wide = {"m16n8k16": (16, False), "m16n8k8": (8, True)}[shape]
    assert kinds == ("f32", *kinds[1:2] * 2, "f32")
    assert wide == (kinds[1] == "tf32")
    left, right, out = np.zeros((16, k)), np.zeros((k, 8)), np.zeros((16, 8), np.float32)
    for q, register in enumerate(a):
        for e, values in enumerate(elements(register, kinds[1])):
            left[GROUP + 8 * (q % 2), step(q // 2, e, wide)] = values
    for q, register in enumerate(b):
        for e, values in enumerate(elements(register, kinds[1])):
            right[step(q, e, wide), GROUP] = values
    rows, columns = (
        [f(q) for q in range(4)]
        for f in (lambda q: GROUP + 8 * (q // 2), lambda q: 2 * THREAD + q % 2)
    )
    for q in range(4):
        out[rows[q], columns[q]] = c[q]
    out += (left @ right).astype(np.float32)
    return [out[rows[q], columns[q]] for q in range(4)]


def step(half: int, e: int, wide: bool) -> Any:
    """Return the step of element `e` of a register, in the low or high half of the steps."""
    return THREAD + 4 * half if wide else 2 * THREAD + e + 8 * half


def elements(register: Any, kind: str) -> list[Any]:
    """Return the elements in the 32 bits of a register, the low ones first."""
    if kind == "tf32":
        assert not (register & 0x1FFF).any(), "an operand was not rounded to tf32"
        return [register.view(np.float32)]
    halves = [(register >> np.uint32(16 * e)).astype(np.uint16) for e in (0, 1)]
    if kind == "f16":
        return [half.view(np.float16) for half in halves]
    assert kind == "bf16"
    return [(half.astype(np.uint32) << np.uint32(16)).view(np.float32) for half in halves]
