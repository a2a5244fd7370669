// Bundle the page into a folder that any static host can serve.

import { createHash } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build as bundle } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
// The programs in the page are the files of the package themselves.
const common = {
  bundle: true,
  target: ["chrome113", "firefox121", "safari17"],
  logLevel: "warning",
  loader: { ".py": "text" },
};

/** One script with all that it imports, as text. */
async function script(entry, format, minify, texts = {}) {
  const { outputFiles } = await bundle({
    ...common,
    entryPoints: [join(here, "src", entry)],
    format,
    minify,
    write: false,
    legalComments: "none",
    external: ["node:*", "ws"], // Pyodide has them where it runs in Node
    plugins: [inlined(texts)],
  });
  return outputFiles[0].text.trim();
}

/**
 * `text:frame.js` and `text:worker/worker.js` are imported as their text: no file of the site is a
 * worker or its keeper, so none can be started without the policy that the page gives them.
 */
function inlined(texts) {
  return {
    name: "inlined",
    setup(build) {
      build.onResolve({ filter: /^text:/ }, ({ path }) => ({ path, namespace: "inlined" }));
      build.onLoad({ filter: /.*/, namespace: "inlined" }, ({ path }) => {
        return { contents: texts[path.slice("text:".length)], loader: "text" };
      });
    },
  };
}

// The worker needs no network: the page fetches the files that Python is made of, and hands them over.
// `blob:` is for modules that are made inside, out of those files.
const POLICY =
  "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:; worker-src data:";

/** The document of the frame that keeps a worker. @param {string} script */
const frameDocument = (script) =>
  `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}"><title>Python</title><script>${script}</script>`;

const ELEMENT = "tabgrad-demo.js";
const FRAME = "tabgrad-frame.html";

/** The style sheet of the element, as text. */
async function elementSheet(minify) {
  const { outputFiles } = await bundle({
    ...common,
    entryPoints: [join(here, "styles/element.css")],
    minify,
    write: false,
  });
  return outputFiles[0].text;
}

/**
 * The element for pages of others: one script, and the frame that keeps its worker. Here the frame is a file: a
 * text would have the policy of the author's page, which need not allow what Python needs.
 */
async function buildElement(outdir, { frame, python, production }) {
  writeFileSync(join(outdir, FRAME), frame);
  const texts = {
    "element.css": await elementSheet(production),
    "python.json": JSON.stringify(python),
  };
  const text = await script("demo/element.js", "esm", production, texts);
  writeFileSync(join(outdir, ELEMENT), `${text}\n`);
  cpSync(join(here, "demos"), join(outdir, "demos"), { recursive: true });
  mkdirSync(join(outdir, "gallery"), { recursive: true });
  for (const [, name] of readFileSync(join(here, "gallery.html"), "utf8").matchAll(
    /\/gallery\/(\w+\.py)"/g,
  )) {
    copyFileSync(join(here, "../../py/tabgrad/examples", name), join(outdir, "gallery", name));
  }
}

/** Remove what an earlier build has put into `outdir` itself, its folders apart, and this one has not. */
function tidy(outdir, kept) {
  for (const entry of readdirSync(outdir, { withFileTypes: true })) {
    const of = entry.name.replace(/\.(br|gz)$/, "");
    if (entry.isFile() && !kept.includes(of)) rmSync(join(outdir, entry.name));
  }
}

/** The element of the head that names the files Python is made of. */
function filesOf(python) {
  const names = JSON.stringify(python).replaceAll("<", "\\u003c");
  return `<script id="python" type="application/json">${names}</script>`;
}

/**
 * Write index.html and all that it needs, Pyodide and the wheels apart, into `outdir`. `python` has the names
 * and sizes of the files in `python/` that Python is made of; the wheel has the sources.
 */
export async function build({ outdir, python, wheel, production = true }) {
  mkdirSync(outdir, { recursive: true });
  const worker = await script("worker/worker.js", "esm", production);
  const frame = await script("frame.js", "iife", production, { "worker/worker.js": worker });
  if (/<(\/script|!--)/i.test(frame)) throw new Error("frame.js would end its own element");
  const { metafile } = await bundle({
    ...common,
    metafile: true,
    loader: { ...common.loader, ".woff2": "file" },
    entryPoints: {
      early: join(here, "src/early.js"),
      main: join(here, "src/main.js"),
      style: join(here, "styles/style.css"),
    },
    outdir,
    format: "esm",
    minify: production,
    sourcemap: production ? false : "linked",
    assetNames: "assets/[name]-[hash]",
    entryNames: "assets/[name]-[hash]",
    legalComments: "linked",
    plugins: [inlined({ "frame.html": frameDocument(frame) })],
  });
  await buildElement(outdir, { frame: frameDocument(frame), python, production });
  const hash = createHash("sha256").update(frame).digest("base64");
  const page = readFileSync(join(here, "index.html"), "utf8");
  const made = Object.keys(metafile.outputs).map((path) => basename(path));
  const named = (stem, ending) =>
    made.find((name) => name.startsWith(`${stem}-`) && name.endsWith(ending));
  writeFileSync(
    join(outdir, "index.html"),
    page
      .replace("{frame}", `'sha256-${hash}'`)
      .replace("<!-- {python} -->", filesOf(python))
      .replace("{wheel}", wheel)
      .replace("./style.css", `./assets/${named("style", ".css")}`)
      .replace("./early.js", `./assets/${named("early", ".js")}`)
      .replace("./main.js", `./assets/${named("main", ".js")}`),
  );
  const copies = ["favicon.svg", "_headers", "element.html", "element.css", "gallery.html"];
  for (const name of copies) copyFileSync(join(here, name), join(outdir, name));
  copyFileSync(join(here, "../../LICENSE"), join(outdir, "LICENSE.txt"));
  tidy(outdir, ["index.html", "LICENSE.txt", ELEMENT, FRAME, ...copies]);
  tidy(join(outdir, "assets"), made);
}
