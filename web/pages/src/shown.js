/**
 * What a program shows: an image on a canvas, and HTML or a drawing in a frame of its own, in which nothing can
 * run, be loaded or lie over the page.
 */

import { rebuild } from "./markup.js";
import { colour, isNarrow, onColours } from "./page.js";

/** @typedef {import("./messages.js").Form} Form */

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
const DOCUMENT = `<!doctype html><html lang="en"><head><meta http-equiv="Content-Security-Policy" content="${POLICY}"><meta name="color-scheme" content="light dark"><title>Output</title></head><body></body></html>`;
const HIGHEST = 4000; // CSS pixels of a frame; what is higher scrolls in it
const SMALLEST = 0.75; // of a drawing's own width: smaller, its words could not be read, so it scrolls

/** @type {Set<Shown>} */
const framed = new Set();
onColours(() => {
  for (const shown of framed) shown.paint();
});

export class Shown {
  /** @param {(change: () => void) => void} follow does what changes the height */
  constructor(follow) {
    this.follow = follow;
    this.element = document.createElement("div");
    this.element.className = "shown";
    /** @type {HTMLIFrameElement | null} */
    this.frame = null;
    this.markup = "";
    this.drawings = 0;
    this.sizes = new ResizeObserver(() => this.fit());
  }

  /** Show something, in the place of what was shown. @param {Form} form @param {string} data @param {string} label */
  set(form, data, label) {
    if (form === "html" || form === "svg") return this.markUp(data, label);
    this.leave();
    if (form === "png") return this.draw(data, label);
    this.element.replaceChildren(data);
  }

  /** Let go of what observes the frame. */
  leave() {
    framed.delete(this);
    this.sizes.disconnect();
    this.frame = null;
  }

  /** @param {string} data @param {string} label */
  async draw(data, label) {
    const turn = ++this.drawings;
    try {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      if (turn !== this.drawings) return image.close();
      const canvas = document.createElement("canvas");
      canvas.width = image.width;
      canvas.height = image.height;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Image: ${label}`);
      canvas.getContext("2d")?.drawImage(image, 0, 0);
      image.close();
      this.follow(() => this.element.replaceChildren(canvas));
    } catch {
      this.element.replaceChildren(`(${label}: its image cannot be read)`);
    }
  }

  /** @param {string} markup @param {string} label */
  markUp(markup, label) {
    this.drawings++;
    this.markup = markup;
    if (this.frame) return this.fill();
    const frame = document.createElement("iframe");
    frame.title = label;
    frame.setAttribute("sandbox", "allow-same-origin"); // to be filled and measured; no script runs in it
    frame.srcdoc = DOCUMENT;
    frame.addEventListener("load", () => this.fill());
    this.frame = frame;
    framed.add(this);
    this.element.replaceChildren(frame);
  }

  fill() {
    const inside = this.frame?.contentDocument;
    if (!inside?.querySelector("meta[http-equiv]")) return; // not loaded yet
    rebuild(this.markup, inside, inside.body);
    this.paint();
    this.widen();
    this.sizes.disconnect();
    this.sizes.observe(inside.documentElement);
    this.sizes.observe(inside.body);
    this.fit();
  }

  /** Give the frame the page's colours and typeface. */
  paint() {
    const inside = this.frame?.contentDocument;
    if (!inside || !this.frame) return;
    const { style } = inside.body;
    const { fontFamily } = getComputedStyle(this.element);
    style.cssText = "margin:0;padding:2px 0;overflow-wrap:break-word;display:flow-root";
    style.color = colour("--ink", this.element);
    style.font = `13px/1.5 ${fontFamily}`;
    inside.documentElement.style.cssText = "overflow:auto;background:transparent";
    for (const drawing of inside.body.querySelectorAll("svg, img")) {
      const { style } = /** @type {HTMLElement | SVGElement} */ (drawing);
      style.maxWidth = "100%";
      const own = Number(drawing.getAttribute("width"));
      const whole = drawing.localName === "svg" && !drawing.parentElement?.closest("svg");
      if (whole && own > 0) style.minWidth = `${SMALLEST * own}px`;
      if (drawing.hasAttribute("viewBox") || drawing.localName === "img") style.height = "auto";
    }
  }

  /** Give what is chosen by finger the room that a finger needs. */
  widen() {
    const labels = isNarrow() ? this.frame?.contentDocument?.body.querySelectorAll("label") : null;
    for (const { style } of labels ?? []) {
      style.minWidth = "44px";
      style.paddingBlock = "11px";
      style.textAlign = "center";
    }
  }

  fit() {
    const inside = this.frame?.contentDocument;
    if (!inside || !this.frame) return;
    const { body, documentElement: root } = inside;
    const bar = root.scrollWidth > root.clientWidth ? 16 : 0;
    const height = Math.min(Math.ceil(body.getBoundingClientRect().height) + bar, HIGHEST);
    const { style } = this.frame;
    if (style.height !== `${height}px`) {
      this.follow(() => {
        style.height = `${height}px`;
      });
    }
  }
}
