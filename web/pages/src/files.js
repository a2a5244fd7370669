/** What a visitor may save: the program as a script or a notebook, and what a model has learned. */

import { afterHead } from "./head.js";

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
  if (lines.length === 0) return source;
  const at = afterHead(source);
  return `${source.slice(0, at)}${lines.join("\n")}\n${source.slice(at)}`;
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
