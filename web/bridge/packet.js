/**
 * Reading packets: every command is checked before any of them runs, so that a packet that is
 * refused has done nothing. The format is declared in py/tabgrad/hosts/commands.py.
 */

import { Ids, PacketError } from "./ids.js";
import {
  ALLOC,
  COPY,
  DISPATCH,
  DROP,
  DROP_PIPELINE,
  FREE,
  HEADER_WORDS,
  MAGIC,
  NAMES,
  PIPELINE,
  READ,
  REPLAY,
  ROUTINE,
  STORE,
  TIMED_REPLAY,
  VERSION,
  WINDOW,
  WINDOW_ALIGNMENT,
  WRITE,
  WRITE_BLOB,
} from "./protocol.js";

/** Each dispatch's uniform words start at a multiple of this many words in the arena. */
export const SLOT_WORDS = 64;

/**
 * @typedef {{ pointer: number, nbytes: number }} Blob a span of the heap
 * @typedef {{ size: number }} SizedBuffer
 * @typedef {{ nBuffers: number, uniform: boolean }} Bindings
 * @typedef {{ id: number, label: string, source: string, bindings: string,
 *   overrides: Record<string, number>, compiled?: import("./pipelines.js").Compiled }} PipelineCommand
 * @typedef {{ src: number, srcOffset: number, dst: number, dstOffset: number,
 *   nbytes: number }} CopyStep
 * @typedef {{ pipeline: number, gx: number, gy: number, gz: number, slots: Uint32Array,
 *   offset: number, nbytes: number }} DispatchStep  `offset` is -1 without uniform words, and
 *   slots from the list's `nSlots` on are windows
 * @typedef {{ slot: number, offset: number, nbytes: number }} Window
 * @typedef {{ id: number, nSlots: number, steps: (CopyStep | DispatchStep)[], windows: Window[],
 *   copies: CopyStep[], image: Uint32Array, positions: Uint32Array, written?: Uint8Array }} ListCommand
 * @typedef {{ nSlots: number, copies: CopyStep[], windows: Window[], positions: Uint32Array,
 *   knows?: (words: Uint32Array, at: number) => boolean }} KnownList
 */

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Checks packets against the ids that are alive, and parses the commands that are not words. */
export class Checker {
  /**
   * @param {Ids<any>} buffers of SizedBuffer @param {Ids<any>} pipelines of Bindings
   * @param {Ids<any>} lists of KnownList @param {Ids<any>} tokens
   * @param {boolean} timers whether kernels can be measured
   */
  constructor(buffers, pipelines, lists, tokens, timers = false) {
    this.timers = timers;
    this.buffers = /** @type {Ids<SizedBuffer>} */ (buffers);
    this.pipelines = /** @type {Ids<Bindings>} */ (pipelines);
    this.lists = /** @type {Ids<KnownList>} */ (lists);
    this.tokens = /** @type {Ids<object>} */ (tokens);
    /** @type {(PipelineCommand | ListCommand)[]} */
    this.parsed = [];
    /** @type {Uint32Array} */
    this.words = new Uint32Array(0);
    this.at = 0;
    this.end = 0;
    // The command being checked, and the one inside it, for messages.
    this.tag = 0;
    this.inner = 0;
    /** @type {Blob[]} */
    this.blobs = [];
  }

  /**
   * Check the packet of `nbytes` bytes at word `start`. Returns the number of commands; what
   * Pipeline and Store commands hold is then in `parsed`, in order.
   * @param {Uint32Array} words @param {number} start @param {number} nbytes
   * @param {Blob[]} blobs
   */
  check(words, start, nbytes, blobs) {
    this.words = words;
    this.blobs = blobs;
    this.parsed = [];
    const last = start + (nbytes >>> 2);
    const count = this.header(start, nbytes);
    this.at = start + HEADER_WORDS;
    let index = 0;
    try {
      for (; index < count; index++) {
        this.end = last;
        this.tag = this.inner = 0;
        this.command(last);
      }
    } catch (error) {
      if (!(error instanceof PacketError)) throw error;
      const names = [this.tag, this.inner].filter(Boolean).map((tag) => `${NAMES[tag]}: `);
      throw new PacketError(names.join("") + error.message, index);
    } finally {
      for (const ids of [this.buffers, this.pipelines, this.lists, this.tokens]) ids.settle();
    }
    if (this.at !== last) {
      throw new PacketError(`${last - this.at} words follow the ${count} commands announced`);
    }
    return count;
  }

