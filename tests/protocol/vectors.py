"""Packets that every host reads alike, and `vectors.jsonl`, where JavaScript finds them too.

Written by `python -m tests.protocol.vectors`.
`good` are packets with the commands they hold; `malformed` are packets that a host refuses, with
the message and the index of the command, after the packet SETUP has run.
"""

import json
import pathlib
import struct
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from tabgrad.hosts.commands import (
    MAGIC,
    VERSION,
    Alloc,
    Command,
    Copy,
    Dispatch,
    Drop,
    DropPipeline,
    Free,
    Pipeline,
    Read,
    Replay,
    Routine,
    Store,
    TimedReplay,
    Window,
    Write,
    WriteBlob,
)
from tabgrad.hosts.protocol import command_words

FILE = pathlib.Path(__file__).with_name("vectors.jsonl")

SETUP: list[Command] = [
    Alloc(1, 16),
    Alloc(2, 16),
    Pipeline(1, "plain", "source", "rw"),
    Pipeline(2, "scaled", "source", "rwu"),
    Store(
        1,
        2,
        (
            Dispatch(2, 1, 1, 1, (0, 1), (7, 8)),
            Copy(0, 0, 1, 8, 8),
            Dispatch(2, 1, 1, 1, (1, 0), (9,)),
        ),
    ),
    Read(1, 1, 0, 16),
]

GOOD: dict[str, list[Command]] = {
    "empty": [],
    "alloc and free": [Alloc(1, 16), Alloc(2, 0), Free((1, 2))],
    "write": [Alloc(1, 16), Write(1, 4, b"abcdefgh"), Write(1, 0, b"")],
    "blob": [Alloc(1, 16), WriteBlob(1, 8, 4, 1), WriteBlob(1, 0, 8, 0)],
    "copy": [Alloc(1, 16), Alloc(2, 16), Copy(1, 4, 2, 8, 8), Copy(1, 0, 1, 4, 12)],
    "pipeline": [
        Pipeline(1, "größe ×", "fn main() {}\n", "rrw", (("WX", 64.0), ("é", -0.5))),
        Pipeline(2, "", "", ""),
        DropPipeline((1, 2)),
    ],
    "dispatch": [
        Alloc(1, 16),
        Alloc(2, 16),
        Pipeline(1, "a", "s", "rw"),
        Pipeline(2, "b", "s", "wu"),
        Dispatch(1, 3, 2, 1, (1, 2)),
        Dispatch(2, 65535, 1, 4294967295, (2,), (0, 4294967295, 5)),
    ],
    "read": [Alloc(1, 16), Read(4294967295, 1, 4, 12), Read(2, 1, 16, 0)],
    "store and replay": [
        *SETUP,
        Replay(1, (1, 2)),
        Replay(1, (2, 1), (0, 70, 2, 90)),
        TimedReplay(7, 1, (1, 2), (2, 91)),
        TimedReplay(8, 1, (2, 1)),
        Drop((1,)),
    ],
    "windows": [
        Alloc(1, 1024),
        Alloc(2, 16),
        Pipeline(1, "plain", "source", "rw"),
        Store(
            1,
            2,
            (
                Window(0, 256, 512),
                Dispatch(1, 1, 1, 1, (2, 1)),
                Window(0, 768, 256),
                Dispatch(1, 1, 1, 1, (3, 1)),
                Dispatch(1, 1, 1, 1, (2, 3)),
            ),
        ),
        Replay(1, (1, 2)),
    ],
}

BLOBS = {"blob": [b"01234567", b"abcd"]}


@dataclass
class Bad:
    """A packet that is refused."""

    message: str
    command: int = 0
    commands: Sequence[Command] = ()
    words: Sequence[int] | None = None
    blobs: Sequence[bytes] = field(default_factory=list)


def packet(commands: Sequence[Command]) -> bytes:
    words = array("I", [MAGIC, VERSION, len(commands)])
    for command in commands:
        words += command_words(command)
    return words.tobytes()


def altered(commands: Sequence[Command], changes: dict[int, int], cut: int = 0) -> list[int]:
    """The words of a packet with some of them changed, and the last `cut` gone."""
    words = list(array("I", packet(commands)))
    for index, word in changes.items():
        words[index] = word
    return words[: len(words) - cut]


