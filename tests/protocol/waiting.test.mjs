// Pipelines are compiled in the background: what waits for one, and what does not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Bridge } from "../../web/bridge/tabgrad.js";
import { MOST_PACKETS } from "../../web/bridge/waiting.js";
import { FakeDevice, Heap } from "./gpu.mjs";

/** A device that compiles in the background, each pipeline until `compiled` is called with its label. */
class SlowDevice extends FakeDevice {
  constructor() {
    super();
    this.coming = new Map();
  }

  createComputePipelineAsync({ label }) {
    this.log.push(`begin '${label}'`);
    return new Promise((resolve, reject) => {
      this.coming.set(label, { resolve: () => resolve({ label }), reject });
    });
  }

  async compiled(...labels) {
    for (const label of labels) this.coming.get(label).resolve();
    await turns();
  }
}

const turns = () => new Promise((resolve) => setTimeout(resolve, 0));

const [
  ALLOC,
  FREE,
  WRITE,
  BLOB,
  COPY,
  PIPELINE,
  DISPATCH,
  READ,
  STORE,
  REPLAY,
  DROP,
  DROP_PIPELINE,
] = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13];

const packed = (...commands) =>
  commands.flatMap(([tag, ...payload]) => [tag | (payload.length << 8), ...payload]);

const text = (string) => {
  const bytes = Buffer.alloc((Buffer.byteLength(string) + 3) & -4);
  bytes.write(string);
  return [Buffer.byteLength(string), ...new Uint32Array(new Uint8Array(bytes).buffer)];
};
/** A pipeline whose label and source are `name`. */
const pipeline = (id, name, bindings) => [
  PIPELINE,
  id,
  ...text(name),
  ...text(name),
  ...text(bindings),
  0,
];
const dispatch = (id, buffers, words = []) => [
  DISPATCH,
  id,
  1,
  1,
  1,
  buffers.length,
  ...buffers,
  ...words,
];
/** A list of dispatches: [pipeline, slots, words]. */
const store = (id, slots, ...steps) => [
  STORE,
  id,
  slots,
  ...packed(...steps.map((step) => dispatch(...step))),
];
const replay = (id, slots, patches = []) => [REPLAY, id, slots.length, ...slots, ...patches];

function start(device = new SlowDevice(), diagnose = false) {
  const heap = new Heap();
  const bridge = new Bridge(heap, device, {}, diagnose);
  const send = (...commands) => {
    const words = packed(...commands);
    const bytes = new Uint8Array(Uint32Array.of(0x74616267, 1, commands.length, ...words).buffer);
    const memory = heap.put(bytes);
    bridge.pin(memory);
    const submits = bridge.submit(bytes.length);
    // Python writes the next packet over this one.
    memory.getBuffer("u8").data.fill(0xff);
    return submits;
  };
  const blob = (...bytes) => {
    const memory = heap.put(Uint8Array.from(bytes));
    bridge.blob(memory);
    return memory.getBuffer("u8").data;
  };
  send(...[1, 2, 3, 4].map((id) => [ALLOC, id, 16]));
  device.log.length = 0;
  return { bridge, device, send, blob, log: device.log };
}

const done = (log, pattern = /^(use|write b[1-9]|copy|submit|destroy b[1-9]|dispatch)/) =>
  log.filter((line) => pattern.test(line));

test("what needs no pipeline that is coming does not wait", async () => {
  const { bridge, device, send, log } = start();
  assert.equal(
    send(pipeline(1, "slow", "rw"), dispatch(1, [1, 2]), [READ, 10, 2, 0, 4], [READ, 11, 1, 0, 4]),
    2,
  );
  assert.deepEqual(done(log), ["copy b1 +0 to b5 +0: 4", "submit 1"], "the read of an operand");
  assert.equal(await bridge.wait(11, 1000), 0);
  send([READ, 12, 3, 0, 4], [WRITE, 4, 0, 4, 7]);
  assert.equal(await bridge.wait(12, 1000), 0, "a buffer that no waiting command has");
  assert.ok(log.includes("write b4 +0: 07000000"));
  assert.equal(await bridge.wait(10, 5), 1, "its own read has a deadline");
  assert.ok(!log.includes("use 'slow'"));
  log.length = 0;
  await device.compiled("slow");
  assert.equal(await bridge.wait(10, 1000), 0);
  assert.deepEqual(done(log).slice(0, 2), ["use 'slow'", "dispatch 1x1x1"]);
  assert.equal(bridge.take(10).length, 4);
  assert.deepEqual(bridge.takeFaults(), []);
});

test("all pipelines of a packet are begun at once, equal ones once, and foreseen ones before", async () => {
  const { bridge, device, send, log } = start();
  bridge.foresee("b", "b", "w", "{}");
  assert.deepEqual(done(log, /^(begin|submit)/), ["begin 'b'", "submit 0"]);
  send(pipeline(1, "a", "w"), pipeline(2, "b", "w"), pipeline(3, "a", "w"), dispatch(3, [1]));
  assert.deepEqual(done(log, /^begin/), ["begin 'b'", "begin 'a'"]);
  await device.compiled("a", "b");
  assert.deepEqual(done(log, /^(pipeline|use)/), ["use 'a'"]);
  assert.equal(bridge.encoding.library.unnamed.size, 0);
  send([DROP_PIPELINE, 1, 2, 3]);
  assert.equal(bridge.encoding.library.compiled.size, 0);
});

