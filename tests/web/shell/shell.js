/** What a test driver sees of Python: `startPython`, `callPython`, and reports sent to `report`. */

import { start } from "./python.js";

/** @typedef {{ report(text: string): void }} Driver  the function that Playwright exposes */

/** @param {object} message */
const send = (message) =>
  /** @type {Driver} */ (/** @type {unknown} */ (globalThis)).report(JSON.stringify(message));

/** @type {(call: import("./python.js").Call) => void} */
let call = () => {
  throw new Error("Python has not been started");
};

/** @param {import("./python.js").Options} options */
function startInWorker(options) {
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }) => send(data));
  worker.addEventListener("error", (event) =>
    send({ id: 0, kind: "broken", text: `the worker failed: ${event.message}` }),
  );
  worker.postMessage(options);
  call = (message) => worker.postMessage(message);
}

/** @param {import("./python.js").Options} options */
async function startOnPage(options) {
  try {
    call = await start(options, send);
    send({ id: 0, kind: "ready", text: "" });
  } catch (error) {
    send({ id: 0, kind: "broken", text: String(error) });
  }
}

Object.assign(globalThis, {
  startPython: (/** @type {{ thread: string, options: any }} */ { thread, options }) => {
    // Not awaited: the driver waits for reports, under a deadline of its own.
    if (thread === "worker") startInWorker(options);
    else void startOnPage(options);
  },
  callPython: (/** @type {import("./python.js").Call} */ message) => void call(message),
});