def header(tag: int, n_words: int) -> int:
    return tag | n_words << 8


ALLOC = [Alloc(9, 16)]
LONG = list(array("I", b"\xff\xfe\xfd\xfc"))

MALFORMED: dict[str, Bad] = {
    "no header": Bad("a packet of 8 bytes is truncated", -1, words=[MAGIC, VERSION]),
    "bad magic": Bad(
        "bad magic 0x74616268: expected 0x74616267", -1, words=altered(ALLOC, {0: MAGIC + 1})
    ),
    "bad version": Bad("protocol version 2: this host speaks 1", -1, words=altered(ALLOC, {1: 2})),
    "count too high": Bad(
        "the payload ends after 0 words where 1 were due", 1, words=altered(ALLOC, {2: 2})
    ),
    "count too low": Bad(
        "3 words follow the 1 commands announced",
        -1,
        words=altered([*ALLOC, Alloc(10, 4)], {2: 1}),
    ),
    "tag 0": Bad("unknown tag 0", words=altered(ALLOC, {3: header(0, 2)})),
    "tag 99": Bad("unknown tag 99", words=altered(ALLOC, {3: header(99, 2)})),
    "truncated": Bad(
        "Alloc: truncated: 2 payload words are announced and 1 are there",
        words=altered(ALLOC, {}, cut=1),
    ),
    "payload too short": Bad(
        "Alloc: the payload ends after 0 words where 1 were due",
        words=[MAGIC, VERSION, 1, header(1, 1), 9],
    ),
    "payload too long": Bad(
        "Alloc: 1 words too many", words=[MAGIC, VERSION, 1, header(1, 3), 9, 16, 0]
    ),
    "alloc 0": Bad("Alloc: 0 is not an id: buffer ids start at 1", 0, [Alloc(0, 4)]),
    "alloc twice": Bad("Alloc: buffer 9 exists already", 1, [Alloc(9, 4), Alloc(9, 4)]),
    "alloc alive": Bad("Alloc: buffer 1 exists already", 0, [Alloc(1, 4)]),
    "alloc after free": Bad("Alloc: buffer 1 exists already", 1, [Free((1,)), Alloc(1, 4)]),
    "alloc unaligned": Bad("Alloc: size 6 must be a multiple of 4", 0, [Alloc(9, 6)]),
    "free unknown": Bad("Free: unknown buffer 9", 0, [Free((1, 9))]),
    "free twice": Bad("Free: unknown buffer 1", 0, [Free((1, 1))]),
    "write unknown": Bad("Write: unknown buffer 9", 0, [Write(9, 0, b"abcd")]),
    "write after free": Bad("Write: unknown buffer 1", 1, [Free((1,)), Write(1, 0, b"abcd")]),
    "write outside": Bad(
        "Write: bytes 12 to 20 are outside buffer 1, which has 16", 0, [Write(1, 12, b"abcdefgh")]
    ),
    "write unaligned": Bad(
        "Write: offset 2 and size 4 must be multiples of 4", 0, [Write(1, 2, b"abcd")]
    ),
    "write cut": Bad(
        "Write: the payload ends after 1 words where 2 were due",
        words=[MAGIC, VERSION, 1, header(3, 4), 1, 0, 8, 0],
    ),
    "blob missing": Bad("WriteBlob: blob 0 of 0 does not exist", 0, [WriteBlob(1, 0, 4, 0)]),
    "blob of another size": Bad(
        "WriteBlob: blob 0 has 8 bytes, not 4", 0, [WriteBlob(1, 0, 4, 0)], blobs=[b"01234567"]
    ),
    "copy outside": Bad(
        "Copy: bytes 4 to 20 are outside buffer 2, which has 16", 0, [Copy(1, 0, 2, 4, 16)]
    ),
    "copy beyond 4 GiB": Bad(
        "Copy: bytes 4294967292 to 4294967308 are outside buffer 1, which has 16",
        0,
        [Copy(1, 4294967292, 2, 0, 16)],
    ),
    "pipeline alive": Bad("Pipeline: pipeline 1 exists already", 0, [Pipeline(1, "", "", "")]),
    "binding letter": Bad(
        "Pipeline: bindings 'rx': expected letters r and w, then at most one u",
        0,
        [Pipeline(9, "", "", "rx")],
    ),
    "uniform not last": Bad(
        "Pipeline: bindings 'uw': expected letters r and w, then at most one u",
        0,
        [Pipeline(9, "", "", "uw")],
    ),
    "text cut": Bad(
        "Pipeline: the payload ends after 1 words where 3 were due",
        words=[MAGIC, VERSION, 1, header(6, 3), 9, 12, 0],
    ),
    "text not UTF-8": Bad(
        "Pipeline: text is not UTF-8",
        words=[MAGIC, VERSION, 1, header(6, 6), 9, 4, *LONG, 0, 0, 0],
    ),
    "dispatch unknown pipeline": Bad(
        "Dispatch: unknown pipeline 9", 0, [Dispatch(9, 1, 1, 1, (1, 2))]
    ),
    "dispatch too few buffers": Bad(
        "Dispatch: pipeline 1 takes 2 buffers, 1 came", 0, [Dispatch(1, 1, 1, 1, (1,))]
    ),
    "dispatch unknown buffer": Bad("Dispatch: unknown buffer 9", 0, [Dispatch(1, 1, 1, 1, (1, 9))]),
    "uniform missing": Bad(
        "Dispatch: pipeline 2 takes uniform words, 0 came", 0, [Dispatch(2, 1, 1, 1, (1, 2))]
    ),
    "uniform not wanted": Bad(
        "Dispatch: pipeline 1 takes no uniform words, 1 came",
        0,
        [Dispatch(1, 1, 1, 1, (1, 2), (5,))],
    ),
    "routine": Bad("Routine: routine 0 does not exist: this host offers 0", 0, [Routine(0, (1,))]),
    "timed on a host without timers": Bad(
        "TimedReplay: this host measures no kernels", 0, [TimedReplay(9, 1, (1, 2))]
    ),
    "read outside": Bad(
        "Read: bytes 0 to 20 are outside buffer 1, which has 16", 0, [Read(9, 1, 0, 20)]
    ),
    "read token outstanding": Bad("Read: read token 1 exists already", 0, [Read(1, 1, 0, 4)]),
    "store alive": Bad("Store: list 1 exists already", 0, [Store(1, 0, ())]),
    "store holds alloc": Bad(
        "Store: cannot hold Alloc",
        words=[MAGIC, VERSION, 1, header(10, 5), 9, 0, header(1, 2), 9, 16],
    ),
    "store unknown tag": Bad(
        "Store: unknown tag 77", words=[MAGIC, VERSION, 1, header(10, 3), 9, 0, header(77, 0)]
    ),
    "store truncated": Bad(
        "Store: Copy: truncated: 5 payload words are announced and 1 are there",
        words=[MAGIC, VERSION, 1, header(10, 4), 9, 0, header(5, 5), 0],
    ),
    "store slot": Bad(
        "Store: Dispatch: slot 2 is outside the list's 2",
        0,
        [Store(9, 2, (Dispatch(1, 1, 1, 1, (0, 2)),))],
    ),
    "store unaligned copy": Bad(
        "Store: Copy: offsets and size must be multiples of 4",
        0,
        [Store(9, 2, (Copy(0, 2, 1, 0, 4),))],
    ),
    "store unknown pipeline": Bad(
        "Store: Dispatch: unknown pipeline 9", 0, [Store(9, 1, (Dispatch(9, 1, 1, 1, (0,)),))]
    ),
    "store routine": Bad(
        "Store: Routine: routine 3 does not exist: this host offers 0",
        0,
        [Store(9, 1, (Routine(3, (0,)),))],
    ),
    "window outside a list": Bad("Window: only a stored list holds windows", 0, [Window(0, 0, 4)]),
    "window of no slot": Bad(
        "Store: Window: slot 1 is outside the list's 1", 0, [Store(9, 1, (Window(1, 0, 4),))]
    ),
    "window of a window": Bad(
        "Store: Window: slot 1 is outside the list's 1",
        0,
        [Store(9, 1, (Window(0, 0, 4), Window(1, 0, 4)))],
    ),
    "window unaligned": Bad(
        "Store: Window: offset 128 must be a multiple of 256, and size 4 one of 4 above 0",
        0,
        [Store(9, 1, (Window(0, 128, 4),))],
    ),
    "window empty": Bad(
        "Store: Window: offset 0 must be a multiple of 256, and size 0 one of 4 above 0",
        0,
        [Store(9, 1, (Window(0, 0, 0),))],
    ),
    "window unknown": Bad(
        "Store: Dispatch: slot 3 is outside the list's 3",
        0,
        [Store(9, 2, (Window(0, 0, 4), Dispatch(1, 1, 1, 1, (2, 3)), Window(1, 0, 4)))],
    ),
    "window in a copy": Bad(
        "Store: Copy: slot 1 is outside the list's 1",
        0,
        [Store(9, 1, (Window(0, 0, 4), Copy(1, 0, 0, 0, 4)))],
    ),
    "replay window outside": Bad(
        "Replay: bytes 0 to 20 are outside buffer 1, which has 16",
        1,
        [Store(9, 1, (Window(0, 0, 20),)), Replay(9, (1,))],
    ),
    "replay unknown": Bad("Replay: unknown list 9", 0, [Replay(9, (1, 2))]),
    "replay too few slots": Bad("Replay: list 1 has 2 slots, 1 buffers came", 0, [Replay(1, (1,))]),
    "replay unknown buffer": Bad("Replay: unknown buffer 9", 0, [Replay(1, (1, 9))]),
    "replay odd patches": Bad(
        "Replay: patches must be pairs of index and word", 0, [Replay(1, (1, 2), (0,))]
    ),
    "replay patch outside": Bad(
        "Replay: patch of word 3: list 1 has 3 uniform words", 0, [Replay(1, (1, 2), (3, 0))]
    ),
    "replay copy outside": Bad(
        "Replay: bytes 8 to 16 are outside buffer 9, which has 8",
        1,
        [Alloc(9, 8), Replay(1, (1, 9))],
    ),
    "drop unknown": Bad("Drop: unknown list 9", 0, [Drop((9,))]),
    "replay after drop": Bad("Replay: unknown list 1", 1, [Drop((1,)), Replay(1, (1, 2))]),
    "drop unknown pipeline": Bad("DropPipeline: unknown pipeline 9", 0, [DropPipeline((9,))]),
    "dispatch after drop": Bad(
        "Dispatch: unknown pipeline 1", 1, [DropPipeline((1,)), Dispatch(1, 1, 1, 1, (1, 2))]
    ),
    "second command": Bad(
        "Write: unknown buffer 8", 2, [Alloc(9, 4), Write(1, 0, b"abcd"), Write(8, 0, b"abcd")]
    ),
}


