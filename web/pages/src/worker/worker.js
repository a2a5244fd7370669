/** The page's worker: Python and the GPU live here, so that the page never waits for them. */

import { findDevice } from "./adapter.js";
import { Shelf, startPython, startRunner } from "./boot.js";
import { Output } from "./output.js";

/** @typedef {import("../messages.js").ToWorker} ToWorker */
/** @typedef {import("../messages.js").FromWorker} FromWorker */

/** @param {FromWorker} message */
const tell = (message) => globalThis.postMessage(message);

const output = new Output((stream, text) => tell({ type: "output", stream, text }));

let stopping = false;

// A message to oneself comes after all that the page has sent before.
const channel = new MessageChannel();
/** @type {(() => void)[]} */
const pausing = [];
channel.port1.onmessage = () => pausing.shift()?.();

/** @type {import("./boot.js").Page} */
const page = {
  emit: (json) => tell({ type: "progress", events: JSON.parse(json) }),
  pause: () =>
    new Promise((resolve) => {
      pausing.push(resolve);
      channel.port2.postMessage(0);
    }),
  stopping: () => stopping,
};

/** @param {Extract<ToWorker, { type: "start" }>} message */
async function start({ base: href, interrupt }) {
  const base = new URL(href);
  const shelf = new Shelf(base);
  tell({ type: "stage", stage: "python" });
  const [device, pyodide] = await Promise.all([
    findDevice().then((found) => {
      tell({ type: "device", device: found });
      return found;
    }),
    startPython(base),
  ]);
  watch(pyodide);
  pyodide.setStdout({ write: output.writer("out") });
  pyodide.setStderr({ write: output.writer("err") });
  if (interrupt) pyodide.setInterruptBuffer(new Uint8Array(interrupt));
  tell({ type: "stage", stage: "library" });
  await shelf.loadTabgrad(pyodide);
  const runner = startRunner(pyodide, page, shelf);
  if (device.kind === "cpu") {
    tell({ type: "stage", stage: "numpy" });
    await shelf.loadNumPy(pyodide);
  }
  tell({ type: "stage", stage: "ready" });
  return { runner, device };
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

/** @param {Extract<ToWorker, { type: "run" }>} message */
async function run({ name, source }) {
  if (!started) return;
  const { runner, device } = await started;
  stopping = false;
  const outcome = await runner.run(source, name, device.kind === "cpu" ? "cpu" : null);
  output.flush();
  tell({ type: "done", outcome: /** @type {import("../messages.js").Outcome} */ (outcome) });
}

/** @param {Extract<ToWorker, { type: "call" }>} message */
async function call({ id, name, values }) {
  if (!started) return;
  const { runner } = await started;
  try {
    tell({ type: "answer", id, values: await runner.call(name, values), error: "" });
  } catch (error) {
    tell({ type: "answer", id, values: null, error: String(error) });
  }
}

/** @param {unknown} error */
const failed = (error) => tell({ type: "failed", message: String(error) });

addEventListener("message", (/** @type {MessageEvent<ToWorker>} */ { data }) => {
  if (data.type === "start") {
    started = start(data);
    started.catch(failed);
  } else if (data.type === "run") run(data).catch(failed);
  else if (data.type === "call") call(data).catch(failed);
  else {
    stopping = true;
    started?.then(({ runner }) => runner.cancel()).catch(failed);
  }
});
