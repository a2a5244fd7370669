/**
 * Carrying out the commands of a checked packet: buffers, pipelines, bind groups, the arena of
 * uniform words, and one command encoder with one open compute pass.
 */

import { Groups } from "./groups.js";
import { Ids } from "./ids.js";
import { List } from "./list.js";
import { Checker, SLOT_WORDS } from "./packet.js";
import { Pipelines } from "./pipelines.js";
import {
  ALLOC,
  COPY,
  DISPATCH,
  DROP,
  FREE,
  PIPELINE,
  READ,
  REPLAY,
  STORE,
  TIMED_REPLAY,
  WRITE,
  WRITE_BLOB,
} from "./protocol.js";
import { Staging } from "./staging.js";
import { Timers } from "./timing.js";

/** How many slot tables a stored list keeps its bind groups for. */
const TABLES = 8;

/** Buffers from this size up are allocated under watch, so that a failure names them. */
const WATCHED_BYTES = 1 << 20;

const SLOT_BYTES = SLOT_WORDS * 4;

/** What so many bytes of uniform words take in the arena. @param {number} nbytes */
const inSlots = (nbytes) => Math.ceil(nbytes / SLOT_BYTES) * SLOT_BYTES;

/**
 * @typedef {import("./packet.js").CopyStep} CopyStep
 * @typedef {import("./packet.js").ListCommand} ListCommand
 * @typedef {import("./packet.js").PipelineCommand} PipelineCommand
 * @typedef {import("./pipelines.js").Layout} Layout
 * @typedef {import("./pipelines.js").Pipeline} Pipeline
 * @typedef {import("./list.js").Table} Table
 * @typedef {import("./groups.js").Group} Group
 * @typedef {import("./waiting.js").Command} Command
 * @typedef {import("./waiting.js").Part} Part
 * @typedef {{ HEAPU8: Uint8Array<ArrayBuffer>, HEAPU32: Uint32Array<ArrayBuffer> }} Heap  read
 *   afresh at each use: the arrays are replaced when memory grows
 * @typedef {{ gpu: GPUBuffer, size: number, stamp: number, groups: Set<Group>,
 *   tables: Set<Table> }} Buf  `stamp` is the submit it was last encoded into
 * @typedef {{ staging: GPUBuffer | null, nbytes: number, ready: Promise<number>,
 *   mapped?: boolean, arrive?: (code: Promise<number>) => void }} Read  one that waits has no staging buffer yet
 */

/** Everything that packets have made on one device, and the packet being encoded. */
export class Encoding {
  /** @param {Heap} heap @param {GPUDevice} device @param {boolean} diagnose */
  constructor(heap, device, diagnose) {
    this.heap = heap;
    this.device = device;
    this.queue = device.queue;
    this.diagnose = diagnose;
    this.buffers = /** @type {Ids<Buf>} */ (new Ids("buffer"));
    this.library = new Pipelines(device, !diagnose);
    this.faults = this.library.faults;
    this.pipelines = this.library.ids;
    this.lists = /** @type {Ids<List>} */ (new Ids("list"));
    this.reads = /** @type {Ids<Read>} */ (new Ids("read token"));
    this.checker = new Checker(
      this.buffers,
      this.pipelines,
      this.lists,
      this.reads,
      Boolean(device.features?.has("timestamp-query")),
    );
    this.timers = new Timers(device);
    this.groups = new Groups(this.buffers, (...parts) => this.bind(...parts));
    this.staging = new Staging(device);
    /** @type {Read[]} */
    this.asked = [];
    /** The reads that wait, by token. @type {Map<number, Read>} */
    this.promised = new Map();
    this.bytes = heap.HEAPU8;
    /** @type {GPUBuffer[]} */
    this.scraps = [];
    /** @type {GPUCommandEncoder | null} */
    this.encoder = null;
    /** @type {GPUComputePassEncoder | null} */
    this.pass = null;
    this.offsets = new Uint32Array(1);
    this.submits = 0;
    this.stamp = 1;
    this.arena = this.makeArena(1 << 18);
    this.image = new Uint32Array(1 << 16);
    this.used = 0;
    this.sent = 0;
  }

