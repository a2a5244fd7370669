/** The output panel: plain text, the newest in view. */

const MOST_LINES = 1000;
const PAUSE = 80; // milliseconds between two drawings: an endless flood must not hold up the page

/** @typedef {"out" | "err" | "note"} Kind */
/** @typedef {{ element: HTMLElement, lines: number }} Block  some lines of one kind */

export class OutputPanel {
  /** @type {Block[]} */
  blocks = [];
  lines = 0;
  /** @type {{ kind: Kind, text: string }[]} */
  waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer = undefined;
  drawn = 0;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {Kind} kind @param {string} text */
  write(kind, text) {
    const last = this.waiting.at(-1);
    if (last?.kind === kind) last.text += text;
    else this.waiting.push({ kind, text });
    const wait = Math.max(this.drawn + PAUSE - performance.now(), 0);
    this.timer ??= setTimeout(() => this.draw(), wait);
  }

  /** Write a line of the page's own. @param {string} text */
  note(text) {
    this.write("note", `${text}\n`);
  }

  clear() {
    this.waiting = [];
    this.blocks = [];
    this.lines = 0;
    this.element.replaceChildren();
  }

  draw() {
    this.timer = undefined;
    const { element } = this;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
    for (const { kind, text } of this.waiting) this.append(kind, text);
    this.waiting = [];
    if (atEnd) element.scrollTop = element.scrollHeight;
    this.drawn = performance.now();
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
    while (this.lines - (this.blocks[0]?.lines ?? 0) > MOST_LINES) this.forget(this.blocks.shift());
  }

  /** @param {Kind} kind @param {string} text */
  add(kind, text) {
    const lines = text.split("\n");
    const kept = lines.slice(-MOST_LINES - 1).map(overwritten);
    const element = document.createElement("div");
    element.dataset.kind = kind;
    element.textContent = kept.join("\n");
    this.element.append(element);
    this.blocks.push({ element, lines: kept.length });
    this.lines += kept.length;
  }

  /** @param {Block | undefined} block */
  forget(block) {
    block?.element.remove();
    this.lines -= block?.lines ?? 0;
  }
}

/** A carriage return begins the line again, as on a terminal. @param {string} line */
const overwritten = (line) => line.slice(line.lastIndexOf("\r", line.length - 2) + 1);
