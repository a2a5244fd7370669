// The inputs of the long list, made from cases.json by the rules of common.js.
import { ints, onehot, U, U01 } from "./common.js";

const cases = await (await fetch("/pages/cases.json")).json();

/** @param {any} entry what cases.json says of an input, or of several */
function made(entry) {
  if (!Array.isArray(entry))
    return Object.fromEntries(Object.entries(entry).map(([k, v]) => [k, made(v)]));
  const [kind, seed, shape, scale] = entry;
  if (kind === "U") return { shape, data: U(seed, shape, scale) };
  if (kind === "U01") return { shape, data: U01(seed, shape) };
  const data = ints(seed, shape, scale);
  // made only where it is asked for, and not copied to Python
  return Object.defineProperty({ shape: [shape], data }, "onehot", {
    get: () => ({ shape: [shape, scale], data: onehot(data, scale) }),
  });
}

export const ids = Object.keys(cases);
/** @param {string} id */
export const inputsOf = (id) => made(cases[id]);
