"""What the laws of hosts are tested with: a host, an encoder, new ids, and a few kernels.

Nothing here needs pytest, because the same laws run inside Pyodide.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Awaitable, Sequence

from tabgrad.hosts.commands import Dispatch, Fault, Pipeline
from tabgrad.hosts.encoder import Encoder

READ_SECONDS = 30.0

SCALE_WGSL = """\
struct Params { n: u32, factor: f32 }
override WX: u32 = 64u;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(WX)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.n) { y[id.x] = x[id.x] * params.factor; }
}
"""
SCALE_CUDA = """\
extern "C" __global__ void main_kernel(const float* x, float* y, const unsigned int* u) {
  unsigned int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < u[0]) y[i] = x[i] * __uint_as_float(u[1]);
}
"""

INCREMENT_WGSL = """\
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3u) { x[id.x] = x[id.x] + 1.0; }
"""
INCREMENT_CUDA = """\
extern "C" __global__ void main_kernel(float* x) {
  if (threadIdx.x == 0) x[blockIdx.x] += 1.0f;
}
"""

FILL_WGSL = """\
struct Params { values: array<vec4f, 80> }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3u) { x[id.x] = params.values[id.x / 4u][id.x % 4u]; }
"""
FILL_CUDA = """\
extern "C" __global__ void main_kernel(float* x, const unsigned int* u) {
  if (threadIdx.x == 0) x[blockIdx.x] = __uint_as_float(u[blockIdx.x]);
}
"""

OVERRIDE_WGSL = """\
override N: u32 = 1u;
override SHIFT: f32 = 0.5;
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(1)
fn main() { x[0] = f32(N) + SHIFT; }
"""
OVERRIDE_CUDA = """\
extern "C" __global__ void main_kernel(float* x) {
  if (threadIdx.x == 0) x[0] = (float)(N) + (float)(SHIFT);
}
"""

SPIN_WGSL = """\
struct Params { rounds: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  var v = x[id.x % 4u];
  for (var i = 0u; i < params.rounds; i++) { v = v * 1664525u + 1013904223u; }
  x[id.x % 4u] = v;
}
"""
SPIN_CUDA = """\
extern "C" __global__ void main_kernel(unsigned int* x, const unsigned int* u) {
  unsigned int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned int v = x[i % 4u];
  for (unsigned int k = 0u; k < u[0]; k++) { v = v * 1664525u + 1013904223u; }
  x[i % 4u] = v;
}
"""

# Two kernels of one layout, of which the second makes do with far smaller buffers.
WIDE_WGSL = """\
struct Params { values: array<vec4u, 49> }
@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<uniform> params: Params;
@compute @workgroup_size(1)
fn main() { x[0] = bitcast<vec4f>(params.values[48]); }
"""
NARROW_WGSL = """\
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<uniform> value: f32;
@compute @workgroup_size(1)
fn main() { x[0] = value; }
"""

BROKEN_WGSL = "@compute @workgroup_size(1)\nfn main() {\n  let x = no_such_name;\n}\n"
BROKEN_CUDA = 'extern "C" __global__ void main_kernel() {\n  int x = no_such_name;\n}\n'

KERNELS = {
    "scale": ("rwu", SCALE_WGSL, SCALE_CUDA),
    "increment": ("w", INCREMENT_WGSL, INCREMENT_CUDA),
    "fill": ("wu", FILL_WGSL, FILL_CUDA),
    "override": ("w", OVERRIDE_WGSL, OVERRIDE_CUDA),
    "spin": ("wu", SPIN_WGSL, SPIN_CUDA),
    "wide": ("wu", WIDE_WGSL, ""),
    "narrow": ("wu", NARROW_WGSL, ""),
    "broken": ("", BROKEN_WGSL, BROKEN_CUDA),
}


def word(value: float) -> int:
    """The bits of a float32."""
    bits: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return bits


def floats(*values: float) -> bytes:
    return array("f", values).tobytes()


class Bench:
    """One host under test."""

    last_id = 0

    def __init__(self, host: object) -> None:
        self.host = host
        self.encoder = Encoder()
        self.cuda = host.hello.language == "cuda"

    @classmethod
    def id(cls) -> int:
        """A number not used before."""
        cls.last_id += 1
        return cls.last_id

    def buffer(self, data: bytes = b"", nbytes: int = 0) -> int:
        """Allocate a buffer of `data`, or of `nbytes`."""
        number = self.id()
        self.encoder.alloc(number, len(data) or nbytes)
        if data:
            self.encoder.write(number, 0, data)
        return number

    def source(self, name: str) -> str:
        return KERNELS[name][2 if self.cuda else 1]

    def kernel(self, name: str, **overrides: float) -> int:
        """Compile one of the kernels above, one thread to a block unless it says otherwise."""
        number = self.id()
        if self.cuda:
            overrides = {"WX": 64 if name in ("scale", "spin") else 1, **overrides}
        bindings = KERNELS[name][0]
        self.encoder.pipeline(number, name, self.source(name), bindings, overrides)
        return number

    def send(self) -> int:
        """Submit what was encoded; returns how many queue submits it took."""
        packet, nbytes, blobs = self.encoder.finish()
        submits: int = self.host.submit(packet, nbytes, blobs)
        self.encoder.reset()
        return submits

    def ask(self, buffer: int, nbytes: int, offset: int = 0) -> int:
        """Encode a read and return its token."""
        token = self.id()
        self.encoder.read(token, buffer, offset, nbytes)
        return token

    async def answer(self, token: int) -> bytes:
        data = await self.host.read_async(token, READ_SECONDS)
        assert isinstance(data, bytes)
        return data

    async def read(self, buffer: int, nbytes: int, offset: int = 0) -> bytes:
        """Read bytes now."""
        token = self.ask(buffer, nbytes, offset)
        self.send()
        return await self.answer(token)

    async def floats(self, buffer: int, n: int, offset: int = 0) -> list[float]:
        return array("f", await self.read(buffer, 4 * n, offset)).tolist()

    async def faults(self) -> list[Fault]:
        """The faults of all that was submitted."""
        if not self.host.lost:
            await self.host.synchronize_async(READ_SECONDS)
        faults: list[Fault] = self.host.faults()
        return faults

    async def only_fault(self) -> Fault:
        faults = await self.faults()
        assert len(faults) == 1, faults
        return faults[0]

    async def usable(self) -> None:
        """Check that nothing is left of an earlier fault."""
        x = self.buffer(floats(2, 4))
        y = self.buffer(nbytes=8)
        self.encoder.dispatch(self.kernel("scale"), (1, 1, 1), (x, y), (2, word(0.5)))
        assert await self.floats(y, 2) == [1, 2]
        assert await self.faults() == []


class Emulator:
    """Gives the recording host the meaning of the kernels above: its `run`."""

    def __init__(self) -> None:
        self.pipelines: dict[int, Pipeline] = {}

    def __call__(self, command: Dispatch, buffers: Sequence[bytearray]) -> None:
        pipeline = self.pipelines[command.pipeline]
        n_groups = command.gx * command.gy * command.gz
        views = [memoryview(buffer).cast("f") for buffer in buffers]
        if pipeline.label == "scale" and n_groups:
            n, bits = command.uniform
            factor = struct.unpack("<f", struct.pack("<I", bits))[0]
            for i in range(n):
                views[1][i] = views[0][i] * factor
        elif pipeline.label == "increment":
            for i in range(n_groups):
                views[0][i] += 1
        elif pipeline.label == "fill":
            words = memoryview(buffers[0]).cast("I")
            for i in range(n_groups):
                words[i] = command.uniform[i]
        elif pipeline.label == "override":
            given = {"N": 1.0, "SHIFT": 0.5, **dict(pipeline.overrides)}
            views[0][0] = given["N"] + given["SHIFT"]


async def raises(kind: type[Exception], awaitable: Awaitable[object]) -> Exception:
    """The exception of `kind` that awaiting raises."""
    try:
        value = await awaitable
    except kind as error:
        return error
    raise AssertionError(f"expected {kind.__name__}, got {value!r}")
