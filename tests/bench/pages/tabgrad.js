// tabgrad contender: Python in Pyodide on this page; every unit is one call of a Python function, which waits.
import { ids, inputsOf } from "./cases.js";
import { data, install } from "./common.js";

const { loadPyodide } = await import("/dist/pyodide/pyodide.mjs");
const pyodide = await loadPyodide({ indexURL: "/dist/pyodide/" });
// As the page of this project does it without a snapshot: one archive with its bytecode.
const page = await (await fetch("/dist/index.html")).text();
const names = new DOMParser().parseFromString(page, "text/html").getElementById("python");
const { file } = JSON.parse(names.textContent)["tabgrad.zip"];
const archive = await (await fetch(`/dist/python/${file}`)).arrayBuffer();
pyodide.FS.writeFile("/lib/tabgrad.zip", new Uint8Array(archive));
pyodide.runPython('import sys; sys.path.append("/lib/tabgrad.zip")');
const t0 = performance.now();
await pyodide.runPythonAsync("import tabgrad");
const tImport = performance.now();
for (const path of ["pages/workloads.py", "pages/cases.py", "roofline.py"]) {
  const name = path.split("/").pop();
  pyodide.FS.writeFile(`/home/pyodide/${name}`, await (await fetch(`/${path}`)).text());
}
const python = await pyodide.runPythonAsync(
  "import workloads, cases; await workloads.start(); workloads",
);
const tDevice = performance.now();
const firstValue = await pyodide.runPythonAsync("await workloads.first()");
const tFirst = performance.now();

/** @param {string} id @param {string} mode @param {unknown} inputs */
async function make(id, mode, inputs) {
  const work = python.make(id, mode, pyodide.toPy(inputs));
  const { unit } = work;
  return {
    // Python waits for the number inside of the call
    unit: (mark) => unit.callPromising(mark),
    check: work.check ? () => work.check() : undefined,
    work: async () => (await work.work()).toJs(),
    dispose: () => {
      work.close();
      unit.destroy();
      work.destroy();
    },
  };
}

const entry = (id, inputs) => ({
  eager: () => make(id, "eager", inputs()),
  jit: () => make(id, "jit", inputs()),
});
install(
  "tabgrad",
  {
    roundtrip: entry("roundtrip", () => ({})),
    matmul256: entry("matmul", () => data.matmul(256)),
    matmul512: entry("matmul", () => data.matmul(512)),
    matmul1024: entry("matmul", () => data.matmul(1024)),
    chain: entry("chain", data.chain),
    softmax: entry("softmax", data.softmax),
    fft1024: entry("fft", () => data.fft(512, 1024)),
    fft262144: entry("fft", () => data.fft(1, 262144)),
    cholesky256: entry("cholesky", () => data.matrices(1, 256)),
    cholesky32: entry("cholesky", () => data.matrices(256, 32)),
    lu256: entry("lu", () => data.matrices(1, 256)),
    lu32: entry("lu", () => data.matrices(256, 32)),
    qr256: entry("qr", () => data.matrices(1, 256)),
    qr32: entry("qr", () => data.matrices(256, 32)),
    eigh256: entry("eigh", () => data.matrices(1, 256)),
    eigh32: entry("eigh", () => data.matrices(256, 32)),
    svd256: entry("svd", () => data.matrices(1, 256)),
    svd32: entry("svd", () => data.matrices(256, 32)),
    tiny: {
      ...entry("tiny", data.tiny),
      jit20: () => make("tiny", "jit20", data.tiny()),
    },
    record: {
      eager: () => make("record", "eager", data.record()),
      jit: { unsupported: "the cost of calls outside of a jit" },
    },
    mlp: entry("mlp", data.mlp),
    cnn: entry("cnn", data.cnn),
    gpt: entry("gpt", data.gpt),
    hvp: entry("hvp", data.hvp),
    ...Object.fromEntries(ids.map((id) => [id, entry(id, () => inputsOf(id))])),
  },
  { tImport, importMs: tImport - t0, tDevice, tFirst, firstValue },
);
