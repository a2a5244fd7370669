/**
 * What a program prints, on its way to the page: at once if it is little, in large pieces if it is
 * a flood, so that neither a long silence nor an endless loop of prints holds up the page.
 */

const AT_ONCE = 20; // messages that are sent as they come
const WINDOW = 50; // milliseconds after which there may be one more: drawing one takes longer than sending it
const MOST = 1 << 13; // characters kept between two windows; what is older is dropped
const MOST_PIECES = 200; // and changes between the two streams

/** @typedef {import("../messages.js").Piece} Piece */
/** @typedef {Piece["stream"]} Stream */

export class Output {
  /** @param {(pieces: Piece[]) => void} send */
  constructor(send) {
    this.send = send;
    this.allowance = AT_ONCE;
    this.last = 0;
    /** @type {Piece[]} */
    this.waiting = [];
    this.length = 0;
    this.midLine = false; // whether the last line of the program's has no end yet
  }

  /** A writer for one of Python's streams. @param {Stream} stream */
  writer(stream) {
    const decoder = new TextDecoder();
    return (/** @type {Uint8Array} */ bytes) => {
      this.write(stream, decoder.decode(bytes, { stream: true }));
      return bytes.length;
    };
  }

  /** @param {Stream} stream @param {string} text */
  write(stream, text) {
    if (stream === "out") this.midLine = !text.endsWith("\n");
    const now = performance.now();
    this.allowance = Math.min(this.allowance + (now - this.last) / WINDOW, AT_ONCE);
    this.last = now;
    this.keep(stream, text);
    if (this.allowance >= 1) {
      this.allowance--;
      this.flush();
    }
  }

  /** @param {Stream} stream @param {string} text */
  keep(stream, text) {
    const last = this.waiting.at(-1);
    if (last?.stream === stream) last.text += text;
    else this.waiting.push({ stream, text });
    this.length += text.length;
    if (this.length <= 2 * MOST && this.waiting.length <= MOST_PIECES) return;
    const newest = this.waiting.at(-1)?.text.slice(-MOST) ?? "";
    this.waiting = [{ stream, text: `… output was skipped here …\n${newest}` }];
    this.length = newest.length;
  }

  flush() {
    if (this.waiting.length > 0) this.send(this.waiting);
    this.waiting = [];
    this.length = 0;
  }
}
