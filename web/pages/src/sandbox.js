/** The frame that holds a worker, as the page sees it: messages to it and from it, and files for it. */

import { download } from "./download.js";

/** @typedef {import("./messages.js").ToFrame} ToFrame */
/**
 * @typedef {{
 *   fill(frame: HTMLIFrameElement): void,
 *   python: Record<string, { file: string, size: number }>,
 *   early?: import("./early.js").Early,
 * }} Keeper  `fill` gives a frame its document, which keeps the worker; `python` has the names and sizes of the
 *   files in `python/`; `early` those that are on their way
 */

/** The files that Python starts from; it asks for others when it needs them. */
const FILES = ["pyodide.asm.mjs", "pyodide.asm.wasm", "snapshot.bin"];
const BLOCKED = 3000; // milliseconds after which the script of a loaded frame has run, or never will
const PIECE = 1 << 20; // bytes: what is unpacked by then is laid out while more of it comes

export class Sandbox {
  /** @param {URL} base where `python/` lies @param {Keeper} keeper @param {(data: unknown) => void} receive */
  constructor(base, keeper, receive) {
    this.base = base;
    this.python = keeper.python;
    this.early = keeper.early;
    const frame = document.createElement("iframe");
    frame.hidden = true;
    frame.title = "Python";
    frame.setAttribute("sandbox", "allow-scripts");
    frame.allow = "cross-origin-isolated";
    keeper.fill(frame);
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
    /** Called with how many of all bytes are here. @type {(bytes: number, all: number) => void} */
    this.loading = () => {};
    /** Called if the browser shows no such frame. @type {(why: string) => void} */
    this.refused = () => {};
    this.bytes = 0;
    this.guard();
    document.body.append(frame);
    for (const name of FILES) this.give(name);
  }

  /** Tell if the frame is loaded, and its script is not there: a browser says of a blocked frame only that. */
  guard() {
    let entered = false;
    this.port.then(() => {
      entered = true;
    });
    const loaded = () =>
      setTimeout(() => {
        if (entered || this.closed.signal.aborted) return;
        this.refused(
          "This browser has blocked the frame that Python runs in; its console says why. Most often it is a " +
            "header or policy of the host, or an extension",
        );
      }, BLOCKED);
    this.frame.addEventListener("load", loaded, { signal: this.closed.signal });
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

  /** Hand a file to the worker under a name, piece by piece. @param {string} name */
  async give(name) {
    const said = { type: /** @type {const} */ ("file"), name };
    try {
      for await (const { buffer } of this.pieces(name)) {
        this.send({ ...said, bytes: buffer, error: "" }, [buffer]);
      }
      this.send({ ...said, bytes: null, error: "" });
    } catch (error) {
      this.send({ ...said, bytes: null, error: String(error) });
    }
  }

  /** @param {string} name */
  async *pieces(name) {
    const { file = name, size = 0 } = this.python[name] ?? {};
    const url = new URL(`python/${file}`, this.base);
    const early = this.early?.get(name);
    this.early?.delete(name);
    const response = await (early ?? download(url));
    if (!response.ok || !response.body) {
      throw new Error(`${url.pathname} is missing (${response.status})`);
    }
    let left = size;
    let piece = new Uint8Array(Math.min(PIECE, left));
    let filled = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      if (value.length > left) throw new Error(`${url.pathname} is not what was built`);
      this.count(name, value.length);
      left -= value.length;
      for (let from = 0; from < value.length; ) {
        const part = value.subarray(from, from + piece.length - filled);
        piece.set(part, filled);
        from += part.length;
        filled += part.length;
        if (filled < piece.length) continue;
        yield piece;
        piece = new Uint8Array(Math.min(PIECE, left + value.length - from));
        filled = 0;
      }
    }
    if (left > 0) throw new Error(`${url.pathname} is cut off`);
  }

  /** @param {string} name @param {number} length */
  count(name, length) {
    if (!FILES.includes(name)) return;
    this.bytes += length;
    const all = FILES.reduce((sum, each) => sum + (this.python[each]?.size ?? 0), 0);
    this.loading(this.bytes, all);
  }
}
