/** Python as the tests start it, on the page's main thread or in a worker. */

/**
 * @typedef {{ files: Record<string, string>, numpy: boolean }} Options
 * @typedef {{ id: number, target: string, args: string }} Call
 * @typedef {(report: { id: number, kind: string, text: string }) => void} Send
 */

const CALL = "import tests.web.inside.runner as runner; await runner.call(target, args)";

/**
 * Start Pyodide, install the wheel and lay out the test files.
 * @param {Options} options @param {Send} send
 */
export async function start(options, send) {
  const root = new URL("/", location.href).href;
  const { loadPyodide } = await import(`${root}pyodide/pyodide.mjs`);
  const output = (/** @type {string} */ text) => send({ id: 0, kind: "output", text });
  const pyodide = await loadPyodide({
    indexURL: `${root}pyodide/`,
    stdout: output,
    stderr: output,
  });
  const wheels = await (await fetch(`${root}wheels/index.json`)).json();
  const names = options.numpy ? [wheels.numpy, wheels.tabgrad] : [wheels.tabgrad];
  const quiet = { messageCallback: () => {}, checkIntegrity: false };
  for (const name of names) await pyodide.loadPackage(`${root}wheels/${name}`, quiet);
  for (const [path, text] of Object.entries(options.files)) {
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
