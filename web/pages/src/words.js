/** What the page and the element say in the same words. */

/** What is waited for. */
export const STAGES = /** @type {Record<string, string>} */ ({
  python: "Starting Python…",
  library: "Loading tabgrad…",
  numpy: "Loading NumPy…",
  queued: "Runs as soon as Python has started…",
});

/** How much of Python is here, in bytes that are unpacked. @param {number} bytes @param {number} all */
export const loading = (bytes, all) =>
  `Loading Python: ${Math.round(bytes / 1e6)} of ${Math.round(all / 1e6)} MB…`;

/** How a run ended. */
export const ENDS = {
  finished: "Finished",
  failed: "Ended with an error",
  stopped: "Stopped",
  restarted: "Stopped",
  broken: "Broken down",
  unstarted: "Python did not start",
};

/** The line with which `import torch` means tabgrad. */
export const TORCH = "import tabgrad; tabgrad.as_torch()";
