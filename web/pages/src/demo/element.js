/** `<tabgrad-demo src="program.py">`: a program that runs in a page of anyone's. docs/element.md tells of it. */

/// <reference path="../text.d.ts" />
import sheet from "text:element.css";
import { LONGEST_SOURCE } from "../link.js";
import { OutputPanel } from "../output.js";
import { isCalm } from "../page.js";
import { TrainingPanel } from "../training.js";
import { ENDS, TORCH } from "../words.js";
import { Controls } from "./controls.js";
import { Hub } from "./hub.js";

/** @typedef {import("../messages.js").Device} Device */
/** @typedef {import("../messages.js").FromWorker} FromWorker */

const hub = new Hub(new URL("./", import.meta.url));
const styles = new CSSStyleSheet();
styles.replaceSync(sheet);
let count = 0;

/** The parts of an element, all empty. */
const PARTS = `
  <div class="demo" part="demo">
    <div class="head">
      <strong class="title" id="title"></strong>
      <span class="stage" id="stage" role="status"></span>
      <button type="button" class="run" id="run" data-action="run">Run</button>
    </div>
    <progress class="loading" id="loading" max="1" value="0" aria-label="Loading Python" hidden></progress>
    <img class="poster" id="poster" alt="" hidden />
    <p class="told" id="told" hidden></p>
    <div class="controls"><slot></slot></div>
    <p class="told" id="unfit" role="status" hidden></p>
    <section id="training" aria-label="Training" hidden>
      <div class="progress">
        <progress id="progress" max="1" value="0" aria-label="Progress"></progress>
        <span class="count" id="count"></span><span class="rate" id="rate"></span>
      </div>
      <div class="charts" id="charts"></div>
    </section>
    <div class="output" id="output" role="log" aria-label="Output" tabindex="0" hidden></div>
    <details class="program"><summary>Program</summary><pre id="source"></pre></details>
  </div>`;

/** An address as the author's page means it, or null for what is none. @param {string} text */
function addressOf(text) {
  try {
    return new URL(text, document.baseURI);
  } catch {
    return null;
  }
}

/** @typedef {import("./hub.js").Demo} Demo */

/** @implements {Demo} */
export class TabgradDemo extends HTMLElement {
  constructor() {
    super();
    this.space = `demo-${++count}`;
    this.root = this.attachShadow({ mode: "open" });
    this.root.adoptedStyleSheets = [styles];
    const parsed = new DOMParser().parseFromString(PARTS, "text/html");
    this.root.append(...parsed.body.childNodes);
    this.output = new OutputPanel(this.piece("output"));
    this.training = new TrainingPanel({
      panel: this.piece("training"),
      bar: /** @type {HTMLProgressElement} */ (this.piece("progress")),
      count: this.piece("count"),
      rate: this.piece("rate"),
      charts: this.piece("charts"),
    });
    this.controls = new Controls(this, {
      set: (name, value) => hub.set(this, name, value),
      call: (name) => this.call(name),
    });
    this.source = "";
    this.address = ""; // of the source
    this.seen = false;
    this.running = false;
    /** Why names can't take the values of their controls. @type {Map<string, string>} */
    this.unfit = new Map();
    this.alive = false; // whether the names of a run are there
    /** Functions to call when the call before has ended. @type {string[]} */
    this.again = [];
    this.gone = false; // from the page
    this.named = ""; // the name that it has given itself
    this.began = 0;
    this.watch = new IntersectionObserver((entries) => this.look(entries.at(-1)?.isIntersecting));
    this.piece("run").addEventListener("click", () => (hub.has(this) ? this.stop() : this.run()));
    document.addEventListener("visibilitychange", () => this.look());
  }

  /** @param {string} id @returns {HTMLElement} */
  piece(id) {
    return /** @type {HTMLElement} */ (this.root.getElementById(id));
  }

  static observedAttributes = ["label", "src"];

