/** Starts Python in the worker: Pyodide with tabgrad, from a snapshot if it can, and NumPy where there is no GPU. */

/// <reference path="../text.d.ts" />
import { loadPyodide } from "pyodide";
import { info } from "pyodide/pyodide-lock.json";
import archives from "./archives.py";
import background from "./background.py";
import controls from "./controls.py";
import defaults from "./defaults.py";
import display from "./display.py";
import hints from "./hints.py";
import runner from "./runner.py";
import { Snapshot } from "./snapshot.js";

/** @typedef {import("./files.js").Files} Files */
/** @typedef {import("../messages.js").Program} Program */
/** @typedef {import("pyodide").PyodideInterface} Pyodide */
/**
 * @typedef {{
 *   run(program: Program, device: string | null): Promise<string>,
 *   press(space: string, name: string): Promise<string>,
 *   set(space: string, name: string, value: import("../messages.js").Value): void,
 *   cancel(): void,
 *   call(space: string, name: string, values: number[]): Promise<number[]>,
 *   weights(space: string, name: string): Promise<Uint8Array>,
 * }} Runner
 * @typedef {{
 *   emit(events: import("../messages.js").ProgressEvent[]): void,
 *   show(place: string, form: string, data: string, label: string): void,
 *   hint(text: string, offer: string): void,
 *   fit(space: string, name: string, why: string): void,
 *   unbound(space: string, name: string): void,
 *   lost(message: string): void,
 *   mid_line(): boolean,
 *   pause(): Promise<void>,
 *   stopping(): boolean,
 *   postpone(): void,
 *   readonly library: Promise<void> | undefined,
 *   load_numpy(): Promise<void>,
 * }} Page  what the runner may ask of the worker
 */

const FOLDER = "https://files.invalid/"; // Pyodide wants addresses; nothing lies there
const STDLIB = "python_stdlib.zip";
const ARCHIVED = "tabgrad.zip";
const LIBRARY = "/lib/python314.zip";
const ARCHIVE = "/lib/tabgrad.zip"; // where the snapshot has imported it from
const EMPTY_ZIP = new Uint8Array([80, 75, 5, 6, ...new Array(18).fill(0)]);
// What a memory that was made elsewhere must not share with others.
const RENEW = "import random; random.seed()";
// Runs the worker's own Python, of which the snapshot has the compiled code.
const LOAD = `
import sys, types

compiled = getattr(sys.modules.get("page_code"), "compiled", {})

def code(name):
    source, made = compiled.get(name, (None, None))
    return made if source == sources[name] else compile(sources[name], f"{name}.py", "exec")

for name in ("archives", "background", "controls", "defaults", "display", "hints"):
    sys.modules[name] = types.ModuleType(name)
    exec(code(name), sys.modules[name].__dict__)
exec(code("runner"), names)
`;

/** @typedef {(settings: Record<string, any>) => Promise<any>} CreateModule */

/** @typedef {{ pyodide: Pyodide, library: Library }} Started */

/** What a started Python has not imported yet: its files are fetched when somebody asks for them. */
class Library {
  /** @type {Promise<void> | undefined} */
  coming;

  /** @param {() => Promise<void>} fetch @param {boolean} there @param {Pyodide} pyodide */
  constructor(fetch, there, pyodide) {
    this.fetch = fetch;
    this.pyodide = pyodide;
    this.there = there;
  }

  /** Whether a program has removed what was there. */
  get gone() {
    const needed = this.there ? [ARCHIVE, LIBRARY] : [LIBRARY];
    return needed.some((path) => !this.pyodide.FS.analyzePath(path).exists);
  }

  /** Have the files come; resolved when all can be imported. */
  begin() {
    this.coming ??= this.fetch().then(() => {
      this.there = true;
    });
    // Whoever imports before they are there gets the error; who does so later has them fetched again.
    this.coming.catch(() => {
      this.coming = undefined;
    });
    return this.coming;
  }
}

/**
 * Start Python from its snapshot, or without where that can't be used; tabgrad can be imported then.
 * @param {Files} files @returns {Promise<Started>}
 */
export async function startPython(files) {
  const create = await moduleOf(files);
  try {
    // its Python believes that it can wait for promises
    if (!("Suspending" in WebAssembly)) throw new Error("this browser can't let Python wait");
    const snapshot = await Snapshot.begin(files.pieces("snapshot.bin"));
    const pyodide = await loaded(files, new Ground(create, snapshot).create, snapshot.head);
    pyodide.runPython(RENEW);
    return {
      pyodide,
      library: new Library(
        () => lay(files, pyodide, { [LIBRARY]: STDLIB, [ARCHIVE]: ARCHIVED }),
        false,
        pyodide,
      ),
    };
  } catch (error) {
    console.info(`Python starts without its snapshot: ${String(error).slice(-400)}`);
    return await afresh(files, create);
  } finally {
    for (const name of ["pyodide.asm.mjs", "pyodide.asm.wasm", "snapshot.bin"]) files.forget(name);
  }
}

/** @param {Files} files @param {CreateModule} create @returns {Promise<Started>} */
async function afresh(files, create) {
  files.need(STDLIB);
  const pyodide = await loaded(files, create, undefined);
  files.forget(STDLIB);
  await lay(files, pyodide, { [ARCHIVE]: ARCHIVED });
  pyodide.runPython(`import sys; sys.path.append("${ARCHIVE}")`);
  return { pyodide, library: new Library(() => Promise.resolve(), true, pyodide) };
}

/**
 * Fetch files and lay them where Python looks for them.
 * @param {Files} files @param {Pyodide} pyodide @param {Record<string, typeof STDLIB | typeof ARCHIVED>} names
 */
