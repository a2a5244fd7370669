/** The programs of the menu, what the visitor has made of them, and what the browser keeps of that. */

import { checked, fileName, LONGEST_SOURCE } from "./link.js";

/** @typedef {import("./programs.js").Program} Program */
/** @typedef {import("./link.js").Kept} Kept */

// Each program is kept by itself, so that two tabs keep what was made in both.
const LAST = "tabgrad.programs"; // which was shown last; in earlier versions all that was kept
const DRAFT = "tabgrad.draft:"; // and the name of a program, or of what came with a link
const CAME = "tabgrad.link:"; // and a name: what came with a link, as it came
const TOO_LONG = `The browser keeps programs of at most ${LONGEST_SOURCE.toLocaleString("en")} characters: this one is gone when the page is closed. Save it as a file.`;
const FULL =
  "The browser has no room left to keep this program: it is gone when the page is closed. Save it as a file.";
const MOST_CAME = 20; // links whose programs are kept, those that were edited apart

export class Shelf {
  /** @param {Program[]} programs @param {(name: string) => void} elsewhere when another tab has edited a program */
  constructor(programs, elsewhere = () => {}) {
    this.programs = programs;
    /** What was edited, by the name of the program. @type {Map<string, Kept>} */
    this.drafts = new Map();
    /** What came with links, by the names of their entries. @type {Map<string, Kept>} */
    this.came = new Map();
    this.keeps = false; // whether the browser has taken the last edit
    this.loses = ""; // why it does not
    const last = this.load();
    const [first] = programs;
    if (!first) throw new Error("there is no program");
    this.shown = this.programs.find(({ name }) => name === last) ?? first;
    addEventListener("storage", ({ key }) => this.changedElsewhere(key, elsewhere));
  }

  /** Take what the browser has kept; returns the name of what was shown last. */
  load() {
    let last = "";
    try {
      const told = JSON.parse(localStorage.getItem(LAST) ?? "{}");
      last = String(told?.last);
      this.takeOver(told);
      const keys = Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i) ?? "");
      for (const key of keys.filter((each) => each.startsWith(CAME)).sort()) {
        const kept = this.kept(key);
        if (kept) this.add(key.slice(CAME.length), kept);
      }
      for (const key of keys.filter((each) => each.startsWith(DRAFT))) {
        const kept = this.kept(key);
        if (kept) this.drafts.set(key.slice(DRAFT.length), kept);
      }
    } catch {
      // nothing is kept here, or nothing that is ours
    }
    return last;
  }

  /** @param {string} key */
  kept(key) {
    try {
      return checked(JSON.parse(localStorage.getItem(key) ?? "null"));
    } catch {
      return null;
    }
  }

  /** Take over what an earlier version has kept, all in one. @param {any} told */
  takeOver(told) {
    if (!told?.drafts && !told?.shared) return;
    for (const [name, draft] of Object.entries(told.drafts ?? {})) {
      if (checked(draft)) localStorage.setItem(DRAFT + name, JSON.stringify(draft));
    }
    if (checked(told.shared)) localStorage.setItem(`${CAME}shared`, JSON.stringify(told.shared));
    localStorage.setItem(LAST, JSON.stringify({ last: told.last }));
  }

  /** The entry for what came with a link. @param {string} name @param {Kept} program @returns {Program} */
  add(name, program) {
    this.came.set(name, program);
    const there = this.programs.find((each) => each.name === name);
    if (there) return there;
    const made = { name, title: `From a link: ${program.name}`, source: program.source };
    this.programs.push(made);
    return made;
  }

  /** Take a program out of a link, and show it: with what was made of it before. @param {Kept} program */
  take(program) {
    const same = [...this.came].find(
      ([, each]) => JSON.stringify(each) === JSON.stringify(program),
    );
    // names are in the order in which links came
    const name = same?.[0] ?? `${Date.now()}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    this.shown = this.add(name, program);
    this.write(CAME + name, program);
    this.forgetOldest();
    this.keep();
  }

  /** Let go of the oldest links whose programs nobody has edited. */
  forgetOldest() {
    const unedited = [...this.came.keys()].filter(
      (name) => !this.drafts.has(name) && name !== this.shown.name,
    );
    for (const name of unedited.slice(0, Math.max(0, this.came.size - MOST_CAME))) {
      this.came.delete(name);
      this.programs = this.programs.filter((each) => each.name !== name);
      this.write(CAME + name, null);
    }
  }

  /** The program that is shown, as it is now. @returns {Kept} */
  get current() {
    const { name, source } = this.shown;
    const came = this.came.get(name);
    return this.drafts.get(name) ?? came ?? { name, source, seed: null, device: "auto" };
  }

  /** Whether it differs from what it was. */
  get edited() {
    const { source, seed, device } = this.current;
    const was = this.came.get(this.shown.name);
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
    const own = !this.came.has(this.shown.name);
    // an edited program is no longer the file that it was
    if (own && now.source !== this.shown.source && now.name === this.shown.name) {
      now.name = `my_${now.name}`;
    }
    if (own && now.source === this.shown.source && was.name === `my_${this.shown.name}`) {
      now.name = this.shown.name;
    }
    now.name = fileName(now.name);
    this.drafts.set(this.shown.name, now);
    if (!this.edited && now.name === (this.came.get(this.shown.name) ?? this.shown).name) {
      this.drafts.delete(this.shown.name);
    }
    this.keep();
  }

  /** Make the program that is shown what it was. */
  reset() {
    this.drafts.delete(this.shown.name);
    this.keep();
  }

  /** @param {number} index */
  show(index) {
    this.shown = this.programs[index] ?? this.shown;
    this.keep();
  }

  /** Let the browser keep the program that is shown for the next visit, if it will. */
  keep() {
    const { name } = this.shown;
    const draft = this.drafts.get(name);
    const long = draft !== undefined && draft.source.length > LONGEST_SOURCE;
    const able = this.write(LAST, { last: name });
    this.keeps = able && !long && this.write(DRAFT + name, draft ?? null);
    this.loses = long ? TOO_LONG : able && !this.keeps ? FULL : "";
  }

  /** @param {string} key @param {object | null} value */
  write(key, value) {
    try {
      if (value) localStorage.setItem(key, JSON.stringify(value));
      else localStorage.removeItem(key);
      return true;
    } catch {
      return false; // it is full, or nothing may be kept
    }
  }

  /** Another tab keeps something. @param {string | null} key @param {(name: string) => void} elsewhere */
  changedElsewhere(key, elsewhere) {
    if (!key?.startsWith(DRAFT)) return;
    const name = key.slice(DRAFT.length);
    if (name === this.shown.name) return elsewhere(name);
    const kept = this.kept(key);
    if (kept) this.drafts.set(name, kept);
    else this.drafts.delete(name);
  }
}
