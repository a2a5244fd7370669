/**
 * What went wrong on a device, and which command of which packet it came from.
 */

/**
 * @typedef {{ kind: string, message: string, pipeline: number, command: number,
 *   packet: number }} Fault
 */

/** Collects faults; errors of the GPU arrive some time after the packet that caused them. */
export class Faults {
  /** @param {GPUDevice} device @param {(message: string) => number} namedIn */
  constructor(device, namedIn) {
    this.device = device;
    this.namedIn = namedIn;
    this.packet = 0;
    /** @type {Fault[]} */
    this.list = [];
    /** @type {Promise<void>[]} */
    this.inner = [];
    /** Resolves when the faults of all packets so far are in the list. */
    this.reported = Promise.resolve();
  }

  /** @param {string} kind @param {string} message */
  add(kind, message, pipeline = 0, command = -1, packet = this.packet) {
    this.list.push({ kind, message, pipeline, command, packet });
  }

  take() {
    return this.list.splice(0);
  }

  /** Open scopes for every kind of error; `unwatch` or `report` closes them. */
  watch() {
    this.device.pushErrorScope("validation");
    this.device.pushErrorScope("out-of-memory");
    this.device.pushErrorScope("internal");
  }

  /** The errors since `watch`: internal, out of memory, validation. */
  unwatch() {
    const pop = () => this.device.popErrorScope().catch(() => null);
    return Promise.all([pop(), pop(), pop()]);
  }

  /** Close the scopes of one command inside a packet. @param {number} command @param {number} id */
  reportInner(command, id) {
    const { packet } = this;
    const errors = this.unwatch();
    this.inner.push(errors.then((found) => this.addErrors(found, id, command, packet)));
  }

  /** Close the scopes of a packet; resolves when all its faults are in the list. */
  report() {
    this.reported = this.look(this.reported);
    return this.reported;
  }

  /** @param {Promise<void>} before */
  async look(before) {
    const { packet, inner } = this;
    this.inner = [];
    const errors = this.unwatch();
    if (inner.length) await Promise.all(inner);
    // What follows from a kernel or a buffer that could not be made says nothing new.
    const known = inner.length && this.list.some((fault) => fault.packet === packet);
    const found = await errors;
    await before;
    if (!known) this.addErrors(found, 0, -1, packet);
  }

  /**
   * @param {(GPUError | null)[]} errors @param {number} pipeline @param {number} command
   * @param {number} packet
   */
  addErrors([internal, memory, validation], pipeline, command, packet) {
    if (memory) this.add("memory", memory.message || "out of memory", 0, command, packet);
    for (const error of [validation, internal]) {
      if (!error) continue;
      const id = pipeline || this.namedIn(error.message);
      this.add("validation", error.message, id, command, packet);
    }
  }

  /**
   * Close the scopes of a pipeline's making; a fault has the compiler's text and the source.
   * @param {GPUShaderModule} module @param {number} id @param {string} label
   * @param {string} source @param {number} command @param {() => void} failed
   */
  reportPipeline(module, id, label, source, command, failed) {
    const { packet } = this;
    const errors = this.unwatch();
    const look = async () => {
      const error = (await errors).find((found) => found);
      if (!error) return;
      failed();
      const info = await module.getCompilationInfo();
      const lines = info.messages.map((m) => `${m.lineNum}:${m.linePos} ${m.type}: ${m.message}`);
      const text = lines.length ? lines.join("\n") : error.message;
      const numbered = source.split("\n").map((line, i) => `${String(i + 1).padStart(4)} ${line}`);
      const message = `kernel '${label}' does not compile:\n${text}\n${numbered.join("\n")}`;
      this.add("compile", message, id, command, packet);
    };
    this.inner.push(look());
  }

  /** Close the scopes of a large allocation. @param {number} nbytes @param {number} command */
  reportAlloc(nbytes, command) {
    const { packet } = this;
    const limit = this.device.limits.maxBufferSize;
    const errors = this.unwatch();
    const look = async () => {
      const error = (await errors).find((found) => found);
      if (!error) return;
      const why =
        nbytes > limit
          ? `is above the device's limit of ${limit}`
          : `could not be allocated: ${error.message || "out of memory"}`;
      this.add("memory", `a buffer of ${nbytes} bytes ${why}`, 0, command, packet);
    };
    this.inner.push(look());
  }
}
