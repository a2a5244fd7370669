/** The page's worker: Python and the GPU live here, so that the page never waits for them. */

import { findDevice } from "./adapter.js";
import { loadNumPy, startPython, startRunner } from "./boot.js";
import { deny } from "./deny.js";
import { Files } from "./files.js";
import { Output } from "./output.js";
import { watchTimers } from "./timers.js";

/** @typedef {import("../messages.js").ToWorker} ToWorker */
/** @typedef {import("../messages.js").FromWorker} FromWorker */
/** @typedef {import("../messages.js").Form} Form */
/** @typedef {import("../messages.js").Outcome} Outcome */

// Bound before a program can change what they are looked up in.
/** @type {(message: FromWorker) => void} */
const tell = globalThis.postMessage.bind(globalThis);
const { data: described } = Object.getOwnPropertyDescriptors(MessageEvent.prototype);
const read = Function.prototype.call.bind(/** @type {() => unknown} */ (described.get));

const output = new Output((pieces) => tell({ type: "output", pieces }));
const files = new Files((name) => tell({ type: "need", name }));

// Milliseconds after which the rest of Python's library is fetched, asked for or not.
const PATIENCE = 1000;
const SIGINT = 2;

let stopping = false;
let paused = false;
let running = false;
/** Where Python looks whether it is interrupted. @type {Uint8Array | null} */
let signal = null;
let endTimers = () => {};
/** What is asked of a program that has run. @type {Set<Promise<void>>} */
const calls = new Set();

// A message to oneself comes after all that the page has sent before.
const channel = new MessageChannel();
/** @type {(() => void)[]} */
const pausing = [];
channel.port1.onmessage = goOn;
const beckon = channel.port2.postMessage.bind(channel.port2, 0);

/** Let Python go on, unless the page wants it to wait. */
function goOn() {
  if (!paused || stopping) for (const resolve of pausing.splice(0)) resolve();
}

/** @param {import("./boot.js").Started} started @returns {import("./boot.js").Page} */
const pageFor = ({ pyodide, library }) => ({
  get library() {
    return library.there ? undefined : library.begin();
  },
  emit: (events) => {
    output.flush(); // what was printed before comes before
    tell({ type: "progress", events });
  },
  show: (place, form, data, label) => {
    output.flush();
    tell({ type: "shown", place, form: /** @type {Form} */ (form), data, label });
  },
  hint: (text, offer) => {
    output.flush();
    tell({ type: "hint", text, offer: offer === "torch" ? "torch" : "" });
  },
  fit: (space, name, why) => tell({ type: "fit", space, name, why }),
  unbound: (space, name) => tell({ type: "unbound", space, name }),
  lost: (message) => tell({ type: "lost", message }),
  mid_line: () => output.midLine,
  pause: () =>
    new Promise((resolve) => {
      pausing.push(resolve);
      beckon();
    }),
  stopping: () => stopping,
  postpone: () => {
    if (running && signal) signal[0] = SIGINT;
  },
  load_numpy: async () => {
    files.need("numpy.whl");
    try {
      await library.begin();
      await loadNumPy(files, pyodide);
    } finally {
      files.forget("numpy.whl"); // or the next import would find what went wrong with this one
    }
  },
});

/** @param {Extract<ToWorker, { type: "start" }>} message */
async function start({ interrupt }) {
  const [device, begun] = await Promise.all([
    findDevice().then((found) => {
      tell({ type: "device", device: found });
      return found;
    }),
    startPython(files),
  ]);
  const { pyodide, library } = begun;
  watch(pyodide);
  pyodide.setStdout({ write: output.writer("out") });
  pyodide.setStderr({ write: output.writer("err") });
  signal = interrupt && new Uint8Array(interrupt);
  if (signal) pyodide.setInterruptBuffer(signal);
  tell({ type: "stage", stage: "library" });
  deny();
  const page = pageFor(begun);
  const runner = startRunner(pyodide, page);
  if (device.kind === "cpu") {
    tell({ type: "stage", stage: "numpy" });
    await page.load_numpy();
  }
  tell({ type: "stage", stage: "ready" });
  const later = setTimeout;
  endTimers = watchTimers();
  // a program that starts at once, and imports nothing more, has the machine for itself until then
  later(() => library.begin(), PATIENCE);
  return { runner, device, library };
}

/** A fatal error of Python settles no promise: the page must hear of it. @param {object} pyodide */
function watch(pyodide) {
  /** @type {{ _api?: { on_fatal?: (error: unknown) => void } }} */
  const { _api } = pyodide;
  if (!_api) return;
  _api.on_fatal = (error) => {
    output.flush();
    tell({ type: "failed", message: `Python broke down: ${error}` });
  };
}

/** @type {ReturnType<typeof start> | undefined} */
let started;

/** @param {Extract<ToWorker, { type: "run" | "press" }>} message */
async function run(message) {
  if (!started) return;
  const { runner, device, library } = await started;
  stopping = false;
  await Promise.all(calls);
  if (message.type === "run") endTimers();
  running = true;
  const outcome = await (message.type === "press"
    ? runner.press(message.space, message.name)
    : runner.run(message, device.kind === "cpu" || message.device === "cpu" ? "cpu" : null));
  running = false;
  if (outcome === "stopped") endTimers();
  output.flush();
  if (library.gone) {
    tell({ type: "failed", message: "The program has removed files of Python itself" });
    return;
  }
  tell({ type: "done", outcome: /** @type {Outcome} */ (outcome) });
  library.begin();
}

/** @param {Extract<ToWorker, { type: "call" | "weights" }>} message */
async function call(message) {
  if (!started) return;
  const { runner } = await started;
  const { type, id, space, name } = message;
  const answer = { type: /** @type {const} */ ("answer"), id, values: null, bytes: null };
  try {
    if (type === "call") {
      const values = await runner.call(space, name, message.values);
      tell({ ...answer, values, error: "" });
    } else tell({ ...answer, bytes: await runner.weights(space, name), error: "" });
  } catch (error) {
    tell({ ...answer, error: error instanceof Error ? error.message : String(error) });
  }
}

/** Let Python wait at its next step of progress, or go on. @param {boolean} wait */
function pause(wait) {
  paused = wait;
  goOn();
}

/** @param {ToWorker} message */
async function act(message) {
  if (message.type === "run" || message.type === "press") await run(message);
  else if (message.type === "call" || message.type === "weights") {
    const asked = call(message);
    calls.add(asked);
    await asked.finally(() => calls.delete(asked));
  } else if (message.type === "pause") pause(message.wait);
  else if (message.type === "set") {
    (await started)?.runner.set(message.space, message.name, message.value);
  } else if (message.type === "stop") {
    stopping = true;
    goOn();
    (await started)?.runner.cancel();
  }
}

// What a program's callbacks throw ends nothing: it is shown.
addEventListener("error", (event) => {
  if (!started) return;
  event.preventDefault();
  output.write("err", `${event.message}\n`);
});
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  output.write("err", `Uncaught (in promise) ${event.reason}\n`);
});

/** @param {unknown} error */
const failed = (error) => tell({ type: "failed", message: String(error) });

addEventListener("message", (event) => {
  // A program may send its own worker events, but none that the browser vouches for.
  if (!event.isTrusted) return;
  const message = /** @type {ToWorker} */ (read(event));
  if (message.type === "file") files.take(message);
  else if (message.type === "start") {
    started ??= start(message);
    started.catch(failed);
  } else act(message).catch(failed);
});
