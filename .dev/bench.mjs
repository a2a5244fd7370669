// npm run bench: tabgrad beside its peers. What is measured stands in tests/bench/README.md.
//
//     npm run bench                                   in the browser, then natively
//     npm run bench -- --browser --only mlp,gpt --rounds 1
//     npm run bench -- --native --only mlp
//
// Other flags go to run.py, and `--only` to native.py as well.

import { existsSync, readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { build } from "./build.mjs";
import { compress } from "./compress.mjs";
import { setUpNode } from "./node.mjs";
import { at, cache, fresh, hash, root, stamp, tool } from "./places.mjs";
import { setUp } from "./setup.mjs";
import { main, run, step } from "./terminal.mjs";

const folder = "tests/bench";

/** Bundle the peers, unless that was done with these versions. */
async function bundlePeers() {
  const files = ["package-lock.json", "bundle.mjs", "peers/tfjs.mjs", "peers/jaxjs.mjs"];
  const key = hash(...files.map((name) => readFileSync(at(folder, name))));
  if (existsSync(at(folder, "www")) && fresh("bench-peers", key)) return;
  await step("Bundle the benchmark's peers", async () => {
    const { bundle } = await import(pathToFileURL(at(folder, "bundle.mjs")).href);
    await bundle();
    await compress(at(folder, "www"), false, () => {});
  });
  stamp("bench-peers", key);
}

/** Take a flag without a value out of `args`. */
function take(args, flag) {
  const i = args.indexOf(flag);
  if (i >= 0) args.splice(i, 1);
  return i >= 0;
}

/** The flags for native.py among those for run.py. */
function nativeArguments(args) {
  const i = args.indexOf("--only");
  return i < 0 ? [] : args.slice(i, i + 2);
}

await main(async () => {
  const args = process.argv.slice(2);
  const [browser, native] = [take(args, "--browser"), take(args, "--native")];
  const python = (script, ...rest) =>
    run(tool("python"), [at(folder, script), ...rest], { cwd: root, live: true });
  await setUp("test", ["node", "pyodide", "chromium", "vulkan"]);
  let code = 0;
  if (browser || !native) {
    await setUpNode(folder);
    await bundlePeers();
    await build({ production: true });
    const chromium = readFileSync(`${cache}/chromium`, "utf8");
    ({ code } = await python("run.py", "--chromium", chromium, ...args));
    if (!args.includes("--only")) {
      const start = await python("start.py", "--chromium", chromium);
      code ||= start.code;
    }
  }
  if (native || !browser) {
    const found = await python("native.py", ...nativeArguments(args));
    code ||= found.code;
  }
  return code;
});
