/** What Python is made of, on its way before the other scripts of the page are there. */

import { download } from "./download.js";

/** @typedef {Map<string, Promise<Response>>} Early  by name; who takes one takes it out */

const EARLY = Symbol.for("tabgrad.early");
const FIRST = ["pyodide.asm.mjs", "pyodide.asm.wasm", "snapshot.bin"];

const python = JSON.parse(document.getElementById("python")?.textContent ?? "{}");
/** @type {Early} */
const early = new Map();
for (const name of FIRST) {
  const answer = download(new URL(`python/${python[name].file}`, document.baseURI));
  // Whoever takes it gets the error.
  answer.catch(() => {});
  early.set(name, answer);
}
Reflect.set(globalThis, EARLY, early);
