// The bridge over the vectors that the Python hosts are held to as well.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { GROUPS } from "../../web/bridge/groups.js";
import { KEPT_BYTES } from "../../web/bridge/staging.js";
import { Bridge, connect } from "../../web/bridge/tabgrad.js";
import { FakeDevice, Heap } from "./gpu.mjs";

const file = readFileSync(new URL("vectors.jsonl", import.meta.url), "utf8");
const lines = file
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));
const ofKind = (kind) => lines.filter((vector) => vector.kind === kind);
const setup = ofKind("setup")[0].hex;
const good = Object.fromEntries(ofKind("good").map((vector) => [vector.name, vector]));

function start({ diagnose = false, timers = false } = {}) {
  const device = new FakeDevice();
  if (timers) device.features.add("timestamp-query");
  const heap = new Heap();
  const bridge = new Bridge(heap, device, {}, diagnose);
  device.log.length = 0;
  const send = (hex, blobs = []) => {
    const bytes = Buffer.from(hex, "hex");
    bridge.pin(heap.put(bytes));
    for (const blob of blobs) bridge.blob(heap.put(Buffer.from(blob, "hex")));
    return bridge.submit(bytes.length);
  };
  return { bridge, device, send, log: device.log };
}

const packetOf = (...commands) => {
  const words = commands.flatMap(([tag, ...payload]) => [tag | (payload.length << 8), ...payload]);
  return Buffer.from(Uint32Array.of(0x74616267, 1, commands.length, ...words).buffer).toString(
    "hex",
  );
};

for (const { name, hex, blobs } of Object.values(good)) {
  test(`good: ${name}`, async () => {
    const { bridge, send } = start({ timers: true });
    send(hex, blobs);
    await bridge.settled;
    assert.deepEqual(bridge.takeFaults(), []);
  });
}

for (const { name, hex, blobs, message, command } of ofKind("malformed")) {
  test(`malformed: ${name}`, () => {
    const { bridge, send, log } = start();
    assert.equal(send(setup), 1);
    log.length = 0;
    assert.equal(send(hex, blobs), 0);
    assert.deepEqual(bridge.takeFaults(), [
      { kind: "protocol", message, pipeline: 0, command, packet: 2 },
    ]);
    assert.deepEqual(log, [], "nothing of a refused packet may run");
    // Ids of the refused packet are free, and those of the setup alive.
    const follow = packetOf([1, 9, 16], [1, 8, 16], [11, 1, 2, 1, 2], [9, 9, 1, 0, 4]);
    assert.equal(send(follow), 1);
    assert.deepEqual(bridge.takeFaults(), []);
  });
}

test("text, floats and letters of a pipeline", () => {
  const { send, log } = start();
  send(good.pipeline.hex);
  assert.deepEqual(log, [
    `module 'größe ×': "fn main() {}\\n"`,
    `pipeline 'größe ×' {"WX":64,"é":-0.5}`,
    `module '': ""`,
    "pipeline '' {}",
  ]);
});

test("writes and blobs take their bytes from the heap", () => {
  const { send, log } = start();
  send(good.write.hex);
  assert.deepEqual(log, ["buffer b1: 16 bytes, usage 140", "write b1 +4: 6162636465666768"]);
  log.length = 0;
  const other = start();
  other.send(good.blob.hex, good.blob.blobs);
  assert.deepEqual(other.log, [
    "buffer b1: 16 bytes, usage 140",
    "write b1 +8: 61626364",
    "write b1 +0: 3031323334353637",
  ]);
});

test("one pass, one write of all uniform words, one submit", () => {
  const { send, log } = start();
  assert.equal(send(good.dispatch.hex), 1);
  const from = log.indexOf("pass");
  const uniform = `write b0 +0: ${"00000000ffffffff05000000".padEnd(512, "0")}`;
  assert.deepEqual(log.slice(from - 1), [
    "group b1 b2",
    "pass",
    "use 'a'",
    "bind b1 b2",
    "dispatch 3x2x1",
    "group b2 b0:256",
    "use 'b'",
    "bind b2 b0:256 @0",
    "dispatch 65535x1x4294967295",
    "end",
    uniform,
    "submit 1",
  ]);
});

