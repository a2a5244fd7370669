// Compressed forms beside the files of a site, for servers that send what a browser takes.

import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, extname, join, relative } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { fresh, stamp } from "./places.mjs";

const ENDINGS = new Set([
  ...[".bin", ".css", ".html", ".ipynb", ".js", ".json", ".mjs", ".svg", ".wasm", ".wgsl", ".zip"],
]);
const LEAST = 1024; // bytes: below it an answer is one packet either way
const WORTH = 0.95; // of the size

/** Whether a compressed file was made of this state of its source; times are kept to the millisecond. */
export function current(path, source) {
  return existsSync(path) && Math.abs(statSync(path).mtimeMs - source.mtimeMs) < 2;
}

function write(path, source, bytes, size) {
  // an empty file says that it does not pay
  writeFileSync(path, bytes.length < WORTH * size ? bytes : "");
  utimesSync(path, source.atime, source.mtime);
}

async function squeeze(path, quality, again) {
  const source = statSync(path);
  if (!again && current(`${path}.br`, source) && current(`${path}.gz`, source)) return;
  const data = readFileSync(path);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: quality,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: data.length,
  };
  const [br, gz] = await Promise.all([
    promisify(brotliCompress)(data, { params }),
    promisify(gzip)(data),
  ]);
  write(`${path}.br`, source, br, data.length);
  write(`${path}.gz`, source, gz, data.length);
}

/** Write `.br` and `.gz` beside every file of `folder` that gets smaller; `thorough` takes longer for less. */
export async function compress(folder, thorough, note) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const paths = files.map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const there = new Set(paths);
  // what was compressed quickly does not do for a thorough build
  const mark = `compressed-${basename(folder)}`;
  const again = thorough && !fresh(mark, "thorough");
  for (const path of paths) {
    const ending = extname(path);
    if ((ending === ".br" || ending === ".gz") && !there.has(path.slice(0, -3))) rmSync(path);
    if (!ENDINGS.has(ending) || statSync(path).size < LEAST) continue;
    note(relative(folder, path));
    await squeeze(path, thorough ? 9 : 4, again);
  }
  stamp(mark, thorough ? "thorough" : "quick");
}
