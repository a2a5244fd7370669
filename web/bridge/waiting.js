/**
 * Commands that wait, because a pipeline is not compiled yet or because of an earlier command that waits.
 * Every other command goes on: only what uses the same buffer (and one of the two writes it), pipeline or list
 * keeps its order.
 */

import {
  ALLOC,
  COPY,
  DISPATCH,
  DROP,
  DROP_PIPELINE,
  FREE,
  PIPELINE,
  READ,
  REPLAY,
  STORE,
  TIMED_REPLAY,
  WRITE,
  WRITE_BLOB,
} from "./protocol.js";

/** From so many packets, or bytes of them, on nothing waits any more: what is missing is compiled at once. */
export const MOST_PACKETS = 48;
export const MOST_BYTES = 64 << 20;

// What a command uses.
const BUFFER = 0;
const PIPE = 1;
const LIST = 2;

/**
 * @typedef {import("./packet.js").Blob} Blob
 * @typedef {import("./packet.js").ListCommand} ListCommand
 * @typedef {import("./packet.js").PipelineCommand} PipelineCommand
 * @typedef {import("./list.js").List} List
 * @typedef {import("./encode.js").Encoding} Encoding
 * @typedef {{ tag: number, at: number, end: number, index: number, uses: number[],
 *   parsed: PipelineCommand | ListCommand | undefined }} Command  its payload is `words[at]` to `words[end]`;
 *   `uses` has three numbers for each thing: what, its id, and whether it is changed
 * @typedef {{ number: number, words: Uint32Array, bytes: Uint8Array<ArrayBuffer>, blobs: Blob[],
 *   commands: Command[] }} Part  what is left of a packet; `bytes` is what its pointers point into
 */

/**
 * The commands of a packet that was checked.
 * @param {Uint32Array} words @param {number} at @param {number} count
 * @param {(PipelineCommand | ListCommand)[]} parsed
 */
export function commandsOf(words, at, count, parsed) {
  /** @type {Command[]} */
  const commands = [];
  let next = 0;
  for (let index = 0; index < count; index++) {
    const header = words[at] ?? 0;
    const tag = header & 255;
    const end = at + 1 + (header >>> 8);
    const its = tag === PIPELINE || tag === STORE ? parsed[next++] : undefined;
    commands.push({ tag, at: at + 1, end, index, uses: [], parsed: its });
    at = end;
  }
  return commands;
}

/** What waiting commands use. */
class Held {
  constructor() {
    /** Whether it is changed, by id. @type {Map<number, boolean>[]} */
    this.kinds = [new Map(), new Map(), new Map()];
  }

  /** Whether a command has to wait for those that wait. @param {number[]} uses */
  meets(uses) {
    for (let i = 0; i < uses.length; i += 3) {
      const changed = this.kinds[uses[i] ?? 0]?.get(uses[i + 1] ?? 0);
      if (changed || (changed === false && uses[i + 2])) return true;
    }
    return false;
  }

  /** @param {number[]} uses */
  add(uses) {
    for (let i = 0; i < uses.length; i += 3) {
      const [kind, id] = [this.kinds[uses[i] ?? 0], uses[i + 1] ?? 0];
      kind?.set(id, Boolean(uses[i + 2]) || kind.get(id) === true);
    }
  }
}

export class Waiting {
  /** @param {Encoding} encoding */
  constructor(encoding) {
    this.encoding = encoding;
    /** @type {Part[]} */
    this.parts = [];
    this.held = new Held();
    this.nbytes = 0;
    /** Those who wait until nothing waits. @type {(() => void)[]} */
    this.idlers = [];
  }

  /** Resolves when nothing waits. @returns {Promise<void>} */
  idle() {
    return new Promise((resolve) => {
      if (this.parts.length) this.idlers.push(resolve);
      else resolve();
    });
  }

