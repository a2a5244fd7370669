// Set-up: everything that `npm start` and `npm test` need, made or found once.

import { setUpChromium } from "./chromium.mjs";
import { setUpNode } from "./node.mjs";
import { setUpNumpy } from "./numpy.mjs";
import { isMain } from "./places.mjs";
import { setUpPackages, setUpVenv } from "./python.mjs";
import { main } from "./terminal.mjs";
import { setUpVulkan } from "./vulkan.mjs";

const steps = {
  node: () => setUpNode(),
  pyodide: setUpNumpy,
  chromium: setUpChromium,
  vulkan: setUpVulkan,
};

/**
 * Bring the checkout to where a command can run. `purpose` is "start" or "test"; `needs` names
 * what is wanted beside Python: node, pyodide, chromium, vulkan.
 */
export async function setUp(purpose, needs) {
  const version = await setUpVenv();
  await setUpPackages(version, purpose);
  for (const [name, work] of Object.entries(steps)) {
    if (needs.includes(name)) await work();
  }
}

if (isMain(import.meta.url)) {
  await main(() => setUp("test", Object.keys(steps)));
}
