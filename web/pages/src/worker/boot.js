/** Starts Python in the worker: Pyodide, tabgrad, and NumPy where there is no GPU. */

/// <reference path="../text.d.ts" />
import runnerSource from "./runner.py";

/**
 * @typedef {import("pyodide").PyodideInterface} Pyodide
 * @typedef {{
 *   run(source: string, name: string, device: string | null): Promise<string>,
 *   cancel(): void,
 *   call(name: string, values: number[]): Promise<number[]>,
 * }} Runner
 * @typedef {{
 *   emit(json: string): void,
 *   pause(): Promise<void>,
 *   stopping(): boolean,
 * }} Page  what the runner may ask of the worker
 * @typedef {{ tabgrad: string, bytecode: string, numpy: string }} Wheels  file names
 */

/** @param {URL} url */
async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} is missing (${response.status})`);
  return response;
}

/**
 * @param {URL} base where the page lies
 * @returns {Promise<Pyodide>}
 */
export async function startPython(base) {
  const folder = new URL("pyodide/", base);
  /** @type {typeof import("pyodide")} */
  const { loadPyodide } = await import(new URL("pyodide.mjs", folder).href);
  return loadPyodide({ indexURL: folder.href });
}

/** The wheels beside the page. */
export class Shelf {
  /** @param {URL} base */
  constructor(base) {
    this.folder = new URL("wheels/", base);
    /** @type {Promise<Wheels>} */
    this.index = fetched(new URL("index.json", this.folder)).then((answer) => answer.json());
    this.tabgrad = this.index.then(async ({ tabgrad, bytecode }) => {
      const bytes = async (/** @type {string} */ name) =>
        (await fetched(new URL(name, this.folder))).arrayBuffer();
      return Promise.all([bytes(tabgrad), bytes(bytecode)]);
    });
    // Whoever awaits it gets the error; until then it is not unhandled.
    this.tabgrad.catch(() => {});
  }

  /** @param {Pyodide} pyodide */
  async loadTabgrad(pyodide) {
    const extractDir = pyodide.runPython("import site; site.getsitepackages()[0]");
    // Without the bytecode Python would compile every module anew at each start of the page.
    for (const archive of await this.tabgrad) pyodide.unpackArchive(archive, "zip", { extractDir });
  }

  /** @param {Pyodide} pyodide */
  async loadNumPy(pyodide) {
    const { numpy } = await this.index;
    const quiet = () => {};
    await pyodide.loadPackage(new URL(numpy, this.folder).href, {
      messageCallback: quiet,
      checkIntegrity: false,
    });
  }
}

/**
 * @param {Pyodide} pyodide @param {Page} page @param {Shelf} shelf
 * @returns {Runner}
 */
export function startRunner(pyodide, page, shelf) {
  pyodide.registerJsModule("tabgrad_page", { ...page, load_numpy: () => shelf.loadNumPy(pyodide) });
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
      const numbers = answer.toJs();
      answer.destroy();
      return numbers;
    },
  };
}
