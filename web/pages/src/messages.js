/**
 * What the page and the worker in its frame say to each other. Data only: nothing that comes out of
 * the worker is ever run or read as HTML, and nothing is taken for what it should be unseen.
 *
 * @typedef {{ type: "start", interrupt: SharedArrayBuffer | null }
 *   | { type: "file", name: string, bytes: ArrayBuffer | null, error: string }
 *   | ({ type: "run" } & Program)
 *   | { type: "press", space: string, name: string }
 *   | { type: "set", space: string, name: string, value: Value }
 *   | { type: "pause", wait: boolean }
 *   | { type: "stop" }
 *   | { type: "call", id: number, space: string, name: string, values: number[] }
 *   | { type: "weights", id: number, space: string, name: string }} ToWorker
 *   `start` comes from the frame, all else from the page; a `file` comes in pieces, and ends with one that has no
 *   bytes; `press` calls a function of a program that has
 *   run, as a run of its own; `weights` asks for a model that it has published
 *
 * @typedef {number | string | boolean} Value  of a control
 *
 * @typedef {{ name: string, source: string, space: string, seed: number | null, device: "auto" | "cpu",
 *   values: Record<string, Value> }} Program
 *   `space` is where its names stay until the next run there; `values` those of controls, which replace
 *   the first constants that the program gives to these names
 *
 * @typedef {"html" | "svg" | "png" | "text"} Form  what is shown: PNG as base64
 *
 * @typedef {ToWorker | { type: "interrupt" }} ToFrame
 *
 * @typedef {{ kind: "webgpu" | "cpu", name: string, software: boolean, reason: string }} Device
 *   `reason` says why there is no WebGPU; empty if there is
 *
 * @typedef {{ event: "start", bar: number, time: number, total: number | null, desc: string }
 *   | { event: "update", bar: number, time: number, n: number }
 *   | { event: "log", bar: number, time: number, n: number, values: Record<string, number> }
 *   | { event: "end", bar: number, time: number }
 *   | { event: "publish", names: string[], weights: string[] }} ProgressEvent
 *   times in milliseconds; `weights` are the names of what can be saved
 *
 * @typedef {{ stream: "out" | "err", text: string }} Piece  of what a program prints
 *
 * @typedef {{ type: "stage", stage: "library" | "numpy" | "ready" }
 *   | { type: "need", name: "numpy.whl" | "python_stdlib.zip" | "tabgrad.zip" }
 *   | { type: "device", device: Device }
 *   | { type: "output", pieces: Piece[] }
 *   | { type: "progress", events: ProgressEvent[] }
 *   | { type: "lost", message: string }
 *   | { type: "done", outcome: Outcome }
 *   | { type: "shown", place: string, form: Form, data: string, label: string }
 *   | { type: "hint", text: string, offer: "" | "torch" }
 *   | { type: "fit", space: string, name: string, why: string }
 *   | { type: "unbound", space: string, name: string }
 *   | { type: "answer", id: number, values: number[] | null, bytes: Uint8Array | null, error: string }
 *   | { type: "failed", message: string }} FromWorker
 *   `lost`: the device is gone; `shown`: what is in a place replaces what was there; `hint`: what to do about an
 *   error, and whether the page can offer `import torch`; `fit`: why a name can't take the value of a control, ""
 *   if it has taken it; `unbound`: the program gives no constant to the name of a control
 *
 * @typedef {"finished" | "failed" | "stopped"} Outcome
 */

const MOST_ITEMS = 4096; // in a list of a message; our worker sends fewer
const MOST_VALUES = 100; // in one log; our worker's program raises at more
const MOST_IN_ALL = 1 << 18; // items and values of a whole message
const LONGEST = 1 << 17; // characters of a text
const LONGEST_NAME = 100;
const LARGEST = 2_000_000; // characters of what is shown
const HEAVIEST = 1 << 28; // bytes of a file

/** Thrown inside `read` alone. */
class Malformed extends Error {}

/** @returns {never} */
function refuse() {
  throw new Malformed();
}

/** How many more items and values the message that is read may have. */
let left = MOST_IN_ALL;

const spend = (n = 1) => {
  left -= n;
  if (left < 0) refuse();
};

/** @param {unknown} value @returns {Record<string, unknown>} */
const record = (value) =>
  typeof value === "object" && value !== null
    ? /** @type {Record<string, unknown>} */ (value)
    : refuse();

/** @param {unknown} value */
const number = (value) => (typeof value === "number" ? value : refuse());

/** @param {unknown} value */
const finite = (value) => (Number.isFinite(value) ? number(value) : refuse());

/** @param {unknown} value */
const text = (value, longest = LONGEST) =>
  typeof value === "string" ? value.slice(-longest) : refuse();

