// A WebGPU device that does nothing but write down what is asked of it, and a heap for packets.

globalThis.GPUBufferUsage ??= {
  MAP_READ: 1,
  COPY_SRC: 4,
  COPY_DST: 8,
  UNIFORM: 64,
  STORAGE: 128,
  QUERY_RESOLVE: 512,
};
globalThis.GPUShaderStage ??= { COMPUTE: 4 };
globalThis.GPUMapMode ??= { READ: 1 };

export class FakeDevice {
  constructor() {
    this.log = [];
    this.buffers = 0;
    this.limits = { maxBufferSize: 1 << 28 };
    this.features = new Set();
    this.errors = []; // what the scopes of the next packet hold
    this.lost = new Promise((resolve) => {
      this.lose = resolve;
    });
    this.queue = {
      submit: (buffers) => this.log.push(`submit ${buffers.length}`),
      writeBuffer: (buffer, offset, data, start, length) => {
        const bytes = data.subarray(start, start + length);
        this.log.push(
          `write ${buffer.name} +${offset}: ${Buffer.from(bytes.slice().buffer).toString("hex")}`,
        );
      },
      onSubmittedWorkDone: async () => {},
    };
  }

  pushErrorScope() {}

  async popErrorScope() {
    return this.errors.shift() ?? null;
  }

  createBuffer({ size, usage }) {
    const name = `b${this.buffers++}`;
    this.log.push(`buffer ${name}: ${size} bytes, usage ${usage}`);
    return {
      name,
      size,
      destroy: () => this.log.push(`destroy ${name}`),
      mapAsync: async () => {},
      getMappedRange: (_, length) => new ArrayBuffer(length),
      unmap: () => this.log.push(`unmap ${name}`),
    };
  }

  createBindGroupLayout({ entries }) {
    return { types: entries.map((entry) => entry.buffer.type) };
  }

  createQuerySet() {
    return {};
  }

  createPipelineLayout() {
    return {};
  }

  createShaderModule({ label, code }) {
    this.log.push(`module '${label}': ${JSON.stringify(code)}`);
    return { getCompilationInfo: async () => ({ messages: this.messages ?? [] }) };
  }

  createComputePipeline({ label, compute }) {
    this.log.push(`pipeline '${label}' ${JSON.stringify(compute.constants)}`);
    return { label };
  }

  createBindGroup({ entries }) {
    const spans = entries.map(
      ({ resource: { buffer, offset, size } }) =>
        buffer.name + (offset ? `+${offset}` : "") + (size ? `:${size}` : ""),
    );
    this.log.push(`group ${spans.join(" ")}`);
    return spans.join(" ");
  }

  createCommandEncoder() {
    const { log } = this;
    return {
      beginComputePass: ({ timestampWrites: times } = {}) => {
        const span = times && `${times.beginningOfPassWriteIndex} ${times.endOfPassWriteIndex}`;
        log.push(times ? `pass timed ${span}` : "pass");
        return {
          setPipeline: ({ label }) => log.push(`use '${label}'`),
          setBindGroup: (_, group, offsets) =>
            log.push(`bind ${group}${offsets ? ` @${offsets[0]}` : ""}`),
          dispatchWorkgroups: (...grid) => log.push(`dispatch ${grid.join("x")}`),
          end: () => log.push("end"),
        };
      },
      copyBufferToBuffer: (src, from, dst, to, n) =>
        log.push(`copy ${src.name} +${from} to ${dst.name} +${to}: ${n}`),
      resolveQuerySet: (_set, first, count) => log.push(`resolve ${first} to ${count}`),
      finish: () => ({}),
    };
  }

  destroy() {
    this.log.push("device destroyed");
  }
}

/** Memory that packets are put into, as Python's heap is. */
export class Heap {
  constructor() {
    this.HEAPU8 = new Uint8Array(1 << 16);
    this.HEAPU32 = new Uint32Array(this.HEAPU8.buffer);
    this.end = 64; // so that no pointer is 0
  }

  /** Put bytes on the heap and return them as Pyodide hands over a buffer of Python. */
  put(bytes) {
    const start = this.end;
    this.HEAPU8.set(bytes, start);
    this.end = start + ((bytes.length + 7) & -8);
    return {
      getBuffer: () => ({ data: this.HEAPU8.subarray(start, start + bytes.length), release() {} }),
    };
  }
}
