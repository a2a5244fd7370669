// Debian and its relatives: installing system packages, as root or by telling how.

import { existsSync, readFileSync } from "node:fs";
import { must, Stop, step } from "./terminal.mjs";

/** Whether this machine installs its packages with apt-get. */
export const hasApt = () => existsSync("/etc/debian_version") && existsSync("/usr/bin/apt-get");

/** Whether it is Debian itself; Ubuntu's `chromium` is not a browser but a stub for snap. */
export const isDebian = () =>
  hasApt() && /^ID="?debian"?$/m.test(readFileSync("/etc/os-release", "utf8"));

/** Install packages; a user who is not root is told the command instead. */
export async function aptInstall(packages) {
  const list = packages.join(" ");
  if (process.getuid?.() !== 0) {
    throw new Stop(
      "System packages are missing, and installing them needs root. Run this, then try again:\n\n" +
        `    sudo apt-get update && sudo apt-get install -y ${list}\n`,
    );
  }
  await step(`System packages: ${list}`, async (note) => {
    const options = { note, env: { DEBIAN_FRONTEND: "noninteractive" } };
    await must("apt-get update failed.", "apt-get", ["update"], options);
    const args = ["install", "-y", "--no-install-recommends", ...packages];
    await must("apt-get could not install them.", "apt-get", args, options);
  });
}