async function lay(files, pyodide, names) {
  const lain = Object.entries(names).map(async ([path, name]) => {
    try {
      pyodide.FS.writeFile(path, await files.need(name));
    } finally {
      files.forget(name);
    }
  });
  // whoever tries again begins when nothing of this try is still to come
  for (const end of await Promise.allSettled(lain)) {
    if (end.status === "rejected") throw end.reason;
  }
}

/** @param {Files} files @returns {Promise<CreateModule>} */
async function moduleOf(files) {
  const url = URL.createObjectURL(
    new Blob([await files.get("pyodide.asm.mjs")], { type: "text/javascript" }),
  );
  const { default: create } = await import(url);
  URL.revokeObjectURL(url);
  return create;
}

/**
 * What is between Pyodide and the WebAssembly that a snapshot is laid into: the memory is made as large as the
 * snapshot, for it starts with 30 MB; and a pointer that Python's runtime got from this engine is kept, and
 * put back: that of the trampoline, a function through which C functions of another signature are called. The
 * engine that made the snapshot had none, and without it no promise could be waited for.
 */
class Ground {
  /** @param {CreateModule} create @param {Snapshot} snapshot */
  constructor(create, snapshot) {
    this.snapshot = snapshot;
    /** @type {any} */
    this.exports = null;
    /** @type {CreateModule} */
    this.create = async (settings) => {
      const own = settings.instantiateWasm;
      settings.instantiateWasm = (/** @type {any} */ imports, /** @type {any} */ done) =>
        own(imports, (/** @type {WebAssembly.Instance} */ instance, /** @type {any} */ module) => {
          this.enlarge(instance.exports);
          done(instance, module);
        });
      const made = await create(settings);
      const trampoline = this.words[this.place] ?? 0;
      await snapshot.lay(this.exports.memory);
      this.words[this.place] = trampoline;
      return made;
    };
  }

  get words() {
    return new Int32Array(this.exports.memory.buffer);
  }

  /** Where the pointer is, in words. */
  get place() {
    const { _PyRuntime: runtime, _PyEM_EMSCRIPTEN_TRAMPOLINE_OFFSET: offset } = this.exports;
    return (runtime.value + (this.words[offset.value / 4] ?? 0)) / 4;
  }

  /** @param {any} exports */
  enlarge(exports) {
    this.exports = exports;
    const missing = this.snapshot.size - exports.memory.buffer.byteLength;
    if (missing > 0) exports.memory.grow(Math.ceil(missing / 65536));
  }
}

/**
 * @param {Files} files @param {CreateModule} createPyodideModule @param {Uint8Array | undefined} snapshot
 * @returns {Promise<Pyodide>}
 */
async function loaded(files, createPyodideModule, snapshot) {
  // Pyodide fetches its other files: here it gets those that the page has sent. A started Python reads its
  // standard library when something imports more of it, so it comes after.
  globalThis.fetch = async (address) => {
    const name = String(address).slice(FOLDER.length);
    const type = name.endsWith(".wasm") ? "application/wasm" : "application/octet-stream";
    if (snapshot && name === STDLIB) return new Response(EMPTY_ZIP);
    return files.response(name, type);
  };
  try {
    return await loadPyodide({
      createPyodideModule,
      indexURL: FOLDER,
      packageBaseUrl: FOLDER,
      lockFileContents: JSON.stringify({ info, packages: {} }), // no other could be fetched
      ...(snapshot && { _loadSnapshot: snapshot }),
    });
  } finally {
    Reflect.deleteProperty(globalThis, "fetch"); // the browser's own lies deeper
  }
}

/** @param {Files} files @param {Pyodide} pyodide */
export async function loadNumPy(files, pyodide) {
  pyodide.unpackArchive(await files.get("numpy.whl"), "wheel");
}

/**
 * @param {Pyodide} pyodide @param {Page} page
 * @returns {Runner}
 */
export function startRunner(pyodide, page) {
  pyodide.registerJsModule("tabgrad_page", page);
  // a program's input() is told that there is none, as where a script has no terminal
  pyodide.setStdin({ stdin: () => null });
  const names = pyodide.toPy({});
  const sources = pyodide.toPy({
    ...{ archives, background, controls, defaults, display, hints, runner },
  });
  pyodide.runPython(LOAD, { globals: pyodide.toPy({ sources, names }) });
  sources.destroy();
  return runnerOf(pyodide, names);
}

/** @param {Pyodide} pyodide @param {import("pyodide/ffi").PyProxy} names of runner.py @returns {Runner} */
function runnerOf(pyodide, names) {
  const [run, press, cancel, call, set, weights] = [
    ...["run", "press", "cancel", "call", "set_value", "weights"].map((name) => names.get(name)),
  ];
  /** @param {import("pyodide/ffi").PyProxy} answer @returns {any} */
  const taken = (answer) => {
    const [made, error] = answer.toJs();
    answer.destroy();
    if (error) throw new Error(error);
    return made;
  };
  return {
    run: async ({ source, name, space, seed, values }, device) => {
      const given = pyodide.toPy(values);
      const outcome = await run(source, name, device ?? undefined, space, seed ?? undefined, given);
      given.destroy();
      return outcome;
    },
    press: (space, name) => press(space, name),
    set: (space, name, value) => set(space, name, value),
    cancel: () => cancel(),
    call: async (space, name, values) => {
      const argument = pyodide.toPy(values);
      const answer = await call(space, name, argument);
      argument.destroy();
      return taken(answer);
    },
    weights: async (space, name) => taken(await weights(space, name)),
  };
}
