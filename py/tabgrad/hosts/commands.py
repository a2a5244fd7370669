"""The one declaration of the commands that a device sends to its host.

A packet is an array of little-endian u32 words: MAGIC, VERSION, the number of commands, then the commands. A
command is a header word (tag in the low 8 bits, number of payload words in the high 24) and its payload. Each
command is a dataclass below; its `LAYOUT` has one letter per field that says how the field is encoded:

    u  one word                         s  text: byte length, then UTF-8 padded to words
    i  count, then that many words      d  data: byte length, then bytes padded to words
    *  all words that remain            o  overrides: count, then (text, float64) pairs
    c  all commands that remain

Sizes and offsets are in bytes and multiples of four. The device chooses ids, which are never 0 and never
reused. `protocol.py` writes and reads packets in Python. The JavaScript host has a reader of its own;
tests/protocol tests both with the same vectors.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias, get_args

MAGIC = 0x74616267
VERSION = 1
HEADER_WORDS = 3
MAX_PAYLOAD_WORDS = (1 << 24) - 1

Buffer: TypeAlias = "bytes | bytearray | memoryview | array[int] | array[float]"
"""Any contiguous object that `memoryview` accepts; NumPy arrays too."""


class PacketError(ValueError):
    """A packet breaks the protocol; `command` is the index of the wrong command, or -1."""

    def __init__(self, message: str, command: int = -1) -> None:
        super().__init__(message)
        self.command = command


@dataclass(frozen=True, slots=True)
class Alloc:
    """Make buffer `id` of `nbytes` bytes, contents undefined."""

    TAG: ClassVar[int] = 1
    LAYOUT: ClassVar[str] = "uu"
    id: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Free:
    """Release buffers once every earlier command that uses them has run."""

    TAG: ClassVar[int] = 2
    LAYOUT: ClassVar[str] = "*"
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """Put `data`, which travels inside the packet, into buffer `id` at `offset`."""

    TAG: ClassVar[int] = 3
    LAYOUT: ClassVar[str] = "uud"
    id: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class WriteBlob:
    """Put `blobs[blob]`, which travels beside the packet, into buffer `id` at `offset`."""

    TAG: ClassVar[int] = 4
    LAYOUT: ClassVar[str] = "uuuu"
    id: int
    offset: int
    nbytes: int
    blob: int


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy bytes between buffers, or inside one; in a stored list `src`, `dst` are slots."""

    TAG: ClassVar[int] = 5
    LAYOUT: ClassVar[str] = "uuuuu"
    src: int
    src_offset: int
    dst: int
    dst_offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Compile `source`, whose entry point takes one binding for each letter of `bindings`.

    `r` is read-only storage, `w` read-write storage, `u` a uniform; at most one `u`, last.
    """

    TAG: ClassVar[int] = 6
    LAYOUT: ClassVar[str] = "ussso"
    id: int
    label: str
    source: str
    bindings: str
    overrides: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Run a pipeline over a grid of workgroups; `uniform` fills the `u` binding.

    `uniform` holds all words of the shader's uniform, and is empty if it has none. In a stored list `buffers`
    are slots.
    """

    TAG: ClassVar[int] = 7
    LAYOUT: ClassVar[str] = "uuuui*"
    pipeline: int
    gx: int
    gy: int
    gz: int
    buffers: tuple[int, ...]
    uniform: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Routine:
    """Call `Hello.routines[routine]`; in a stored list `buffers` are slots."""

    TAG: ClassVar[int] = 8
    LAYOUT: ClassVar[str] = "ui*"
    routine: int
    buffers: tuple[int, ...]
    parameters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """Ask for bytes of a buffer as they are after every earlier command."""

    TAG: ClassVar[int] = 9
    LAYOUT: ClassVar[str] = "uuuu"
    token: int
    id: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Store:
    """Keep a list of Copy, Dispatch, Routine and Window whose buffers are numbered slots."""

    TAG: ClassVar[int] = 10
    LAYOUT: ClassVar[str] = "uuc"
    list_id: int
    n_slots: int
    commands: "tuple[Nested, ...]"