test("what shares a buffer with a waiting command keeps its order if one of them writes it", async () => {
  const { device, send, log } = start();
  send(pipeline(1, "slow", "rw"), pipeline(2, "fast", "rw"));
  await device.compiled("fast");
  send(dispatch(1, [1, 2])); // reads 1, writes 2
  send(dispatch(2, [1, 3])); // shares what it reads: goes on
  assert.deepEqual(done(log, /^use/), ["use 'fast'"]);
  send([WRITE, 1, 0, 4, 5]); // read before
  send(dispatch(2, [2, 4])); // written before
  send([COPY, 4, 0, 3, 0, 4]); // waits for what waits
  send([FREE, 2]);
  send([WRITE, 3, 8, 4, 6]);
  assert.deepEqual(done(log, /^(use|write b[1-9]|copy|destroy)/), ["use 'fast'"]);
  log.length = 0;
  await device.compiled("slow");
  assert.deepEqual(done(log), [
    ...["use 'slow'", "dispatch 1x1x1", "submit 1"],
    "write b1 +0: 05000000",
    ...["use 'fast'", "dispatch 1x1x1", "submit 1"],
    ...["copy b4 +0 to b3 +0: 4", "submit 1"],
    "destroy b2",
    "write b3 +8: 06000000",
  ]);
});

test("replays of a list keep their order, because their patches persist", async () => {
  const { device, send, log } = start();
  send(pipeline(1, "a", "rwu"), pipeline(2, "slow", "w"), store(1, 2, [1, [0, 1], [7]]));
  await device.compiled("a");
  send(dispatch(2, [1]));
  send(replay(1, [1, 2], [0, 70])); // waits for buffer 1
  send(replay(1, [3, 4])); // shares nothing but the list
  assert.deepEqual(done(log, /^use/), []);
  await device.compiled("slow");
  const words = done(log, /^write b0/).map((line) => line.slice(13, 21));
  assert.deepEqual(words, ["46000000", "46000000"]);
});

test("a list, a pipeline and a buffer of waiting commands are there for the check of later packets", async () => {
  const { bridge, device, send, log } = start();
  send(pipeline(1, "slow", "rw"), store(1, 2, [1, [0, 1]]), [DROP, 1], [FREE, 4]);
  assert.equal(send(replay(1, [1, 2])), 0);
  assert.match(bridge.takeFaults()[0].message, /unknown list 1/);
  send(store(1, 2, [1, [0, 1]]), replay(1, [1, 2]), [FREE, 2], [READ, 10, 3, 0, 4]);
  assert.equal(send([WRITE, 2, 0, 4, 1]), 0);
  assert.match(bridge.takeFaults()[0].message, /unknown buffer 2/);
  assert.equal(send([READ, 10, 3, 0, 4]), 0);
  assert.match(bridge.takeFaults()[0].message, /read token 10 exists already/);
  assert.equal(send(dispatch(1, [1])), 0);
  assert.match(bridge.takeFaults()[0].message, /pipeline 1 takes 2 buffers/);
  send([ALLOC, 2, 32], [WRITE, 2, 16, 4, 9]);
  log.length = 0;
  await device.compiled("slow");
  assert.deepEqual(done(log, /^(use|destroy|buffer|write b)/), [
    "use 'slow'",
    "destroy b2",
    "buffer b6: 32 bytes, usage 140",
    "write b6 +16: 09000000",
  ]);
  for (const ids of [bridge.encoding.buffers, bridge.encoding.lists, bridge.encoding.pipelines]) {
    assert.equal(ids.ahead.size, 0);
  }
  assert.deepEqual(bridge.takeFaults(), []);
});

test("the bytes of what waits are copied", async () => {
  const { device, send, blob, log } = start();
  send(pipeline(1, "slow", "w"), dispatch(1, [1]), dispatch(1, [2]));
  const [first, second, third] = [blob(9, 9, 9, 9), blob(1, 2, 3, 4), blob(5, 6, 7, 8)];
  send([BLOB, 3, 0, 4, 0], [BLOB, 1, 0, 4, 1], [WRITE, 1, 4, 4, 5], [BLOB, 2, 8, 4, 2]);
  for (const bytes of [first, second, third]) bytes.fill(0);
  assert.deepEqual(done(log, /^write/), ["write b3 +0: 09090909"]);
  log.length = 0;
  await device.compiled("slow");
  assert.deepEqual(done(log, /^write/), [
    "write b1 +0: 01020304",
    "write b1 +4: 05000000",
    "write b2 +8: 05060708",
  ]);
});

