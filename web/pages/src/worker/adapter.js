/** Which device programs of this page run on. */

import { describeAdapter } from "../../../bridge/tabgrad.js";

/** @typedef {import("../messages.js").Device} Device */

/**
 * The GPU, or the reason why it has to be the processor.
 * @returns {Promise<Device>}
 */
export async function findDevice() {
  const gpu = navigator.gpu;
  if (!gpu && !isSecureContext) return processor("WebGPU needs a page served over HTTPS.");
  if (!gpu) return processor("This browser has no WebGPU.");
  const adapter = await gpu
    .requestAdapter({ powerPreference: "high-performance" })
    .catch(() => null);
  if (!adapter) return processor("This browser has WebGPU, but found no adapter for it.");
  // Python waits for the GPU by JavaScript Promise Integration.
  if (!("Suspending" in WebAssembly)) {
    return processor("This browser has WebGPU, but cannot let Python wait for it.");
  }
  const { name, software } = describeAdapter(adapter);
  return { kind: "webgpu", name, software, reason: "" };
}

/** @param {string} reason @returns {Device} */
function processor(reason) {
  return { kind: "cpu", name: "processor, with NumPy", software: true, reason };
}