@dataclass(frozen=True, slots=True)
class Replay:
    """Run a stored list with `slots` as its buffers.

    `patches` are pairs (index, word) that first change the stored uniform words permanently; the index counts
    through the uniform words of all the list's dispatches in order.
    """

    TAG: ClassVar[int] = 11
    LAYOUT: ClassVar[str] = "ui*"
    list_id: int
    slots: tuple[int, ...]
    patches: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget stored lists."""

    TAG: ClassVar[int] = 12
    LAYOUT: ClassVar[str] = "*"
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DropPipeline:
    """Forget pipelines; lists stored with them still run."""

    TAG: ClassVar[int] = 13
    LAYOUT: ClassVar[str] = "*"
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Give a number to a part of a slot, which later dispatches of a stored list may bind.

    The first window of a list has the number `n_slots`. `offset` is a multiple of WINDOW_ALIGNMENT.
    """

    TAG: ClassVar[int] = 14
    LAYOUT: ClassVar[str] = "uuu"
    slot: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class TimedReplay:
    """Do what a Replay does, each dispatch apart from the others, and measure each.

    The answer to `token`, which is read as that of a Read, has two 64-bit numbers for each dispatch or routine
    of the list: when it began and ended, in nanoseconds. A host can do it if its features have TIMERS.
    """

    TAG: ClassVar[int] = 15
    LAYOUT: ClassVar[str] = "uui*"
    token: int
    list_id: int
    slots: tuple[int, ...]
    patches: tuple[int, ...] = ()


TIMERS = "timestamp-query"
"""The feature of hosts that measure kernels."""
WINDOW_ALIGNMENT = 256
"""The alignment in bytes of a binding's offset that every WebGPU device accepts."""

Nested: TypeAlias = Copy | Dispatch | Routine | Window
Command: TypeAlias = (
    Alloc | Free | Write | WriteBlob | Copy | Pipeline | Dispatch | Routine | Read | Store | Replay | Drop
    | DropPipeline | Window | TimedReplay
)  # fmt: skip

COMMANDS: tuple[type[Command], ...] = get_args(Command)
BY_TAG: dict[int, type[Command]] = {command.TAG: command for command in COMMANDS}


@dataclass(frozen=True, slots=True)
class Adapter:
    """The GPU that a host runs on, as its driver describes it; `software` means no real GPU."""

    name: str = ""
    vendor: str = ""
    architecture: str = ""
    device: str = ""
    description: str = ""
    backend: str = ""
    software: bool = False


@dataclass(frozen=True, slots=True)
class Hello:
    """What a host is and can do; sent once, when it is connected.

    `limits` has WebGPU's names in snake case (`max_buffer_size`, ...), `features`
    WebGPU's names (`"shader-f16"`), `routines` the names that `Routine` counts through.
    """

    protocol: int
    language: str
    limits: Mapping[str, int]
    features: frozenset[str] = frozenset()
    routines: tuple[str, ...] = ()
    adapter: Adapter = field(default_factory=Adapter)


LIMITS: dict[str, int] = {
    "max_buffer_size": 268435456,
    "max_storage_buffer_binding_size": 134217728,
    "max_storage_buffers_per_shader_stage": 8,
    "max_uniform_buffer_binding_size": 65536,
    "max_compute_workgroup_size_x": 256,
    "max_compute_workgroup_size_y": 256,
    "max_compute_workgroup_size_z": 64,
    "max_compute_invocations_per_workgroup": 256,
    "max_compute_workgroup_storage_size": 16384,
    "max_compute_workgroups_per_dimension": 65535,
    "min_uniform_buffer_offset_alignment": 256,
}
"""The limits of `Hello`, with the values every WebGPU device has at least."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure on a host, found at once or some packets later.

    `kind` is "validation", "compile", "memory", "lost" or "protocol". `packet` counts the host's submits from
    1, and is 0 if unknown; `command` is the index in the packet, and -1 if unknown.
    """

    kind: str
    message: str
    pipeline: int = 0
    command: int = -1
    packet: int = 0
