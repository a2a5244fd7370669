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
 * Live ids with a value each, the changes that the packet under check would make, and those of commands that
 * wait: `ahead` has the value that an id will have once they have run, null if none, and the last of them.
 * @template T
 */
export class Ids {
  /** @param {string} what */
  constructor(what) {
    this.what = what;
    /** @type {Map<number, T>} */
    this.live = new Map();
    /** @type {Map<number, { value: Partial<T> | null, by: object }>} */
    this.ahead = new Map();
    /** @type {Map<number, Partial<T>>} */
    this.born = new Map();
    /** @type {Set<number>} */
    this.dead = new Set();
  }

  /** The value of an id after all that was submitted. @param {number} id @returns {Partial<T> | undefined} */
  later(id) {
    const ahead = this.ahead.size ? this.ahead.get(id) : undefined;
    return ahead === undefined ? this.live.get(id) : (ahead.value ?? undefined);
  }

  /** @param {number} id @returns {Partial<T>} */
  get(id) {
    const value = this.later(id) ?? this.born.get(id);
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
    if (this.later(id) !== undefined || this.born.has(id) || this.dead.has(id)) {
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

  /** Note what a command that waits will do. @param {number} id @param {Partial<T> | null} value @param {object} by */
  foresee(id, value, by) {
    this.ahead.set(id, { value, by });
  }

  /** A command that waited runs: its ids are as it leaves them. @param {number} id @param {object} by */
  arrive(id, by) {
    if (this.ahead.get(id)?.by === by) this.ahead.delete(id);
  }
}
