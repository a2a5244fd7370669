/** A canvas to draw on with the mouse, a pen or a finger. */

import { colour, onColours } from "./page.js";

/** @typedef {import("./raster.js").Stroke} Stroke */

const PEN = 0.075; // width of the line, in canvas widths

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
    const draw = (/** @type {PointerEvent} */ event) => this.move(event);
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", draw);
    for (const kind of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(kind, (event) => {
        if (event.pointerId === this.pointer) this.pointer = null;
      });
    }
    new ResizeObserver(() => this.draw()).observe(canvas);
    onColours(() => this.draw());
  }

  /** @param {boolean} enabled */
  enable(enabled) {
    this.enabled = enabled;
    this.canvas.dataset.enabled = String(enabled);
  }

  clear() {
    this.strokes = [];
    this.pointer = null;
    this.draw();
    this.changed();
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
  }
}
