/**
 * Pipelines by id: equal ones share one compiled pipeline, and layouts are explicit, because
 * browsers compile a source with an automatic layout anew each time.
 */

import { Faults } from "./faults.js";
import { Ids } from "./ids.js";

const BINDING_TYPES = /** @type {Record<string, GPUBufferBindingType>} */ ({
  r: "read-only-storage",
  w: "storage",
  u: "uniform",
});

/** How many pipelines wait to be asked for. */
const EARLY = 256;

/** @param {string} source @param {string} bindings @param {Record<string, number>} overrides */
const keyOf = (source, bindings, overrides) =>
  `${bindings}\n${JSON.stringify(overrides)}\n${source}`;

/**
 * @typedef {{ group: GPUBindGroupLayout, number: number }} Layout
 * @typedef {{ gpu: GPUComputePipeline, users: number, key: string }} Compiled
 * @typedef {{ compiled: Compiled, layout: Layout, label: string, nBuffers: number,
 *   uniform: boolean }} Pipeline
 */

export class Pipelines {
  /** @param {GPUDevice} device */
  constructor(device) {
    this.device = device;
    this.faults = new Faults(device, (message) => this.namedIn(message));
    this.ids = /** @type {Ids<Pipeline>} */ (new Ids("pipeline"));
    /** @type {Map<string, Compiled>} */
    this.compiled = new Map();
    /** @type {Map<string, Layout>} */
    this.layouts = new Map();
    /** Pipelines that were compiled in the background and are not yet asked for. @type {Map<string, GPUComputePipeline>} */
    this.early = new Map();
    /** @type {Set<string>} */
    this.pending = new Set();
    this.failed = false;
  }

  /** @param {string} message */
  namedIn(message) {
    for (const [id, { label }] of this.ids.live) {
      if (message.includes(`"${label}"`) || message.includes(`'${label}'`)) return id;
    }
    return 0;
  }

  /** @param {import("./packet.js").PipelineCommand} command @param {number} index */
  add({ id, label, source, bindings, overrides }, index) {
    const layout = this.layout(bindings);
    const key = keyOf(source, bindings, overrides);
    let known = this.compiled.get(key);
    if (known === undefined) {
      const early = this.early.get(key);
      this.early.delete(key);
      const compiled = {
        gpu: early ?? this.compile(id, label, source, layout, overrides, index, key),
        users: 0,
        key,
      };
      this.compiled.set(key, compiled);
      known = compiled;
    }
    known.users++;
    const uniform = bindings.endsWith("u");
    const nBuffers = bindings.length - Number(uniform);
    this.ids.live.set(id, { compiled: known, layout, label, nBuffers, uniform });
  }

  /**
   * Compile now; a failure becomes a fault, and the next attempt at the same source has to fail by itself.
   * @param {number} id @param {string} label @param {string} source @param {Layout} layout
   * @param {Record<string, number>} overrides @param {number} index @param {string} key
   */
  compile(id, label, source, layout, overrides, index, key) {
    this.faults.watch();
    const made = this.descriptor(label, source, layout, overrides);
    const gpu = this.device.createComputePipeline(made);
    this.faults.reportPipeline(made.compute.module, id, label, source, index, () => {
      if (this.compiled.get(key)?.gpu === gpu) this.compiled.delete(key);
    });
    return gpu;
  }

  /**
   * @param {string} label @param {string} code @param {Layout} layout
   * @param {Record<string, number>} constants
   */
  descriptor(label, code, layout, constants) {
    const module = this.device.createShaderModule({ label, code });
    // A layout of its own, though of one group: where two pipelines share it, wgpu 29 holds the buffers of
    // one to the sizes that the other needs.
    const whole = this.device.createPipelineLayout({ bindGroupLayouts: [layout.group] });
    return { label, layout: whole, compute: { module, entryPoint: "main", constants } };
  }

  /**
   * Compile in the background, while the engine goes on with everything else; `add` finds the result.
   * @param {string} label @param {string} source @param {string} bindings
   * @param {Record<string, number>} overrides
   */
  async compileSoon(label, source, bindings, overrides) {
    const key = keyOf(source, bindings, overrides);
    if (this.compiled.has(key) || this.early.has(key) || this.pending.has(key)) return;
    this.pending.add(key);
    this.faults.watch();
    const made = this.descriptor(label, source, this.layout(bindings), overrides);
    const errors = this.faults.unwatch();
    try {
      const gpu = await this.device.createComputePipelineAsync(made);
      if ((await errors).some((error) => error)) this.failed = true;
      else if (!this.compiled.has(key)) this.early.set(key, gpu);
    } catch {
      this.failed = true;
    }
    this.pending.delete(key);
    const oldest = this.early.keys().next();
    if (this.early.size > EARLY && !oldest.done) this.early.delete(oldest.value);
  }

  /** How many are compiled in the background; -1, once, if all are and one failed. */
  compiling() {
    if (this.pending.size || !this.failed) return this.pending.size;
    this.failed = false;
    return -1;
  }

  /** @param {Uint32Array} ids */
  drop(ids) {
    for (const id of ids) {
      const { compiled } = this.ids.alive(id);
      if (--compiled.users === 0) this.forget(compiled);
      this.ids.live.delete(id);
    }
  }

  /** @param {Compiled} compiled */
  forget(compiled) {
    if (this.compiled.get(compiled.key) === compiled) this.compiled.delete(compiled.key);
  }

  /** @param {string} bindings @returns {Layout} */
  layout(bindings) {
    let layout = this.layouts.get(bindings);
    if (layout === undefined) {
      const entries = [...bindings].map((letter, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: BINDING_TYPES[letter] ?? "storage", hasDynamicOffset: letter === "u" },
      }));
      const group = this.device.createBindGroupLayout({ entries });
      layout = { group, number: this.layouts.size + 1 };
      this.layouts.set(bindings, layout);
    }
    return layout;
  }
}
