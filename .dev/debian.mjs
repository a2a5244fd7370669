// Debian and its relatives: installing system packages, as root or by telling how.

import { existsSync } from "node:fs";
import { must, run, Stop, step } from "./terminal.mjs";

const environment = { DEBIAN_FRONTEND: "noninteractive" };
let updated = false;

/** Whether this machine installs its packages with apt-get. */
export async function isDebian() {
  return existsSync("/etc/debian_version") && (await run("apt-get", ["--version"])).code === 0;
}

/** Install packages; a user who is not root is told the command instead. */
export async function aptInstall(what, packages) {
  if (process.getuid?.() !== 0) {
    throw new Stop(
      `${what} is missing, and installing it needs root:\n\n` +
        `    sudo apt-get update && sudo apt-get install -y ${packages.join(" ")}\n`,
    );
  }
  await step(`${what}: apt-get install ${packages.join(" ")}`, async (note) => {
    if (!updated) {
      await must("apt-get update failed.", "apt-get", ["update"], { note, env: environment });
      updated = true;
    }
    const args = ["install", "-y", "--no-install-recommends", ...packages];
    await must(`${what} could not be installed.`, "apt-get", args, { note, env: environment });
  });
}