  /**
   * Carry out commands of a packet that has been checked; its faults come later, when the promise resolves.
   * @param {Part} part @param {Command[]} commands
   */
  run(part, commands) {
    const { faults } = this;
    const { packet } = faults;
    faults.packet = part.number;
    this.bytes = part.bytes;
    this.asked = [];
    /** @type {number[]} */
    const freed = [];
    let index = 0;
    faults.watch();
    try {
      for (const command of commands) {
        const { tag, at, end } = command;
        index = command.index;
        if (tag === FREE) for (let i = at; i < end; i++) freed.push(part.words[i] ?? 0);
        else if (this.diagnose) this.diagnosed(part, command);
        else this.one(part, command);
      }
      this.flush();
    } catch (error) {
      this.encoder = this.pass = null;
      faults.add("validation", String(error), 0, index);
    }
    this.used = this.sent = 0;
    const settled = faults.report();
    for (const id of freed) this.free(id);
    for (const scrap of this.scraps.splice(0)) scrap.destroy();
    faults.packet = packet;
    return settled;
  }

  /** Run one command under its own watch and submit it, so that a fault names it. @param {Part} part @param {Command} command */
  diagnosed(part, command) {
    this.faults.watch();
    this.one(part, command);
    this.flush();
    const { tag, at, index } = command;
    this.faults.reportInner(index, tag === DISPATCH ? (part.words[at] ?? 0) : 0);
  }

  /** @param {Part} part @param {Command} command */
  one({ words, blobs }, { tag, at, end, index, parsed }) {
    const a = words[at] ?? 0;
    const b = words[at + 1] ?? 0;
    const c = words[at + 2] ?? 0;
    const d = words[at + 3] ?? 0;
    switch (tag) {
      case ALLOC:
        return this.alloc(a, b, index);
      case WRITE:
        return this.write(a, b, (at + 3) * 4, c);
      case WRITE_BLOB:
        return this.write(a, b, blobs[d]?.pointer ?? 0, c);
      case COPY:
        return this.copy(this.buffers.alive(a), b, this.buffers.alive(c), d, words[at + 4] ?? 0);
      case PIPELINE:
        return this.library.add(/** @type {PipelineCommand} */ (parsed), index);
      case DISPATCH:
        return this.dispatch(words, at, end);
      case READ:
        return this.read(a, b, c, d);
      case STORE: {
        const list = /** @type {ListCommand} */ (parsed);
        this.lists.live.set(list.id, new List(list, this.pipelines));
        return;
      }
      case REPLAY:
        return this.replay(words, at, end);
      case TIMED_REPLAY:
        return this.replay(words, at + 1, end, a);
      case DROP:
        return this.drop(words.subarray(at, end));
      default:
        return this.library.drop(words.subarray(at, end));
    }
  }

  // Buffers

  /** @param {number} id @param {number} size @param {number} command */
  alloc(id, size, command) {
    const watched = size >= WATCHED_BYTES;
    if (watched) this.faults.watch();
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    // No binding may be empty, so an empty buffer gets one word.
    const gpu = this.device.createBuffer({ label: `buffer ${id}`, size: size || 4, usage });
    if (watched) this.faults.reportAlloc(size, command);
    this.buffers.live.set(id, { gpu, size, stamp: 0, groups: new Set(), tables: new Set() });
  }

  /** @param {number} id */
  free(id) {
    const buffer = this.buffers.alive(id);
    for (const group of buffer.groups) this.groups.drop(group);
    for (const table of buffer.tables) this.dropTable(table);
    buffer.gpu.destroy();
    this.buffers.live.delete(id);
  }

  /** @param {Table} table */
  dropTable(table) {
    table.list.tables = table.list.tables.filter((other) => other !== table);
    for (const buffer of table.buffers) buffer.tables.delete(table);
  }

  /** @param {number} id @param {number} offset @param {number} pointer @param {number} nbytes */
  write(id, offset, pointer, nbytes) {
    const buffer = this.buffers.alive(id);
    // A write takes effect before the next submit, so what was encoded to run earlier on the
    // same buffer has to go first.
    if (buffer.stamp === this.stamp) this.flush();
    if (nbytes) this.queue.writeBuffer(buffer.gpu, offset, this.bytes, pointer, nbytes);
  }

  /**
   * @param {Buf} src @param {number} srcOffset @param {Buf} dst @param {number} dstOffset
   * @param {number} nbytes
   */
  copy(src, srcOffset, dst, dstOffset, nbytes) {
    if (!nbytes) return;
    const encoder = this.closePass();
    src.stamp = dst.stamp = this.stamp;
    let [from, offset] = [src.gpu, srcOffset];
    if (src === dst) {
      // WebGPU does not copy inside one buffer.
      from = this.device.createBuffer({
        size: nbytes,
        usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
      });
      this.scraps.push(from);
      encoder.copyBufferToBuffer(src.gpu, srcOffset, from, 0, nbytes);
      offset = 0;
    }
    encoder.copyBufferToBuffer(from, offset, dst.gpu, dstOffset, nbytes);
  }

