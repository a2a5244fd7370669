/** The page: an editor, a worker that runs what is in it, and panels that show what comes of it. */

import { createEditor } from "./editor.js";
import { save } from "./files.js";
import { keeper } from "./keeper.js";
import { fromLink, isLink } from "./link.js";
import { Menu } from "./menu.js";
import { say } from "./notices.js";
import { OutputPanel } from "./output.js";
import { byId, isNarrow } from "./page.js";
import { PredictionPanel } from "./prediction.js";
import { programs } from "./programs.js";
import { Session } from "./session.js";
import { Shelf } from "./shelf.js";
import { TrainingPanel } from "./training.js";
import { ENDS, loading, STAGES, TORCH } from "./words.js";

/** @typedef {import("./messages.js").Device} Device */
/** @typedef {import("./messages.js").FromWorker} FromWorker */

const TWICE =
  "This program was edited in another tab too: of the two the browser keeps what is written last.";
const SPACE = "page"; // where the names of the programs stay
const runButton = byId("run");
const stage = byId("stage");

const session = new Session(new URL("./", location.href), keeper, {
  state: (state, name) => {
    runButton.dataset.action = session.busy ? "stop" : "run";
    byId("run-label").textContent = session.busy ? "Stop" : "Run";
    if (state !== "starting") showLoading(1);
    if (state === "running") stage.textContent = "Running…";
    else if (state !== "ready") stage.textContent = STAGES[name] ?? STAGES.python ?? "";
    else if (stage.textContent?.endsWith("…")) stage.textContent = "Ready";
  },
  message: receive,
  loading: (bytes, all) => {
    showLoading(bytes / all);
    if (!session.busy)
      stage.textContent = bytes < all ? loading(bytes, all) : (STAGES.python ?? "");
  },
  ended,
});
/** How much of Python is here. @param {number} share */
function showLoading(share) {
  const bar = /** @type {HTMLProgressElement} */ (byId("loading"));
  bar.value = share;
  bar.hidden = share >= 1;
}

// Python takes longest to start, so it comes before the panels.
session.start();

const output = new OutputPanel(byId("output"));
const training = new TrainingPanel({
  panel: byId("training"),
  bar: /** @type {HTMLProgressElement} */ (byId("progress")),
  count: byId("count"),
  rate: byId("rate"),
  charts: byId("charts"),
});
const prediction = new PredictionPanel((pixels) => session.call(SPACE, "predict", pixels));
const shelf = new Shelf([...programs], () => say("shared", TWICE));
const menu = new Menu(shelf, showProgram);

let of = shelf.shown; // what the panels are of
let published = false;
/** @type {Device | null} */
let found = null;
let began = 0;
let led = false; // whether the visitor was led to what the program makes

const editor = createEditor(byId("editor"), shelf.current.source, {
  run: () => {
    if (!session.busy) run();
  },
  changed: () => {
    const { loses } = shelf;
    shelf.change({ source: editor.text() });
    if (shelf.loses !== loses) say("shared", shelf.loses);
    showProgram();
  },
});

/** @param {FromWorker} message */
function receive(message) {
  if (message.type === "output") {
    for (const { stream, text } of message.pieces) output.write(stream, text);
    lead("results");
  } else if (message.type === "shown") {
    output.show(message);
    lead("results");
  } else if (message.type === "hint") showHint(message);
  else if (message.type === "lost") showLost(message.message);
  else if (message.type === "device") showDevice(message.device);
  else if (message.type === "progress") showProgress(message.events);
}

/** @param {import("./messages.js").ProgressEvent[]} events */
function showProgress(events) {
  training.show(events);
  if (!byId("training").hidden) lead("training");
  const publications = events.filter((event) => event.event === "publish");
  if (!published && publications.some(({ names }) => names.includes("predict"))) {
    published = true;
    prediction.announce("Ready to draw on when the program has finished");
  }
  const latest = publications.at(-1);
  if (latest) offerWeights(latest.weights);
}

/** On a phone, go to what a run makes, once it makes something: it lies below. @param {string} id */
function lead(id) {
  if (led || !session.busy) return;
  led = true;
  if (isNarrow()) byId(id).scrollIntoView();
}

function clear() {
  output.clear();
  training.reset();
  prediction.hide();
  byId("weights").replaceChildren();
  say("lost", "");
  published = false;
}

function run() {
  clear();
  of = shelf.shown;
  showElsewhere();
  led = false;
  began = performance.now();
  session.run({ ...shelf.current, source: editor.text(), space: SPACE, values: {} });
}

/** @type {import("./session.js").Listener["ended"]} */
function ended(outcome, why) {
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  stage.textContent = outcome === "finished" ? `Finished in ${seconds} s` : ENDS[outcome];
  if (outcome === "stopped") output.note("Stopped.");
  if (outcome === "restarted") {
    output.note("Stopped. Python starts afresh: what the program had made is gone.");
  }
  if (outcome === "unstarted") output.note(`${why}\nPython did not start. Run tries again.`);
  if (outcome === "broken") output.note(`${why}. Python starts afresh.`);
  output.draw(); // a run that has ended has shown all that it printed
  if (of !== shelf.shown) return leave();
  const alive = outcome === "finished" || outcome === "failed";
  if (!alive) byId("weights").replaceChildren();
  if (published && alive) prediction.enable();
  else prediction.hide();
}

