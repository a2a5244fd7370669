/** The programs of the menu, what the visitor has made of them, and what the browser keeps of that. */

import { checked, fileName, LONGEST_SOURCE } from "./link.js";

/** @typedef {import("./programs.js").Program} Program */
/** @typedef {import("./link.js").Kept} Kept */

const KEY = "tabgrad.programs";
const SHARED = "shared";

export class Shelf {
  /** @param {Program[]} programs */
  constructor(programs) {
    this.programs = programs;
    /** What was edited, by the name of the program. @type {Map<string, Kept>} */
    this.drafts = new Map();
    this.keeps = false; // whether the browser has taken the last edit
    let last = "";
    /** @type {Kept | null} */
    let shared = null;
    try {
      const told = JSON.parse(localStorage.getItem(KEY) ?? "{}");
      last = String(told.last);
      for (const [name, draft] of Object.entries(told.drafts ?? {})) {
        const kept = checked(draft);
        if (kept) this.drafts.set(name, kept);
      }
      shared = checked(told.shared);
    } catch {
      // nothing is kept here, or nothing that is ours
    }
    /** What came with a link. */
    this.shared = shared;
    if (shared) this.addShared(shared);
    const [first] = programs;
    if (!first) throw new Error("there is no program");
    this.shown = programs.find(({ name }) => name === last) ?? first;
  }

  /** The entry for what came with a link. @param {Kept} program */
  addShared(program) {
    this.shared = program;
    const made = { name: SHARED, title: "From a link", source: program.source };
    const at = this.programs.findIndex(({ name }) => name === SHARED);
    if (at < 0) this.programs.push(made);
    else this.programs[at] = made;
    return made;
  }

  /** Take a program out of a link, and show it. @param {Kept} program */
  take(program) {
    this.drafts.set(SHARED, program);
    this.shown = this.addShared(program);
    this.keep();
  }

  /** The program that is shown, as it is now. @returns {Kept} */
  get current() {
    const { name, source } = this.shown;
    return this.drafts.get(name) ?? { name, source, seed: null, device: "auto" };
  }

  /** Whether it differs from what it was. */
  get edited() {
    const { source, seed, device } = this.current;
    const was = this.shown.name === SHARED ? this.shared : null;
    return (
      source !== this.shown.source ||
      seed !== (was?.seed ?? null) ||
      device !== (was?.device ?? "auto")
    );
  }

  /** Change the program that is shown. @param {Partial<Kept>} changes */
  change(changes) {
    const was = this.current;
    const now = { ...was, ...changes };
    const own = this.shown.name !== SHARED;
    // an edited program is no longer the file that it was
    if (own && now.source !== this.shown.source && now.name === this.shown.name) {
      now.name = `my_${now.name}`;
    }
    if (own && now.source === this.shown.source && was.name === `my_${this.shown.name}`) {
      now.name = this.shown.name;
    }
    now.name = fileName(now.name);
    this.drafts.set(this.shown.name, now);
    this.keep();
  }

  /** Make the program that is shown what it was. */
  reset() {
    const { name } = this.shown;
    if (name === SHARED && this.shared) this.drafts.set(SHARED, this.shared);
    else this.drafts.delete(name);
    this.keep();
  }

  /** @param {number} index */
  show(index) {
    this.shown = this.programs[index] ?? this.shown;
    this.keep();
  }

  /** Let the browser keep it for the next visit, if it will. */
  keep() {
    const drafts = [...this.drafts].filter(([, { source }]) => source.length <= LONGEST_SOURCE);
    try {
      const told = {
        last: this.shown.name,
        shared: this.shared,
        drafts: Object.fromEntries(drafts),
      };
      localStorage.setItem(KEY, JSON.stringify(told));
      this.keeps = true;
    } catch {
      this.keeps = false; // it is full, or nothing may be kept
    }
  }
}
