/**
 * The browser's host: carries out packets with WebGPU, on a page or in a worker.
 *
 * Python writes packets into memory that stays in one place (`pin`) and calls `submit` with a
 * length: nothing else crosses the border. What a packet does is in encode.js, what it may look
 * like in packet.js.
 */

import { Encoding } from "./encode.js";
import { PacketError } from "./ids.js";
import { keep, recall } from "./kept.js";
import { READ, TIMED_REPLAY, VERSION } from "./protocol.js";
import { commandsOf, MOST_BYTES, MOST_PACKETS, Waiting } from "./waiting.js";

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|\bwarp\b|basic render/i;
const FEATURES = /** @type {GPUFeatureName[]} */ (["shader-f16", "subgroups", "timestamp-query"]);
const LIMITS = /** @type {const} */ ([
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxUniformBufferBindingSize",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
]);

// What `wait` and `settle` resolve to.
const DONE = 0;
const DEADLINE = 1;
const LOST = 2;
const FAILED = 3;

// The milliseconds after which a wait asks the engine again to look at finished work.
const NUDGE = 1;

/**
 * @typedef {import("./encode.js").Heap} Heap
 * @typedef {import("./encode.js").Read} Read
 * @typedef {import("./waiting.js").Command} Command
 * @typedef {import("./waiting.js").Part} Part
 * @typedef {(ended: { result(): number }) => void} Answered  takes what has its result, as a future of Python has
 * @typedef {{ getBuffer(type: string): { data: Uint8Array, release(): void } }} Memory  a
 *   Python buffer
 */

/** One device: packets go in, bytes and faults come out. */
export class Bridge {
  /**
   * @param {Heap} heap @param {GPUDevice} device @param {object} hello
   * @param {boolean} diagnose
   */
  constructor(heap, device, hello, diagnose) {
    this.heap = heap;
    this.device = device;
    this.hello = hello;
    this.encoding = new Encoding(heap, device, diagnose);
    this.faults = this.encoding.faults;
    this.waiting = new Waiting(this.encoding);
    this.encoding.library.arrived = () => this.pumpSoon();
    this.pumping = false;
    this.lost = false;
    // The number of the first command of the last packet that was not carried out; -1 if all were.
    this.stopped = -1;
    this.pointer = 0;
    /** @type {{ release(): void } | null} */
    this.pinned = null;
    // Where short answers are laid.
    this.tray = { pointer: 0, nbytes: 0 };
    /** @type {{ release(): void } | null} */
    this.held = null;
    /** @type {import("./packet.js").Blob[]} */
    this.blobs = [];
    /** @type {Promise<unknown>} */
    this.settled = Promise.resolve();
    // What was measured of kernels in earlier sessions.
    this.kept = "";
    // Only this tells of a loss: writes and submits to a lost device look healthy.
    this.gone = device.lost.then((info) => this.lose(info.message || info.reason || "unknown"));
    device.addEventListener?.("uncapturederror", (event) => {
      this.faults.add("validation", event.error.message, 0, -1, 0);
    });
  }

  /** @param {string} why */
  lose(why) {
    if (!this.lost) this.faults.add("lost", `the device is lost: ${why}`);
    this.lost = true;
    this.waiting.clear();
    return LOST;
  }

  faultCount() {
    return this.faults.list.length;
  }

  takeFaults() {
    return this.faults.take();
  }

  /** Say where packets are written: Python's memory stays in place while it is pinned. @param {Memory} memory */
  pin(memory) {
    const view = memory.getBuffer("u8");
    this.pinned?.release();
    this.pinned = view;
    this.pointer = view.data.byteOffset;
  }

  /** Say where short answers are laid, which is pinned too. @param {Memory} memory */
  lay(memory) {
    const view = memory.getBuffer("u8");
    this.held?.release();
    this.held = view;
    this.tray = { pointer: view.data.byteOffset, nbytes: view.data.byteLength };
  }

