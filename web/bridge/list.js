/** A stored list of commands, and the bind groups of the buffers it was replayed with last. */

/**
 * @typedef {import("./packet.js").CopyStep} CopyStep
 * @typedef {import("./packet.js").DispatchStep} DispatchStep
 * @typedef {import("./packet.js").ListCommand} ListCommand
 * @typedef {import("./pipelines.js").Pipeline} Pipeline
 * @typedef {import("./encode.js").Buf} Buf
 * @typedef {{ list: List, slots: Uint32Array, buffers: Buf[], groups: GPUBindGroup[] }} Table
 *   `groups` has one entry for each dispatch of the list
 * @typedef {DispatchStep & { of: Pipeline }} Dispatch
 */

/** A stored list: its steps, its uniform words laid out as in the arena. */
export class List {
  /** @param {ListCommand} command @param {import("./ids.js").Ids<Pipeline>} pipelines */
  constructor(command, pipelines) {
    this.nSlots = command.nSlots;
    this.copies = command.copies;
    this.windows = command.windows;
    this.image = command.image;
    this.positions = command.positions;
    /** @type {(CopyStep | Dispatch)[]} */
    this.steps = command.steps
      .filter((step) => "src" in step || step.gx * step.gy * step.gz > 0)
      .map((step) => ("src" in step ? step : { ...step, of: pipelines.alive(step.pipeline) }));
    /** Which slots its steps write, once that was asked. @type {Uint8Array | undefined} */
    this.written = command.written;
    /** @type {Table[]} */
    this.tables = [];
  }

  /** The table of the slots at `words[at]`, if it is kept. @param {Uint32Array} words @param {number} at */
  find(words, at) {
    for (const table of this.tables) {
      const { slots } = table;
      let i = 0;
      while (i < slots.length && slots[i] === words[at + i]) i++;
      if (i === slots.length) return table;
    }
    return undefined;
  }

  /** @param {Uint32Array} words @param {number} at */
  knows(words, at) {
    return this.find(words, at) !== undefined;
  }
}
