/** The frame that holds a worker, as the page sees it: messages to it and from it, and files for it. */

/// <reference path="./text.d.ts" />
import frameSource from "text:frame.js";

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
};

export class Sandbox {
  /** @param {URL} base where the page lies @param {(data: unknown) => void} receive */
  constructor(base, receive) {
    this.base = base;
    const frame = document.createElement("iframe");
    frame.hidden = true;
    frame.title = "Python";
    frame.setAttribute("sandbox", "allow-scripts");
    frame.allow = "cross-origin-isolated";
    frame.srcdoc = DOCUMENT;
    this.frame = frame;
    this.closed = new AbortController();
    /** @type {Promise<MessagePort>} */
    this.port = new Promise((resolve) => {
      const enter = (/** @type {MessageEvent} */ { source, ports: [port] }) => {
        if (!port || source !== frame.contentWindow) return;
        port.onmessage = ({ data }) => receive(data);
        resolve(port);
      };
      addEventListener("message", enter, { signal: this.closed.signal });
    });
    /** @type {Promise<Record<string, string>>} the names of the wheels */
    this.wheels = this.fetch("wheels/index.json").then((answer) => answer.json());
    for (const [name, path] of Object.entries(FILES)) this.give(name, Promise.resolve(path));
    for (const name of ["tabgrad", "bytecode"]) this.giveWheel(name);
    document.body.append(frame);
  }

  /** @param {ToFrame} message @param {Transferable[]} transfer */
  send(message, transfer = []) {
    this.port.then((port) => port.postMessage(message, transfer));
  }

  /** End the worker, whatever it does. */
  close() {
    this.closed.abort();
    this.port.then((port) => port.close());
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