  /** Add a buffer that travels beside the next packet. @param {Memory} memory */
  blob(memory) {
    const view = memory.getBuffer("u8");
    this.blobs.push({ pointer: view.data.byteOffset, nbytes: view.data.byteLength });
    view.release();
  }

  /** Carry out the pinned packet; returns how many queue submits it took. @param {number} nbytes */
  submit(nbytes) {
    const { encoding, faults, blobs } = this;
    faults.packet++;
    this.stopped = -1;
    if (blobs.length) this.blobs = [];
    if (this.lost) {
      faults.add("lost", "the device is lost");
      return 0;
    }
    const words = this.heap.HEAPU32;
    const start = this.pointer >>> 2;
    const { checker, library } = encoding;
    let count = 0;
    try {
      count = checker.check(words, start, nbytes, blobs);
    } catch (error) {
      if (!(error instanceof PacketError)) throw error;
      faults.add("protocol", error.message, 0, error.command);
      this.stopped = 0;
      return 0;
    }
    let coming = false;
    for (const parsed of checker.parsed) {
      if (!("source" in parsed) || !library.patient) continue;
      parsed.compiled = library.begin(parsed);
      coming ||= parsed.compiled.coming !== null;
    }
    const commands = commandsOf(words, start + 3, count, checker.parsed);
    const part = { number: faults.packet, words, bytes: this.heap.HEAPU8, blobs, commands };
    encoding.submits = 0;
    if (coming || this.waiting.parts.length) this.inParts(part);
    else this.carry(part, commands);
    return encoding.submits;
  }

  /**
   * Carry out those commands of a packet that need not wait, and keep the others. @param {Part} part
   */
  inParts(part) {
    const { waiting, encoding } = this;
    waiting.examine(part);
    const ready = waiting.split(part);
    if (ready.length) this.carry(part, ready);
    if (!part.commands.length) return;
    waiting.keep(part);
    const { words, commands } = part;
    for (const { tag, at } of commands) {
      if (tag === READ || tag === TIMED_REPLAY) encoding.promise(words[at] ?? 0);
    }
    // What waits is one submit more.
    encoding.submits++;
    if (waiting.parts.length > MOST_PACKETS || waiting.nbytes > MOST_BYTES) this.pump(true);
  }

  /** @param {Part} part @param {Command[]} commands */
  carry(part, commands) {
    const { encoding } = this;
    const settled = encoding.run(part, commands);
    this.settled = settled;
    for (const read of encoding.asked) {
      const ready = this.map(read, settled);
      if (read.arrive) read.arrive(ready);
      else read.ready = ready;
    }
    if (!encoding.promised.size) return;
    // An error in the middle of a packet leaves reads behind.
    for (const { tag, at } of commands) {
      if (tag !== READ && tag !== TIMED_REPLAY) continue;
      const token = part.words[at] ?? 0;
      encoding.promised.get(token)?.arrive?.(Promise.resolve(FAILED));
      encoding.promised.delete(token);
    }
  }

  /** Carry out what need no longer wait, once for all pipelines that are there. */
  pumpSoon() {
    if (this.pumping || !this.waiting.parts.length) return;
    this.pumping = true;
    queueMicrotask(() => {
      this.pumping = false;
      this.pump();
    });
  }

  /** @param {boolean} [now] whether to wait for no pipeline */
  pump(now = false) {
    if (!this.lost) this.waiting.pump((part, commands) => this.carry(part, commands), now);
  }

  /**
   * Compile a pipeline for a plan that does without meanwhile. @param {string} label @param {string} source
   * @param {string} bindings @param {string} overrides as JSON
   */
  compileSoon(label, source, bindings, overrides) {
    if (this.lost) return;
    this.encoding.library.compileSoon({
      label,
      source,
      bindings,
      overrides: JSON.parse(overrides),
    });
  }

