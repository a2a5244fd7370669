/** Buffers that can be mapped, kept by size for the next read. */

/** How many bytes are kept: what goes beyond, one large read or many at once, is let go when it is done. */
export const KEPT_BYTES = 64 << 20;

export class Staging {
  /** @param {GPUDevice} device */
  constructor(device) {
    this.device = device;
    /** @type {Map<number, GPUBuffer[]>} */
    this.free = new Map();
    this.nbytes = 0;
  }

  /** A buffer of at least so many bytes. @param {number} nbytes */
  take(nbytes) {
    const power = 2 ** Math.max(8, 32 - Math.clz32(Math.max(nbytes, 4) - 1));
    const size = power <= this.device.limits.maxBufferSize ? power : nbytes;
    const kept = this.free.get(size)?.pop();
    if (kept) {
      this.nbytes -= size;
      return kept;
    }
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    return this.device.createBuffer({ size, usage });
  }

  /** Take back a buffer that is no longer mapped. @param {GPUBuffer} buffer */
  give(buffer) {
    if (this.nbytes + buffer.size > KEPT_BYTES) return buffer.destroy();
    this.nbytes += buffer.size;
    const free = this.free.get(buffer.size);
    if (free) free.push(buffer);
    else this.free.set(buffer.size, [buffer]);
  }
}
