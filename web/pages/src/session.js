/** One worker after another: runs programs, stops them, begins afresh when one is beyond help. */

import { read } from "./messages.js";
import { Sandbox } from "./sandbox.js";

/** @typedef {import("./messages.js").FromWorker} FromWorker */
/** @typedef {import("./messages.js").ToFrame} ToFrame */
/** @typedef {import("./messages.js").Outcome} Outcome */
/** @typedef {import("./messages.js").Program} Program */
/** @typedef {Extract<FromWorker, { type: "answer" }>} Answer */
/** @typedef {"starting" | "ready" | "running" | "broken"} State */

// A stop is asked for; then, where memory can be shared with the worker, Python is interrupted;
// then the worker is ended. Milliseconds after the visitor's click. A busy machine may be slow to let
// Python see its interrupt: what the program has made is worth the wait.
const INTERRUPT_AFTER = 60;
const END_AFTER = globalThis.crossOriginIsolated ? 1000 : 300;

/**
 * @typedef {{
 *   state(state: State, stage: string): void,
 *   message(message: FromWorker): void,
 *   loading(bytes: number, all: number): void,
 *   ended(outcome: Outcome | "restarted" | "broken" | "unstarted", why: string): void,
 * }} Listener  `ended` follows every run, however it ends
 */

export class Session {
  /**
   * @param {URL} base where `python/` lies @param {import("./sandbox.js").Keeper} keeper
   * @param {Listener} listener
   */
  constructor(base, keeper, listener) {
    this.base = base;
    this.keeper = keeper;
    this.listener = listener;
    /** @type {Sandbox | null} */
    this.sandbox = null;
    /** @type {State} */
    this.state = "starting";
    /** @type {Program | null} a program that waits for Python */
    this.queued = null;
    /** @type {ReturnType<typeof setTimeout>[]} what happens if a stop is not obeyed */
    this.threats = [];
    this.endAfter = END_AFTER; // milliseconds that a stop may take before the worker is ended
    this.calls = 0;
    /** @type {Map<number, { resolve(answer: Answer): void, reject(error: Error): void }>} */
    this.answers = new Map();
  }

  get busy() {
    return this.state === "running" || this.queued !== null;
  }

  start() {
    const sandbox = new Sandbox(this.base, this.keeper, (data) => {
      const message = read(data);
      // What a worker sent before it was given up no longer counts.
      if (message && sandbox === this.sandbox) this.receive(message);
    });
    sandbox.loading = (bytes, all) => {
      if (sandbox === this.sandbox && this.state === "starting") this.listener.loading(bytes, all);
    };
    sandbox.refused = (why) => {
      if (sandbox === this.sandbox && this.state === "starting") this.fail(why);
    };
    this.sandbox = sandbox;
    this.enter("starting", "python");
  }

  /** @param {State} state */
  enter(state, stage = "") {
    this.state = state;
    this.listener.state(state, stage);
  }

  /** @param {ToFrame} message */
  send(message) {
    this.sandbox?.send(message);
  }

  /** @param {FromWorker} message */
  receive(message) {
    if (message.type === "stage") this.reached(message.stage);
    else if (message.type === "need") this.sandbox?.give(message.name);
    else if (message.type === "done") this.finish(message.outcome);
    else if (message.type === "answer") this.answer(message);
    else if (message.type === "failed") this.fail(message.message);
    else this.listener.message(message);
  }

  /** @param {string} stage */
  reached(stage) {
    if (this.state !== "starting") return;
    if (stage !== "ready") return this.enter("starting", stage);
    this.enter("ready");
    const program = this.queued;
    this.queued = null;
    if (program) this.run(program);
  }

  /** Run a program, as soon as Python is there. @param {Program} program */
  run(program) {
    if (this.state === "running") return;
    if (this.state === "broken") this.start();
    if (this.state === "starting") {
      this.queued = program;
      this.listener.state(this.state, "queued");
      return;
    }
    this.enter("running");
    this.send({ type: "run", ...program });
  }

  /** Call a function of a program that has run; it ends as a run does. @param {string} space @param {string} name */
  press(space, name) {
    if (this.state !== "ready") return;
    this.enter("running");
    this.send({ type: "press", space, name });
  }

  /** Let a program that shows progress wait, or go on. @param {boolean} wait */
  pause(wait) {
    this.send({ type: "pause", wait });
  }

  /** Stop the program: by asking it if that helps, otherwise with its worker. */
  stop() {
    if (this.queued) {
      this.queued = null;
      this.listener.ended("stopped", "");
      this.listener.state(this.state, "");
      return;
    }
    if (this.state !== "running" || this.threats.length > 0) return;
    this.send({ type: "stop" });
    const interrupt = setTimeout(() => this.send({ type: "interrupt" }), INTERRUPT_AFTER);
    const end = setTimeout(() => {
      this.drop("the program was stopped");
      this.listener.ended("restarted", "");
      this.start();
    }, this.endAfter);
    this.threats = [interrupt, end];
  }

  relent() {
    this.threats.forEach(clearTimeout);
    this.threats = [];
  }

  /** @param {Outcome} outcome */
  finish(outcome) {
    if (this.state !== "running") return;
    this.relent();
    this.enter("ready");
    this.listener.ended(outcome, "");
  }

  /** Give up the worker. @param {string} why */
  drop(why) {
    this.relent();
    this.sandbox?.close();
    this.sandbox = null;
    for (const { reject } of this.answers.values()) reject(new Error(why));
    this.answers.clear();
  }

  /** @param {string} message */
  fail(message) {
    const wasStarting = this.state === "starting";
    this.drop(message);
    this.queued = null;
    this.enter("broken");
    this.listener.ended(wasStarting ? "unstarted" : "broken", message);
    // Where starting fails, starting again at once would fail for ever.
    if (!wasStarting) this.start();
  }

  /**
   * Ask something of a program that has run.
   * @param {(id: number) => Extract<ToFrame, { type: "call" | "weights" }>} message
   * @returns {Promise<Answer>}
   */
  ask(message) {
    if (this.state !== "ready") return Promise.reject(new Error("no program is ready"));
    const id = ++this.calls;
    return new Promise((resolve, reject) => {
      this.answers.set(id, { resolve, reject });
      this.send(message(id));
    });
  }

  /**
   * Call a function that a program has published.
   * @param {string} space @param {string} name @param {number[]} values
   * @returns {Promise<number[]>}
   */
  async call(space, name, values) {
    const answer = await this.ask((id) => ({ type: "call", id, space, name, values }));
    return answer.values ?? [];
  }

  /** What a published model has learned, as safetensors. @param {string} space @param {string} name */
  async weights(space, name) {
    const answer = await this.ask((id) => ({ type: "weights", id, space, name }));
    return answer.bytes ?? new Uint8Array();
  }

  /** @param {Answer} message */
  answer(message) {
    const waiting = this.answers.get(message.id);
    this.answers.delete(message.id);
    if (message.error) waiting?.reject(new Error(message.error));
    else waiting?.resolve(message);
  }
}
