/** The files that the page hands over, piece by piece: the worker has no other way to any. */

/** @typedef {Extract<import("../messages.js").ToWorker, { type: "file" }>} Given */
/** @typedef {Extract<import("../messages.js").FromWorker, { type: "need" }>["name"]} Asked */

/** What has come of a file. */
class Arrival {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  pieces = [];
  /** @type {Error | null} */
  error = null;
  ended = false;
  /** @type {() => void} */
  wake = () => {};
  /** @type {Promise<void>} more of it, or its end */
  more = Promise.resolve();

  constructor() {
    this.expect();
  }

  expect() {
    this.more = new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  /** @param {Given} given */
  take({ bytes, error }) {
    if (bytes) this.pieces.push(new Uint8Array(bytes));
    else this.ended = true;
    if (error) this.error = new Error(error);
    this.wake();
    this.expect();
  }
}

export class Files {
  /** @param {(name: Asked) => void} ask has the page hand over a file */
  constructor(ask) {
    this.ask = ask;
  }

  /** @type {Map<string, Arrival>} */
  arrivals = new Map();

  /** @param {string} name */
  arrival(name) {
    const known = this.arrivals.get(name) ?? new Arrival();
    this.arrivals.set(name, known);
    return known;
  }

  /** The bytes of a file that the page is asked for. @param {Asked} name */
  need(name) {
    this.ask(name);
    return this.get(name);
  }

  /** The pieces of a file as they come; again from the first one for each who asks. @param {string} name */
  async *pieces(name) {
    const arrival = this.arrival(name);
    for (let count = 0; ; ) {
      const piece = arrival.pieces[count];
      if (piece) {
        count += 1;
        yield piece;
      } else if (arrival.error) throw arrival.error;
      else if (arrival.ended) return;
      else await arrival.more;
    }
  }

  /** The bytes of a file, as soon as all are there. @param {string} name */
  async get(name) {
    const pieces = [];
    for await (const piece of this.pieces(name)) pieces.push(piece);
    const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  /** A file as what `fetch` would give. @param {string} name @param {string} type */
  response(name, type) {
    const pieces = this.pieces(name);
    const body = new ReadableStream({
      async pull(controller) {
        const { done, value } = await pieces.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    });
    return new Response(body, { headers: { "Content-Type": type } });
  }

  /** @param {Given} given */
  take(given) {
    this.arrival(given.name).take(given);
  }

  /** Let go of the bytes of a file. @param {string} name */
  forget(name) {
    this.arrivals.delete(name);
  }
}