  clear() {
    this.parts = [];
    this.held = new Held();
    this.nbytes = 0;
    for (const resolve of this.idlers.splice(0)) resolve();
  }

  /** Note what the commands of a packet use. @param {Part} part */
  examine({ words, commands }) {
    const { pipelines, lists } = this.encoding;
    /** @type {Map<number, string>} */
    const letters = new Map();
    /** @type {Map<number, ListCommand>} */
    const stored = new Map();
    /** @param {number} id */
    const bindings = (id) => letters.get(id) ?? pipelines.later(id)?.bindings ?? "";
    for (const command of commands) {
      const { tag, at, uses, parsed } = command;
      const a = words[at] ?? 0;
      if (tag === PIPELINE) letters.set(a, /** @type {PipelineCommand} */ (parsed).bindings);
      if (tag === STORE) {
        const list = /** @type {ListCommand} */ (parsed);
        stored.set(a, list);
        list.written = writtenSlots(list, bindings);
        for (const step of list.steps) if ("pipeline" in step) uses.push(PIPE, step.pipeline, 0);
      }
      const first = tag === TIMED_REPLAY ? at + 1 : at;
      if (tag === REPLAY || tag === TIMED_REPLAY) {
        const id = words[first] ?? 0;
        const list = stored.get(id) ?? /** @type {List} */ (lists.later(id));
        list.written ??= writtenSlots(list, bindings);
        uses.push(LIST, id, 1);
        list.written.forEach((changes, i) => {
          uses.push(BUFFER, words[first + 2 + i] ?? 0, changes);
        });
      } else note(command, words, tag === DISPATCH ? bindings(a) : "");
    }
  }

  /**
   * Take the commands out of a part that need not wait. @param {Part} part
   * @param {boolean} [now] whether pipelines that are coming are not waited for
   */
  split(part, now = false) {
    const { held } = this;
    /** @type {Command[]} */
    const ready = [];
    /** @type {Command[]} */
    const rest = [];
    for (const command of part.commands) {
      const { parsed, uses } = command;
      const coming = !now && parsed && "source" in parsed && parsed.compiled?.coming;
      if (coming || held.meets(uses)) {
        held.add(uses);
        rest.push(command);
      } else ready.push(command);
    }
    part.commands = rest;
    return ready;
  }

  /** Keep a part whose commands all wait; Python may write over the packet after this. @param {Part} part */
  keep(part) {
    this.copy(part);
    this.mark(part);
    this.nbytes += part.bytes.length;
    this.parts.push(part);
  }

  /** @param {Part} part */
  copy(part) {
    const first = /** @type {Command} */ (part.commands[0]).at;
    const last = Math.max(...part.commands.map(({ end }) => end));
    const { words, bytes, blobs } = part;
    const needed = new Set();
    for (const { tag, at } of part.commands) if (tag === WRITE_BLOB) needed.add(words[at + 3]);
    let size = (last - first) * 4;
    const blobAt = blobs.map(({ nbytes }, i) => {
      const at = size;
      if (needed.has(i)) size += Math.ceil(nbytes / 4) * 4;
      return at;
    });
    part.bytes = new Uint8Array(size);
    part.words = new Uint32Array(part.bytes.buffer);
    part.words.set(words.subarray(first, last));
    part.blobs = blobs.map(({ pointer, nbytes }, i) => {
      if (needed.has(i)) part.bytes.set(bytes.subarray(pointer, pointer + nbytes), blobAt[i]);
      return { pointer: blobAt[i] ?? 0, nbytes };
    });
    for (const command of part.commands) {
      command.at -= first;
      command.end -= first;
    }
  }

