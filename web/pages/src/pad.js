/** A canvas to draw on with the mouse, a pen or a finger, or by keys: the arrows move, Space lowers and lifts the pen. */

import { colour, onColours } from "./page.js";

/** @typedef {import("./raster.js").Stroke} Stroke */

const PEN = 0.075; // width of the line, in canvas widths
const STEP = 0.05; // of a key, in canvas widths
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  /** @param {HTMLCanvasElement} canvas @param {() => void} changed */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    /** @type {Stroke[]} in canvas widths */
    this.strokes = [];
    this.enabled = false;
    /** @type {number | null} the pointer that draws */
    this.pointer = null;
    this.pen = { x: 0.5, y: 0.2, down: false, seen: false }; // of the keys
    const draw = (/** @type {PointerEvent} */ event) => this.move(event);
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", draw);
    for (const kind of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(kind, (event) => {
        if (event.pointerId === this.pointer) this.pointer = null;
      });
    }
    canvas.addEventListener("keydown", (event) => this.key(event));
    for (const kind of /** @type {const} */ (["focus", "blur"])) {
      canvas.addEventListener(kind, () => {
        this.pen.seen = kind === "focus" && canvas.matches(":focus-visible");
        this.pen.down = false;
        this.draw();
      });
    }
    new ResizeObserver(() => this.draw()).observe(canvas);
    onColours(() => this.draw());
  }

  /** @param {boolean} enabled */
  enable(enabled) {
    this.enabled = enabled;
    this.canvas.dataset.enabled = String(enabled);
    this.canvas.tabIndex = enabled ? 0 : -1;
  }

  clear() {
    this.strokes = [];
    this.pointer = null;
    this.pen.down = false;
    this.draw();
    this.changed();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const way = /** @type {Record<string, number[]>} */ (WAYS)[event.key];
    if (!this.enabled || (!way && event.key !== " " && event.key !== "Enter")) return;
    event.preventDefault();
    const { pen } = this;
    const [x = 0, y = 0] = way ?? [];
    pen.x = Math.min(1, Math.max(0, pen.x + STEP * x));
    pen.y = Math.min(1, Math.max(0, pen.y + STEP * y));
    pen.seen = true;
    if (!way) {
      pen.down = !pen.down;
      if (pen.down) this.strokes.push([]);
    }
    if (pen.down) this.strokes.at(-1)?.push({ x: pen.x, y: pen.y });
    this.draw();
    if (pen.down) this.changed();
  }

  /** @param {PointerEvent} event */
  place(event) {
    const { left, top, width } = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - left) / width, y: (event.clientY - top) / width };
  }

  /** @param {PointerEvent} event */
  down(event) {
    if (!this.enabled || this.pointer !== null || event.button !== 0) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.strokes.push([this.place(event)]);
    this.draw();
    this.changed();
  }

  /** @param {PointerEvent} event */
  move(event) {
    if (event.pointerId !== this.pointer) return;
    const steps = event.getCoalescedEvents?.() ?? [];
    for (const step of steps.length ? steps : [event]) this.strokes.at(-1)?.push(this.place(step));
    this.draw();
    this.changed();
  }

  draw() {
    const { canvas, strokes } = this;
    const size = Math.round(canvas.clientWidth * devicePixelRatio);
    if (size === 0) return;
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const context = canvas.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, size, size);
    context.strokeStyle = colour("--ink");
    context.lineWidth = PEN * size;
    context.lineCap = context.lineJoin = "round";
    for (const [first, ...rest] of strokes) {
      if (!first) continue;
      context.beginPath();
      context.moveTo(first.x * size, first.y * size);
      for (const { x, y } of rest.length ? rest : [first]) context.lineTo(x * size, y * size);
      context.stroke();
    }
    const { pen } = this;
    if (!pen.seen || !this.enabled) return;
    context.lineWidth = devicePixelRatio;
    context.strokeStyle = colour(pen.down ? "--accent" : "--muted");
    context.beginPath();
    context.arc(pen.x * size, pen.y * size, PEN * size, 0, 2 * Math.PI);
    context.stroke();
  }
}
