// npm run docs: the documentation, with the reference made from the docstrings, as a web site.

import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { at, cache, docs, fresh, hash, read, stamp, tool } from "./places.mjs";
import { setUp } from "./setup.mjs";
import { bold, main, run, Stop, step } from "./terminal.mjs";

const HELP = `npm run docs -- [options]     build the documentation into .cache/docs/html

    --anew          build every page, also where nothing has changed
    --help          this text

npm start serves it at /docs/.
`;

const SOURCES = /\.(py|md|svg|css)$/;
const PROBLEM =
  "The documentation could not be built. Each line with WARNING or ERROR names a page, or the docstring " +
  "of a name: a docstring is plain text, with `code` in backticks, examples after >>>, and an empty line " +
  "before each of these. Mend it there and run npm run docs again.";

function parse() {
  const options = {
    anew: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  };
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    throw new Stop(`${error.message}\n\n${HELP}`);
  }
}

/** A key over all that the pages are made from. */
function sources() {
  const files = ["docs", join("py", "tabgrad")].flatMap((folder) =>
    readdirSync(at(folder), { recursive: true })
      .map((name) => join(folder, String(name)))
      .filter((path) => SOURCES.test(path)),
  );
  const texts = files.sort().flatMap((path) => [path, readFileSync(at(path))]);
  return hash(...texts, read("pyproject.toml"));
}

/** What Sphinx found wrong; the end of all that it said where it names nothing. */
function faults(output) {
  const lines = output.split("\n");
  const named = lines.filter((line) => /WARNING|ERROR|[Ee]xception/.test(line));
  return (named.length > 0 ? named : lines.slice(-25)).join("\n");
}

/** Build the pages; those whose sources are as they were stay. */
async function build(anew) {
  const key = sources();
  if (!anew && fresh("docs", key)) return console.log("The documentation is up to date.");
  return step("Documentation", async (note) => {
    const kept = ["-d", join(cache, "docs", "pages")];
    const options = [
      "-b",
      "html",
      "-j",
      "auto",
      "-W",
      "--keep-going",
      ...kept,
      ...(anew ? ["-E", "-a"] : []),
    ];
    const args = ["-m", "sphinx", ...options, at("docs"), docs];
    const how = { cwd: at(), env: { NO_COLOR: "1" }, note };
    const { code, output } = await run(tool("python"), args, how);
    if (code !== 0) {
      // a page that was read once is not complained of again
      rmSync(join(cache, "docs", "pages"), { recursive: true, force: true });
      throw new Stop(`${PROBLEM}\n\n${faults(output)}`);
    }
    stamp("docs", key);
  });
}

await main(async () => {
  const { anew, help } = parse();
  if (help) return console.log(HELP);
  await setUp("docs", []);
  await build(anew);
  console.log(`\n${bold(join(docs, "index.html"))}\nnpm start serves it at /docs/.`);
  return 0;
});
