// A Vulkan driver for wgpu-py on Linux. macOS has Metal and Windows Direct3D: nothing to do.

import { existsSync, readdirSync } from "node:fs";
import { run, Stop } from "./terminal.mjs";

const driverFolders = [
  "/usr/share/vulkan/icd.d",
  "/etc/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
];

function hasDriver() {
  if (process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES) return true;
  return driverFolders.some((folder) => existsSync(folder) && readdirSync(folder).length > 0);
}

async function hasLoader() {
  const { code, output } = await run("/sbin/ldconfig", ["-p"]);
  return code !== 0 || output.includes("libvulkan.so.1");
}

/** The Debian packages without which wgpu-py finds no device here. */
export async function missingForVulkan() {
  if (process.platform !== "linux" || (hasDriver() && (await hasLoader()))) return [];
  return ["mesa-vulkan-drivers", "libvulkan1"];
}

/** Stop, with the way out, where there is no Vulkan loader or driver. */
export async function setUpVulkan() {
  if ((await missingForVulkan()).length === 0) return;
  throw new Stop(
    "No Vulkan driver was found, which wgpu-py needs. Install your GPU's, or Mesa's software one:\n" +
      "    Fedora: sudo dnf install mesa-vulkan-drivers vulkan-loader\n" +
      "    Arch:   sudo pacman -S vulkan-swrast vulkan-icd-loader\n" +
      "or leave that stage out: npm test -- --only check,hostless,protocol,mpi,cuda,browser",
  );
}
