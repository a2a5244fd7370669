/** Timers that a program sets: they end when the next one begins, as nothing else of a program would. */

const PAIRS = [
  ["setTimeout", "clearTimeout"],
  ["setInterval", "clearInterval"],
  ["requestAnimationFrame", "cancelAnimationFrame"],
];

/**
 * Keep account of the timers that are set from now on.
 * @returns {() => void} which ends those that are left
 */
export function watchTimers() {
  const ends = PAIRS.map(([set = "", clear = ""]) => watched(set, clear));
  return () => {
    for (const end of ends) end();
  };
}

/** @param {string} set @param {string} clear */
function watched(set, clear) {
  /** @type {any} */
  const all = globalThis;
  if (typeof all[set] !== "function") return () => {};
  const begin = all[set].bind(all);
  const end = all[clear].bind(all);
  /** @type {Set<number>} */
  const live = new Set();
  all[set] = (/** @type {any} */ callback, /** @type {any[]} */ ...rest) => {
    if (typeof callback !== "function") return begin(callback, ...rest);
    const id = begin(
      (/** @type {any[]} */ ...given) => {
        if (set !== "setInterval") live.delete(id);
        return callback(...given);
      },
      ...rest,
    );
    live.add(id);
    return id;
  };
  all[clear] = (/** @type {number} */ id) => {
    live.delete(id);
    end(id);
  };
  return () => {
    for (const id of live) end(id);
    live.clear();
  };
}
