// Where things are, and stamps: notes of what was done with which inputs.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const at = (...parts) => join(root, ...parts);

export const cache = at(".cache");
export const dist = at("web", "dist");
export const docs = join(cache, "docs", "html");
export const windows = process.platform === "win32";
export const venv = at(".venv");

/** A program of the virtual environment: `python`, `ruff`, `pytest`... */
export const tool = (name) =>
  join(venv, windows ? "Scripts" : "bin", windows ? `${name}.exe` : name);

/** Whether the module with this `import.meta.url` is the script that was started. */
export const isMain = (url) => url === pathToFileURL(process.argv[1] ?? "").href;

/** A key over texts and bytes. */
export function hash(...parts) {
  const sum = createHash("sha256");
  for (const part of parts) sum.update(part).update("\0");
  return sum.digest("hex").slice(0, 32);
}

export const read = (...parts) => readFileSync(at(...parts), "utf8");

const stampFile = (name) => join(cache, "stamps", name);

/** Whether `name` was last done with these inputs. */
export function fresh(name, key) {
  return existsSync(stampFile(name)) && readFileSync(stampFile(name), "utf8") === key;
}

/** Remember that `name` was done with these inputs. */
export function stamp(name, key) {
  mkdirSync(join(cache, "stamps"), { recursive: true });
  writeFileSync(stampFile(name), key);
}
