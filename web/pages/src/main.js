/** The page: an editor, a worker that runs what is in it, and panels that show what comes of it. */

import { createEditor } from "./editor.js";
import { OutputPanel } from "./output.js";
import { byId } from "./page.js";
import { PredictionPanel } from "./prediction.js";
import { programs } from "./programs.js";
import { Session } from "./session.js";
import { TrainingPanel } from "./training.js";

/** @typedef {import("./messages.js").Device} Device */
/** @typedef {import("./messages.js").FromWorker} FromWorker */

const STAGES = /** @type {Record<string, string>} */ ({
  python: "Starting Python…",
  library: "Loading tabgrad…",
  numpy: "Loading NumPy…",
  queued: "Runs as soon as Python has started…",
});

const runButton = byId("run");
const stage = byId("stage");

const session = new Session(new URL("./", location.href), {
  state: (state, name) => {
    runButton.dataset.action = session.busy ? "stop" : "run";
    byId("run-label").textContent = session.busy ? "Stop" : "Run";
    if (state === "running") stage.textContent = "Running…";
    else if (state !== "ready") stage.textContent = STAGES[name] ?? STAGES.python ?? "";
    else if (stage.textContent?.endsWith("…")) stage.textContent = "Ready";
  },
  message: receive,
  loading: (share) => {
    if (share < 1 && !session.busy)
      stage.textContent = `Loading Python: ${Math.round(share * 100)} %…`;
    else if (!session.busy) stage.textContent = STAGES.python ?? "";
  },
  ended,
});
// Python takes longest to start, so it comes before the panels.
session.start();

const output = new OutputPanel(byId("output"));
const training = new TrainingPanel();
const prediction = new PredictionPanel((pixels) => session.call("predict", pixels));

let program = programs[0] ?? { name: "program.py", title: "", source: "" };
/** What the visitor has made of the programs. @type {Map<import("./programs.js").Program, string>} */
const drafts = new Map();
let published = false;
let began = 0;

const editor = createEditor(byId("editor"), program.source, {
  run: () => {
    if (!session.busy) run();
  },
  changed: () => showReset(),
});

/** @param {FromWorker} message */
function receive(message) {
  if (message.type === "output") {
    for (const { stream, text } of message.pieces) output.write(stream, text);
  } else if (message.type === "lost") showLost(message.message);
  else if (message.type === "device") showDevice(message.device);
  else if (message.type === "progress") {
    training.show(message.events);
    published ||= message.events.some((e) => e.event === "publish" && e.names.includes("predict"));
  }
}

function run() {
  output.clear();
  training.reset();
  byId("lost").hidden = true;
  published = false;
  prediction.disable("Ready to draw on when the program has finished");
  began = performance.now();
  session.run(program.name, editor.text());
  // On a phone the panels lie below the editor.
  if (matchMedia("(max-width: 60rem)").matches) byId("training").scrollIntoView();
}

/** @type {import("./session.js").Listener["ended"]} */
function ended(outcome, why) {
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const words = {
    finished: `Finished in ${seconds} s`,
    failed: "Ended with an error",
    stopped: "Stopped",
    restarted: "Stopped",
    broken: "Broken down",
    unstarted: "Python did not start",
  };
  stage.textContent = words[outcome];
  if (outcome === "stopped") output.note("Stopped.");
  if (outcome === "restarted") {
    output.note("Stopped. Python starts afresh: what the program had made is gone.");
  }
  if (outcome === "unstarted") output.note(`${why}\nPython did not start. Run tries again.`);
  if (outcome === "broken") output.note(`${why}. Python starts afresh.`);
  if (published && (outcome === "finished" || outcome === "failed")) prediction.enable();
  else prediction.disable("Train the network first, then draw here");
}

/** The device is gone, and all that lay on it: say so, and offer to go on. @param {string} why */
function showLost(why) {
  byId("lost-why").textContent = `${why} A run connects to the GPU anew.`;
  byId("lost").hidden = false;
  published = false;
  prediction.disable("The network was lost with the GPU's device: train it again");
}

/** @param {Device} device */
function showDevice({ kind, name, software, reason }) {
  byId("device-name").textContent = kind === "webgpu" ? `WebGPU: ${name}` : `cpu: ${name}`;
  byId("device").dataset.kind = software ? "software" : "gpu";
  const notice = byId("notice");
  if (kind === "cpu") {
    notice.textContent = `${reason} Programs train on the processor instead, with NumPy: slower, but with the same results.`;
  } else if (software) {
    notice.textContent = `This browser runs WebGPU on the processor (${name}), not on a GPU: everything works, only slower.`;
  }
  notice.hidden = !software;
}

const picker = /** @type {HTMLSelectElement} */ (byId("program"));
picker.append(...programs.map(({ title }, i) => new Option(title, String(i))));
picker.addEventListener("change", () => {
  drafts.set(program, editor.text());
  program = programs[Number(picker.value)] ?? program;
  editor.show(drafts.get(program) ?? program.source);
  showReset();
});

const resetButton = byId("reset");
resetButton.addEventListener("click", () => {
  editor.show(program.source);
  showReset();
});

function showReset() {
  resetButton.hidden = editor.text() === program.source;
}

runButton.addEventListener("click", () => (session.busy ? session.stop() : run()));
byId("go-on").addEventListener("click", () => {
  if (!session.busy) run();
});
byId("clear-output").addEventListener("click", () => output.clear());
