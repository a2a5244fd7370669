/** What Python is made of, on its way before the other scripts of the page are there. */

import { download } from "./download.js";

/** @typedef {Map<string, Promise<Response>>} Early  by name; who takes one takes it out */

const EARLY = Symbol.for("tabgrad.early");
const FIRST = ["pyodide.asm.mjs", "pyodide.asm.wasm", "snapshot.bin"];

/** @returns {Early} */
function begun() {
  const python = JSON.parse(document.getElementById("python")?.textContent ?? "{}");
  const early = new Map();
  for (const name of FIRST) {
    const answer = download(new URL(`python/${python[name].file}`, document.baseURI));
    // Whoever takes it gets the error.
    answer.catch(() => {});
    early.set(name, answer);
  }
  return early;
}

// The other scripts may have come first: then they have asked for the files themselves.
if (!Reflect.has(globalThis, EARLY)) Reflect.set(globalThis, EARLY, begun());
