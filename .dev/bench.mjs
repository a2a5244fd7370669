// npm run bench: tabgrad beside its peers. What is measured stands in tests/bench/README.md.

import { existsSync } from "node:fs";
import { build } from "./build.mjs";
import { setUpNode } from "./node.mjs";
import { at, root, tool } from "./places.mjs";
import { setUp } from "./setup.mjs";
import { main, run, Stop } from "./terminal.mjs";

await main(async () => {
  const script = at("tests", "bench", "run.py");
  if (!existsSync(script)) throw new Stop("tests/bench/run.py, the benchmark, is missing.");
  await setUp("test", ["node", "pyodide", "chromium", "vulkan"]);
  await setUpNode("tests/bench");
  await build({ production: true });
  const options = { cwd: root, live: true };
  const { code } = await run(tool("python"), [script, ...process.argv.slice(2)], options);
  return code;
});
