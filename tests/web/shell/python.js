/** Python as the tests start it: on a page's main thread, in a worker, or in a process of Deno or Node. */

/**
 * @typedef {{ files: string, archive: string, numpy: boolean }} Options  where the test files are, and the
 *     archive of tabgrad that the page starts from
 * @typedef {{ id: number, target: string, args: string }} Call
 * @typedef {(report: { id: number, kind: string, text: string }) => void} Send
 * @typedef {object} Place  where Python comes from
 * @property {string} pyodide  the folder of Pyodide
 * @property {string} wheels  the folder of the wheels
 * @property {(path: string) => Promise<Uint8Array>} read
 */

const CALL = "import tests.web.inside.runner as runner; await runner.call(target, args)";

// The bytecode in the archive, which is that of the wheel, goes where Python looks for it: compiling what a test
// imports takes longer than all else of a start.
const COMPILED = `
import importlib.util, os, sys, zipfile

packages = next(path for path in sys.path if path.endswith("site-packages"))
with zipfile.ZipFile(archived) as archive:
    for name in archive.namelist():
        if name.endswith(".pyc"):
            path = importlib.util.cache_from_source(os.path.join(packages, name[:-1]))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(archive.read(name))
os.remove(archived)
`;

/** @returns {Place} */
function served() {
  const root = new URL("/", location.href).href;
  return {
    pyodide: `${root}pyodide/`,
    wheels: `${root}wheels/`,
    read: async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer()),
  };
}

/**
 * Start Pyodide, install the wheel and lay out the test files.
 * @param {Options} options @param {Send} send @param {Place} [place]
 */
export async function start(options, send, place = served()) {
  const { loadPyodide } = await import(`${place.pyodide}pyodide.mjs`);
  const output = (/** @type {string} */ text) => send({ id: 0, kind: "output", text });
  const pyodide = await loadPyodide({
    indexURL: place.pyodide,
    stdout: output,
    stderr: output,
  });
  const readJSON = async (/** @type {string} */ path) =>
    JSON.parse(new TextDecoder().decode(await place.read(path)));
  const wheels = await readJSON(`${place.wheels}index.json`);
  const names = options.numpy ? [wheels.numpy, wheels.tabgrad] : [wheels.tabgrad];
  const quiet = { messageCallback: () => {}, checkIntegrity: false };
  for (const name of names) await pyodide.loadPackage(`${place.wheels}${name}`, quiet);
  const archived = "/tmp/tabgrad.zip";
  pyodide.FS.writeFile(archived, await place.read(options.archive));
  pyodide.runPython(COMPILED, { globals: pyodide.toPy({ archived }) });
  for (const [path, text] of Object.entries(await readJSON(options.files))) {
    const whole = `/home/pyodide/${path}`;
    pyodide.FS.mkdirTree(whole.slice(0, whole.lastIndexOf("/")));
    pyodide.FS.writeFile(whole, text);
  }
  /** @param {Call} call */
  return async ({ id, target, args }) => {
    try {
      // Entered this way, Python may block with `run_sync`, as in a notebook.
      const locals = pyodide.toPy({ target, args });
      const text = await pyodide.runPythonAsync(CALL, { globals: locals });
      locals.destroy();
      send({ id, kind: "result", text });
    } catch (error) {
      send({ id, kind: "broken", text: String(error) });
    }
  };
}
