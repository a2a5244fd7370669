// Build: the wheel and everything the page is served with, into web/dist.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { compileWheel } from "./bytecode.mjs";
import { buildLab } from "./lab.mjs";
import { at, cache, dist, fresh, hash, isMain, read, stamp, tool } from "./places.mjs";
import { setUp } from "./setup.mjs";
import { main, must, Stop, step } from "./terminal.mjs";
import { numpyWheel, wheels } from "./wheels.mjs";

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
  const made = mkdtempSync(join(cache, "wheel-"));
  try {
    await must(
      "The wheel could not be built.",
      tool("python"),
      ["-m", "hatchling", "build", "-t", "wheel", "-d", made],
      { cwd: at(), note },
    );
    const name = readdirSync(made).find((file) => file.endsWith(".whl"));
    if (!name) throw new Stop("hatchling built no wheel.");
    renameSync(join(made, name), join(folder, name));
    return name;
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

/** Put the bytecode of a wheel beside it, made anew only when the wheel has changed. */
async function placeBytecode(wheel) {
  const target = wheel.replace(/\.whl$/, ".bytecode.zip");
  const key = hash(readFileSync(wheel), read("node_modules", "pyodide", "package.json"));
  if (existsSync(target) && fresh("bytecode", key)) return basename(target);
  writeFileSync(target, await compileWheel(wheel));
  stamp("bytecode", key);
  return basename(target);
}

/** Put the wheels side by side, with an index of their names, so that the page finds them. */
async function placeWheels(note) {
  const folder = join(dist, "wheels");
  mkdirSync(folder, { recursive: true });
  const tabgrad = await buildWheel(folder, note);
  note(`${tabgrad}: bytecode`);
  const bytecode = await placeBytecode(join(folder, tabgrad));
  const numpy = numpyWheel();
  place(join(wheels, numpy), join(folder, numpy));
  const index = { tabgrad, bytecode, numpy };
  for (const name of readdirSync(folder)) {
    if (!Object.values(index).includes(name)) rmSync(join(folder, name));
  }
  writeFileSync(join(folder, "index.json"), `${JSON.stringify(index, null, 2)}\n`);
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

/**
 * Build all of web/dist, with `lab` JupyterLite too. What it holds can be put on any static host as it is.
 */
export async function build({ production = false, lab = false } = {}) {
  const wheel = await step("Build web/dist", async (note) => {
    mkdirSync(dist, { recursive: true });
    await buildPage(production);
    placePyodide();
    const name = await placeWheels(note);
    const size = statSync(join(dist, "wheels", name)).size;
    note(`${name}: ${Math.round(size / 1000)} KB`);
    return name;
  });
  if (lab) await buildLab(wheel);
}

if (isMain(import.meta.url)) {
  await main(async () => {
    const flag = { type: "boolean", default: false };
    const { values } = parseArgs({ options: { development: flag, lab: flag } });
    await setUp(values.lab ? "lab" : "start", ["node", "pyodide"]);
    await build({ production: !values.development, lab: values.lab });
  });
}
