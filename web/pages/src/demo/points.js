/** A canvas in an element on which points are put by hand, by pointer or keys; a name of the program gets them. */

import { colour, onColours } from "../page.js";

const INKS = ["#2563eb", "#dc2626", "#16a34a", "#d97706"]; // the first of viz
const APART = 0.08; // between two points of a stroke; the canvas is 2 wide
const MOST = 1000; // points
const STEP = 0.05; // of a key

export class Points {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => number} kind which of the inks a new point has
   * @param {() => void} changed
   */
  constructor(canvas, kind, changed) {
    this.canvas = canvas;
    this.kind = kind;
    this.changed = changed;
    /** @type {{ x: number, y: number, kind: number }[]} from -1 to 1, y upwards */
    this.all = [];
    this.cross = { x: 0, y: 0 };
    this.focused = false;
    canvas.tabIndex = 0;
    canvas.style.touchAction = "none";
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.put(this.place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) this.put(this.place(event));
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const kind of /** @type {const} */ (["focus", "blur"])) {
      canvas.addEventListener(kind, () => {
        this.focused = kind === "focus" && canvas.matches(":focus-visible");
        this.draw();
      });
    }
    new ResizeObserver(() => this.draw()).observe(canvas);
    onColours(() => this.draw());
  }

  /** The points as text: "x y kind, x y kind". */
  get text() {
    return this.all.map(({ x, y, kind }) => `${x.toFixed(3)} ${y.toFixed(3)} ${kind}`).join(", ");
  }

  clear() {
    this.all = [];
    this.draw();
    this.changed();
  }

  /** @param {PointerEvent} event */
  place(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const x = (2 * (event.clientX - left)) / width - 1;
    return { x, y: 1 - (2 * (event.clientY - top)) / height };
  }

  /** @param {{ x: number, y: number }} point */
  put({ x, y }) {
    const last = this.all.at(-1);
    if (this.all.length >= MOST || Math.max(Math.abs(x), Math.abs(y)) > 1) return;
    if (last && Math.hypot(x - last.x, y - last.y) < APART) return;
    this.all.push({ x, y, kind: this.kind() });
    this.draw();
    this.changed();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const way = /** @type {Record<string, number[]>} */ (ways)[event.key];
    if (!way && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    const to = (/** @type {number} */ v) => Math.min(1, Math.max(-1, v));
    if (!way) return this.put(this.cross);
    this.cross = {
      x: to(this.cross.x + STEP * (way[0] ?? 0)),
      y: to(this.cross.y + STEP * (way[1] ?? 0)),
    };
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const scale = devicePixelRatio;
    canvas.width = canvas.clientWidth * scale;
    canvas.height = canvas.clientHeight * scale;
    const pen = canvas.getContext("2d");
    if (!pen) return;
    const at = (/** @type {{ x: number, y: number }} */ { x, y }) =>
      /** @type {const} */ ([((x + 1) / 2) * canvas.width, ((1 - y) / 2) * canvas.height]);
    for (const point of this.all) {
      pen.fillStyle = INKS[point.kind % INKS.length] ?? "";
      pen.beginPath();
      pen.arc(...at(point), 4 * scale, 0, 2 * Math.PI);
      pen.fill();
    }
    if (!this.focused) return;
    const [x, y] = at(this.cross);
    pen.strokeStyle = colour("color", canvas) || "#888";
    pen.strokeRect(x - 5 * scale, y - 5 * scale, 10 * scale, 10 * scale);
  }
}
