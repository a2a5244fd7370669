// Python: finding one, the virtual environment, and what is installed in it.

import { existsSync, rmSync } from "node:fs";
import { at, fresh, hash, read, root, stamp, tool, venv, windows } from "./places.mjs";
import { must, run, Stop, step } from "./terminal.mjs";

const OLDEST = [3, 11];
const PROBE = "import sys; print(*sys.version_info[:2], sys.executable, sep='\\n')";

/** Ask a Python for its version; undefined where it does not run or is too old. */
async function probe(command, args = []) {
  const { code, output } = await run(command, [...args, "-c", PROBE]);
  if (code !== 0) return undefined;
  const [major, minor, executable] = output.trim().split("\n");
  const version = [Number(major), Number(minor)];
  const enough = version[0] === OLDEST[0] && version[1] >= OLDEST[1];
  return enough ? { version: version.join("."), executable } : undefined;
}

function candidates() {
  const names = ["python3", "python3.13", "python3.12", "python3.11", "python3.14", "python"];
  const all = names.map((name) => [name]);
  if (windows) all.unshift(["py", ["-3"]]);
  return process.env.PYTHON ? [[process.env.PYTHON], ...all] : all;
}

async function findPython() {
  for (const [command, args] of candidates()) {
    const found = await probe(command, args);
    if (found) return found;
  }
  return undefined;
}

/** The Python of `.venv`, if there is one that runs. */
const present = async () => (existsSync(tool("python")) ? probe(tool("python")) : undefined);

/** The Debian packages without which no virtual environment can be made here. */
export async function missingForPython() {
  if (await present()) return [];
  const python = await findPython();
  if (!python) return ["python3", "python3-venv"];
  const { code } = await run(python.executable, ["-c", "import ensurepip"]);
  return code === 0 ? [] : [`python${python.version}-venv`];
}

/** Make `.venv` unless a usable one is there; returns the version of its Python. */
export async function setUpVenv() {
  const ready = await present();
  if (ready) return ready.version;
  const python = await findPython();
  if (!python) {
    const tried = candidates().map(([command]) => command);
    throw new Stop(
      `No Python ${OLDEST.join(".")} or newer was found (tried: ${tried.join(", ")}).\n` +
        "Install one (python.org, your package manager, or uv), or name one with the environment " +
        "variable PYTHON: PYTHON=/path/to/python npm start",
    );
  }
  await step(`Virtual environment .venv (Python ${python.version})`, async (note) => {
    rmSync(venv, { recursive: true, force: true });
    const args = ["-m", "venv", venv];
    await must("The virtual environment could not be made.", python.executable, args, { note });
  });
  return python.version;
}

/** The tables of pyproject.toml that say what is installed: not those that configure tools. */
function requirements() {
  const tables = read("pyproject.toml").split(/^(?=\[)/m);
  return tables.filter((table) => /^\[(build-system|project|tool\.hatch)/.test(table)).join("");
}

/** What builds the wheel, as pyproject.toml names it. */
const builder = () => read("pyproject.toml").match(/^requires = \["([^"]+)"\]$/m)[1];

/**
 * Install the project, editable, with the extras that a command needs: `npm start`, `npm test`
 * or `npm run docs`. What `test` installs is enough for `start` and `lab`.
 */
export async function setUpPackages(version, purpose) {
  const extras = { start: "webgpu", lab: "webgpu,lab", test: "webgpu,dev,lab", docs: "numpy,docs" };
  const key = hash(requirements(), version, root);
  if (["start", "lab"].includes(purpose) && fresh("python-test", key)) return;
  if (fresh(`python-${purpose}`, key)) return;
  const install = ["-m", "pip", "install", "--disable-pip-version-check"];
  const wanted = [builder(), "-e", `.[${extras[purpose]}]`];
  await step(`Python packages (${extras[purpose].replaceAll(",", ", ")})`, (note) =>
    must(
      "pip could not install the project. Is a package index reachable? Pip's own words follow; " +
        "the same command goes on from here once it works.",
      tool("python"),
      [...install, ...wanted],
      { cwd: at(), note },
    ),
  );
  stamp(`python-${purpose}`, key);
}
