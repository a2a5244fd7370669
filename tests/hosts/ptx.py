"""Runs PTX in NumPy, warp after warp: what NVRTC makes of a kernel can be tested without a GPU.

A warp runs until it waits at a barrier, then the next one does; so what one warp reads before another has
written it is wrong here. Copies in the background land when they are waited for. Shared memory begins as NaN,
and an access outside of a buffer raises. Lanes that part meet again: those that are behind go first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tests.hosts.ptx_arithmetic import ARITHMETIC, KINDS, converted
from tests.hosts.ptx_matrices import load_blocks, multiply

LANES = 32
FULL = np.ones(LANES, bool)
START = 4096
"""Where the first buffer lies; below, nothing does."""
INSTRUCTION = re.compile(r"(?:@(!?)(%p\d+)\s+)?([a-z][\w.:]*)\s*(.*);")


class Instruction(NamedTuple):
    """One instruction: the predicate it waits for, its name in parts, its operands."""

    unless: bool
    predicate: str
    name: tuple[str, ...]
    operands: tuple[str, ...]


class Kernel:
    """The only kernel of a module, read from its PTX."""

    def __init__(self, ptx: str) -> None:
        _, _, body = ptx.partition(".entry main_kernel(")
        head, _, body = body.partition("{\n")
        self.parameters = re.findall(r"\.param \.u64 (\w+)", head)
        self.instructions: list[Instruction] = []
        self.labels: dict[str, int] = {}
        self.shared: dict[str, int] = {}
        self.room = 0
        body = re.sub(r"//.*|\.pragma [^;]*;", "", body)
        for line in re.sub(r",\s*\n\s*", ", ", body).splitlines():
            self.read(line.strip())

    def read(self, line: str) -> None:
        """Read one line of the body."""
        declared = re.match(r"\.shared \.align (\d+) \.b8 (\w+)\[(\d+)\]", line)
        if declared:
            align, size = int(declared[1]), int(declared[3])
            self.shared[declared[2]] = -(-self.room // align) * align
            self.room = self.shared[declared[2]] + size
        elif line.endswith(":"):
            self.labels[line[:-1]] = len(self.instructions)
        elif found := INSTRUCTION.fullmatch(line):
            operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", found[4])
            self.instructions.append(
                Instruction(
                    found[1] == "!", found[2] or "", tuple(found[3].split(".")), tuple(operands)
                )
            )
        else:
            assert not line or line in "{}" or line.startswith(".reg"), line


class Memory:
    """Buffers on a device."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.places: list[int] = []
        end = START
        for array in arrays:
            self.places.append(end)
            end += -(-array.nbytes // 512) * 512 + 512
        self.bytes = np.zeros(end, np.uint8)
        self.inside = np.zeros(end, bool)
        self.sizes = [array.nbytes for array in arrays]
        for place, array in zip(self.places, arrays, strict=True):
            self.bytes[place : place + array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)
            self.inside[place : place + array.nbytes] = True

    def read(self, i: int, like: np.ndarray) -> np.ndarray:
        """Return buffer `i`."""
        data = self.bytes[self.places[i] :][: self.sizes[i]]
        return data.view(like.dtype).reshape(like.shape).copy()


class Warp:
    """32 threads in step, with their registers as bits."""

    def __init__(
        self, kernel: Kernel, memory: Memory, shared: np.ndarray, special: dict[str, Any]
    ) -> None:
        self.kernel, self.memory, self.shared, self.special = kernel, memory, shared, special
        self.registers: dict[str, np.ndarray] = {}
        self.at = np.zeros(LANES, np.int64)
        self.next, self.together = 0, True
        self.copies: list[tuple[int, bytes]] = []

    # -- operands ----------------------------------------------------------------------------------

    def get(self, operand: str, kind: str) -> np.ndarray:
        """Return the values of an operand, one for each lane."""
        to = KINDS[kind]
        bits = self.registers.get(operand)
        if bits is None:
            if operand in self.special:
                bits = np.broadcast_to(np.asarray(self.special[operand], to), LANES)
            else:
                assert operand[0] != "%", f"{operand} is read before it is written"
                mask = (1 << 8 * to.itemsize) - 1
                bits = np.full(LANES, self.number(operand, kind) & mask, f"u{to.itemsize}")
        if bits.dtype.itemsize != to.itemsize:
            bits = bits.view(f"u{bits.dtype.itemsize}").astype(f"u{to.itemsize}")
        return bits.view(to)

    def number(self, operand: str, kind: str) -> int:
        """Return the bits of a number in the text, or the place of a variable in shared memory."""
        if operand in self.kernel.shared:
            return self.kernel.shared[operand]
        if operand[:2] == "0f":
            return int(operand[2:], 16)
        if operand[:2] == "0d":
            bits = int(operand[2:], 16)
            return (
                bits
                if kind != "f32"
                else struct.unpack(
                    "<I", struct.pack("<f", struct.unpack("<d", struct.pack("<Q", bits))[0])
                )[0]
            )
        return int(operand, 0) & (1 << 64) - 1

    def put(self, register: str, values: np.ndarray, mask: np.ndarray) -> None:
        """Write a register in the lanes of `mask`."""
        old = self.registers.get(register)
        if mask is not FULL and old is not None:
            assert old.dtype.itemsize == values.dtype.itemsize, f"{register} has another width"
            values = np.where(mask, values, old.view(values.dtype))
        self.registers[register] = values

    def address(self, operand: str) -> np.ndarray:
        """Return the addresses that `[register + number]` means."""
        base, _, offset = operand.strip("[]").replace(" ", "").partition("+")
        return (self.get(base, "u64") + np.uint64(int(offset or "0"))).astype(np.int64)

    # -- running -----------------------------------------------------------------------------------

    def run(self) -> Iterator[None]:
        """Run, with a pause at each barrier."""
        while True:
            at, mask = self.next, FULL
            if not self.together:
                at = self.next = int(self.at.min())
                mask = self.at == at
                self.together = bool(mask.all())
                mask = FULL if self.together else mask
                self.at[mask] += 1
            self.next += 1
            if at >= len(self.kernel.instructions):
                return
            i = self.kernel.instructions[at]
            if i.predicate:
                chosen = mask & (self.get(i.predicate, "pred") ^ i.unless)
                mask = FULL if chosen.all() else chosen
            if i.name[0] == "bar" and i.name[1] == "sync":
                assert mask is FULL, "a part of a warp waits at a barrier"
                yield
            elif mask is FULL or mask.any():
                self.step(i, mask)

    def jump(self, to: int, mask: np.ndarray) -> None:
        """Let the lanes of `mask` go on elsewhere."""
        if mask is FULL:
            self.next = to
            return
        if self.together:
            self.at[:] = self.next
        self.together = False
        self.at[mask] = to

    def step(self, i: Instruction, mask: np.ndarray) -> None:
        """Run one instruction."""
        special = SPECIAL.get(i.name[0])
        if special is not None:
            special(self, i, mask)
            return
        assert i.name[0] in ARITHMETIC, f"{'.'.join(i.name)} is not known here"
        kind = i.name[-1]
        sources = [self.get(o, kind) for o in i.operands[1:]]
        with np.errstate(all="ignore"):
            self.put(i.operands[0], ARITHMETIC[i.name[0]](i.name, *sources), mask)


def branch(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    w.jump(w.kernel.labels[i.operands[0]], mask)


def leave(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    w.jump(len(w.kernel.instructions), mask)


def move(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    to, source = i.operands
    if source.startswith("{"):
        low, high = (w.get(o, "u16").astype(np.uint32) for o in parts(source))
        w.put(to, low | high << np.uint32(16), mask)
    elif to.startswith("{"):
        bits = w.get(source, "u32")
        for shift, o in zip((0, 16), parts(to), strict=True):
            w.put(o, (bits >> np.uint32(shift)).astype(np.uint16), mask)
    else:
        w.put(to, w.get(source, i.name[-1]), mask)


def compare(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    a, b = (w.get(o, i.name[-1]) for o in i.operands[1:3])
    name = i.name[1]
    unordered = np.isnan(a) | np.isnan(b) if a.dtype.kind == "f" else np.zeros(LANES, bool)
    if name in ("nan", "num"):
        found = unordered == (name == "nan")
    else:
        loose = name.endswith("u") and len(name) == 3
        tests: dict[str, Callable[..., Any]] = {
            "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
            "ge": np.greater_equal,
        }  # fmt: skip
        found = np.where(unordered, loose, tests[name[:2]](a, b))
    w.put(i.operands[0], found, mask)


def choose(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    a, b = (w.get(o, i.name[-1]) for o in i.operands[1:3])
    w.put(i.operands[0], np.where(w.get(i.operands[3], "pred"), a, b), mask)


def convert(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        w.put(i.operands[0], converted(i.name, w.get(i.operands[1], i.name[-1])), mask)


def access(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    """Load or store, one element or several beside each other."""
    if i.name[1] == "param":
        at = w.kernel.parameters.index(i.operands[1].strip("[]"))
        w.put(i.operands[0], np.full(LANES, w.special["parameters"][at], KINDS[i.name[-1]]), mask)
        return
    kind, storing = KINDS[i.name[-1]], i.name[0] == "st"
    where, values = i.operands if storing else i.operands[::-1]
    data, inside = memory_of(w, i.name[1])
    for k, register in enumerate(parts(values)):
        places = w.address(where)[:, None] + k * kind.itemsize + np.arange(kind.itemsize)
        check(places[mask], inside, i)
        assert not (places[mask][:, 0] % kind.itemsize).any(), f"{i} is not aligned"
        if storing:
            raw = (
                np.ascontiguousarray(w.get(register, i.name[-1])).view(np.uint8).reshape(LANES, -1)
            )
            data[places[mask]] = raw[mask]
        else:
            loaded = data[np.where(mask[:, None], places, 0)]
            w.put(register, loaded.view(kind)[:, 0], mask)


def memory_of(w: Warp, space: str) -> tuple[np.ndarray, np.ndarray]:
    if space == "shared":
        return w.shared, np.ones(len(w.shared), bool)
    assert space == "global", space
    return w.memory.bytes, w.memory.inside


def check(places: np.ndarray, inside: np.ndarray, i: Instruction) -> None:
    assert places.min(initial=0) >= 0, f"{i} leaves memory"
    assert places.max(initial=0) < len(inside), f"{i} leaves memory"
    assert inside[places].all(), f"{i} leaves its buffer"


def background(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    """Note copies to shared memory, or carry them out."""
    if i.name[2] == "wait_group":
        assert i.operands == ("0",)
        for target, data in w.copies:
            w.shared[target : target + len(data)] = np.frombuffer(data, np.uint8)
        w.copies.clear()
    elif i.name[2] == "cg":
        targets, sources, count = (
            w.address(i.operands[0]),
            w.address(i.operands[1]),
            w.get(i.operands[3], "u32"),
        )
        for lane in np.flatnonzero(mask):
            places = sources[lane] + np.arange(count[lane])
            check(places, w.memory.inside, i)
            assert targets[lane] % 16 == sources[lane] % 16 == 0, f"{i} is not aligned"
            w.copies.append((int(targets[lane]), w.memory.bytes[places].tobytes().ljust(16, b"\0")))


def blocks(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    assert mask is FULL, "a part of a warp loads blocks"
    found = load_blocks(w.shared, w.address(i.operands[1]), "trans" in i.name)
    for register, values in zip(parts(i.operands[0]), found, strict=True):
        w.put(register, values, mask)


def matrices(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    assert mask is FULL, "a part of a warp multiplies"
    a, b = ([w.get(o, "u32") for o in parts(operand)] for operand in i.operands[1:3])
    c = [w.get(o, "f32") for o in parts(i.operands[3])]
    for register, values in zip(parts(i.operands[0]), multiply(i.name, a, b, c), strict=True):
        w.put(register, values, mask)


def nothing(w: Warp, i: Instruction, mask: np.ndarray) -> None:
    """Do nothing: the lanes of a warp are in step."""


def parts(operand: str) -> list[str]:
    return operand.strip("{}").replace(" ", "").split(",")


SPECIAL: dict[str, Callable[[Warp, Instruction, np.ndarray], None]] = {
    "bra": branch, "ret": leave, "mov": move, "cvta": move, "setp": compare, "selp": choose, "cvt": convert,
    "ld": access, "st": access, "cp": background, "ldmatrix": blocks, "mma": matrices, "bar": nothing,
}  # fmt: skip


def run(
    ptx: str,
    grid: tuple[int, ...],
    threads: int,
    arrays: Sequence[np.ndarray],
    backwards: bool = False,
) -> list[np.ndarray]:
    """Run a kernel over buffers with the bytes of `arrays`; return the arrays afterwards. The warps of a
    block take turns in order, or `backwards`."""
    kernel, memory = Kernel(ptx), Memory(arrays)
    for y in range(grid[1]):
        for x in range(grid[0]):
            shared = np.full(kernel.room, 255, np.uint8)
            warps = []
            for first in range(0, threads, LANES):
                special = {
                    "%ctaid.x": x, "%ctaid.y": y, "%tid.x": np.arange(first, first + LANES), "%ntid.x": threads,
                    "parameters": memory.places,
                }  # fmt: skip
                warps.append(Warp(kernel, memory, shared, special).run())
            going = warps[::-1] if backwards else warps
            while going:
                going = [w for w in going if next(w, True) is None]
    return [memory.read(i, array) for i, array in enumerate(arrays)]