/** @param {unknown} value */
const name = (value) => text(value, LONGEST_NAME);

/**
 * @template T
 * @param {unknown} value @param {T[]} choices
 */
const oneOf = (value, ...choices) => choices.find((choice) => choice === value) ?? refuse();

/**
 * @template T
 * @param {unknown} value @param {(item: unknown) => T} item
 */
const list = (value, item) => {
  if (!Array.isArray(value) || value.length > MOST_ITEMS) refuse();
  spend(value.length);
  return Array.from(value, item);
};

/** @param {unknown} value */
const logged = (value) => {
  const given = record(value);
  const keys = Object.keys(given);
  if (keys.length > MOST_VALUES) refuse();
  spend(keys.length);
  return Object.fromEntries(keys.map((key) => [name(key), number(given[key])]));
};

/** @param {unknown} value @returns {Piece} */
function piece(value) {
  const { stream, text: written } = record(value);
  return { stream: oneOf(stream, "out", "err"), text: text(written) };
}

/** @param {unknown} value @returns {Device} */
function device(value) {
  const { kind, name: named, software, reason } = record(value);
  return {
    kind: oneOf(kind, "webgpu", "cpu"),
    name: name(named),
    software: oneOf(software, true, false),
    reason: text(reason, 1000),
  };
}

/** @param {unknown} value @returns {ProgressEvent} */
function progress(value) {
  const event = record(value);
  const kind = oneOf(event.event, "start", "update", "log", "end", "publish");
  if (kind === "publish") {
    return { event: kind, names: list(event.names, name), weights: list(event.weights, name) };
  }
  const [bar, time] = [finite(event.bar), finite(event.time)];
  if (kind === "end") return { event: kind, bar, time };
  if (kind === "start") {
    const total = event.total === null ? null : finite(event.total);
    return { event: kind, bar, time, total, desc: name(event.desc) };
  }
  const n = finite(event.n);
  if (kind === "update") return { event: kind, bar, time, n };
  return { event: kind, bar, time, n, values: logged(event.values) };
}

/** All of a text: what is cut would not be what was sent. @param {unknown} value */
const whole = (value) => (typeof value === "string" && value.length <= LARGEST ? value : refuse());

/** A copy, in memory that nobody else has. @param {unknown} value */
function bytes(value) {
  if (!(value instanceof Uint8Array) || value.byteLength > HEAVIEST) refuse();
  return new Uint8Array(/** @type {Uint8Array} */ (value));
}

/** @type {{ [T in FromWorker["type"]]: (data: Record<string, unknown>) => Extract<FromWorker, { type: T }> }} */
const readers = {
  stage: ({ stage }) => ({
    type: "stage",
    stage: oneOf(stage, "library", "numpy", "ready"),
  }),
  need: (data) => ({
    type: "need",
    name: oneOf(data.name, "numpy.whl", "python_stdlib.zip", "tabgrad.zip"),
  }),
  device: (data) => ({ type: "device", device: device(data.device) }),
  output: ({ pieces }) => ({ type: "output", pieces: list(pieces, piece) }),
  progress: ({ events }) => ({ type: "progress", events: list(events, progress) }),
  lost: ({ message }) => ({ type: "lost", message: text(message, 1000) }),
  shown: ({ place, form, data, label }) => ({
    type: "shown",
    place: name(place),
    form: oneOf(form, "html", "svg", "png", "text"),
    data: whole(data),
    label: name(label),
  }),
  hint: ({ text: words, offer }) => ({
    type: "hint",
    text: text(words, 1000),
    offer: oneOf(offer, "", "torch"),
  }),
  fit: (data) => ({
    ...{ type: "fit", space: name(data.space), name: name(data.name), why: text(data.why, 1000) },
  }),
  unbound: (data) => ({ type: "unbound", space: name(data.space), name: name(data.name) }),
  done: ({ outcome }) => ({
    type: "done",
    outcome: oneOf(outcome, "finished", "failed", "stopped"),
  }),
  answer: ({ id, values, bytes: file, error }) => ({
    type: "answer",
    id: finite(id),
    values: values === null ? null : list(values, number),
    bytes: file === null ? null : bytes(file),
    error: text(error),
  }),
  failed: ({ message }) => ({ type: "failed", message: text(message) }),
};

/**
 * The message that `data` is; null if it is none, whoever made it.
 * @param {unknown} data
 * @returns {FromWorker | null}
 */
export function read(data) {
  try {
    left = MOST_IN_ALL;
    const message = record(data);
    const type = /** @type {FromWorker["type"]} */ (message.type);
    return Object.hasOwn(readers, type) ? readers[type](message) : null;
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}
