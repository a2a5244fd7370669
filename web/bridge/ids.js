/** What numbers name, and what a packet that breaks the protocol raises. */

/** A packet breaks the protocol; `command` is the index of the offender, or -1. */
export class PacketError extends Error {
  /** @param {string} message @param {number} [command] */
  constructor(message, command = -1) {
    super(message);
    this.command = command;
  }
}

/**
 * Live ids with a value each, and the changes that the packet under check would make.
 * @template T
 */
export class Ids {
  /** @param {string} what */
  constructor(what) {
    this.what = what;
    /** @type {Map<number, T>} */
    this.live = new Map();
    /** @type {Map<number, Partial<T>>} */
    this.born = new Map();
    /** @type {Set<number>} */
    this.dead = new Set();
  }

  /** @param {number} id @returns {Partial<T>} */
  get(id) {
    const value = this.live.get(id) ?? this.born.get(id);
    if (value === undefined || this.dead.has(id)) {
      throw new PacketError(`unknown ${this.what} ${id}`);
    }
    return value;
  }

  /** The value of an id that the packet's check has found. @param {number} id @returns {T} */
  alive(id) {
    return /** @type {T} */ (this.live.get(id));
  }

  /** @param {number} id @param {Partial<T>} value */
  add(id, value) {
    if (id === 0) throw new PacketError(`0 is not an id: ${this.what} ids start at 1`);
    if (this.live.has(id) || this.born.has(id) || this.dead.has(id)) {
      throw new PacketError(`${this.what} ${id} exists already`);
    }
    this.born.set(id, value);
  }

  /** @param {number} id */
  remove(id) {
    this.get(id);
    this.dead.add(id);
  }

  settle() {
    if (this.born.size) this.born.clear();
    if (this.dead.size) this.dead.clear();
  }
}
