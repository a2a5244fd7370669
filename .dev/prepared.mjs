// What the page starts Python from: tabgrad as one archive with its bytecode, and a snapshot of the memory
// of a Python that has imported it, which starts in a fraction of the time.
//
// Both are made by Pyodide itself, in Node. A snapshot fits one build of Pyodide and one archive; where an
// engine can't use it, the page starts without. Files are not in a snapshot: the archive has to be laid where
// it was, and so has Python's standard library before something of it is imported for the first time.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { at, cache, fresh, hash, read, stamp } from "./places.mjs";
import { packed, wipe } from "./snapshot.mjs";

/** Where Python finds the archive. */
const ARCHIVE = "/lib/tabgrad.zip";
const LIBRARY = at("node_modules", "pyodide", "python_stdlib.zip");

// Each source keeps its place, so that tracebacks show its lines, and beside it lies its bytecode, which is
// taken as it is: importing it takes a seventh of the time that compiling takes there. Nothing is compressed
// inside: what sends the archive does that for the whole of it, which makes it 40 % smaller than file by file.
const COMPILE = `
import io, importlib.util, marshal, zipfile

wheel = zipfile.ZipFile("wheel.zip")
made = io.BytesIO()
with zipfile.ZipFile(made, "w") as archive:
    def put(name, data):
        # A fixed date, so that the same sources give the same archive.
        archive.writestr(zipfile.ZipInfo(name), data)
    for name in sorted(wheel.namelist()):
        data = wheel.read(name)
        put(name, data)
        if name.endswith(".py"):
            code = compile(data, f"{target}/{name}", "exec", dont_inherit=True)
            unchecked = (1).to_bytes(4, "little")
            digest = importlib.util.source_hash(data)
            put(f"{name}c", importlib.util.MAGIC_NUMBER + unchecked + digest + marshal.dumps(code))
made.getvalue()
`;

// Python's own library, stored likewise.
const STORE = `
import io, zipfile

made = io.BytesIO()
with zipfile.ZipFile("library.zip") as library, zipfile.ZipFile(made, "w") as archive:
    for entry in library.infolist():
        archive.writestr(zipfile.ZipInfo(entry.filename), library.read(entry))
made.getvalue()
`;

// What most programs of the page import, with what it brings along, and the texts that are read from the
// archive: a program may begin before that is there.
const IMPORTED = `
import sys
sys.path.append(archive)
import ast, asyncio, linecache, traceback
import difflib, unicodedata  # by traceback, when it first needs them: reports can't wait
import tabgrad
from tabgrad import compiler, examples, hosts, lower, nn, optim, utils
for name in late.split():
    __import__(name)
hosts.browser.bridge_source()
lower.library.all_functions()
for name in lower.library.kernel_names():
    lower.library.kernel(name)
import inspect, types
page_code = sys.modules["page_code"] = types.ModuleType("page_code")
page_code.compiled = {
    name: (source, compile(source, f"{name}.py", "exec", dont_inherit=True))
    for name, source in worker.items()
}
import gc
gc.collect()
gc.freeze()
`;

const LATE = [
  "tabgrad.compiler.compiled",
  "tabgrad.hosts.browser",
  "tabgrad.hosts.composed",
  "tabgrad.hosts.device",
  "tabgrad.hosts.replay",
  "tabgrad.hosts.rising",
  "tabgrad.lower.library",
  "tabgrad.lower.plan",
  "tabgrad.lower.wgsl",
  "tabgrad.printing",
  "tabgrad.tensor.composed",
  "tabgrad.tensor.sampling",
  "tabgrad.tensor.filling",
  "tabgrad.utils.progress",
];

// The Python of the page's worker, which is compiled here.
const FOLDER = ["web", "pages", "src", "worker"];
const WORKER = ["archives", "background", "controls", "defaults", "display", "hints", "runner"];

const load = async (options) => {
  const { loadPyodide } = await import("pyodide");
  return loadPyodide({ indexURL: at("node_modules", "pyodide"), ...options });
};

/** The archive of a wheel, with the bytecode of Pyodide's own Python, and that of Python's library. */
async function archives(wheel) {
  const pyodide = await load();
  const make = (program) => {
    const made = pyodide.runPython(program, { globals: pyodide.toPy({ target: ARCHIVE }) });
    const bytes = made.toJs();
    made.destroy();
    return bytes;
  };
  pyodide.FS.writeFile("wheel.zip", new Uint8Array(readFileSync(wheel)));
  pyodide.FS.writeFile("library.zip", new Uint8Array(readFileSync(LIBRARY)));
  return { archive: make(COMPILE), library: make(STORE) };
}

/**
 * Let Pyodide believe that this engine can suspend WebAssembly (JSPI), as the engines that get the snapshot
 * can: it asks once, when Python starts. Nothing is suspended here.
 */
function pretendSuspending() {
  WebAssembly.Suspending ??= class {
    constructor(fn) {
      // biome-ignore lint/correctness/noConstructorReturn: what imports it must get a function
      return fn;
    }
  };
  WebAssembly.promising ??=
    (fn) =>
    async (...args) =>
      fn(...args);
}

/** The memory of a Python that has imported tabgrad from the archive; it knows where each file is in both. */
async function snapshotOf(archive, library) {
  pretendSuspending();
  const pyodide = await load({ _makeSnapshot: true, stdLibURL: library });
  pyodide.FS.writeFile(ARCHIVE, archive);
  const worker = Object.fromEntries(WORKER.map((name) => [name, read(...FOLDER, `${name}.py`)]));
  const names = pyodide.toPy({ archive: ARCHIVE, late: LATE.join(" "), worker });
  pyodide.runPython(IMPORTED, { globals: names });
  names.destroy();
  wipe(pyodide._module);
  return packed(pyodide.makeMemorySnapshot());
}

/** Make the three from a wheel unless they are there; returns their paths. */
export async function prepare(wheel, note) {
  const folder = join(cache, "prepared");
  const paths = {
    archive: join(folder, "tabgrad.zip"),
    library: join(folder, "python_stdlib.zip"),
    snapshot: join(folder, "snapshot.bin"),
  };
  const own = [read(".dev", "prepared.mjs"), read(".dev", "snapshot.mjs")];
  const worker = WORKER.map((name) => read(...FOLDER, `${name}.py`));
  const key = hash(
    readFileSync(wheel),
    read("node_modules", "pyodide", "package.json"),
    ...own,
    ...worker,
  );
  if (fresh("prepared", key)) return paths;
  mkdirSync(folder, { recursive: true });
  note("bytecode");
  const { archive, library } = await archives(wheel);
  writeFileSync(paths.archive, archive);
  writeFileSync(paths.library, library);
  note("memory of a started Python");
  writeFileSync(paths.snapshot, await snapshotOf(archive, paths.library));
  stamp("prepared", key);
  return paths;
}
