// npm test: set up, run the stages, and end with a line of totals.

import { parseArgs } from "node:util";
import { setUp } from "./setup.mjs";
import { stages } from "./stages.mjs";
import { bold, dim, green, main, red, Stop, since } from "./terminal.mjs";

const rows = Object.entries(stages).map(([name, { about }]) => `    ${name.padEnd(10)}${about}`);
const HELP = `npm test -- [options]     set up, then check and test

    --only A,B      only these stages
    --help          this text

Stages:
${rows.join("\n")}

A single test: .venv/bin/python -m pytest tests/... (see tests/README.md)
`;

function parse() {
  const options = {
    only: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  };
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    throw new Stop(`${error.message}\n\n${HELP}`);
  }
}

function chosen(only) {
  const names = only === undefined ? Object.keys(stages) : only.split(",").filter(Boolean);
  const unknown = names.filter((name) => !(name in stages));
  if (unknown.length > 0 || names.length === 0) {
    const all = Object.keys(stages).join(", ");
    throw new Stop(`--only: expected some of ${all}; got ${only}`);
  }
  return names;
}

/** Run one of the stages `names`; what breaks it counts as a failure, and the stages after it still run. */
async function runStage(name, names) {
  console.log(`\n${bold(`── ${name}`)} ${dim(stages[name].about)}`);
  const start = performance.now();
  let counts = { passed: 0, failed: 1, skipped: 0 };
  try {
    counts = await stages[name].run(names);
  } catch (error) {
    console.log(error instanceof Stop ? error.message : error.stack);
  }
  return { name, ...counts, took: since(start) };
}

const words = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`;

await main(async () => {
  const { only, help } = parse();
  if (help) {
    console.log(HELP);
    return 0;
  }
  const names = chosen(only);
  const start = performance.now();
  await setUp(
    "test",
    names.flatMap((name) => stages[name].needs),
  );
  const results = [];
  for (const name of names) results.push(await runStage(name, names));

  const total = (word) => results.reduce((sum, result) => sum + result[word], 0);
  console.log(`\n${bold("── totals")} ${dim(since(start))}`);
  for (const result of results) {
    const mark = result.failed ? red("✗") : green("✓");
    console.log(`${mark} ${result.name.padEnd(10)}${words(result)} ${dim(`(${result.took})`)}`);
  }
  const all = { passed: total("passed"), failed: total("failed"), skipped: total("skipped") };
  console.log(`\n${words(all)}`);
  return all.failed ? 1 : 0;
});
