/**
 * The keeper of the worker: the one script of the frame that holds it. The frame is sandboxed, so its
 * origin is nobody's, and its policy, which the worker inherits, knows no network.
 */

/// <reference path="./text.d.ts" />
import source from "text:worker/worker.js";

/** @typedef {import("./messages.js").ToFrame} ToFrame */

// How many messages the worker may send: so many at once, and so many more each millisecond. Ours
// sends less than one a millisecond; a program that got hold of a way to send is ended by its flood
// before the page feels it.
const AT_ONCE = 1000;
const EACH_MILLISECOND = 1;

const { port1: page, port2 } = new MessageChannel();
// This document may be a file of a site. Opened by itself it would be of that site's origin, and keeps nothing.
if (globalThis.origin !== "null") throw new Error("this frame must be sandboxed");
keep();
// Which origin the page has cannot be known here, and nothing is told it but the way in.
parent.postMessage("entered", "*", [port2]);

function keep() {
  // Of an isolated page the frame is isolated too: then Python's own signals can be set from here.
  const interrupt = globalThis.crossOriginIsolated ? new SharedArrayBuffer(1) : null;
  const signal = interrupt && new Uint8Array(interrupt);
  // From a blob of an origin like this one the browser starts no worker that has WebGPU.
  const address = `data:text/javascript;charset=utf-8,${encodeURIComponent(source)}`;
  const worker = new Worker(address, { type: "module", name: "python" });
  let allowance = AT_ONCE;
  let last = performance.now();

  /** @param {string} message */
  const end = (message) => {
    worker.onmessage = null;
    worker.terminate();
    page.postMessage({ type: "failed", message });
  };
  worker.onmessage = ({ data }) => {
    const now = performance.now();
    allowance = Math.min(allowance + (now - last) * EACH_MILLISECOND, AT_ONCE) - 1;
    last = now;
    if (allowance < 0) end("The program flooded the page with messages");
    else page.postMessage(data);
  };
  worker.onerror = ({ message }) => end(message || "The worker could not be loaded");

  page.onmessage = (/** @type {MessageEvent<ToFrame>} */ { data }) => {
    if (data.type === "interrupt") {
      if (signal) signal[0] = 2; // SIGINT
      return;
    }
    if (data.type === "run" && signal) signal[0] = 0;
    worker.postMessage(data, data.type === "file" && data.bytes ? [data.bytes] : []);
  };
  worker.postMessage({ type: "start", interrupt });
}
