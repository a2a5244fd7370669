// Build: the wheel and everything the page is served with, into web/dist.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { NUMPY_WHEEL, numpyWheel } from "./numpy.mjs";
import { at, cache, dist, isMain, tool } from "./places.mjs";
import { setUp } from "./setup.mjs";
import { main, must, Stop, step } from "./terminal.mjs";

const PYODIDE = [
  "pyodide.mjs",
  "pyodide.asm.mjs",
  "pyodide.asm.wasm",
  "python_stdlib.zip",
  "pyodide-lock.json",
];

/** Copy unless the target is as new and as large; the target is never seen half written. */
function place(source, target) {
  const from = statSync(source);
  const there = existsSync(target) ? statSync(target) : undefined;
  if (there && there.size === from.size && there.mtimeMs >= from.mtimeMs) return;
  copyFileSync(source, `${target}.part`);
  renameSync(`${target}.part`, target);
}

/** Build the wheel of this checkout into `folder` and return its file name. */
async function buildWheel(folder, note) {
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(join(cache, "wheel-"));
  try {
    await must(
      "The wheel could not be built.",
      tool("python"),
      ["-m", "hatchling", "build", "-t", "wheel", "-d", fresh],
      { cwd: at(), note },
    );
    const name = readdirSync(fresh).find((file) => file.endsWith(".whl"));
    if (!name) throw new Stop("hatchling built no wheel.");
    renameSync(join(fresh, name), join(folder, name));
    return name;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** Put the wheels side by side, with an index of their names, so that the page finds them. */
async function placeWheels(note) {
  const folder = join(dist, "wheels");
  mkdirSync(folder, { recursive: true });
  const tabgrad = await buildWheel(folder, note);
  place(numpyWheel, join(folder, NUMPY_WHEEL));
  const index = { tabgrad, numpy: NUMPY_WHEEL };
  writeFileSync(join(folder, "index.json"), `${JSON.stringify(index, null, 2)}\n`);
  for (const name of readdirSync(folder)) {
    if (name.endsWith(".whl") && !Object.values(index).includes(name)) rmSync(join(folder, name));
  }
  return tabgrad;
}

function placePyodide() {
  const folder = join(dist, "pyodide");
  mkdirSync(folder, { recursive: true });
  for (const name of PYODIDE) place(at("node_modules", "pyodide", name), join(folder, name));
}

async function buildPage(production) {
  const builder = at("web", "pages", "build.mjs");
  if (!existsSync(builder)) return;
  const page = await import(pathToFileURL(builder).href);
  await page.build({ outdir: dist, production });
}

/** Build all of web/dist. What it holds can be put on any static host as it is. */
export async function build({ production = false } = {}) {
  await step("Build web/dist", async (note) => {
    mkdirSync(dist, { recursive: true });
    await buildPage(production);
    placePyodide();
    const wheel = await placeWheels(note);
    const size = statSync(join(dist, "wheels", wheel)).size;
    note(`${wheel}: ${Math.round(size / 1000)} KB`);
  });
}

if (isMain(import.meta.url)) {
  await main(async () => {
    const { values } = parseArgs({ options: { development: { type: "boolean", default: false } } });
    await setUp("start", ["node", "pyodide"]);
    await build({ production: !values.development });
  });
}