  /** @param {number} token @param {number} id @param {number} offset @param {number} nbytes */
  read(token, id, offset, nbytes) {
    if (this.givenUp(token)) return;
    const staging = this.staging.take(nbytes);
    const buffer = this.buffers.alive(id);
    if (nbytes) this.closePass().copyBufferToBuffer(buffer.gpu, offset, staging, 0, nbytes);
    buffer.stamp = this.stamp;
    this.answer(token, staging, nbytes);
  }

  /** Promise the answer to a read that waits. @param {number} token */
  promise(token) {
    let arrive = (/** @type {Promise<number>} */ _) => {};
    const ready = new Promise((/** @type {(code: Promise<number>) => void} */ resolve) => {
      arrive = resolve;
    });
    const read = { staging: null, nbytes: 0, ready, arrive };
    this.promised.set(token, read);
    this.reads.live.set(token, read);
  }

  /** Whether nobody waits any more for a read that was promised. @param {number} token */
  givenUp(token) {
    return this.promised.has(token) && !this.reads.live.has(token) && this.promised.delete(token);
  }

  /** The bytes of a read will be in a staging buffer. @param {number} token @param {GPUBuffer} staging @param {number} nbytes */
  answer(token, staging, nbytes) {
    const read = this.promised.get(token) ?? { staging, nbytes, ready: Promise.resolve(0) };
    this.promised.delete(token);
    this.reads.live.set(token, Object.assign(read, { staging, nbytes }));
    this.asked.push(read);
  }

  // Pipelines and bind groups

  /** @param {Uint32Array} ids */
  drop(ids) {
    for (const id of ids) {
      const list = this.lists.alive(id);
      for (const table of list.tables) this.dropTable(table);
      this.lists.live.delete(id);
    }
  }

  /** @param {Layout} layout @param {GPUBufferBinding[]} resources @param {number} size of uniform words */
  bind(layout, resources, size) {
    if (size) resources.push({ buffer: this.arena, offset: 0, size });
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    return this.device.createBindGroup({ layout: layout.group, entries });
  }

  /**
   * A bind group of parts of buffers; only the table that it is made for keeps it.
   * @param {List} list @param {List["steps"][number]} step @param {Buf[]} buffers
   */
  groupOfWindows(list, step, buffers) {
    if ("src" in step) throw new Error("a copy binds nothing");
    const resources = Array.from(step.slots, (slot) => {
      const window = list.windows[slot - list.nSlots];
      const { gpu: buffer } = /** @type {Buf} */ (buffers[window ? window.slot : slot]);
      return window ? { buffer, offset: window.offset, size: window.nbytes } : { buffer };
    });
    return this.bind(step.of.layout, resources, inSlots(step.nbytes));
  }

  // Encoding

  /** @returns {GPUComputePassEncoder} */
  openPass() {
    if (this.pass === null) {
      this.encoder ??= this.device.createCommandEncoder();
      this.pass = this.encoder.beginComputePass();
    }
    return this.pass;
  }

  /** @returns {GPUCommandEncoder} */
  closePass() {
    if (this.pass !== null) {
      this.pass.end();
      this.pass = null;
    }
    this.encoder ??= this.device.createCommandEncoder();
    return this.encoder;
  }

  /** Submit what has been encoded; its uniform words go up first, in one write. */
  flush() {
    if (this.encoder === null) return;
    const encoder = this.closePass();
    this.encoder = null;
    if (this.used > this.sent) {
      const [start, length] = [this.sent, this.used - this.sent];
      this.queue.writeBuffer(this.arena, start * 4, this.image, start, length);
      // The rest of the packet goes behind, so that no words are written twice in a packet.
      this.sent = this.used;
    }
    this.queue.submit([encoder.finish()]);
    this.submits++;
    this.stamp++;
  }

  /** @param {number} size */
  makeArena(size) {
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    return this.device.createBuffer({ size, usage });
  }

  /** Make room for `n` words in the arena and return where. @param {number} n */
  place(n) {
    const start = this.used;
    const end = start + Math.ceil(n / SLOT_WORDS) * SLOT_WORDS;
    if (end > this.image.length) {
      this.flush();
      const length = Math.max(2 * this.image.length, end - start);
      this.scraps.push(this.arena);
      this.arena = this.makeArena(length * 4);
      this.image = new Uint32Array(length);
      this.sent = 0;
      this.used = end - start;
      this.forgetGroups();
      return 0;
    }
    this.used = end;
    return start;
  }

