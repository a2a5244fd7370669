/** The output panel: lines as plain text, the newest in view. */

const MOST_LINES = 2000;

/** @typedef {"out" | "err" | "note"} Kind */

export class OutputPanel {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    /** @type {HTMLElement | null} the line that is still being written */
    this.open = null;
    /** @type {{ kind: Kind, text: string }[]} */
    this.waiting = [];
    this.frame = 0;
  }

  /** @param {Kind} kind @param {string} text */
  write(kind, text) {
    this.waiting.push({ kind, text });
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  /** Write a line of the page's own. @param {string} text */
  note(text) {
    this.write("note", `${this.open ? "\n" : ""}${text}\n`);
  }

  clear() {
    this.waiting = [];
    this.open = null;
    this.element.replaceChildren();
  }

  draw() {
    this.frame = 0;
    const { element } = this;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
    for (const { kind, text } of this.waiting) this.append(kind, text);
    this.waiting = [];
    while (element.childElementCount > MOST_LINES) element.firstElementChild?.remove();
    if (atEnd) element.scrollTop = element.scrollHeight;
  }

  /** @param {Kind} kind @param {string} text */
  append(kind, text) {
    const lines = text.split("\n");
    // Lines that would be removed at once are not made.
    const visible = lines.slice(-MOST_LINES);
    visible.forEach((line, i) => {
      if (!this.open || this.open.dataset.kind !== kind) this.open = this.line(kind);
      // A carriage return begins the line again, as a terminal does.
      const whole = this.open.textContent + line;
      this.open.textContent = whole.slice(whole.lastIndexOf("\r", whole.length - 2) + 1);
      if (i < visible.length - 1) {
        this.open.append("\n");
        this.open = null;
      }
    });
    if (this.open?.textContent === "") {
      this.open.remove();
      this.open = null;
    }
  }

  /** @param {Kind} kind */
  line(kind) {
    const line = document.createElement("span");
    line.dataset.kind = kind;
    this.element.append(line);
    return line;
  }
}
