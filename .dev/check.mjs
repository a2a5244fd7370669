// npm run check: everything that is judged without running the program. CI and pre-commit use it.

import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { LONGEST, printLines } from "./lines.mjs";
import { at, isMain, read, tool } from "./places.mjs";
import { setUp } from "./setup.mjs";
import { dim, green, main, red, run, since } from "./terminal.mjs";

const PYTHON = ["py", "native", "tests", "docs"];
const biome = (...args) => [
  process.execPath,
  [at("node_modules/@biomejs/biome/bin/biome"), ...args],
];
const webFolders = [".", "../.dev", "../tests"];

/** The checks, with those that take longest first. */
function checks() {
  return [
    [
      "pyright",
      process.execPath,
      [at("node_modules/pyright/index.js"), "-p", at("tests", "typing")],
    ],
    ["mypy", tool("mypy"), ["--no-error-summary", "py", "native", "tests/typing"]],
    ["ruff check", tool("ruff"), ["check", "--quiet", ...PYTHON]],
    ["ruff format", tool("ruff"), ["format", "--check", "--quiet", ...PYTHON]],
    ["import-linter", tool("lint-imports"), ["--no-logo"]],
    ["biome", ...biome("check", "--error-on-warnings", ...webFolders), at("web")],
    ["tsc", process.execPath, [at("node_modules/typescript/bin/tsc"), "-p", "web/tsconfig.json"]],
  ];
}

const fixes = () => [
  ["ruff check", tool("ruff"), ["check", "--fix", "--quiet", ...PYTHON]],
  ["ruff format", tool("ruff"), ["format", "--quiet", ...PYTHON]],
  ["biome", ...biome("check", "--write", ...webFolders), at("web")],
];

/** Run commands, `lanes` at a time; each says how it went when it ends. */
async function runAll(commands, lanes) {
  const result = { passed: 0, failed: 0, skipped: 0 };
  const waiting = [...commands];
  const lane = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, command, args, cwd] = next;
      const start = performance.now();
      const { code, output } = await run(command, args, { cwd: cwd ?? at() });
      if (code === 0) result.passed += 1;
      else result.failed += 1;
      const mark = code === 0 ? green("✓") : red("✗");
      const said = code === 0 ? "" : `\n${output}\n`;
      console.log(`${mark} ${name} ${dim(`(${since(start)})`)}${said}`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return result;
}

/** A lock file with addresses would bind every checkout to one registry. */
function checkLockFiles(result) {
  const named = [
    "package-lock.json",
    ...["tests/bench", "tests/web/engines", "tests/web/notebooks"].map(
      (f) => `${f}/package-lock.json`,
    ),
  ].filter((file) => existsSync(at(file)) && read(file).includes('"resolved"'));
  if (named.length === 0) result.passed += 1;
  else result.failed += 1;
  const way = "delete it and run: npm install --package-lock-only";
  console.log(
    named.length === 0
      ? `${green("✓")} lock files`
      : `${red("✗")} lock files\n${named.join(", ")} names a registry; ${way}\n`,
  );
}

/** A file is read in one sitting. */
function checkLines(result) {
  const long = printLines();
  if (long.length === 0) result.passed += 1;
  else result.failed += 1;
  console.log(
    long.length === 0
      ? `${green("✓")} lines of each file`
      : `${red("✗")} lines of each file\nOver ${LONGEST} lines: ${long.join(", ")}; split by what a part is for\n`,
  );
}

/** Run all checks; returns how many passed and failed. */
export async function check({ fix = false } = {}) {
  // what repairs writes the same files, one after the other
  if (fix) await runAll(fixes(), 1);
  const result = await runAll(checks(), Math.min(availableParallelism(), 4));
  checkLockFiles(result);
  checkLines(result);
  return result;
}

if (isMain(import.meta.url)) {
  await main(async () => {
    const { values } = parseArgs({ options: { fix: { type: "boolean", default: false } } });
    await setUp("test", ["node"]);
    const { failed } = await check(values);
    return failed === 0 ? 0 : 1;
  });
}
