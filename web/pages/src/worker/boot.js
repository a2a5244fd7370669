/** Starts Python in the worker: Pyodide, tabgrad, and NumPy where there is no GPU. */

/// <reference path="../text.d.ts" />
import { loadPyodide } from "pyodide";
import { info } from "pyodide/pyodide-lock.json";
import runnerSource from "./runner.py";

/** @typedef {import("./files.js").Files} Files */
/** @typedef {import("pyodide").PyodideInterface} Pyodide */
/**
 * @typedef {{
 *   run(source: string, name: string, device: string | null): Promise<string>,
 *   cancel(): void,
 *   call(name: string, values: number[]): Promise<number[]>,
 * }} Runner
 * @typedef {{
 *   emit(events: import("../messages.js").ProgressEvent[]): void,
 *   lost(message: string): void,
 *   pause(): Promise<void>,
 *   stopping(): boolean,
 *   load_numpy(): Promise<void>,
 * }} Page  what the runner may ask of the worker
 */

const FOLDER = "https://files.invalid/"; // Pyodide wants addresses; nothing lies there

/** @param {Files} files @returns {Promise<Pyodide>} */
export async function startPython(files) {
  const url = URL.createObjectURL(
    new Blob([await files.get("pyodide.asm.mjs")], { type: "text/javascript" }),
  );
  const { default: createPyodideModule } = await import(url);
  URL.revokeObjectURL(url);
  // Pyodide fetches its other files: here it gets those that the page has sent.
  globalThis.fetch = async (address) => {
    const name = String(address).slice(FOLDER.length);
    const type = name.endsWith(".wasm") ? "application/wasm" : "application/octet-stream";
    return new Response(await files.get(name), { headers: { "Content-Type": type } });
  };
  const pyodide = await loadPyodide({
    createPyodideModule,
    indexURL: FOLDER,
    packageBaseUrl: FOLDER,
    lockFileContents: JSON.stringify({ info, packages: {} }), // no other could be fetched
  });
  Reflect.deleteProperty(globalThis, "fetch"); // the browser's own lies deeper
  for (const name of files.promises.keys()) if (name.includes(".")) files.forget(name);
  return pyodide;
}

/** @param {Files} files @param {Pyodide} pyodide */
export async function loadTabgrad(files, pyodide) {
  const extractDir = pyodide.runPython("import site; site.getsitepackages()[0]");
  // Without the bytecode Python would compile every module anew at each start of the page.
  for (const name of ["tabgrad", "bytecode"]) {
    pyodide.unpackArchive(await files.get(name), "zip", { extractDir });
    files.forget(name);
  }
}

/** @param {Files} files @param {Pyodide} pyodide */
export async function loadNumPy(files, pyodide) {
  pyodide.unpackArchive(await files.get("numpy"), "wheel");
  files.forget("numpy");
}

/**
 * @param {Pyodide} pyodide @param {Page} page
 * @returns {Runner}
 */
export function startRunner(pyodide, page) {
  pyodide.registerJsModule("tabgrad_page", page);
  const names = pyodide.toPy({});
  pyodide.runPython(runnerSource, { globals: names, filename: "runner.py" });
  const run = names.get("run");
  const cancel = names.get("cancel");
  const call = names.get("call");
  return {
    run: (source, name, device) => run(source, name, device ?? undefined),
    cancel: () => cancel(),
    call: async (name, values) => {
      const argument = pyodide.toPy(values);
      const answer = await call(name, argument);
      argument.destroy();
      const [numbers, error] = answer.toJs();
      answer.destroy();
      if (error) throw new Error(error);
      return numbers;
    },
  };
}
