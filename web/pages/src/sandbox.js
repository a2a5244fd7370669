/** The frame that holds a worker, as the page sees it: messages to it and from it, and files for it. */

/// <reference path="./text.d.ts" />
import frameSource from "text:frame.js";
import workerSource from "text:worker/worker.js";

/** @typedef {import("./messages.js").ToFrame} ToFrame */

// The worker needs no network: the page fetches the files that Python is made of, and hands them over.
// `blob:` is for modules that are made inside, out of those files.
const POLICY =
  "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:; worker-src data:";
const DOCUMENT = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${POLICY}"><script>${frameSource}</script>`;

/** Where the files lie, from the page. @type {Record<string, string>} */
const FILES = {
  "pyodide.asm.mjs": "pyodide/pyodide.asm.mjs",
  "pyodide.asm.wasm": "pyodide/pyodide.asm.wasm",
  "python_stdlib.zip": "pyodide/python_stdlib.zip",
  "pyodide-lock.json": "pyodide/pyodide-lock.json",
};

export class Sandbox {
  /** @param {URL} base where the page lies @param {(data: unknown) => void} receive */
  constructor(base, receive) {
    this.base = base;
    const { port1, port2 } = new MessageChannel();
    this.port = port1;
    port1.onmessage = ({ data }) => receive(data);
    const frame = document.createElement("iframe");
    frame.hidden = true;
    frame.title = "Python";
    frame.setAttribute("sandbox", "allow-scripts");
    frame.allow = "cross-origin-isolated";
    frame.srcdoc = DOCUMENT;
    const enter = () => frame.contentWindow?.postMessage(workerSource, "*", [port2]);
    frame.addEventListener("load", enter, { once: true });
    this.frame = frame;
    /** @type {Promise<Record<string, string>>} the names of the wheels */
    this.wheels = this.fetch("wheels/index.json").then((answer) => answer.json());
    for (const [name, path] of Object.entries(FILES)) this.give(name, Promise.resolve(path));
    for (const name of ["tabgrad", "bytecode"]) this.giveWheel(name);
    document.body.append(frame);
  }

  /** @param {ToFrame} message @param {Transferable[]} transfer */
  send(message, transfer = []) {
    this.port.postMessage(message, transfer);
  }

  /** End the worker, whatever it does. */
  close() {
    this.port.close();
    this.frame.remove();
  }

  /** @param {string} name of a wheel: "tabgrad", "bytecode" or "numpy" */
  giveWheel(name) {
    this.give(
      name,
      this.wheels.then((wheels) => `wheels/${wheels[name]}`),
    );
  }

  /** Hand a file to the worker under a name. @param {string} name @param {Promise<string>} path */
  async give(name, path) {
    try {
      const bytes = await (await this.fetch(await path)).arrayBuffer();
      this.send({ type: "file", name, bytes, error: "" }, [bytes]);
    } catch (error) {
      this.send({ type: "file", name, bytes: null, error: String(error) });
    }
  }

  /** @param {string} path */
  async fetch(path) {
    const url = new URL(path, this.base);
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url.pathname} is missing (${response.status})`);
    return response;
  }
}