test("a list is replayed with patches that persist, copies between dispatches", () => {
  const { send, log } = start();
  send(setup);
  log.length = 0;
  const words = (...slots) =>
    slots.flatMap((list) => [...list, ...Array(64 - list.length).fill(0)]);
  const hexOf = (list) => Buffer.from(Uint32Array.from(list).buffer).toString("hex");
  assert.equal(send(packetOf([11, 1, 2, 1, 2], [11, 1, 2, 2, 1, 0, 70, 2, 90])), 1);
  assert.deepEqual(log, [
    "group b1 b2 b0:256",
    "group b2 b1 b0:256",
    "pass",
    "use 'scaled'",
    "bind b1 b2 b0:256 @0",
    "dispatch 1x1x1",
    "end",
    "copy b1 +0 to b2 +8: 8",
    "pass",
    "use 'scaled'",
    "bind b2 b1 b0:256 @256",
    "dispatch 1x1x1",
    "use 'scaled'",
    "bind b2 b1 b0:256 @512",
    "dispatch 1x1x1",
    "end",
    "copy b2 +0 to b1 +8: 8",
    "pass",
    "use 'scaled'",
    "bind b1 b2 b0:256 @768",
    "dispatch 1x1x1",
    "end",
    `write b0 +0: ${hexOf(words([7, 8], [9], [70, 8], [90]))}`,
    "submit 1",
  ]);
  log.length = 0;
  send(packetOf([11, 1, 2, 1, 2]));
  assert.ok(log.includes(`write b0 +0: ${hexOf(words([70, 8], [90]))}`));
  assert.ok(!log.some((line) => line.startsWith("group")), "bind groups are kept");
});

test("dispatches are timed each in a pass of its own, and copies go between them", async () => {
  const { bridge, send, log } = start({ timers: true });
  send(setup);
  log.length = 0;
  assert.equal(send(packetOf([15, 5, 1, 2, 1, 2, 0, 70])), 1);
  const timed = log.filter((line) => /^(pass|end|use|dispatch|copy|resolve|submit)/.test(line));
  const one = (n) => [`pass timed ${n} ${n + 1}`, "use 'scaled'", "dispatch 1x1x1", "end"];
  assert.deepEqual(timed.slice(0, 5), [...one(0), timed[4]]);
  assert.match(timed[4], /^copy .*: 8$/);
  assert.deepEqual(timed.slice(5, 10), [...one(2), "resolve 0 to 4"]);
  assert.match(timed[10], /^copy .*: 32$/);
  assert.deepEqual(timed.slice(11), ["submit 1"]);
  assert.equal(await bridge.wait(5, 1000), 0);
  assert.equal(bridge.take(5).length, 32);
});

test("windows bind parts of buffers, and their groups live with the table", () => {
  const { bridge, send, log } = start();
  send(good.windows.hex);
  assert.deepEqual(
    log.filter((line) => line.startsWith("group") || line.startsWith("bind")),
    [
      "group b1+256:512 b2",
      "group b1+768:256 b2",
      "group b1+256:512 b1+768:256",
      "bind b1+256:512 b2",
      "bind b1+768:256 b2",
      "bind b1+256:512 b1+768:256",
    ],
  );
  log.length = 0;
  send(packetOf([11, 1, 2, 1, 2]));
  assert.ok(!log.some((line) => line.startsWith("group")), "bind groups are kept");
  send(packetOf([2, 2], [1, 5, 16], [11, 1, 2, 1, 5]));
  assert.equal(log.filter((line) => line.startsWith("group")).length, 3);
  assert.deepEqual(bridge.takeFaults(), []);
});

test("freeing a buffer forgets its bind groups and slot tables", () => {
  const { bridge, send, log } = start();
  send(setup);
  send(packetOf([11, 1, 2, 1, 2]));
  assert.equal(bridge.encoding.groups.kept.size, 2);
  send(packetOf([2, 1]));
  assert.equal(bridge.encoding.groups.kept.size, 0);
  assert.deepEqual(bridge.encoding.lists.alive(1).tables, []);
  assert.equal(bridge.encoding.buffers.alive(2).tables.size, 0);
  assert.equal(bridge.encoding.buffers.alive(2).groups.size, 0);
  log.length = 0;
  send(packetOf([1, 5, 16], [11, 1, 2, 5, 2]));
  assert.equal(log.filter((line) => line.startsWith("group")).length, 2);
  assert.deepEqual(bridge.takeFaults(), []);
});

