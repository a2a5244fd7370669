// Lines per folder: the whole is meant to stay small, and one file readable in one sitting.

import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { at } from "./places.mjs";
import { dim } from "./terminal.mjs";

const SOURCES = /\.(py|m?js|wgsl|css|html)$/;
export const LONGEST = 500;
const areas = ["py/tabgrad", "native/tabgrad_native", "shaders", "web", "tests", "docs", ".dev"];

function* sources(folder) {
  for (const entry of readdirSync(at(folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!/^(dist|www|node_modules|__pycache__|\..*)$/.test(entry.name)) yield* sources(path);
    } else if (SOURCES.test(entry.name)) {
      yield { path, lines: readFileSync(at(path), "utf8").split("\n").length - 1 };
    }
  }
}

/** Print how many lines each folder has; return the files that are longer than they may be. */
export function printLines() {
  const totals = new Map();
  const long = [];
  let all = 0;
  for (const area of areas) {
    for (const { path, lines } of sources(area)) {
      const inside = path.slice(area.length + 1).split(sep);
      const folder = inside.length > 1 ? `${area}/${inside[0]}` : area;
      totals.set(folder, (totals.get(folder) ?? 0) + lines);
      all += lines;
      if (lines > LONGEST) long.push(`${path} (${lines})`);
    }
  }
  console.log(dim("\nlines"));
  for (const [folder, lines] of totals) console.log(`${String(lines).padStart(7)}  ${folder}`);
  console.log(`${String(all).padStart(7)}  in all`);
  return long;
}