  /**
   * Begin to compile a pipeline that a packet will define. @param {string} label @param {string} source
   * @param {string} bindings @param {string} overrides as JSON
   */
  foresee(label, source, bindings, overrides) {
    const { library } = this.encoding;
    if (this.lost || !library.patient) return;
    library.begin({ label, source, bindings, overrides: JSON.parse(overrides) });
    // An engine whose GPU has a process of its own sends what was asked with the next submit.
    this.device.queue.submit([]);
  }

  compiling() {
    return this.lost ? 0 : this.encoding.library.compiling();
  }

  /**
   * Bring a read's bytes within reach; the faults of its packet are known before they are.
   * @param {Read} read @param {Promise<unknown>} settled
   */
  async map(read, settled) {
    const { staging, nbytes } = read;
    try {
      const mapped = staging?.mapAsync(GPUMapMode.READ, 0, Math.max(nbytes, 4));
      await Promise.all([mapped, settled]);
      read.mapped = true;
      return DONE;
    } catch (error) {
      // A read is the first to notice a loss; the browser says so a moment later, Firefox a long one.
      const moment = new Promise((resolve) => setTimeout(() => resolve(FAILED), 500));
      if ((await Promise.race([this.gone, moment])) === LOST) return LOST;
      this.faults.add("validation", `read failed: ${error}`);
      return FAILED;
    }
  }

  /**
   * Wait for the answer to a read.
   * @param {number} token @param {number} milliseconds
   * @returns {Promise<number>} 0 done, 1 deadline, 2 lost, 3 failed
   */
  wait(token, milliseconds) {
    const read = this.encoding.reads.live.get(token);
    if (this.lost || read === undefined) return Promise.resolve(this.lost ? LOST : FAILED);
    return this.race(read.ready, milliseconds);
  }

  /**
   * Wait until all that was submitted has run and its faults are known.
   * @param {number} milliseconds
   */
  settle(milliseconds) {
    const ended = () =>
      Promise.all([this.device.queue.onSubmittedWorkDone(), this.settled]).then(
        () => DONE,
        () => FAILED,
      );
    const { waiting } = this;
    return this.race(waiting.parts.length ? waiting.idle().then(ended) : ended(), milliseconds);
  }

  /** Call back at the end of a wait for a read, or for all if it is -1. @param {number} token @param {number} milliseconds @param {Answered} done */
  block(token, milliseconds, done) {
    const ended = token < 0 ? this.settle(milliseconds) : this.wait(token, milliseconds);
    ended.then((code) => done({ result: () => code }));
  }