test("buffers are destroyed after the submit that uses them", () => {
  const { send, log } = start();
  send(setup);
  log.length = 0;
  send(packetOf([5, 1, 0, 2, 0, 4], [2, 1]));
  assert.deepEqual(log, ["copy b1 +0 to b2 +0: 4", "submit 1", "destroy b1"]);
});

test("a write to a buffer in use goes after a submit, another does not", () => {
  const { send, log } = start();
  send(setup);
  log.length = 0;
  assert.equal(send(packetOf([5, 1, 0, 2, 0, 4], [1, 3, 16], [3, 3, 0, 4, 7])), 1);
  assert.equal(send(packetOf([5, 1, 0, 2, 0, 4], [3, 1, 0, 4, 7], [5, 1, 0, 2, 0, 4])), 2);
  const copy = "copy b1 +0 to b2 +0: 4";
  assert.deepEqual(log.slice(-5), [copy, "submit 1", "write b1 +0: 07000000", copy, "submit 1"]);
});

test("more uniform words than the arena holds: it grows", () => {
  const { bridge, send, log } = start();
  send(setup);
  log.length = 0;
  const n = 3 + (1 << 18) / 256;
  const dispatches = Array.from({ length: n }, (_, i) => [7, 2, 1, 1, 1, 2, 1, 2, i]);
  assert.equal(send(packetOf(...dispatches)), 2);
  assert.equal(log.filter((line) => line.startsWith("dispatch")).length, n);
  const arenas = log.filter((line) => line.startsWith("buffer"));
  assert.deepEqual(arenas, ["buffer b4: 524288 bytes, usage 72"]);
  assert.deepEqual(bridge.takeFaults(), []);
});

test("staging buffers serve again", async () => {
  const { bridge, send, log } = start();
  send(setup);
  for (let token = 2; token < 6; token++) {
    send(packetOf([9, token, 1, 0, 8]));
    assert.equal(await bridge.wait(token, 1000), 0);
    assert.equal(bridge.take(token).length, 8);
    bridge.done(token);
    await bridge.settled;
  }
  assert.equal(
    log.filter((line) => line.startsWith("buffer") && line.endsWith("usage 9")).length,
    2,
  );
  assert.equal(await bridge.wait(77, 1000), 3, "an unknown token fails");
});

test("short answers are laid where Python says, long ones are taken", async () => {
  const { bridge, send } = start();
  send(setup);
  send(packetOf([9, 2, 1, 0, 8], [9, 3, 1, 0, 16], [9, 4, 1, 0, 0]));
  assert.equal(bridge.serve(2), -2, "not there yet");
  assert.equal(await bridge.wait(2, 1000), 0);
  const tray = bridge.heap.put(Buffer.alloc(12, 0xff));
  bridge.lay(tray);
  assert.equal(bridge.serve(2), 8);
  assert.deepEqual([...tray.getBuffer("u8").data], [...Array(8).fill(0), ...Array(4).fill(0xff)]);
  assert.equal(bridge.serve(2), -2, "it is forgotten");
  assert.equal(bridge.serve(3), -1, "those of the same packet are there too");
  assert.equal(bridge.take(3).length, 16);
  bridge.done(3);
  assert.equal(bridge.serve(4), 0);
  assert.equal(bridge.serve(77), -2);
  for (const free of bridge.encoding.staging.free.values()) {
    assert.equal(new Set(free).size, free.length, "each serves again once");
  }
});

test("equal pipelines are compiled once, and forgotten with the last of them", () => {
  const { bridge, send, log } = start();
  send(setup);
  const modules = () => log.filter((line) => line.startsWith("module")).length;
  const before = modules();
  const pipeline = (id) => {
    const [source, letters] = [Buffer.from("source\0\0"), Buffer.from("rw\0\0")];
    const of = (buffer) => [...new Uint32Array(new Uint8Array(buffer).buffer)];
    return [6, id, 0, 6, ...of(source), 2, ...of(letters), 0];
  };
  send(packetOf(pipeline(7), pipeline(8)));
  assert.equal(modules(), before);
  send(packetOf([13, 1, 7, 8]));
  assert.equal(bridge.encoding.library.compiled.size, 1);
  send(packetOf(pipeline(9)));
  assert.equal(modules(), before + 1);
});

