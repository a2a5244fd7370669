// A full Chromium for the browser tests. Playwright's headless shell has no WebGPU.

import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { isDebian } from "./debian.mjs";
import { cache, tool, windows } from "./places.mjs";
import { run, Stop, step } from "./terminal.mjs";

const names = [
  "chromium",
  "chromium-browser",
  "google-chrome",
  "google-chrome-stable",
  "microsoft-edge",
  "microsoft-edge-stable",
];

function installedPlaces() {
  const local = process.env.LOCALAPPDATA ?? "";
  const onPath = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const programs = [process.env.PROGRAMFILES, process.env["PROGRAMFILES(X86)"], local].filter(
    Boolean,
  );
  if (windows) {
    const ends = ["Google/Chrome/Application/chrome.exe", "Microsoft/Edge/Application/msedge.exe"];
    return ends.flatMap((end) => programs.map((folder) => join(folder, end)));
  }
  if (process.platform === "darwin") {
    const apps = ["Google Chrome", "Chromium", "Microsoft Edge"];
    const folders = ["/Applications", join(homedir(), "Applications")];
    return apps.flatMap((app) => folders.map((f) => `${f}/${app}.app/Contents/MacOS/${app}`));
  }
  return names.flatMap((name) => onPath.map((folder) => join(folder, name)));
}

/** The browsers that Playwright has installed for this user, newest first. */
function playwrightPlaces() {
  const folders = {
    linux: join(homedir(), ".cache", "ms-playwright"),
    darwin: join(homedir(), "Library", "Caches", "ms-playwright"),
    win32: join(process.env.LOCALAPPDATA ?? "", "ms-playwright"),
  };
  const folder = process.env.PLAYWRIGHT_BROWSERS_PATH ?? folders[process.platform];
  if (!folder || !existsSync(folder)) return [];
  const ends = {
    linux: ["chrome-linux64/chrome", "chrome-linux/chrome"],
    win32: ["chrome-win64/chrome.exe", "chrome-win/chrome.exe"],
    darwin: ["chrome-mac-arm64", "chrome-mac-x64", "chrome-mac"].flatMap((arch) =>
      ["Chromium", "Google Chrome for Testing"].map(
        (app) => `${arch}/${app}.app/Contents/MacOS/${app}`,
      ),
    ),
  };
  const versions = readdirSync(folder).filter((name) => /^chromium-\d+$/.test(name));
  versions.sort((a, b) => Number(b.slice(9)) - Number(a.slice(9)));
  return versions.flatMap((name) => ends[process.platform].map((end) => join(folder, name, end)));
}

function find() {
  const named = process.env.CHROMIUM;
  if (named && !existsSync(named)) throw new Stop(`CHROMIUM names ${named}, which does not exist.`);
  return named ?? [...installedPlaces(), ...playwrightPlaces()].find((place) => existsSync(place));
}

/** The Debian packages without which there is no Chromium here. */
export const missingForChromium = () =>
  !isDebian() || find() ? [] : ["chromium", "fonts-dejavu-core"];

function install() {
  return step("Chromium, by Playwright", async (note) => {
    const args = ["-m", "playwright", "install", "chromium"];
    const env = { PLAYWRIGHT_NODEJS_PATH: process.execPath };
    const { code } = await run(tool("python"), args, { note, env });
    if (code === 0) return;
    throw new Stop(
      "No Chromium was found, and Playwright could not fetch one. Do one of these and try again:\n" +
        "    install Chrome, Chromium or Edge\n" +
        "    name one: CHROMIUM=/path/to/chrome npm test\n" +
        "    leave that stage out: npm test -- --only check,hostless,programs,protocol,mpi,cuda,wgpu",
    );
  });
}

/** Find or install Chromium; tests started by hand find its path in `.cache/chromium`. */
export async function setUpChromium() {
  if (!find()) await install();
  const place = find();
  if (!place) throw new Stop("Chromium is in none of the usual places: name it with CHROMIUM=...");
  mkdirSync(cache, { recursive: true });
  writeFileSync(join(cache, "chromium"), place);
}