test("a pipeline that fails is a fault of the packet that defines it", async () => {
  const { bridge, device, send, log } = start();
  device.messages = [{ lineNum: 1, linePos: 4, type: "error", message: "no such thing" }];
  send([WRITE, 1, 0, 4, 1], pipeline(7, "broken", "w"), dispatch(7, [1]), [READ, 10, 1, 0, 4]);
  send([READ, 11, 2, 0, 4]);
  assert.equal(await bridge.wait(11, 1000), 0);
  assert.deepEqual(bridge.takeFaults(), []);
  const settled = bridge.settle(1000);
  device.coming.get("broken").reject(new Error("no"));
  device.createComputePipeline = ({ label }) => {
    log.push(`again '${label}'`);
    device.errors = [null, null, { message: "invalid" }];
    return { label };
  };
  assert.equal(await settled, 0);
  const [fault, ...more] = bridge.takeFaults();
  assert.deepEqual([fault.kind, fault.pipeline, fault.command, fault.packet], ["compile", 7, 1, 2]);
  assert.match(fault.message, /kernel 'broken' does not compile:\n1:4 error: no such thing/);
  assert.deepEqual(more, []);
  assert.equal(bridge.encoding.library.compiled.size, 0, "the next attempt fails by itself");
});

test("a loss while pipelines are coming ends every wait", async () => {
  const { bridge, device, send } = start();
  send(pipeline(1, "slow", "w"), dispatch(1, [1]), [READ, 10, 1, 0, 4]);
  const [reading, settling] = [bridge.wait(10, 10_000), bridge.settle(10_000)];
  device.lose({ reason: "unknown", message: "gone" });
  assert.equal(await reading, 2);
  assert.equal(await settling, 2);
  assert.deepEqual(
    bridge.takeFaults().map(({ kind }) => kind),
    ["lost"],
  );
  await device.compiled("slow");
  assert.deepEqual(done(device.log, /^use/), []);
  assert.equal(bridge.waiting.parts.length, 0);
});

test("closing while pipelines are coming leaves nothing behind", async () => {
  const { bridge, device, send, log } = start();
  send(pipeline(1, "slow", "w"), dispatch(1, [1]));
  bridge.close();
  log.length = 0;
  await device.compiled("slow");
  assert.deepEqual(log, []);
});

test("a read that is given up while it waits takes no staging buffer", async () => {
  const { bridge, device, send, log } = start();
  send(pipeline(1, "slow", "w"), dispatch(1, [1]), [READ, 10, 1, 0, 4]);
  bridge.done(10);
  await device.compiled("slow");
  assert.deepEqual(done(log, /^(use|copy|buffer)/), ["use 'slow'"]);
  assert.equal(bridge.encoding.promised.size, 0);
  send([READ, 10, 1, 0, 4]);
  assert.equal(await bridge.wait(10, 1000), 0, "its token is free");
});

test("where too much waits, what is missing is compiled at once", async () => {
  const { bridge, device, send, log } = start();
  send(pipeline(1, "slow", "w"), dispatch(1, [1]));
  for (let i = 1; i <= MOST_PACKETS; i++) {
    assert.ok(!log.includes("use 'slow'"));
    send([WRITE, 1, 0, 4, i]);
  }
  assert.ok(log.includes("pipeline 'slow' {}"));
  const writes = done(log, /^write b1/);
  assert.equal(writes.length, MOST_PACKETS);
  assert.equal(writes.at(-1), `write b1 +0: ${MOST_PACKETS.toString(16)}000000`);
  assert.equal(bridge.waiting.parts.length, 0);
  await device.compiled("slow");
  send(dispatch(1, [2]));
  assert.deepEqual(bridge.takeFaults(), []);
});

test("an error in the middle of what waited leaves no read without an answer", async () => {
  const { bridge, device, send } = start();
  send(pipeline(1, "slow", "w"), dispatch(1, [1]), [READ, 10, 1, 0, 4]);
  device.createCommandEncoder = () => {
    throw new Error("no encoder");
  };
  await device.compiled("slow");
  device.createCommandEncoder = FakeDevice.prototype.createCommandEncoder;
  assert.equal(await bridge.wait(10, 1000), 3);
  assert.match(bridge.takeFaults()[0].message, /no encoder/);
});

test("diagnosing compiles each pipeline where it is defined", () => {
  const { send, log } = start(new SlowDevice(), true);
  send(pipeline(1, "a", "w"), dispatch(1, [1]));
  assert.deepEqual(done(log, /^(begin|pipeline|use)/), ["pipeline 'a' {}", "use 'a'"]);
});

test("pipelines for later hold nothing up, and one that fails says so once", async () => {
  const { bridge, device, send } = start();
  bridge.compileSoon("later", "later", "w", "{}");
  bridge.compileSoon("never", "never", "w", "{}");
  assert.equal(bridge.compiling(), 2);
  assert.equal(send([READ, 10, 1, 0, 4]), 1);
  assert.equal(await bridge.wait(10, 1000), 0);
  device.coming.get("never").reject(new Error("no"));
  await device.compiled("later");
  assert.deepEqual([bridge.compiling(), bridge.compiling()], [-1, 0]);
  assert.deepEqual(bridge.takeFaults(), []);
});