test("a loss faults outstanding reads and everything later", async () => {
  const { bridge, device, send } = start();
  send(setup);
  const read = bridge.encoding.reads.alive(1);
  read.ready = new Promise(() => {});
  const waiting = bridge.wait(1, 10_000);
  device.lose({ reason: "unknown", message: "gone" });
  assert.equal(await waiting, 2);
  assert.equal(bridge.lost, true);
  assert.equal(send(packetOf([1, 5, 16])), 0);
  assert.equal(await bridge.wait(1, 10_000), 2);
  assert.equal(await bridge.settle(10_000), 2);
  const faults = bridge.takeFaults().map(({ kind, message }) => `${kind}: ${message}`);
  assert.deepEqual(faults, ["lost: the device is lost: gone", "lost: the device is lost"]);
});

test("a read that does not come has a deadline", async () => {
  const { bridge, send } = start();
  send(setup);
  bridge.encoding.reads.alive(1).ready = new Promise(() => {});
  assert.equal(await bridge.wait(1, 5), 1);
});

test("errors of the GPU become faults of their packet", async () => {
  const { bridge, device, send } = start();
  send(setup);
  await bridge.settled;
  device.errors = [null, null, { message: 'bad use of [ComputePipeline "scaled"]' }];
  send(packetOf([11, 1, 2, 1, 2]));
  await bridge.settled;
  const message = 'bad use of [ComputePipeline "scaled"]';
  assert.deepEqual(bridge.takeFaults(), [
    { kind: "validation", message, pipeline: 2, command: -1, packet: 2 },
  ]);
});

test("a compile fault holds the compiler's text and the source, and hides what follows", async () => {
  const { bridge, device, send } = start();
  device.messages = [{ lineNum: 1, linePos: 4, type: "error", message: "no such thing" }];
  const first = { message: "invalid" };
  device.errors = [null, null, first, null, null, null, null, null, first];
  send(good.pipeline.hex);
  await bridge.settled;
  const [fault, ...more] = bridge.takeFaults();
  assert.equal(fault.kind, "compile");
  assert.equal(fault.pipeline, 1);
  assert.equal(fault.command, 0);
  const text = "kernel 'größe ×' does not compile:\n1:4 error: no such thing\n   1 fn main() {}";
  assert.ok(fault.message.startsWith(text), fault.message);
  assert.deepEqual(more, []);
});

test("diagnosing submits each command by itself", () => {
  const { send } = start({ diagnose: true });
  assert.equal(send(good.dispatch.hex), 2);
});

/** Put `gpu` where a browser has it. */
test("the oldest bind groups go, and what is bound again is made again", () => {
  const { bridge, send, log } = start();
  send(setup);
  const { groups, buffers } = bridge.encoding;
  const n = GROUPS + 10;
  const ids = Array.from({ length: n }, (_, i) => 100 + i);
  send(packetOf(...ids.map((id) => [1, id, 16])));
  const [{ layout }] = bridge.encoding.pipelines.live.values();
  for (const id of ids) groups.find(layout, [id, 1], 0);
  assert.equal(groups.kept.size, GROUPS);
  assert.equal(buffers.alive(1).groups.size, GROUPS);
  assert.equal(buffers.alive(100).groups.size, 0);
  log.length = 0;
  groups.find(layout, [ids[n - 1], 1], 0); // the newest is kept
  assert.equal(log.length, 0);
  groups.find(layout, [ids[0], 1], 0); // the oldest is not
  assert.equal(log.length, 1);
  send(packetOf([2, ...ids]));
  assert.equal(groups.kept.size, 0);
  assert.equal(groups.byKey.size, 0);
});

test("staging buffers serve again, so many bytes of them", async () => {
  const { bridge, send, log } = start();
  const large = KEPT_BYTES / 2;
  send(packetOf([1, 1, large]));
  const read = async (...sizes) => {
    const tokens = sizes.map((_, i) => 10 + i);
    send(packetOf(...sizes.map((size, i) => [9, tokens[i], 1, 0, size])));
    for (const token of tokens) assert.equal(await bridge.wait(token, 1000), 0);
    log.length = 0;
    for (const token of tokens) bridge.done(token);
    await bridge.settle(1000);
    return log.filter((line) => line.startsWith("destroy")).length;
  };
  assert.equal(await read(16, large), 0);
  assert.equal(bridge.encoding.staging.nbytes, large + 256);
  assert.equal(await read(16, large), 0, "what is kept is taken");
  assert.equal(await read(large, large), 1, "two do not fit");
  assert.equal(await read(...Array(40).fill(16)), 0);
});

