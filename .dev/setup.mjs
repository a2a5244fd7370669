// Set-up: everything that `npm start` and `npm test` need, made or found once.

import { missingForChromium, setUpChromium } from "./chromium.mjs";
import { aptInstall, hasApt } from "./debian.mjs";
import { setUpEngines, setUpFirefox } from "./engines.mjs";
import { setUpNode } from "./node.mjs";
import { isMain } from "./places.mjs";
import { missingForPython, setUpPackages, setUpVenv } from "./python.mjs";
import { main } from "./terminal.mjs";
import { missingForVulkan, setUpVulkan } from "./vulkan.mjs";
import { setUpWheels } from "./wheels.mjs";

const steps = {
  node: () => setUpNode(),
  pyodide: setUpWheels,
  chromium: setUpChromium,
  vulkan: setUpVulkan,
  engines: setUpEngines,
  notebooks: () => setUpNode("tests/web/notebooks"),
  firefox: setUpFirefox,
};

/** Install all that is missing of the system at once, so that nobody is sent for it three times. */
async function setUpSystem(needs) {
  if (!hasApt()) return;
  const missing = await missingForPython();
  if (needs.includes("chromium")) missing.push(...missingForChromium());
  if (needs.includes("vulkan")) missing.push(...(await missingForVulkan()));
  if (missing.length > 0) await aptInstall(missing);
}

/**
 * Bring the checkout to where a command can run. `purpose` is "start", "lab", "test" or "docs";
 * `needs` names what is wanted beside Python: node, pyodide, chromium, vulkan, engines, notebooks, firefox.
 */
export async function setUp(purpose, needs) {
  await setUpSystem(needs);
  await setUpPackages(await setUpVenv(), purpose);
  for (const [name, work] of Object.entries(steps)) {
    if (needs.includes(name)) await work();
  }
}

if (isMain(import.meta.url)) {
  await main(() => setUp("test", Object.keys(steps)));
}
