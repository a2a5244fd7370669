/** The one Python of all elements on a page: it runs one thing at a time, and each program has its own names. */

/// <reference path="../text.d.ts" />
import names from "text:python.json";
import { Session } from "../session.js";
import { loading, STAGES } from "../words.js";

/** @typedef {import("../messages.js").Device} Device */
/** @typedef {import("../messages.js").FromWorker} FromWorker */
/** @typedef {import("../messages.js").Value} Value */
/** @typedef {Parameters<import("../session.js").Listener["ended"]>[0]} Outcome */
/**
 * @typedef {{
 *   space: string,
 *   away: boolean,
 *   accepts(device: Device): boolean,
 *   program(): import("../messages.js").Program,
 *   waits(words: string): void,
 *   loads(share: number): void,
 *   begins(): void,
 *   receive(message: FromWorker): void,
 *   ended(outcome: Outcome, why: string): void,
 *   forgotten(): void,
 * }} Demo  `away` says that nobody can see it; `loads` which share of Python is here; `forgotten` that Python began
 *   afresh
 * @typedef {{ demo: Demo, call: string }} Job  a run, or a call of a function
 */

// Python is shared: one program that does not stop would take what the others have made with it.
const PATIENCE = 2000;
const STARTING = STAGES.python ?? "";
const TURN = "Waits for the other program on this page…";

export class Hub {
  /** @param {URL} base where this script, its frame and `python/` lie */
  constructor(base) {
    /** @type {Set<Demo>} */
    this.demos = new Set();
    /** @type {Job[]} */
    this.jobs = [];
    /** @type {Job | null} */
    this.current = null;
    /** @type {Device | null} */
    this.device = null;
    this.started = false;
    this.begun = { words: STARTING, share: 0 }; // how much of Python is here
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.looking = undefined;
    const keeper = {
      fill: (/** @type {HTMLIFrameElement} */ frame) => {
        frame.src = new URL("tabgrad-frame.html", base).href;
      },
      python: JSON.parse(names),
    };
    this.session = new Session(base, keeper, {
      state: (state, stage) => this.reached(state, stage),
      message: (message) => this.receive(message),
      loading: (bytes, all) => {
        this.begun = { words: bytes < all ? loading(bytes, all) : STARTING, share: bytes / all };
        for (const { demo } of this.jobs) this.explain(demo);
      },
      ended: (outcome, why) => this.ended(outcome, why),
    });
    this.session.endAfter = PATIENCE;
  }

  /** Run the program of an element, or call one of its functions, when its turn comes. @param {Demo} demo */
  ask(demo, call = "") {
    if (this.has(demo)) return;
    if (!call && this.device && !demo.accepts(this.device)) return;
    this.demos.add(demo);
    this.jobs.push({ demo, call });
    if (!this.started) {
      this.started = true;
      this.session.start();
    } else if (this.session.state === "broken") this.session.start();
    if (this.current || this.session.state !== "ready") this.explain(demo);
    this.yield();
    this.next();
  }

  /** Begin what comes next, if nothing runs: what can be seen comes before what nobody sees. */
  next() {
    if (this.current || this.session.state !== "ready") return;
    const job = this.jobs.find(({ demo }) => !demo.away) ?? this.jobs[0];
    if (!job) return;
    this.jobs = this.jobs.filter((other) => other !== job);
    const { demo, call } = job;
    if (!call && this.device && !demo.accepts(this.device)) {
      queueMicrotask(() => this.next());
      return;
    }
    this.current = job;
    this.tell(TURN);
    demo.begins();
    this.session.pause(demo.away);
    if (call) this.session.press(demo.space, call);
    else this.session.run(demo.program());
  }

  /** Whether an element runs, or is to. @param {Demo} demo */
  has(demo) {
    return this.current?.demo === demo || this.jobs.some((job) => job.demo === demo);
  }

  /** @param {Demo} demo */
  stop(demo) {
    const before = this.jobs.length;
    this.jobs = this.jobs.filter((job) => job.demo !== demo);
    if (this.current?.demo === demo) this.session.stop();
    else if (this.jobs.length < before) demo.ended("stopped", "");
  }

  /** An element can be seen, or not. @param {Demo} demo */
  look(demo) {
    if (this.current?.demo === demo) this.session.pause(demo.away);
    // of one look at the page each element hears by itself
    clearTimeout(this.looking);
    this.looking = setTimeout(() => this.yield());
  }

  /** Stop what nobody can see where something waits that can be seen. */
  yield() {
    const running = this.current?.demo;
    if (running?.away && this.jobs.some(({ demo }) => !demo.away)) this.stop(running);
  }

  /** Give a name of a program the value of a control. @param {Demo} demo @param {string} name @param {Value} value */
  set(demo, name, value) {
    if (this.session.state === "starting" || this.session.state === "broken") return;
    this.session.send({ type: "set", space: demo.space, name, value });
  }

  /** @param {import("../session.js").State} state @param {string} stage */
  reached(state, stage) {
    if (state === "ready") {
      this.begun = { words: STARTING, share: 0 };
      for (const { demo } of this.jobs) demo.loads(1);
      queueMicrotask(() => this.next());
    } else if (state === "starting" && stage === "numpy") this.tell("Loading NumPy…");
  }

  /** Say to an element what it waits for. @param {Demo} demo */
  explain(demo) {
    demo.waits(this.current ? TURN : this.begun.words);
    if (!this.current) demo.loads(this.begun.share);
  }

  /** Say to all that wait for Python what is going on. @param {string} words */
  tell(words) {
    for (const { demo } of this.jobs) demo.waits(words);
  }

  /** @param {FromWorker} message */
  receive(message) {
    if (message.type === "device") this.device = message.device;
    else if (message.type === "fit" || message.type === "unbound") {
      // such a program need not be the one that runs
      for (const demo of this.demos) if (demo.space === message.space) demo.receive(message);
    } else this.current?.demo.receive(message);
  }

  /** @param {Outcome} outcome @param {string} why */
  ended(outcome, why) {
    const jobs = outcome === "unstarted" ? this.jobs.splice(0) : this.current ? [this.current] : [];
    this.current = null;
    const gone = outcome === "restarted" || outcome === "broken";
    if (gone) for (const demo of this.demos) demo.forgotten();
    for (const { demo } of jobs) demo.ended(outcome, why);
    queueMicrotask(() => this.next());
  }

  /** An element has left the page. @param {Demo} demo */
  drop(demo) {
    this.stop(demo);
    this.demos.delete(demo);
  }
}