/** A button for each model that can be saved. @param {string[]} names */
function offerWeights(names) {
  const buttons = names.slice(0, 8).map((name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = `Save ${name}.safetensors`;
    button.addEventListener("click", () => saveWeights(name));
    return button;
  });
  byId("weights").replaceChildren(...buttons);
}

/** @param {string} name */
async function saveWeights(name) {
  try {
    const bytes = await session.weights(SPACE, name);
    save(
      `${name}.safetensors`,
      /** @type {Uint8Array<ArrayBuffer>} */ (bytes),
      "application/octet-stream",
    );
  } catch (error) {
    output.note(`${name} was not saved: ${error instanceof Error ? error.message : error}`);
  }
}

/** What to do about an error. @param {Extract<FromWorker, { type: "hint" }>} message */
function showHint({ text, offer }) {
  if (offer !== "torch") return output.note(text);
  output.offer(`${text}\n${TORCH}`, "Put it in and run", () => {
    if (session.busy) return;
    editor.put(TORCH);
    run();
  });
}

/** The device is gone, and all that lay on it: say so, and offer to go on. @param {string} why */
function showLost(why) {
  say("lost", `${why} A run connects to the GPU anew.`);
  published = false;
  prediction.announce("The network was lost with the GPU's device: train it again");
}

/** @param {Device} device */
function showDevice(device) {
  const { kind, name, software, reason } = device;
  found = device;
  showChosen();
  const cpu = `${reason} Programs run on the processor instead, with NumPy: slower, but with the same results.`;
  const slow = `This browser runs WebGPU on the processor (${name}), not on a GPU. All programs work, only slower.`;
  say("notice", kind === "cpu" ? cpu : software ? slow : "");
}

/** Show the device that the program will have: the one that was found, unless it is not to be used. */
function showChosen() {
  if (!found) return;
  const { kind, name, software } = found;
  const chosen = kind === "webgpu" && shelf.current.device === "cpu";
  const processor = chosen ? "processor, as chosen" : name;
  byId("device-name").textContent =
    chosen || kind === "cpu" ? `cpu: ${processor}` : `WebGPU: ${name}`;
  byId("device").dataset.kind = software || chosen ? "software" : "gpu";
}

const picker = /** @type {HTMLSelectElement} */ (byId("program"));
picker.addEventListener("change", () => {
  shelf.show(Number(picker.value));
  showOther();
});

/** Another program is shown: what the last one made goes, and is out of sight while that one still runs. */
function showOther() {
  editor.show(shelf.current.source);
  if (session.busy) showElsewhere();
  else if (of !== shelf.shown) leave();
  showProgram();
}

/** Nothing is shown of the last program. */
function leave() {
  clear();
  of = shelf.shown;
  if (session.state === "ready") stage.textContent = "Ready";
  showElsewhere();
}

/** Say which program runs if it is not the one that is shown; its panels wait until it is. */
function showElsewhere() {
  const away = of !== shelf.shown;
  byId("side").classList.toggle("away", away);
  byId("elsewhere").hidden = !away;
  byId("elsewhere-text").textContent = `“${of.title}” is running. What it makes is shown with it.`;
}

byId("come-back").addEventListener("click", () => {
  shelf.show(shelf.programs.indexOf(of));
  showOther();
});

/** Show which program it is, and what can be done with it. */
function showProgram() {
  const { programs: all, shown } = shelf;
  if ([...picker.options].map(({ text }) => text).join() !== all.map(({ title }) => title).join()) {
    picker.replaceChildren(...all.map(({ title }, i) => new Option(title, String(i))));
  }
  picker.value = String(all.indexOf(shown));
  byId("reset").hidden = !shelf.edited;
  byId("name-shown").textContent = shelf.current.name;
  showChosen();
}

byId("reset").addEventListener("click", () => {
  shelf.reset();
  editor.replace(shelf.current.source); // which can be undone
  menu.show();
  showProgram();
});

const SHARED =
  "This program came with the link. Read it, and run it if you want: it reaches no network, no files and nothing else of this page.";
const EDITED =
  "This program came with the link before, and you have edited it: here is what you made of it. Reset shows it as it came.";

/** A program in the address is shown, and never run by itself. */
async function openLink() {
  if (!isLink(location.hash)) return;
  try {
    shelf.take(await fromLink(location.hash));
    say("shared", shelf.edited ? EDITED : SHARED);
    // from now on the browser keeps it, with what is made of it
    if (shelf.keeps) history.replaceState(null, "", location.pathname + location.search);
    showOther();
  } catch (error) {
    say("shared", error instanceof Error ? error.message : String(error));
  }
}

byId("unserved").remove();
showProgram();
openLink();
addEventListener("hashchange", openLink);
runButton.addEventListener("click", () => (session.busy ? session.stop() : run()));
byId("go-on").addEventListener("click", () => {
  if (!session.busy) run();
});
byId("clear-output").addEventListener("click", () => output.clear());
