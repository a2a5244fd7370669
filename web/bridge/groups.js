/** Bind groups of whole buffers, kept for the next dispatch that binds the same. */

/**
 * @typedef {import("./encode.js").Buf} Buf
 * @typedef {import("./ids.js").Ids<Buf>} Buffers
 * @typedef {import("./pipelines.js").Layout} Layout
 * @typedef {{ key: number, layout: number, nbytes: number, ids: number[],
 *   gpu: GPUBindGroup }} Group  `nbytes` of uniform words
 * @typedef {(layout: Layout, resources: GPUBufferBinding[], nbytes: number) => GPUBindGroup} Bind
 */

/** How many are kept: buffers are combined in ever new ways, and the oldest group goes first. */
export const GROUPS = 2048;

export class Groups {
  /** @param {Buffers} buffers @param {Bind} bind */
  constructor(buffers, bind) {
    this.buffers = buffers;
    this.bind = bind;
    /** @type {Map<number, Group[]>} */
    this.byKey = new Map();
    /** From the oldest to the newest. @type {Set<Group>} */
    this.kept = new Set();
  }

  /**
   * The bind group for buffers `ids` and `nbytes` of uniform words.
   * @param {Layout} layout @param {ArrayLike<number>} ids @param {number} nbytes
   */
  find(layout, ids, nbytes) {
    const { length } = ids;
    let key = layout.number * 31 + nbytes;
    for (let i = 0; i < length; i++) key = Math.imul(key ^ (ids[i] ?? 0), 0x9e3779b1) >>> 0;
    const same = this.byKey.get(key);
    if (same !== undefined) {
      for (const known of same) {
        if (known.layout !== layout.number || known.nbytes !== nbytes) continue;
        let i = 0;
        while (i < length && known.ids[i] === ids[i]) i++;
        if (i === length) return known.gpu;
      }
    }
    return this.make(key, layout, Array.from(ids), nbytes);
  }

  /** @param {number} key @param {Layout} layout @param {number[]} ids @param {number} nbytes */
  make(key, layout, ids, nbytes) {
    const buffers = ids.map((id) => this.buffers.alive(id));
    const resources = buffers.map(({ gpu: buffer }) => ({ buffer }));
    const gpu = this.bind(layout, resources, nbytes);
    const group = { key, layout: layout.number, nbytes, ids, gpu };
    if (this.kept.size >= GROUPS) this.drop(/** @type {Group} */ (this.kept.values().next().value));
    for (const buffer of buffers) buffer.groups.add(group);
    this.kept.add(group);
    const same = this.byKey.get(key);
    if (same) same.push(group);
    else this.byKey.set(key, [group]);
    return gpu;
  }

  /** Forget a group; what is encoded with it, and tables that have it, keep it alive. @param {Group} group */
  drop(group) {
    this.kept.delete(group);
    const rest = this.byKey.get(group.key)?.filter((other) => other !== group) ?? [];
    if (rest.length) this.byKey.set(group.key, rest);
    else this.byKey.delete(group.key);
    for (const id of group.ids) this.buffers.alive(id).groups.delete(group);
  }

  clear() {
    for (const group of this.kept) {
      for (const id of group.ids) this.buffers.live.get(id)?.groups.delete(group);
    }
    this.kept.clear();
    this.byKey.clear();
  }
}
