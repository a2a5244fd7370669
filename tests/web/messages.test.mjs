// What the page takes for a message of its worker: what is whole, copied field by field, and nothing else.

import assert from "node:assert/strict";
import { test } from "node:test";
import { read } from "../../web/pages/src/messages.js";

const whole = [
  { type: "stage", stage: "ready" },
  { type: "need", name: "numpy.whl" },
  { type: "device", device: { kind: "cpu", name: "n", software: true, reason: "r" } },
  {
    type: "output",
    pieces: [
      { stream: "out", text: "a" },
      { stream: "err", text: "" },
    ],
  },
  { type: "progress", events: [] },
  { type: "progress", events: [{ event: "start", bar: 1, time: 2, total: null, desc: "d" }] },
  { type: "progress", events: [{ event: "update", bar: 1, time: 2, n: 3 }] },
  { type: "progress", events: [{ event: "end", bar: 1, time: 2 }] },
  { type: "progress", events: [{ event: "publish", names: ["predict"], weights: ["net"] }] },
  { type: "shown", place: "", form: "svg", data: "<svg></svg>", label: "Graph" },
  { type: "hint", text: "t", offer: "torch" },
  { type: "lost", message: "m" },
  { type: "done", outcome: "stopped" },
  { type: "answer", id: 1, values: null, bytes: null, error: "e" },
  { type: "failed", message: "m" },
];

for (const message of whole) {
  test(`taken: ${JSON.stringify(message)}`, () => {
    assert.deepEqual(read({ ...message, more: "dropped" }), message);
  });
  test(`with any field missing or of another kind it is none: ${JSON.stringify(message)}`, () => {
    for (const odd of breakings(message)) assert.equal(read(odd), null, JSON.stringify(odd));
  });
}

/** Copies of `value` in which one field, however deep, is gone or something else. */
function* breakings(value) {
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries())
      for (const odd of breakings(item)) yield value.with(i, odd);
  } else if (value && typeof value === "object") {
    for (const [name, field] of Object.entries(value)) {
      const { [name]: _, ...rest } = value;
      yield rest;
      for (const odd of breakings(field)) yield { ...value, [name]: odd };
    }
  }
  yield* [undefined, {}, () => 0, Symbol("s")];
  if (value !== null) yield new Map();
}

test("numbers that are none are values, and nothing else", () => {
  const log = (values, n = 1) => ({
    type: "progress",
    events: [{ event: "log", bar: 1, time: 2, n, values }],
  });
  const odd = log({ loss: Number.NaN, other: Number.POSITIVE_INFINITY });
  assert.deepEqual(read(odd), odd);
  assert.equal(read(log({}, Number.NaN)), null);
  assert.equal(read(log({ loss: "1" })), null);
  assert.deepEqual(Object.keys(read(log(JSON.parse('{"__proto__": 1}'))).events[0].values), [
    "__proto__",
  ]);
});

test("what is too long is cut, and too much is none", () => {
  const long = "a".repeat(1 << 20);
  const message = read({ type: "output", pieces: [{ stream: "out", text: long }] });
  assert.equal(message.pieces[0].text.length, 1 << 17);
  assert.equal(read({ type: "output", pieces: new Array(1e6) }), null);
  assert.equal(
    read({ type: "answer", id: 1, values: new Array(1e6).fill(0), bytes: null, error: "" }),
    null,
  );
});

test("a file is copied, and nothing else is one", () => {
  const answer = (bytes) => ({ type: "answer", id: 1, values: null, bytes, error: "" });
  const bytes = new Uint8Array([1, 2]);
  const taken = read(answer(bytes));
  assert.deepEqual(taken.bytes, bytes);
  assert.notEqual(taken.bytes.buffer, bytes.buffer);
  for (const odd of [[1, 2], "12", new Uint16Array(2), undefined])
    assert.equal(read(answer(odd)), null);
});

test("what is shown is whole or none", () => {
  const shown = (data) => ({ type: "shown", place: "", form: "html", data, label: "" });
  const most = "a".repeat(2_000_000);
  assert.deepEqual(read(shown(most)), shown(most));
  assert.equal(read(shown(`${most}a`)), null);
});

test("a message is bounded in all that it holds", () => {
  const values = (n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`v${i}`, i]));
  const log = (values) => ({ event: "log", bar: 1, time: 2, n: 1, values });
  const progress = (...events) => ({ type: "progress", events });
  const full = progress(log(values(100)));
  for (let i = 0; i < 3; i++) assert.deepEqual(read(full), full);
  assert.equal(read(progress(log(values(101)))), null);
  const many = values(1e6);
  const start = process.cpuUsage();
  assert.equal(read(progress(log(many))), null);
  assert.equal(read(progress(...new Array(4096).fill(log(values(100))))), null);
  const names = new Array(4096).fill("predict");
  assert.equal(
    read(progress(...new Array(4096).fill({ event: "publish", names, weights: [] }))),
    null,
  );
  // of the processor's time, which other processes don't change
  assert.ok(process.cpuUsage(start).user < 1_500_000);
  assert.deepEqual(read(full), full);
});

for (const odd of [
  null,
  undefined,
  1,
  "done",
  [],
  {},
  // the page says itself that Python starts: a worker's word would come after how much of it is loaded
  { type: "stage", stage: "python" },
  { type: "toString" },
  { type: "__proto__" },
]) {
  test(`none: ${JSON.stringify(odd)}`, () => assert.equal(read(odd), null));
}
