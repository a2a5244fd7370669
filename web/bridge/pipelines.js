/**
 * Pipelines by id: equal ones share one compiled pipeline, and layouts are explicit, because
 * browsers compile a source with an automatic layout anew each time. All are compiled in the background, at once,
 * where the engine can do that.
 */

import { Faults } from "./faults.js";
import { Ids } from "./ids.js";

const BINDING_TYPES = /** @type {Record<string, GPUBufferBindingType>} */ ({
  r: "read-only-storage",
  w: "storage",
  u: "uniform",
});

/** How many pipelines that no packet has named are kept. */
const EARLY = 256;

/**
 * @typedef {{ label: string, source: string, bindings: string,
 *   overrides: Record<string, number> }} Text  what a pipeline is made of
 * @typedef {{ group: GPUBindGroupLayout, number: number }} Layout
 * @typedef {{ gpu: GPUComputePipeline | null, coming: Promise<void> | null, users: number,
 *   key: string }} Compiled  it has a `gpu` if it is compiled, is `coming` while it is not, and has neither if
 *   that failed
 * @typedef {{ gpu: GPUComputePipeline, layout: Layout, label: string, nBuffers: number, uniform: boolean,
 *   bindings: string, compiled: Compiled }} Pipeline
 */

/** @param {Text} text */
const keyOf = ({ source, bindings, overrides }) =>
  `${bindings}\n${JSON.stringify(overrides)}\n${source}`;

export class Pipelines {
  /** @param {GPUDevice} device @param {boolean} patient whether pipelines are compiled in the background */
  constructor(device, patient) {
    this.device = device;
    this.patient = patient && "createComputePipelineAsync" in device;
    this.faults = new Faults(device, (message) => this.namedIn(message));
    this.ids = /** @type {Ids<Pipeline>} */ (new Ids("pipeline"));
    /** @type {Map<string, Compiled>} */
    this.compiled = new Map();
    /** @type {Map<string, Layout>} */
    this.layouts = new Map();
    /** Those that no id names, the oldest first. @type {Set<Compiled>} */
    this.unnamed = new Set();
    /** Those of `compileSoon` that are coming. @type {Set<Compiled>} */
    this.soon = new Set();
    this.failed = false;
    /** Called when a pipeline is there, or has failed. */
    this.arrived = () => {};
  }

  /** @param {string} message */
  namedIn(message) {
    for (const [id, { label }] of this.ids.live) {
      if (message.includes(`"${label}"`) || message.includes(`'${label}'`)) return id;
    }
    return 0;
  }

  /** Begin to compile a pipeline unless an equal one is there. @param {Text} text @returns {Compiled} */
  begin(text) {
    const key = keyOf(text);
    const known = this.compiled.get(key);
    if (known !== undefined) return known;
    /** @type {Compiled} */
    const compiled = { gpu: null, coming: null, users: 0, key };
    if (this.patient) compiled.coming = this.fill(compiled, text).then(() => this.filled(compiled));
    this.keep(compiled);
    return compiled;
  }

  /** @param {Compiled} compiled */
  keep(compiled) {
    this.compiled.set(compiled.key, compiled);
    this.unnamed.add(compiled);
    const oldest = this.unnamed.values().next();
    if (this.unnamed.size > EARLY && !oldest.done) this.forget(oldest.value);
  }

  /** @param {Compiled} compiled @param {Text} text */
  async fill(compiled, text) {
    try {
      this.faults.watch();
      const made = this.descriptor(text);
      const errors = this.faults.unwatch();
      const gpu = await this.device.createComputePipelineAsync(made);
      if (!(await errors).some((error) => error)) compiled.gpu ??= gpu;
    } catch {
      // Whoever needs it compiles it again, and reports why that failed.
    }
  }

  /** @param {Compiled} compiled */
  filled(compiled) {
    compiled.coming = null;
    if (compiled.gpu === null) this.forget(compiled);
    this.arrived();
  }

  /** @param {import("./packet.js").PipelineCommand} command @param {number} index */
  add(command, index) {
    const { id, label, bindings } = command;
    const layout = this.layout(bindings);
    const compiled = command.compiled ?? this.begin(command);
    this.compiled.set(compiled.key, compiled);
    this.unnamed.delete(compiled);
    compiled.gpu ??= this.compile(command, index, compiled);
    compiled.users++;
    const uniform = bindings.endsWith("u");
    const nBuffers = bindings.length - Number(uniform);
    const { gpu } = compiled;
    this.ids.live.set(id, { gpu, layout, label, nBuffers, uniform, bindings, compiled });
  }

  /**
   * Compile now; a failure becomes a fault, and the next attempt at the same source has to fail by itself.
   * @param {import("./packet.js").PipelineCommand} command @param {number} index @param {Compiled} compiled
   */
  compile(command, index, compiled) {
    const { id, label, source } = command;
    this.faults.watch();
    const made = this.descriptor(command);
    const gpu = this.device.createComputePipeline(made);
    this.faults.reportPipeline(made.compute.module, id, label, source, index, () => {
      if (compiled.gpu === gpu) this.forget(compiled);
    });
    return gpu;
  }

  /** @param {Text} text */
  descriptor({ label, source, bindings, overrides }) {
    const module = this.device.createShaderModule({ label, code: source });
    const { group } = this.layout(bindings);
    // A layout of its own, though of one group: where two pipelines share it, wgpu 29 holds the buffers of
    // one to the sizes that the other needs.
    const layout = this.device.createPipelineLayout({ bindGroupLayouts: [group] });
    return { label, layout, compute: { module, entryPoint: "main", constants: overrides } };
  }

  /** Compile for a plan that does without meanwhile: nobody waits for it. @param {Text} text */
  async compileSoon(text) {
    this.failed ||= !this.patient;
    const compiled = this.patient && this.begin(text);
    if (!compiled || compiled.coming === null || this.soon.has(compiled)) return;
    this.soon.add(compiled);
    await compiled.coming;
    this.soon.delete(compiled);
    if (compiled.gpu === null) this.failed = true;
  }

  /** How many of `compileSoon` are coming; -1, once, if all are there and one failed. */
  compiling() {
    if (this.soon.size || !this.failed) return this.soon.size;
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
    this.unnamed.delete(compiled);
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