function browserWith(gpu) {
  Object.defineProperty(globalThis, "navigator", { value: { gpu }, configurable: true });
}

/** An adapter; `refuse` makes it refuse every device but one with the default limits. */
function adapterOf({ info, refuse = false, features = [] }) {
  const asked = [];
  const requestDevice = async (wanted) => {
    asked.push(wanted);
    if (refuse && wanted) throw new TypeError("refused");
    const device = new FakeDevice();
    device.features = new Set(wanted?.requiredFeatures);
    device.limits = { ...device.limits, ...wanted?.requiredLimits };
    return device;
  };
  const limits = { maxBufferSize: 1 << 30, maxStorageBuffersPerShaderStage: 10 };
  return { asked, info, limits, features: new Set(features), requestDevice };
}

test("connecting asks for all that the adapter has of what kernels use", async () => {
  const info = { vendor: "acme", architecture: "gen-9", device: "", description: "" };
  const adapter = adapterOf({ info, features: ["shader-f16", "depth-clip-control"] });
  browserWith({ requestAdapter: async () => adapter });
  const { hello } = await connect(new Heap());
  assert.deepEqual(adapter.asked[0].requiredFeatures, ["shader-f16"]);
  assert.deepEqual(adapter.asked[0].requiredLimits, adapter.limits);
  assert.deepEqual(hello.features, ["shader-f16"]);
  assert.equal(hello.limits.max_buffer_size, 1 << 30);
  assert.equal(hello.limits.max_storage_buffers_per_shader_stage, 10);
  assert.equal(hello.adapter.name, "acme gen-9");
  assert.equal(hello.adapter.software, false);
});

test("a device that is refused is asked for with the defaults, and needs no info", async () => {
  const adapter = adapterOf({ info: undefined, refuse: true, features: ["subgroups"] });
  browserWith({ requestAdapter: async () => adapter });
  const { hello } = await connect(new Heap());
  assert.equal(adapter.asked.length, 2);
  assert.deepEqual(hello.features, []);
  assert.equal(hello.adapter.name, "unknown adapter");
});

test("software adapters are known by name or by their own word", async () => {
  const softwareOf = async (info) => {
    browserWith({ requestAdapter: async () => adapterOf({ info }) });
    return (await connect(new Heap())).hello.adapter.software;
  };
  assert.equal(await softwareOf({ vendor: "google", architecture: "swiftshader" }), true);
  assert.equal(await softwareOf({ description: "llvmpipe (LLVM 15)" }), true);
  assert.equal(await softwareOf({ description: "Microsoft Basic Render Driver" }), true);
  assert.equal(await softwareOf({ vendor: "x", isFallbackAdapter: true }), true);
  assert.equal(await softwareOf({ vendor: "nvidia", isFallbackAdapter: false }), false);
});

test("no WebGPU and no adapter are told apart", async () => {
  browserWith(undefined);
  await assert.rejects(connect(new Heap()), /no WebGPU/);
  browserWith({ requestAdapter: async () => null });
  await assert.rejects(connect(new Heap()), /no adapter/);
});

test("an engine that looks at finished work only when something is submitted is asked, ever more rarely", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const { bridge, device, log } = start();
  let finished = false;
  let seen;
  const { queue } = device;
  queue.onSubmittedWorkDone = () =>
    new Promise((resolve) => {
      seen = resolve;
    });
  const { submit } = queue;
  queue.submit = (buffers) => {
    submit(buffers);
    if (finished) seen();
  };
  const waiting = bridge.settle(10_000);
  const pass = (milliseconds) => {
    for (const end = now + milliseconds; now < end; t.mock.timers.tick(1)) now++;
  };
  pass(1000);
  assert.ok(log.length > 4 && log.length < 60, `${log.length} submits in a second`);
  finished = true;
  pass(1000 / 8 + 1);
  assert.equal(await waiting, 0);
  const asked = log.length;
  pass(2000);
  assert.equal(log.length, asked, "nothing is submitted when nobody waits");
});
