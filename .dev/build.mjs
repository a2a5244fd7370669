// Build: the wheel and everything the page is served with, into web/dist.

import {
  copyFileSync,
  cpSync,
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
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { unlessBuilt } from "./built.mjs";
import { compress } from "./compress.mjs";
import { buildLab } from "./lab.mjs";
import { at, cache, dist, docs, hash, isMain, tool } from "./places.mjs";
import { prepare } from "./prepared.mjs";
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

/** Put the wheels side by side, with an index of their names, so that the page finds them. */
async function placeWheels(note) {
  const folder = join(dist, "wheels");
  mkdirSync(folder, { recursive: true });
  const tabgrad = await buildWheel(folder, note);
  const numpy = numpyWheel();
  place(join(wheels, numpy), join(folder, numpy));
  const index = { tabgrad, numpy };
  for (const name of readdirSync(folder)) {
    if (!Object.values(index).includes(name)) rmSync(join(folder, name));
  }
  writeFileSync(join(folder, "index.json"), `${JSON.stringify(index, null, 2)}\n`);
  return tabgrad;
}

/**
 * Put what the page starts Python from into one folder, each file under a name with a hash of what is in it,
 * so that browsers keep it for good. Returns the names and sizes.
 */
async function placePython(wheel, note) {
  const { archive, library, snapshot } = await prepare(wheel, note);
  const pyodide = (name) => at("node_modules", "pyodide", name);
  const sources = {
    "pyodide.asm.mjs": pyodide("pyodide.asm.mjs"),
    "pyodide.asm.wasm": pyodide("pyodide.asm.wasm"),
    "python_stdlib.zip": library,
    "tabgrad.zip": archive,
    "snapshot.bin": snapshot,
    "numpy.whl": join(wheels, numpyWheel()),
  };
  const folder = join(dist, "python");
  mkdirSync(folder, { recursive: true });
  const index = {};
  for (const [name, source] of Object.entries(sources)) {
    const [stem, ending] = [name.slice(0, name.lastIndexOf(".")), extname(name)];
    const data = readFileSync(source);
    const file = `${stem}-${hash(data).slice(0, 16)}${ending}`;
    index[name] = { file, size: data.length };
    place(source, join(folder, file));
  }
  const names = Object.values(index).map(({ file }) => file);
  for (const name of readdirSync(folder)) {
    if (!names.includes(name.replace(/\.(br|gz)$/, ""))) rmSync(join(folder, name));
  }
  return index;
}

function placePyodide() {
  const folder = join(dist, "pyodide");
  mkdirSync(folder, { recursive: true });
  for (const name of PYODIDE) place(at("node_modules", "pyodide", name), join(folder, name));
}

/** Put the documentation beside the page: as it was built, or its texts without the reference. */
async function placeDocs() {
  const folder = join(dist, "docs");
  rmSync(folder, { recursive: true, force: true });
  if (existsSync(join(docs, "index.html"))) return cpSync(docs, folder, { recursive: true });
  const { writePages } = await import("./pages.mjs"); // a package that set-up installs
  writePages(folder);
}

async function buildPage(production, python, wheel) {
  const builder = at("web", "pages", "build.mjs");
  if (!existsSync(builder)) return;
  const page = await import(pathToFileURL(builder).href);
  await page.build({ outdir: dist, production, python, wheel });
}

/**
 * Build all of web/dist, with `lab` JupyterLite too. What it holds can be put on any static host as it is.
 * `quick` compresses less. Nothing is done where that would make the same again.
 */
export function build({ production = false, lab = false, quick = !production } = {}) {
  return unlessBuilt({ production, lab, quick }, async () => {
    const wheel = await step("Build web/dist", async (note) => {
      mkdirSync(dist, { recursive: true });
      placePyodide();
      const name = await placeWheels(note);
      await placeDocs();
      await buildPage(production, await placePython(join(dist, "wheels", name), note), name);
      return name;
    });
    if (lab) await buildLab(wheel);
    await step("Compress", (note) => compress(dist, !quick, note));
  });
}

if (isMain(import.meta.url)) {
  await main(async () => {
    const flag = { type: "boolean", default: false };
    const { values } = parseArgs({ options: { development: flag, lab: flag, quick: flag } });
    await setUp(values.lab ? "lab" : "start", ["node", "pyodide"]);
    await build({
      production: !values.development,
      lab: values.lab,
      quick: values.quick || values.development,
    });
  });
}
