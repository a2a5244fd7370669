/**
 * What the page and its worker say to each other. Data only: nothing that comes out of the
 * worker is ever run or read as HTML.
 *
 * @typedef {{ type: "start", base: string, interrupt: SharedArrayBuffer | null }
 *   | { type: "run", name: string, source: string }
 *   | { type: "stop" }
 *   | { type: "call", id: number, name: string, values: number[] }} ToWorker
 *
 * @typedef {{ kind: "webgpu" | "cpu", name: string, software: boolean, reason: string }} Device
 *   `reason` says why there is no WebGPU; empty if there is
 *
 * @typedef {{ event: "start", bar: number, time: number, total: number | null, desc: string }
 *   | { event: "update", bar: number, time: number, n: number }
 *   | { event: "log", bar: number, time: number, n: number, values: Record<string, number> }
 *   | { event: "end", bar: number, time: number }
 *   | { event: "publish", names: string[] }} ProgressEvent  times in milliseconds
 *
 * @typedef {{ type: "stage", stage: "python" | "library" | "numpy" | "ready" }
 *   | { type: "device", device: Device }
 *   | { type: "output", stream: "out" | "err", text: string }
 *   | { type: "progress", events: ProgressEvent[] }
 *   | { type: "done", outcome: Outcome }
 *   | { type: "answer", id: number, values: number[] | null, error: string }
 *   | { type: "failed", message: string }} FromWorker
 *
 * @typedef {"finished" | "failed" | "stopped"} Outcome
 */

export {};
