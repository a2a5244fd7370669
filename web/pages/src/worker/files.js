/** The files that the page hands over: the worker has no other way to any. */

/** @typedef {Extract<import("../messages.js").ToWorker, { type: "file" }>} Given */
/** @typedef {Extract<import("../messages.js").FromWorker, { type: "need" }>["name"]} Asked */
/** @typedef {{ resolve(bytes: ArrayBuffer): void, reject(error: Error): void }} Waiting */

export class Files {
  /** @param {(name: Asked) => void} ask has the page hand over a file */
  constructor(ask) {
    this.ask = ask;
  }

  /** @type {Map<string, Promise<ArrayBuffer>>} */
  promises = new Map();
  /** @type {Map<string, Waiting>} */
  waiting = new Map();

  /** The bytes of a file that the page is asked for. @param {Asked} name */
  need(name) {
    this.ask(name);
    return this.get(name);
  }

  /** The bytes of a file, as soon as they are there. @param {string} name */
  get(name) {
    const known = this.promises.get(name);
    if (known) return known;
    const promise = new Promise((resolve, reject) => this.waiting.set(name, { resolve, reject }));
    // Whoever asks for it gets the error; until then it is not unhandled.
    promise.catch(() => {});
    this.promises.set(name, promise);
    return promise;
  }

  /** @param {Given} file */
  take({ name, bytes, error }) {
    this.get(name);
    const waiting = this.waiting.get(name);
    this.waiting.delete(name);
    if (bytes) waiting?.resolve(bytes);
    else waiting?.reject(new Error(error));
  }

  /** Let go of the bytes of a file. @param {string} name */
  forget(name) {
    this.promises.delete(name);
  }
}
