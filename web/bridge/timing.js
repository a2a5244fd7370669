/** Timestamps around the dispatches of a stored list. */

/** The most queries of a set that WebGPU allows. */
const QUERIES = 4096;

/**
 * @typedef {import("./encode.js").Encoding} Encoding
 * @typedef {import("./encode.js").Buf} Buf
 * @typedef {import("./list.js").List} List
 * @typedef {import("./list.js").Table} Table
 */

/** Measures dispatches, each in a compute pass of its own. */
export class Timers {
  /** @param {GPUDevice} device */
  constructor(device) {
    this.device = device;
    /** @type {{ set: GPUQuerySet, answers: GPUBuffer } | null} */
    this.queries = null;
  }

  find() {
    this.queries ??= {
      set: this.device.createQuerySet({ type: "timestamp", count: QUERIES }),
      answers: this.device.createBuffer({
        size: 8 * QUERIES,
        usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
      }),
    };
    return this.queries;
  }

  /**
   * Encode a list's steps; what is returned will have two 64-bit nanoseconds for each dispatch.
   * @param {Encoding} encoding @param {List} list @param {Table} table @param {number} base
   */
  encode(encoding, list, table, base) {
    const nbytes = 16 * table.groups.length;
    const staging = encoding.staging.take(nbytes);
    let [i, at, done] = [0, 0, 0];
    const resolve = () => {
      if (!at) return;
      const { set, answers } = this.find();
      const encoder = encoding.closePass();
      encoder.resolveQuerySet(set, 0, at, answers, 0);
      encoder.copyBufferToBuffer(answers, 0, staging, done, 8 * at);
      done += 8 * at;
      at = 0;
    };
    for (const step of list.steps) {
      if ("src" in step) {
        const [src, dst] = [table.buffers[step.src], table.buffers[step.dst]];
        encoding.copy(
          /** @type {Buf} */ (src),
          step.srcOffset,
          /** @type {Buf} */ (dst),
          step.dstOffset,
          step.nbytes,
        );
        continue;
      }
      this.dispatch(encoding, step, table.groups[i++] ?? null, base, at);
      at += 2;
      if (at === QUERIES) resolve();
    }
    resolve();
    return { staging, nbytes };
  }

  /**
   * @param {Encoding} encoding @param {Exclude<List["steps"][number], { src: number }>} step
   * @param {GPUBindGroup | null} group @param {number} base @param {number} at
   */
  dispatch(encoding, step, group, base, at) {
    const timestampWrites = {
      querySet: this.find().set,
      beginningOfPassWriteIndex: at,
      endOfPassWriteIndex: at + 1,
    };
    const pass = encoding.closePass().beginComputePass({ timestampWrites });
    pass.setPipeline(step.of.gpu);
    if (step.offset < 0) pass.setBindGroup(0, group);
    else pass.setBindGroup(0, group, [base + step.offset]);
    pass.dispatchWorkgroups(step.gx, step.gy, step.gz);
    pass.end();
  }
}
