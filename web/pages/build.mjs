// Bundle the page into a folder that any static host can serve.

import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build as bundle } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

/** Write index.html and all that it needs, Pyodide and the wheels apart, into `outdir`. */
export async function build({ outdir, production = true }) {
  mkdirSync(outdir, { recursive: true });
  await bundle({
    entryPoints: {
      main: join(here, "src/main.js"),
      worker: join(here, "src/worker/worker.js"),
      style: join(here, "styles/style.css"),
    },
    outdir,
    bundle: true,
    format: "esm",
    target: ["chrome113", "firefox121", "safari17"],
    minify: production,
    sourcemap: production ? false : "linked",
    // The programs in the page are the files of the package themselves.
    loader: { ".py": "text", ".woff2": "file" },
    assetNames: "assets/[name]",
    legalComments: "linked",
    logLevel: "warning",
  });
  for (const name of ["index.html", "favicon.svg"])
    copyFileSync(join(here, name), join(outdir, name));
}
