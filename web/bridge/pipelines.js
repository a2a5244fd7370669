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
    const key = `${bindings}\n${JSON.stringify(overrides)}\n${source}`;
    let known = this.compiled.get(key);
    if (known === undefined) {
      this.faults.watch();
      const module = this.device.createShaderModule({ label, code: source });
      // A layout of its own, though of one group: where two pipelines share it, wgpu 29 holds the buffers of
      // one to the sizes that the other needs.
      const whole = this.device.createPipelineLayout({ bindGroupLayouts: [layout.group] });
      const gpu = this.device.createComputePipeline({
        label,
        layout: whole,
        compute: { module, entryPoint: "main", constants: overrides },
      });
      const compiled = { gpu, users: 0, key };
      // The next attempt at the same source has to fail by itself, with its own fault.
      const failed = () => this.forget(compiled);
      this.faults.reportPipeline(module, id, label, source, index, failed);
      this.compiled.set(key, compiled);
      known = compiled;
    }
    known.users++;
    const uniform = bindings.endsWith("u");
    const nBuffers = bindings.length - Number(uniform);
    this.ids.live.set(id, { compiled: known, layout, label, nBuffers, uniform });
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
