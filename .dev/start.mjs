// npm start: set up, build, and serve the page, and beside it the documentation where it was built.

import { existsSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { dist, docs, windows } from "./places.mjs";
import { serve } from "./server.mjs";
import { setUp } from "./setup.mjs";
import { bold, main, run, Stop } from "./terminal.mjs";

const HELP = `npm start -- [options]     set up, build, and serve the page

    --port N        the port (default 8000, or the next free one)
    --host NAME     the address to listen on (default localhost; 0.0.0.0 for all. Browsers offer
                    WebGPU only on localhost and over https)
    --lab           build JupyterLite too, with tabgrad and example notebooks, and serve it at /lab/
    --open          open the page in the default browser
    --help          this text
`;

const options = {
  port: { type: "string" },
  host: { type: "string", default: "localhost" },
  lab: { type: "boolean", default: false },
  open: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
};

function parse() {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    throw new Stop(`${error.message}\n\n${HELP}`);
  }
}

function chosenPort(text) {
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port < 65536) return port;
  throw new Stop(`--port: expected a number from 0 to 65535, got ${text}`);
}

/** The address to type into a browser: the machine's own name where all are listened on. */
function address(url, host) {
  if (host !== "0.0.0.0" && host !== "::") return url;
  const all = Object.values(networkInterfaces()).flat();
  const outside = all.find((one) => one?.family === "IPv4" && !one.internal)?.address;
  const port = new URL(url).port;
  return `http://localhost:${port}/${outside ? ` or http://${outside}:${port}/` : ""}`;
}

async function openBrowser(url) {
  const openers = { darwin: ["open", [url]], win32: ["cmd", ["/c", "start", "", url]] };
  const [command, args] = openers[process.platform] ?? ["xdg-open", [url]];
  const { code } = await run(command, args, { shell: windows });
  if (code !== 0) console.log(`No browser could be opened; go to ${url} yourself.`);
}

await main(async () => {
  const values = parse();
  if (values.help) {
    console.log(HELP);
    return;
  }
  const port = values.port === undefined ? 8000 : chosenPort(values.port);
  await setUp(values.lab ? "lab" : "start", ["node", "pyodide"]);
  await build({ lab: values.lab });
  const tries = values.port === undefined ? 100 : 1;
  const mounts = [
    ["/docs/", docs],
    ["/", dist],
  ];
  const { url } = await serve({ mounts, port, host: values.host, tries });
  const documented = existsSync(join(docs, "index.html"));
  const about = documented
    ? `the documentation: ${url}docs/`
    : "npm run docs adds the documentation";
  const lab = values.lab ? `JupyterLite: ${url}lab/\n` : "";
  console.log(`\n${bold(address(url, values.host))}\n${lab}${about}\n\nCtrl-C stops the server.`);
  if (values.open) await openBrowser(url);
});