  /** @param {number} start @param {number} nbytes */
  header(start, nbytes) {
    if (nbytes & 3 || nbytes < 4 * HEADER_WORDS || start * 4 + nbytes > this.words.byteLength) {
      throw new PacketError(`a packet of ${nbytes} bytes is truncated`);
    }
    const [magic, version, count] = this.words.subarray(start, start + HEADER_WORDS);
    if (magic !== MAGIC) {
      throw new PacketError(`bad magic 0x${magic?.toString(16)}: expected 0x${MAGIC.toString(16)}`);
    }
    if (version !== VERSION) {
      throw new PacketError(`protocol version ${version}: this host speaks ${VERSION}`);
    }
    return /** @type {number} */ (count);
  }

  /** @param {number} last */
  command(last) {
    const header = this.word();
    const tag = header & 255;
    const check = CHECKS[tag];
    if (check === undefined) throw new PacketError(`unknown tag ${tag}`);
    this.tag = tag;
    this.open(header, last);
    check.call(this);
    this.close();
  }

  /** Begin the payload that a header announces. @param {number} header @param {number} last */
  open(header, last) {
    this.end = this.at + (header >>> 8);
    if (this.end > last) {
      const there = last - this.at;
      throw new PacketError(
        `truncated: ${header >>> 8} payload words are announced and ${there} are there`,
      );
    }
  }

  close() {
    if (this.at !== this.end) throw new PacketError(`${this.end - this.at} words too many`);
  }

  /** Pass over `n` words and return where they start. @param {number} n */
  skip(n) {
    const start = this.at;
    this.at = start + n;
    if (this.at > this.end) {
      const there = this.end - start;
      throw new PacketError(`the payload ends after ${there} words where ${n} were due`);
    }
    return start;
  }

  word() {
    return /** @type {number} */ (this.words[this.skip(1)]);
  }

  /** @param {number} at */
  peek(at) {
    return /** @type {number} */ (this.words[at]);
  }

  text() {
    const nbytes = this.word();
    const start = this.skip((nbytes + 3) >>> 2) * 4;
    // A copy, because a decoder refuses memory that is shared between threads.
    const bytes = new Uint8Array(this.words.buffer, this.words.byteOffset + start, nbytes).slice();
    try {
      return utf8.decode(bytes);
    } catch {
      throw new PacketError("text is not UTF-8");
    }
  }

  float() {
    const at = this.skip(2);
    return new Float64Array(this.words.slice(at, at + 2).buffer)[0] ?? 0;
  }

  /** @param {number} id @param {number} offset @param {number} nbytes */
  span(id, offset, nbytes) {
    const size = this.buffers.get(id).size ?? 0;
    if ((offset | nbytes) & 3) {
      throw new PacketError(`offset ${offset} and size ${nbytes} must be multiples of 4`);
    }
    if (offset + nbytes > size) {
      throw new PacketError(
        `bytes ${offset} to ${offset + nbytes} are outside buffer ${id}, which has ${size}`,
      );
    }
  }

  alloc() {
    const id = this.word();
    const size = this.word();
    if (size & 3) throw new PacketError(`size ${size} must be a multiple of 4`);
    this.buffers.add(id, { size });
  }

  free() {
    while (this.at < this.end) this.buffers.remove(this.word());
  }

  write() {
    const id = this.word();
    const offset = this.word();
    const nbytes = this.word();
    this.skip((nbytes + 3) >>> 2);
    this.span(id, offset, nbytes);
  }

  writeBlob() {
    const id = this.word();
    const offset = this.word();
    const nbytes = this.word();
    const index = this.word();
    const blob = this.blobs[index];
    if (blob === undefined) {
      throw new PacketError(`blob ${index} of ${this.blobs.length} does not exist`);
    }
    if (blob.nbytes !== nbytes) {
      throw new PacketError(`blob ${index} has ${blob.nbytes} bytes, not ${nbytes}`);
    }
    this.span(id, offset, nbytes);
  }

