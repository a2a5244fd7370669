// The peers, each as one minified ES module with its lazy parts beside it, in www/.

import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

/** Bundle every peer into `www/<name>/<name>.js`. */
export async function bundle() {
  for (const name of ["tfjs", "jaxjs"]) {
    const outdir = join(here, "www", name);
    rmSync(outdir, { recursive: true, force: true });
    await build({
      entryPoints: [join(here, "peers", `${name}.mjs`)],
      outdir,
      bundle: true,
      minify: true,
      splitting: true,
      format: "esm",
      platform: "browser",
      // Without it esbuild takes the files that a package means for Node.
      mainFields: ["module", "main"],
      logLevel: "warning",
    });
  }
}