def plain(value: Any) -> Any:
    """A command as JSON can hold it: its name, then its fields; bytes as hex."""
    if is_dataclass(value) and not isinstance(value, type):
        fields = {name: getattr(value, name) for name in asdict(value)}
        return [type(value).__name__, {name: plain(item) for name, item in fields.items()}]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def bad_packet(case: Bad) -> bytes:
    if case.words is not None:
        return struct.pack(f"<{len(case.words)}I", *case.words)
    return packet(case.commands)


def text() -> str:
    """What `vectors.jsonl` holds: one packet a line, as JSON."""
    lines: list[dict[str, Any]] = [{"kind": "setup", "hex": packet(SETUP).hex()}]
    for name, commands in GOOD.items():
        blobs = [blob.hex() for blob in BLOBS.get(name, [])]
        fields = [plain(command) for command in commands]
        good = {"hex": packet(commands).hex(), "blobs": blobs, "commands": fields}
        lines.append({"kind": "good", "name": name, **good})
    for name, case in MALFORMED.items():
        blobs = [blob.hex() for blob in case.blobs]
        bad = {"hex": bad_packet(case).hex(), "blobs": blobs}
        told = {"message": case.message, "command": case.command}
        lines.append({"kind": "malformed", "name": name, **bad, **told})
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def read(kind: str) -> list[dict[str, Any]]:
    """The vectors of a kind, from the file."""
    lines = map(json.loads, FILE.read_text("utf-8").splitlines())
    return [line for line in lines if line["kind"] == kind]


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
