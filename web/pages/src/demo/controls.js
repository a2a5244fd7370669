/** Sliders, fields, buttons and canvases that an author has put into an element, bound to names of its program. */

import { Points } from "./points.js";

/** @typedef {import("../messages.js").Value} Value */
/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Field */

export class Controls {
  /**
   * @param {HTMLElement} element whose children the controls are
   * @param {{ set(name: string, value: Value): void, call(name: string): void }} listener
   */
  constructor(element, listener) {
    this.element = element;
    this.listener = listener;
    /** @type {Map<string, Points>} */
    this.pads = new Map();
    element.addEventListener("input", ({ target }) => this.changed(target));
    element.addEventListener("click", ({ target }) => {
      const button = target instanceof Element ? target.closest("button[data-call]") : null;
      if (button instanceof HTMLButtonElement) listener.call(button.dataset.call ?? "");
      const eraser = target instanceof Element ? target.closest("button[data-clear]") : null;
      if (eraser instanceof HTMLElement) this.pads.get(eraser.dataset.clear ?? "")?.clear();
    });
  }

  /** Let points be put on the canvases; `data-kind` names the field that says of which kind they are. */
  prepare() {
    for (const canvas of this.element.querySelectorAll("canvas[data-name]")) {
      const { name = "", kind = "" } = /** @type {HTMLCanvasElement} */ (canvas).dataset;
      if (this.pads.get(name)?.canvas === canvas) continue;
      const pad = new Points(
        /** @type {HTMLCanvasElement} */ (canvas),
        () => Math.max(0, Number(this.values[kind]) || 0),
        () => this.listener.set(name, pad.text),
      );
      this.pads.set(name, pad);
    }
  }

  /** @returns {Field[]} */
  get fields() {
    return [...this.element.querySelectorAll("[data-name]")].filter((field) => isField(field));
  }

  /** The values of all fields, by the names they are bound to. */
  get values() {
    /** @type {Record<string, Value>} */
    const values = {};
    for (const field of this.fields) {
      const value = said(field);
      if (value !== null) values[field.dataset.name ?? ""] = value;
    }
    for (const [name, pad] of this.pads) values[name] = pad.text;
    return values;
  }

  /** @param {EventTarget | null} target */
  changed(target) {
    if (!isField(target) || !target.dataset.name) return;
    const value = said(target);
    this.show();
    if (value === null) return;
    this.listener.set(target.dataset.name, value);
    if (target.dataset.call) this.listener.call(target.dataset.call);
  }

  /** Tell the author of a control whose name the program does not know. @param {string} name */
  warn(name) {
    const kind = `[data-kind="${CSS.escape(name)}"]`; // which may be for the canvas alone
    if (this.element.querySelector(kind)) return;
    const src = this.element.getAttribute("src");
    console.warn(`tabgrad-demo: ${src} gives no constant to the name ${name} of a control`);
  }

  /** Write each value where the author wants to see it: in the elements with its `data-value`. */
  show() {
    for (const [name, value] of Object.entries(this.values)) {
      for (const place of this.element.querySelectorAll(`[data-value="${CSS.escape(name)}"]`)) {
        place.textContent = String(value);
      }
    }
  }

  /** Let buttons be pressed, or not. @param {boolean} able */
  enable(able) {
    for (const button of this.element.querySelectorAll("button[data-call]")) {
      /** @type {HTMLButtonElement} */ (button).disabled = !able;
    }
  }
}

/** @param {unknown} element @returns {element is Field} */
const isField = (element) =>
  element instanceof HTMLInputElement ||
  element instanceof HTMLSelectElement ||
  element instanceof HTMLTextAreaElement;

/** What a field says: a number, whether it is ticked, or text; null where it says none. @param {Field} field @returns {Value | null} */
function said(field) {
  if (!(field instanceof HTMLInputElement)) return field.value;
  if (field.type === "checkbox") return field.checked;
  if (field.type === "radio") return field.checked ? field.value : null;
  if (field.type !== "range" && field.type !== "number") return field.value;
  return Number.isFinite(field.valueAsNumber) ? field.valueAsNumber : null;
}
