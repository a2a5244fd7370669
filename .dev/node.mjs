// Node packages: exactly those of package-lock.json.

import { existsSync } from "node:fs";
import { at, fresh, hash, read, stamp, windows } from "./places.mjs";
import { must, Stop, step } from "./terminal.mjs";

/** The npm that started this script, or the one on the path. */
function npm(args) {
  const script = process.env.npm_execpath;
  if (script?.endsWith(".js")) return [process.execPath, [script, ...args], {}];
  return ["npm", args, { shell: windows }];
}

/** Install what the lock file of a folder names, unless that was done already. */
export async function setUpNode(folder = ".") {
  if (Number(process.versions.node.split(".")[0]) < 20) {
    throw new Stop(`Node 20 or newer is needed; this is ${process.version}. See nodejs.org.`);
  }
  const lock = read(folder, "package-lock.json");
  const key = hash(lock, process.platform, process.arch);
  const name = `node-${hash(folder)}`;
  if (existsSync(at(folder, "node_modules")) && fresh(name, key)) return;
  const title = folder === "." ? "Node packages" : `Node packages of ${folder}`;
  await step(title, async (note) => {
    const [command, args, options] = npm(["ci", "--no-audit", "--no-fund", "--no-progress"]);
    await must(
      "npm could not install the packages of package-lock.json. Its own words follow.",
      command,
      args,
      { cwd: at(folder), note, ...options },
    );
  });
  stamp(name, key);
}
