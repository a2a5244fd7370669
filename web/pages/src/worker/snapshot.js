/**
 * The memory of a started Python, laid into a fresh WebAssembly while it comes.
 *
 * The file (`.dev/snapshot.mjs` writes it) is Pyodide's own head of a snapshot, the size of the memory, the runs of
 * its pages that are not all zeros, and these pages.
 */

const PAGE = 4096; // bytes
const HEAD = 16; // bytes of Pyodide's head that say how long it is

/** Takes bytes off pieces, as many as are wanted. */
class Reader {
  /** @param {AsyncGenerator<Uint8Array, void>} pieces */
  constructor(pieces) {
    this.pieces = pieces;
    /** @type {Uint8Array} */
    this.rest = new Uint8Array();
  }

  /** Some of the next bytes, at most `most`. @param {number} most */
  async some(most) {
    while (this.rest.length === 0) {
      const { done, value } = await this.pieces.next();
      if (done) throw new Error("the snapshot is cut off");
      this.rest = value;
    }
    const taken = this.rest.subarray(0, most);
    this.rest = this.rest.subarray(most);
    return taken;
  }

  /** The next bytes, in memory of their own. @param {number} length */
  async exactly(length) {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const some = await this.some(length - at);
      bytes.set(some, at);
      at += some.length;
    }
    return bytes;
  }
}

export class Snapshot {
  /** @param {Reader} reader @param {Uint8Array} head @param {Uint32Array} table */
  constructor(reader, head, table) {
    this.reader = reader;
    /** What Pyodide reads of a snapshot: the memory that it would lay itself is left out. */
    this.head = head;
    const [size = 0, ...runs] = table;
    /** Bytes of the memory. */
    this.size = size;
    this.runs = runs;
  }

  /** Read the beginning. @param {AsyncGenerator<Uint8Array, void>} pieces */
  static async begin(pieces) {
    const reader = new Reader(pieces);
    const start = await reader.exactly(HEAD);
    const [, length = 0] = new Uint32Array(start.buffer);
    const head = new Uint8Array(length);
    head.set(start);
    head.set(await reader.exactly(length - HEAD), HEAD);
    const [count = 0] = new Uint32Array((await reader.exactly(4)).buffer);
    const table = new Uint32Array((await reader.exactly(4 * count)).buffer);
    return new Snapshot(reader, head, table);
  }

  /** Make a memory what it was; nothing else may touch it until then. @param {WebAssembly.Memory} memory */
  async lay(memory) {
    const bytes = new Uint8Array(memory.buffer);
    let end = 0;
    for (let i = 0; i < this.runs.length; i += 2) {
      const [first = 0, count = 0] = this.runs.slice(i, i + 2);
      const start = first * PAGE;
      bytes.fill(0, end, start);
      end = start + count * PAGE;
      for (let at = start; at < end; ) {
        const some = await this.reader.some(end - at);
        bytes.set(some, at);
        at += some.length;
      }
    }
    bytes.fill(0, end);
  }
}