  /** @param {Promise<number>} ready @param {number} milliseconds */
  async race(ready, milliseconds) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve(DEADLINE), milliseconds);
    });
    const stop = this.nudge();
    try {
      return /** @type {number} */ (await Promise.race([ready, this.gone, late]));
    } finally {
      clearTimeout(timer);
      stop();
    }
  }

  /**
   * Ask the engine to look at finished work until what is returned is called. Chromium looks when it is told
   * something, and else every 2 ms; other engines only every 100 ms. Which ones do is not known beforehand, so an
   * empty list is submitted: once in the second turn of the event loop, when small work is done, then whenever the
   * wait has lasted an eighth longer. More often would delay what is waited for.
   */
  nudge() {
    const { device } = this;
    const start = performance.now();
    const tell = () => device.queue.submit([device.createCommandEncoder().finish()]);
    /** @type {ReturnType<typeof setTimeout>[]} */
    const timers = [];
    const soon = () => {
      timers[0] = setTimeout(tell, 0);
    };
    const later = () => {
      tell();
      timers[1] = setTimeout(later, Math.max(NUDGE, (performance.now() - start) / 8));
    };
    timers.push(setTimeout(soon, 0), setTimeout(later, NUDGE));
    return () => timers.forEach(clearTimeout);
  }

  /**
   * Lay the bytes of a read in the tray, and forget it. Returns how many there are, -1 if the tray is too small (then
   * `take` gives them), or -2 if they are not there, or never will be: `wait` says which. @param {number} token
   */
  serve(token) {
    const { encoding, tray, heap } = this;
    const read = encoding.reads.live.get(token);
    if (!read?.mapped || this.lost) return -2;
    const { staging, nbytes } = read;
    if (nbytes > tray.nbytes) return -1;
    if (staging !== null) {
      heap.HEAPU8.set(new Uint8Array(staging.getMappedRange(0, nbytes)), tray.pointer);
      staging.unmap();
      encoding.staging.give(staging);
    }
    encoding.reads.live.delete(token);
    return nbytes;
  }

  /** The bytes of a read that is done: a view, good until `done`. @param {number} token */
  take(token) {
    const { staging, nbytes } = this.encoding.reads.alive(token);
    return nbytes && staging
      ? new Uint8Array(staging.getMappedRange(0, nbytes))
      : new Uint8Array(0);
  }

  /** Forget a read; its staging buffer serves again once it is unmapped. @param {number} token */
  done(token) {
    const read = this.encoding.reads.live.get(token);
    if (read === undefined) return;
    this.encoding.reads.live.delete(token);
    const recycle = () => {
      if (read.staging === null) return;
      read.staging.unmap();
      this.encoding.staging.give(read.staging);
    };
    if (!this.lost) read.ready.then((code) => code === DONE && recycle());
  }

  /** Keep a text for the next session. @param {string} text */
  keep(text) {
    this.kept = text;
    return keep(text);
  }

  close() {
    this.lost = true;
    this.waiting.clear();
    this.pinned?.release();
    this.held?.release();
    this.pinned = this.held = null;
    this.device.destroy();
  }
}

/** @param {GPUAdapter} adapter */
export function describeAdapter(adapter) {
  /** @type {Partial<GPUAdapterInfo>} */
  const info = adapter.info ?? {};
  const { vendor = "", architecture = "", device = "", description = "" } = info;
  const text = [vendor, architecture, device, description].join(" ");
  const fallback = "isFallbackAdapter" in info ? info.isFallbackAdapter : undefined;
  const software = Boolean(fallback) || SOFTWARE.test(text);
  const name = description || device || [vendor, architecture].filter(Boolean).join(" ");
  return {
    name: name || "unknown adapter",
    vendor,
    architecture,
    device,
    description,
    backend: "browser",
    software,
  };
}

/**
 * A device with all that the adapter has of what kernels use, or with the defaults if the
 * browser refuses that.
 * @param {GPUAdapter} adapter
 */
async function requestDevice(adapter) {
  /** @type {Record<string, number>} */
  const requiredLimits = {};
  for (const name of LIMITS) {
    const value = adapter.limits[name];
    if (value !== undefined) requiredLimits[name] = value;
  }
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name));
  try {
    return await adapter.requestDevice({ requiredFeatures, requiredLimits });
  } catch {
    return await adapter.requestDevice();
  }
}

/**
 * Open the fastest device there is.
 * @param {Heap} heap @param {boolean} [diagnose] check after every command, which is slow
 */
export async function connect(heap, diagnose = false) {
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) throw new Error("this browser has no WebGPU (navigator.gpu)");
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("this browser has WebGPU, but no adapter for it");
  const [device, kept] = await Promise.all([requestDevice(adapter), recall()]);
  /** @type {Record<string, number>} */
  const limits = {};
  for (const name of [...LIMITS, /** @type {const} */ ("minUniformBufferOffsetAlignment")]) {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    limits[snake] = device.limits[name];
  }
  const hello = {
    protocol: VERSION,
    language: "wgsl",
    limits,
    features: [...device.features],
    routines: [],
    adapter: describeAdapter(adapter),
  };
  const bridge = new Bridge(heap, device, hello, diagnose);
  bridge.kept = kept;
  return bridge;
}