  /** Let later packets be checked as if the commands of a part had run. @param {Part} part */
  mark({ words, commands }) {
    for (const command of commands) {
      const { tag, at, parsed } = command;
      /** @type {object | null} */
      let value = null;
      if (tag === ALLOC) value = { size: words[at + 1] ?? 0 };
      if (tag === STORE) value = parsed ?? null;
      if (tag === PIPELINE) {
        const { bindings } = /** @type {PipelineCommand} */ (parsed);
        const uniform = bindings.endsWith("u");
        value = { bindings, uniform, nBuffers: bindings.length - Number(uniform) };
      }
      this.changes(command, words, (ids, id) => ids.foresee(id, value, command));
    }
  }

  /** The marks of commands that run now are not needed any more. @param {Part} part @param {Command[]} commands */
  unmark({ words }, commands) {
    for (const command of commands) {
      this.changes(command, words, (ids, id) => ids.arrive(id, command));
    }
  }

  /**
   * Call `see` for each id that a command defines or drops.
   * @param {Command} command @param {Uint32Array} words
   * @param {(ids: import("./ids.js").Ids<any>, id: number) => void} see
   */
  changes({ tag, at, end }, words, see) {
    const { buffers, pipelines, lists } = this.encoding;
    const several = tag === FREE || tag === DROP || tag === DROP_PIPELINE;
    if (!several && tag !== ALLOC && tag !== STORE && tag !== PIPELINE) return;
    const ids =
      tag === ALLOC || tag === FREE ? buffers : tag === STORE || tag === DROP ? lists : pipelines;
    for (let i = at; i < (several ? end : at + 1); i++) see(ids, words[i] ?? 0);
  }

  /**
   * Run what need no longer wait. @param {(part: Part, commands: Command[]) => void} run
   * @param {boolean} [now] whether to run everything
   */
  pump(run, now = false) {
    this.held = new Held();
    for (const part of this.parts) {
      const ready = this.split(part, now);
      if (!ready.length) continue;
      this.unmark(part, ready);
      run(part, ready);
    }
    this.parts = this.parts.filter(({ commands }) => commands.length);
    this.nbytes = this.parts.reduce((sum, { bytes }) => sum + bytes.length, 0);
    if (!this.parts.length) this.clear();
  }
}

/**
 * Note what a command uses that is no replay. Patches of a list's words persist, so its replays, which change it,
 * keep their order.
 * @param {Command} command @param {Uint32Array} words @param {string} bindings of a dispatch
 */
function note({ tag, at, end, uses }, words, bindings) {
  const a = words[at] ?? 0;
  const kind = tag === STORE || tag === DROP ? LIST : BUFFER;
  if (tag === ALLOC || tag === WRITE || tag === WRITE_BLOB || tag === STORE) uses.push(kind, a, 1);
  else if (tag === PIPELINE) uses.push(PIPE, a, 1);
  else if (tag === READ) uses.push(BUFFER, words[at + 1] ?? 0, 0);
  else if (tag === COPY) uses.push(BUFFER, a, 0, BUFFER, words[at + 2] ?? 0, 1);
  else if (tag === DISPATCH) {
    uses.push(PIPE, a, 0);
    const n = words[at + 4] ?? 0;
    for (let i = 0; i < n; i++) {
      uses.push(BUFFER, words[at + 5 + i] ?? 0, Number(bindings[i] !== "r"));
    }
  } else {
    const of = tag === DROP_PIPELINE ? PIPE : kind;
    for (let i = at; i < end; i++) uses.push(of, words[i] ?? 0, 1);
  }
}

/**
 * Which slots of a list its steps write.
 * @param {List | ListCommand} list @param {(pipeline: number) => string} bindings
 */
function writtenSlots({ nSlots, steps, windows }, bindings) {
  const written = new Uint8Array(nSlots);
  for (const step of steps) {
    if ("src" in step) {
      written[step.dst] = 1;
      continue;
    }
    const letters = "of" in step ? step.of.bindings : bindings(step.pipeline);
    step.slots.forEach((slot, i) => {
      if (letters[i] !== "r") written[windows[slot - nSlots]?.slot ?? slot] = 1;
    });
  }
  return written;
}
