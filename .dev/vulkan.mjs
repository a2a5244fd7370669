// A Vulkan driver for wgpu-py on Linux. macOS has Metal and Windows Direct3D: nothing to do.

import { existsSync, readdirSync } from "node:fs";
import { aptInstall, isDebian } from "./debian.mjs";
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

/** Find a Vulkan loader and driver, or install Mesa's (llvmpipe where there is no GPU). */
export async function setUpVulkan() {
  if (process.platform !== "linux") return;
  if (hasDriver() && (await hasLoader())) return;
  if (await isDebian()) {
    await aptInstall("A Vulkan driver", ["mesa-vulkan-drivers", "libvulkan1"]);
    return;
  }
  throw new Stop(
    "No Vulkan driver was found, which wgpu-py needs. Install your GPU's, or Mesa's software driver:\n" +
      "    Fedora: sudo dnf install mesa-vulkan-drivers vulkan-loader\n" +
      "    Arch:   sudo pacman -S vulkan-swrast vulkan-icd-loader\n" +
      "or leave that stage out: npm test -- --only hostless,protocol,browser",
  );
}