  /** @returns {CopyStep} */
  copyFields() {
    const at = this.skip(5);
    return {
      src: this.peek(at),
      srcOffset: this.peek(at + 1),
      dst: this.peek(at + 2),
      dstOffset: this.peek(at + 3),
      nbytes: this.peek(at + 4),
    };
  }

  copy() {
    const copy = this.copyFields();
    this.span(copy.src, copy.srcOffset, copy.nbytes);
    this.span(copy.dst, copy.dstOffset, copy.nbytes);
  }

  pipeline() {
    const id = this.word();
    const label = this.text();
    const source = this.text();
    const bindings = this.text();
    /** @type {Record<string, number>} */
    const overrides = {};
    for (let n = this.word(); n > 0; n--) {
      const name = this.text();
      overrides[name] = this.float();
    }
    if (!/^[rw]*u?$/.test(bindings)) {
      throw new PacketError(`bindings '${bindings}': expected letters r and w, then at most one u`);
    }
    const uniform = bindings.endsWith("u");
    this.pipelines.add(id, { nBuffers: bindings.length - Number(uniform), uniform });
    this.parsed.push({ id, label, source, bindings, overrides });
  }

  /** @param {number} id @param {number} nBuffers @param {number} nWords */
  bindings(id, nBuffers, nWords) {
    const pipeline = this.pipelines.get(id);
    if (nBuffers !== pipeline.nBuffers) {
      throw new PacketError(`pipeline ${id} takes ${pipeline.nBuffers} buffers, ${nBuffers} came`);
    }
    if (nWords > 0 !== pipeline.uniform) {
      const takes = pipeline.uniform ? "takes" : "takes no";
      throw new PacketError(`pipeline ${id} ${takes} uniform words, ${nWords} came`);
    }
  }

  dispatch() {
    const id = this.word();
    this.skip(3);
    const nBuffers = this.word();
    const first = this.skip(nBuffers);
    for (let i = 0; i < nBuffers; i++) this.buffers.get(this.peek(first + i));
    this.bindings(id, nBuffers, this.end - this.at);
    this.at = this.end;
  }

  routine() {
    throw new PacketError(`routine ${this.word()} does not exist: this host offers 0`);
  }

  read() {
    const token = this.word();
    const id = this.word();
    const offset = this.word();
    this.span(id, offset, this.word());
    this.tokens.add(token, {});
  }

  store() {
    const id = this.word();
    const nSlots = this.word();
    const end = this.end;
    /** @type {ListCommand["steps"]} */
    const steps = [];
    /** @type {number[]} */
    const image = [];
    /** @type {number[]} */
    const positions = [];
    /** @type {Window[]} */
    const windows = [];
    while (this.at < end) {
      this.end = end;
      const step = this.nested(nSlots, end, image, positions, windows);
      if ("slot" in step) windows.push(step);
      else steps.push(step);
    }
    const copies = steps.filter((step) => "src" in step);
    const list = { id, nSlots, steps, copies, windows };
    const words = { image: Uint32Array.from(image), positions: Uint32Array.from(positions) };
    this.lists.add(id, { nSlots, copies, windows, positions: words.positions });
    this.parsed.push({ ...list, ...words });
  }

  /**
   * @param {number} nSlots @param {number} end @param {number[]} image
   * @param {number[]} positions @param {Window[]} windows
   */
  nested(nSlots, end, image, positions, windows) {
    const header = this.word();
    const tag = header & 255;
    if (CHECKS[tag] === undefined) throw new PacketError(`unknown tag ${tag}`);
    if (tag !== COPY && tag !== DISPATCH && tag !== ROUTINE && tag !== WINDOW) {
      throw new PacketError(`cannot hold ${NAMES[tag]}`);
    }
    this.inner = tag;
    this.open(header, end);
    const step =
      tag === COPY
        ? this.nestedCopy()
        : tag === WINDOW
          ? this.nestedWindow()
          : this.nestedDispatch(tag, image, positions);
    this.close();
    const used = "src" in step ? [step.src, step.dst] : "slot" in step ? [step.slot] : step.slots;
    const there = nSlots + ("slots" in step ? windows.length : 0);
    for (const slot of used) {
      if (slot >= there) throw new PacketError(`slot ${slot} is outside the list's ${there}`);
    }
    this.inner = 0;
    return step;
  }

