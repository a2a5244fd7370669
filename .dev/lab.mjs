// JupyterLite with tabgrad inside: a folder that any static host serves and that needs nothing from elsewhere.
//
// The kernel is Pyodide as the page has it. A lock file of its own names what the kernel starts with, tabgrad,
// and the packages that a notebook may import; Pyodide loads each when a cell first imports it.

import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { at, cache, dist, fresh, hash, read, stamp, tool } from "./places.mjs";
import { must, step } from "./terminal.mjs";
import { packages as compiled, wheels } from "./wheels.mjs";

const site = join(dist, "lab");
const pure = join(cache, "lab-wheels");
const KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel";

// What the kernel runs on, at the versions of Pyodide's lock file where that has them.
const RUNTIME = ["ipython", "jedi", "comm"];
const OUTSIDE = {
  comm: { version: "0.2.3", depends: ["traitlets"], imports: ["comm"] },
  "prompt-toolkit": { version: "3.0.52", depends: ["wcwidth"], imports: ["prompt_toolkit"] },
};
const AT_START = ["micropip", "packaging", "tabgrad", ...RUNTIME];

/** The runtime's packages and all they need, as entries of a lock file without files. */
function runtime() {
  const known = JSON.parse(read("node_modules", "pyodide", "pyodide-lock.json")).packages;
  const entries = {};
  const wanted = [...RUNTIME];
  for (const word of wanted) {
    const name = word.replaceAll("_", "-");
    entries[name] = OUTSIDE[name] ?? known[name];
    wanted.push(...entries[name].depends.filter((one) => !(one.replaceAll("_", "-") in entries)));
  }
  return entries;
}

/** Fetch the runtime's wheels, which are plain Python, into the cache. */
async function fetchRuntime(entries, note) {
  const pins = Object.entries(entries).map(([name, { version }]) => `${name}==${version}`);
  const key = hash(...pins);
  if (fresh("lab-wheels", key)) return;
  rmSync(pure, { recursive: true, force: true });
  await must(
    "pip could not fetch what JupyterLite's kernel runs on. Is a package index reachable?",
    tool("python"),
    ["-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
      .concat(["--python-version=3.14", "--dest", pure])
      .concat(pins),
    { note },
  );
  stamp("lab-wheels", key);
}

/** An entry of a lock file for a wheel that lies in `folder`. */
function entry(name, folder, fileName, { version, depends = [], imports = [name] }) {
  const sha256 = createHash("sha256")
    .update(readFileSync(join(folder, fileName)))
    .digest("hex");
  const about = { install_dir: "site", package_type: "package", unvendored_tests: false };
  return { name, version, file_name: fileName, sha256, depends, imports, ...about };
}

const spelled = (name) => name.replaceAll("-", "_").toLowerCase();

/** Copy all wheels to `folder` and write the lock file that lists them. */
function placeWheels(folder, entries, tabgrad) {
  mkdirSync(folder, { recursive: true });
  const copy = (from, name) => copyFileSync(join(from, name), join(folder, name));
  const lock = JSON.parse(read("node_modules", "pyodide", "pyodide-lock.json"));
  lock.packages = { ...compiled() };
  for (const { file_name } of Object.values(lock.packages)) copy(wheels, file_name);
  const fetched = readdirSync(pure);
  for (const [name, about] of Object.entries(entries)) {
    const fileName = fetched.find((file) => file.toLowerCase().startsWith(`${spelled(name)}-`));
    copy(pure, fileName);
    lock.packages[name] = entry(name, pure, fileName, about);
  }
  const built = join(dist, "wheels");
  copy(built, tabgrad);
  const version = tabgrad.split("-")[1];
  lock.packages.tabgrad = entry("tabgrad", built, tabgrad, {
    version,
    depends: ["numpy"], // for tensors on the CPU
  });
  writeFileSync(join(folder, "lock.json"), JSON.stringify(lock));
}

/** What JupyterLite's builder reads beside the notebooks. */
function writeConfiguration(folder) {
  const kernel = {
    pyodideUrl: "../../pyodide/pyodide.mjs",
    disablePyPIFallback: true,
    loadPyodideOptions: { lockFileURL: "wheels/lock.json", packages: AT_START },
  };
  const data = { appName: "tabgrad", litePluginSettings: { [KERNEL]: kernel } };
  const text = JSON.stringify({ "jupyter-lite-schema-version": 0, "jupyter-config-data": data });
  writeFileSync(join(folder, "jupyter-lite.json"), text);
}

/** Build the site into web/dist/lab; `tabgrad` is the name of the wheel in web/dist/wheels. */
export async function buildLab(tabgrad) {
  await step("Build web/dist/lab (JupyterLite)", async (note) => {
    const entries = runtime();
    await fetchRuntime(entries, note);
    const work = join(cache, "lab");
    mkdirSync(work, { recursive: true });
    writeConfiguration(work);
    // it would list what has been compressed there
    for (const made of ["files", "api"]) rmSync(join(site, made), { recursive: true, force: true });
    const options = ["--lite-dir", work, "--output-dir", site, "--contents", at("notebooks")];
    const apps = ["lab", "notebooks", "repl"].flatMap((app) => ["--apps", app]);
    await must(
      "JupyterLite could not be built.",
      tool("python"),
      ["-m", "jupyterlite_core.app", "build", ...options, ...apps, "--no-sourcemaps"],
      { cwd: work, note },
    );
    placeWheels(join(site, "wheels"), entries, tabgrad);
  });
}