  /** @param {string} name @param {string | null} before @param {string | null} now */
  attributeChangedCallback(name, before, now) {
    if (!this.isConnected || before === now) return;
    this.entitle();
    if (name !== "src" || this.alive || hub.has(this)) return;
    this.began = 0;
    this.tell("");
    if (!this.away) this.startAtSight();
  }

  /** Show what it is called. */
  entitle() {
    const label = this.getAttribute("label") ?? this.getAttribute("src") ?? "";
    this.piece("title").textContent = label;
    const own = this.getAttribute("aria-label") ?? "";
    if (own === this.named) this.setAttribute("aria-label", label);
    this.named = label;
  }

  connectedCallback() {
    this.gone = false;
    this.entitle();
    if (!this.hasAttribute("role")) this.setAttribute("role", "group");
    const poster = /** @type {HTMLImageElement} */ (this.piece("poster"));
    const address = this.getAttribute("poster");
    if (address && !this.alive) {
      poster.src = addressOf(address)?.href ?? "";
      poster.hidden = false;
    }
    this.controls.prepare();
    this.controls.show();
    this.controls.enable(this.alive);
    this.watch.observe(this);
  }

  disconnectedCallback() {
    this.watch.disconnect();
    // what is moved within the page comes back at once
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.gone = true;
      hub.drop(this);
    });
  }

  /** Whether nobody can see it. */
  get away() {
    return !this.seen || document.hidden;
  }

  /** @param {boolean} [seen] */
  look(seen = this.seen) {
    this.seen = seen;
    const { away } = this;
    hub.look(this);
    const stage = this.piece("stage");
    if (stage.textContent === "Running…" && away) stage.textContent = "Paused";
    else if (stage.textContent === "Paused" && !away) stage.textContent = "Running…";
    if (!away) this.startAtSight();
  }

  /** Start without being asked, if the author wants that and the visitor bears it. */
  startAtSight() {
    const wanted = this.getAttribute("start") === "visible" && !this.alive && !this.began;
    if (wanted && !isCalm()) this.run();
  }

  /** Run the program, from its beginning. */
  async run() {
    if (hub.has(this)) return;
    this.began = performance.now();
    try {
      await this.load();
    } catch (error) {
      this.tell(error instanceof Error ? error.message : String(error));
      return;
    }
    if (this.gone) return; // while the program came
    hub.ask(this);
    this.show();
  }

  /** End what the program does. */
  stop() {
    this.again = [];
    hub.stop(this);
  }

  /** Call a function of the program without arguments; of calls of one in quick succession the last counts. @param {string} name */
  call(name) {
    if (!this.alive) return;
    if (hub.has(this)) this.again = [...this.again.filter((each) => each !== name), name];
    else hub.ask(this, name);
  }

  /** Have the text of the program that `src` names now. */
  async load() {
    const src = this.getAttribute("src");
    if (!src) throw new Error("This element names no program: it needs src.");
    const url = addressOf(src);
    if (!url) throw new Error(`The program ${src} cannot be loaded: this is no address.`);
    if (this.address === url.href) return;
    const own = url.origin === location.origin;
    const name = own ? url.pathname : url.href;
    const refuse = (/** @type {string} */ why) => {
      throw new Error(`The program ${name} cannot be loaded: ${why}.`);
    };
    const response = await fetch(url).catch((error) => {
      const policy = "its host must allow that (Access-Control-Allow-Origin), and so must";
      return refuse(own ? String(error) : `${policy} the policy of this page (connect-src)`);
    });
    if (!response.ok) refuse(`the host answers ${response.status}`);
    if (response.headers.get("content-type")?.startsWith("text/html")) {
      refuse("the host answers with a page of HTML");
    }
    const text = await response.text();
    if (text.length > LONGEST_SOURCE) refuse("it is too long");
    this.source = text;
    this.address = url.href;
    this.piece("source").textContent = text;
    this.tell("");
  }

  program() {
    const name = addressOf(this.getAttribute("src") ?? "")?.pathname ?? "";
    const { source, space } = this;
    const values = this.controls.values;
    return {
      ...{ name: name.slice(name.lastIndexOf("/") + 1) || "program.py", source, space },
      ...{ seed: null, device: /** @type {const} */ ("auto"), values },
    };
  }

  /** Whether the program may run on this device; says so where it is the processor. @param {Device} device */
  accepts({ kind, reason }) {
    const refused = kind === "cpu" && this.getAttribute("needs") === "webgpu";
    if (kind === "cpu") {
      const then = refused
        ? "This program needs a GPU."
        : "The program runs on the processor, slower.";
      this.tell(`${reason} ${then}`);
    }
    if (refused) this.waits("");
    if (refused) queueMicrotask(() => this.show());
    return !refused;
  }

  /** @param {string} words */
  waits(words) {
    this.piece("stage").textContent = words;
    this.show();
  }

  /** How much of Python is here. @param {number} share */
  loads(share) {
    /** @type {HTMLProgressElement} */ (this.piece("loading")).value = share;
    this.piece("loading").hidden = share >= 1;
  }

  begins() {
    this.running = true;
    if (!this.alive || this.again.length === 0) this.piece("poster").hidden = true;
    this.began = performance.now();
    this.piece("stage").textContent = this.away ? "Paused" : "Running…";
    if (!hub.current?.call) {
      this.output.clear();
      this.piece("output").hidden = true;
      this.training.reset();
      this.unfit.clear();
      this.fit("", "");
    }
    this.show();
  }

  /** @param {FromWorker} message */
  receive(message) {
    const { output } = this;
    if (message.type === "progress") return this.training.show(message.events);
    if (message.type === "fit") return this.fit(message.name, message.why);
    if (message.type === "unbound") return this.controls.warn(message.name);
    if (message.type === "output") {
      for (const { stream, text } of message.pieces) output.write(stream, text);
    } else if (message.type === "shown") output.show(message);
    else if (message.type === "hint") {
      output.note(message.offer === "torch" ? `${message.text}\n${TORCH}` : message.text);
    } else if (message.type === "lost") output.note(message.message);
    else return;
    this.piece("output").hidden = false;
  }

  /** @param {import("./hub.js").Outcome} outcome @param {string} why */
  ended(outcome, why) {
    const seconds = ((performance.now() - this.began) / 1000).toFixed(1);
    this.piece("stage").textContent =
      outcome === "finished" ? `Finished in ${seconds} s` : ENDS[outcome];
    // what was stopped while it waited has made nothing, and what an earlier run has made is there
    if (this.running || outcome !== "stopped") {
      this.alive = ["finished", "failed", "stopped"].includes(outcome);
    }
    this.running = false;
    this.loads(1);
    if (why) this.tell(why);
    this.show();
    this.output.draw(); // whoever hears of the end finds all that was printed
    this.dispatchEvent(new CustomEvent("ended", { detail: outcome }));
    const again = this.again.shift();
    if (!this.alive) this.again = [];
    else if (again) queueMicrotask(() => this.call(again));
  }

  /** A name can't take the value of its control; "" if it can. @param {string} name @param {string} why */
  fit(name, why) {
    if (why) this.unfit.set(name, why);
    else this.unfit.delete(name);
    this.piece("unfit").textContent = [...this.unfit.values()].join("; ");
    this.piece("unfit").hidden = this.unfit.size === 0;
  }

  forgotten() {
    this.alive = false;
    this.show();
  }

  /** Show what can be done now. */
  show() {
    const busy = hub.has(this);
    const button = this.piece("run");
    button.dataset.action = busy ? "stop" : "run";
    button.textContent = busy ? "Stop" : this.alive ? "Run again" : "Run";
    this.controls.enable(this.alive);
  }

  /** @param {string} words */
  tell(words) {
    this.piece("told").textContent = words;
    this.piece("told").hidden = words === "";
  }
}

customElements.define("tabgrad-demo", TabgradDemo);
