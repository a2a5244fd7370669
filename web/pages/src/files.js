/** What a visitor may save: the program as a script or a notebook, and what a model has learned. */

import { withLines } from "./head.js";

/** Offer a file to keep. @param {string} name @param {BlobPart} data @param {string} type */
export function save(name, data, type) {
  const url = URL.createObjectURL(new Blob([data], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * A program with its seed and device in it, as the page runs it.
 * @param {import("./link.js").Kept} program
 */
export function complete({ source, seed, device }) {
  const lines = [];
  if (seed !== null) {
    lines.push(
      `import random; random.seed(${seed})`,
      `import tabgrad; tabgrad.manual_seed(${seed})`,
    );
  }
  if (device === "cpu") lines.push('import tabgrad; tabgrad.set_default_device("cpu")');
  return lines.length === 0 ? source : withLines(source, lines);
}

const AWAITS =
  "# This program has an await outside of a function, which the page and notebooks allow and python does not:\n" +
  "# save it as a notebook, or put it into an async function, and call that by asyncio.run.\n";

/** A program as a script, with a note where Python alone would refuse it. @param {string} source */
export function toScript(source) {
  return awaitsOutside(source) ? AWAITS + source : source;
}

/** Whether a program seems to await something outside of a function. @param {string} source */
function awaitsOutside(source) {
  let inside = false; // a function or a class
  for (const line of source.split(/\r?\n/)) {
    const code = line.replace(/#.*/, "");
    if (/^[^\s)\]}]/.test(code)) inside = /^(?:async\s+def|def|class|@)/.test(code);
    if (!inside && /\bawait\b|\basync\s+(?:for|with)\b/.test(code)) return true;
  }
  return false;
}

/** A program as a notebook that installs what it needs. @param {string} source */
export function toNotebook(source) {
  const cell = (/** @type {string} */ id, /** @type {string} */ text) => ({
    cell_type: "code",
    id,
    metadata: {},
    execution_count: null,
    outputs: [],
    source: text.split(/(?<=\n)/),
  });
  const notebook = {
    cells: [
      cell("install", '%pip install -q "tabgrad[webgpu]"'),
      cell("program", source.trimEnd()),
    ],
    metadata: {
      kernelspec: { display_name: "Python 3", language: "python", name: "python3" },
      language_info: { name: "python" },
    },
    nbformat: 4,
    nbformat_minor: 5,
  };
  return `${JSON.stringify(notebook, null, 1)}\n`;
}