  /** @returns {Window} */
  nestedWindow() {
    const [slot, offset, nbytes] = [this.word(), this.word(), this.word()];
    if (offset % WINDOW_ALIGNMENT || nbytes & 3 || !nbytes) {
      throw new PacketError(
        `offset ${offset} must be a multiple of ${WINDOW_ALIGNMENT}, and size ${nbytes} one of 4 above 0`,
      );
    }
    return { slot, offset, nbytes };
  }

  window() {
    throw new PacketError("only a stored list holds windows");
  }

  nestedCopy() {
    const copy = this.copyFields();
    if ((copy.srcOffset | copy.dstOffset | copy.nbytes) & 3) {
      throw new PacketError("offsets and size must be multiples of 4");
    }
    return copy;
  }

  /** @param {number} tag @param {number[]} image @param {number[]} positions */
  nestedDispatch(tag, image, positions) {
    if (tag === ROUTINE) this.routine();
    const [pipeline, gx, gy, gz] = [this.word(), this.word(), this.word(), this.word()];
    const nBuffers = this.word();
    const first = this.skip(nBuffers);
    const slots = this.words.slice(first, first + nBuffers);
    const nWords = this.end - this.at;
    this.bindings(pipeline, nBuffers, nWords);
    const offset = nWords ? image.length * 4 : -1;
    for (let i = 0; i < nWords; i++) {
      positions.push(image.length);
      image.push(this.word());
    }
    while (image.length % SLOT_WORDS) image.push(0);
    return { pipeline, gx, gy, gz, slots, offset, nbytes: nWords * 4 };
  }

  timedReplay() {
    if (!this.timers) throw new PacketError("this host measures no kernels");
    const token = this.word();
    this.replay();
    this.tokens.add(token, {});
  }

  replay() {
    const id = this.word();
    const nSlots = this.word();
    const first = this.skip(nSlots);
    const list = this.lists.get(id);
    if (nSlots !== list.nSlots) {
      throw new PacketError(`list ${id} has ${list.nSlots} slots, ${nSlots} buffers came`);
    }
    // A slot table seen before holds live buffers only: freeing one forgets its tables.
    const all = this.buffers.dead.size || this.buffers.ahead.size;
    if (all || !list.knows?.(this.words, first)) {
      for (let i = 0; i < nSlots; i++) this.buffers.get(this.peek(first + i));
      for (const copy of list.copies ?? []) {
        this.span(this.peek(first + copy.src), copy.srcOffset, copy.nbytes);
        this.span(this.peek(first + copy.dst), copy.dstOffset, copy.nbytes);
      }
      for (const { slot, offset, nbytes } of list.windows ?? []) {
        this.span(this.peek(first + slot), offset, nbytes);
      }
    }
    if ((this.end - this.at) & 1) throw new PacketError("patches must be pairs of index and word");
    const nWords = list.positions?.length ?? 0;
    for (; this.at < this.end; this.at += 2) {
      const index = this.peek(this.at);
      if (index >= nWords) {
        throw new PacketError(`patch of word ${index}: list ${id} has ${nWords} uniform words`);
      }
    }
  }

  drop() {
    while (this.at < this.end) this.lists.remove(this.word());
  }

  dropPipeline() {
    while (this.at < this.end) this.pipelines.remove(this.word());
  }
}

const it = Checker.prototype;
/** @type {((this: Checker) => void)[]} */
const CHECKS = [];
CHECKS[ALLOC] = it.alloc;
CHECKS[FREE] = it.free;
CHECKS[WRITE] = it.write;
CHECKS[WRITE_BLOB] = it.writeBlob;
CHECKS[COPY] = it.copy;
CHECKS[PIPELINE] = it.pipeline;
CHECKS[DISPATCH] = it.dispatch;
CHECKS[ROUTINE] = it.routine;
CHECKS[READ] = it.read;
CHECKS[STORE] = it.store;
CHECKS[REPLAY] = it.replay;
CHECKS[DROP] = it.drop;
CHECKS[DROP_PIPELINE] = it.dropPipeline;
CHECKS[WINDOW] = it.window;
CHECKS[TIMED_REPLAY] = it.timedReplay;