  forgetGroups() {
    this.groups.clear();
    for (const buffer of this.buffers.live.values()) buffer.tables.clear();
    for (const list of this.lists.live.values()) list.tables = [];
  }

  /** @param {Uint32Array} words @param {number} at @param {number} end */
  dispatch(words, at, end) {
    const { gpu, layout, nBuffers } = this.pipelines.alive(words[at] ?? 0);
    const first = at + 5;
    const rest = first + nBuffers;
    const n = end - rest;
    const start = n ? this.place(n) : 0;
    for (let i = 0; i < n; i++) this.image[start + i] = words[rest + i] ?? 0;
    const ids = words.subarray(first, rest);
    const group = this.groups.find(layout, ids, inSlots(n * 4));
    for (const id of ids) this.buffers.alive(id).stamp = this.stamp;
    const [gx = 0, gy = 0, gz = 0] = [words[at + 1], words[at + 2], words[at + 3]];
    if (!(gx && gy && gz)) return;
    const pass = this.openPass();
    pass.setPipeline(gpu);
    if (n) {
      this.offsets[0] = start * 4;
      pass.setBindGroup(0, group, this.offsets, 0, 1);
    } else {
      pass.setBindGroup(0, group);
    }
    pass.dispatchWorkgroups(gx, gy, gz);
  }

  /**
   * @param {Uint32Array} words @param {number} at @param {number} end
   * @param {number} token for the times of the dispatches; 0 if they are not measured
   */
  replay(words, at, end, token = 0) {
    const list = this.lists.alive(words[at] ?? 0);
    const { image, positions } = list;
    const first = at + 2;
    for (let i = first + list.nSlots; i < end; i += 2) {
      image[positions[words[i] ?? 0] ?? 0] = words[i + 1] ?? 0;
    }
    let base = 0;
    if (image.length) {
      base = this.place(image.length);
      this.image.set(image, base);
    }
    const table = list.find(words, first) ?? this.makeTable(list, words, first);
    for (const buffer of table.buffers) buffer.stamp = this.stamp;
    if (!token || this.givenUp(token)) return this.encode(list, table, base * 4);
    const { staging, nbytes } = this.timers.encode(this, list, table, base * 4);
    this.answer(token, staging, nbytes);
  }

  /** @param {List} list @param {Table} table @param {number} base */
  encode(list, table, base) {
    const { offsets } = this;
    let pass = this.openPass();
    /** @type {GPUComputePipeline | null} */
    let current = null;
    let i = 0;
    for (const step of list.steps) {
      if ("src" in step) {
        const { buffers } = table;
        const [src, dst] = [
          /** @type {Buf} */ (buffers[step.src]),
          /** @type {Buf} */ (buffers[step.dst]),
        ];
        this.copy(src, step.srcOffset, dst, step.dstOffset, step.nbytes);
        pass = this.openPass();
        current = null;
        continue;
      }
      const { gpu } = step.of;
      if (gpu !== current) {
        pass.setPipeline(gpu);
        current = gpu;
      }
      const group = table.groups[i++] ?? null;
      if (step.offset < 0) {
        pass.setBindGroup(0, group);
      } else {
        offsets[0] = base + step.offset;
        pass.setBindGroup(0, group, offsets, 0, 1);
      }
      pass.dispatchWorkgroups(step.gx, step.gy, step.gz);
    }
  }

  /** Resolve a list's bind groups for the slots at `words[at]`. @param {List} list @param {Uint32Array} words @param {number} at */
  makeTable(list, words, at) {
    const slots = words.slice(at, at + list.nSlots);
    const buffers = Array.from(slots, (id) => this.buffers.alive(id));
    const groups = [];
    for (const step of list.steps) {
      if ("src" in step) continue;
      if (step.slots.some((slot) => slot >= list.nSlots)) {
        groups.push(this.groupOfWindows(list, step, buffers));
        continue;
      }
      const ids = Array.from(step.slots, (slot) => slots[slot] ?? 0);
      groups.push(this.groups.find(step.of.layout, ids, inSlots(step.nbytes)));
    }
    const table = { list, slots, buffers, groups };
    const oldest = list.tables.length >= TABLES ? list.tables[0] : undefined;
    if (oldest) this.dropTable(oldest);
    list.tables.push(table);
    for (const buffer of buffers) buffer.tables.add(table);
    return table;
  }
}
