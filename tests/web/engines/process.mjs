/**
 * Python for tests without a browser, in Deno or in Node: each line that comes in is a message, each report
 * goes out as a line. The first message starts Python, each later one is a call.
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { start } from "../shell/python.js";

/** @param {object} report */
const send = (report) => process.stdout.write(`${JSON.stringify(report)}\n`);

/** Node has no WebGPU of its own: the package `webgpu` is Dawn. Deno has one. */
async function addDawn() {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  const gpu = create([]);
  if (globalThis.navigator) Object.defineProperty(navigator, "gpu", { value: gpu });
  else Object.defineProperty(globalThis, "navigator", { value: { gpu } });
}

/** @param {Error} error */
const broken = (error) => send({ id: 0, kind: "broken", text: String(error?.stack ?? error) });
process.on("uncaughtException", broken);
process.on("unhandledRejection", broken);

// What the console says is for people, and standard output for reports.
for (const level of /** @type {const} */ (["log", "info", "warn", "error"])) {
  console[level] = (...words) => send({ id: 0, kind: "console", text: words.join(" ") });
}

if (!globalThis.navigator?.gpu) await addDawn();

// The first argument may name another folder of Pyodide.
const site = {
  pyodide: `${process.cwd()}/${process.argv[2] ?? "node_modules/pyodide"}/`,
  wheels: `${process.cwd()}/web/dist/wheels/`,
  /** @param {string} path */
  read: async (path) => readFileSync(path),
};

/** @type {((call: import("../shell/python.js").Call) => Promise<void>) | undefined} */
let call;

for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line);
  if (call) {
    await call(message);
    continue;
  }
  try {
    call = await start(message, send, site);
    send({ id: 0, kind: "ready", text: "" });
  } catch (error) {
    broken(/** @type {Error} */ (error));
  }
}
process.exit(0);
