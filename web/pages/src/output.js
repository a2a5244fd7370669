/** The output: text, and what programs show between it; the newest in view, and of a picture its top. */

import { Shown } from "./shown.js";

const MOST_LINES = 1000;
const LINES_OF_SHOWN = 10; // what a picture counts as
const NEAR = 24; // pixels from the end
const PAUSE = 80; // milliseconds between two drawings: an endless flood must not hold up the page

/** @typedef {"out" | "err" | "note"} Kind */
/** @typedef {{ element: HTMLElement, lines: number, shown?: Shown }} Block  some lines of one kind, or a picture */
/** @typedef {Extract<import("./messages.js").FromWorker, { type: "shown" }>} Picture */

export class OutputPanel {
  /** @type {Block[]} */
  blocks = [];
  lines = 0;
  /** @type {{ kind: Kind, text: string }[]} */
  waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer = undefined;
  drawn = 0;
  placed = 0; // where this has scrolled to: the visitor has not scrolled while it is there
  /** What has a place of its own. @type {Map<string, Block>} */
  places = new Map();

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {Kind} kind @param {string} text */
  write(kind, text) {
    const last = this.waiting.at(-1);
    if (last?.kind === kind) last.text += text;
    else this.waiting.push({ kind, text });
    // more would be gone again as soon as it was drawn
    if (this.waiting.length > 2 * MOST_LINES) this.waiting = this.waiting.slice(-MOST_LINES);
    const wait = Math.max(this.drawn + PAUSE - performance.now(), 0);
    this.timer ??= setTimeout(() => this.draw(), wait);
  }

  /** Write a line of the page's own. @param {string} text */
  note(text) {
    this.write("note", `${text}\n`);
  }

  /** Show a picture or a table: at the end, or in the place that it names. @param {Picture} picture */
  show({ place, form, data, label }) {
    const there = this.places.get(place);
    if (there?.shown) return there.shown.set(form, data, label);
    this.draw();
    const shown = new Shown((change) => this.follow(change));
    this.put({ element: shown.element, lines: LINES_OF_SHOWN, shown });
    if (place) this.places.set(place, /** @type {Block} */ (this.blocks.at(-1)));
    this.follow(() => shown.set(form, data, label));
  }

  /** Add a line of the page's own with what it offers to do. @param {string} text @param {string} name @param {() => void} act */
  offer(text, name, act) {
    this.note(text);
    this.draw();
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet offer";
    button.textContent = name;
    button.addEventListener("click", act);
    this.follow(() => this.put({ element: button, lines: 1 }));
  }

  clear() {
    for (const block of this.blocks) block.shown?.leave();
    this.places.clear();
    this.waiting = [];
    this.blocks = [];
    this.lines = 0;
    this.placed = 0;
    this.element.replaceChildren();
  }

  draw() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.follow(() => {
      for (const { kind, text } of this.waiting) this.append(kind, text);
    });
    this.waiting = [];
    this.drawn = performance.now();
  }

  /** Change the output, and keep the newest in view unless the visitor looks at something else. @param {() => void} change */
  follow(change) {
    const { element } = this;
    const left = element.scrollHeight - element.scrollTop - element.clientHeight;
    const follows = left < NEAR || Math.abs(element.scrollTop - this.placed) < 2;
    change();
    if (!follows) return;
    element.scrollTop = this.newest();
    this.placed = element.scrollTop;
  }

  /** Where the newest is: the end, but the top of the last picture while little has been written after it. */
  newest() {
    const { element } = this;
    const end = element.scrollHeight - element.clientHeight;
    const last = this.blocks.findLast(({ shown }) => shown)?.element;
    if (!last) return end;
    const { top, bottom } = last.getBoundingClientRect();
    const above = top - element.getBoundingClientRect().top + element.scrollTop;
    const written = element.scrollHeight - (above + bottom - top);
    return written < element.clientHeight / 2 ? Math.min(end, above) : end;
  }

  /** @param {Kind} kind @param {string} text */
  append(kind, text) {
    const last = this.blocks.at(-1)?.element;
    const written = last?.textContent ?? "";
    // A line that is still being written goes on.
    if (last?.dataset.kind === kind && !written.endsWith("\n")) {
      this.forget(this.blocks.pop());
      text = written + text;
    }
    const end = text.lastIndexOf("\n") + 1;
    if (end > 0) this.add(kind, text.slice(0, end));
    if (end < text.length) this.add(kind, text.slice(end));
  }

  /** @param {Kind} kind @param {string} text */
  add(kind, text) {
    const lines = text.split("\n");
    const kept = lines.slice(-MOST_LINES - 1).map(overwritten);
    const element = document.createElement("div");
    element.dataset.kind = kind;
    element.textContent = kept.join("\n");
    this.put({ element, lines: kept.length });
  }

  /** @param {Block} block */
  put(block) {
    this.element.append(block.element);
    this.blocks.push(block);
    this.lines += block.lines;
    while (this.lines - (this.blocks[0]?.lines ?? 0) > MOST_LINES) this.forget(this.blocks.shift());
  }

  /** @param {Block | undefined} block */
  forget(block) {
    block?.element.remove();
    block?.shown?.leave();
    for (const [place, there] of this.places) if (there === block) this.places.delete(place);
    this.lines -= block?.lines ?? 0;
  }
}

/** A carriage return begins the line again, as on a terminal. @param {string} line */
const overwritten = (line) => line.slice(line.lastIndexOf("\r", line.length - 2) + 1);
