// Whether web/dist is what a build would make: the inputs are as they were then, and what it made lies there.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { cache, dist, docs, fresh, hash, root, stamp } from "./places.mjs";

const NAME = "built";
// What no build reads, or what it makes.
const OTHERS = ["node_modules", "dist", "tests", "__pycache__"];
const OWN = [NAME, "prepared", "lab-wheels"];

/** The files below a folder, in order, without folders of these names and those that begin with a dot. */
export function filesBelow(folder, without = []) {
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    const hidden = entry.name.startsWith(".") && entry.name !== ".dev";
    if (entry.isFile()) found.push(path);
    else if (entry.isDirectory() && !hidden && !without.includes(entry.name)) {
      found.push(...filesBelow(path, without));
    }
  }
  return found.sort();
}

/** A key over what a build reads: the sources, what set-up has installed, and how it is built. */
export function inputs(folder, options) {
  const sources = filesBelow(folder, OTHERS).flatMap((path) => [path, readFileSync(path)]);
  const stamps = join(cache, "stamps");
  const installed = (existsSync(stamps) ? readdirSync(stamps) : [])
    .filter((name) => !OWN.includes(name) && !name.startsWith("compressed-"))
    .flatMap((name) => [name, readFileSync(join(stamps, name))]);
  const pages = existsSync(docs) ? state(docs) : "";
  return hash(...sources, ...installed, pages, process.version, JSON.stringify(options));
}

/** A key over the names, sizes and times of all files below a folder. */
export function state(folder) {
  if (!existsSync(folder)) return "";
  const told = filesBelow(folder).map((path) => {
    const { size, mtimeMs } = statSync(path);
    return `${path} ${size} ${mtimeMs}`;
  });
  return hash(...told);
}

/**
 * Build, unless that would make the same again. What a build leaves counts as done only when it has ended, and
 * as made of the inputs that were there when it began. `place` says what is read and made, and where that is
 * remembered.
 */
export async function unlessBuilt(options, build, place = {}) {
  const { sources = root, made = dist, remembered = { fresh, stamp } } = place;
  const key = inputs(sources, options);
  if (remembered.fresh(NAME, key + state(made))) {
    return console.log("web/dist is as a build would make it.");
  }
  remembered.stamp(NAME, "");
  await build();
  remembered.stamp(NAME, key + state(made));
}
