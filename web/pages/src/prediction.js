/** The drawing panel: what is drawn, what the network sees, and what it takes it for. */

import { Pad } from "./pad.js";
import { byId, colour, onColours } from "./page.js";
import { rasterize } from "./raster.js";

const DOT = 0.15; // canvas widths; a smaller mark is not magnified to fill the image
const FULL = 16;
const ROUNDING = 1e-3;

export class PredictionPanel {
  /** @param {(pixels: number[]) => Promise<number[]>} predict */
  constructor(predict) {
    this.predict = predict;
    this.pad = new Pad(/** @type {HTMLCanvasElement} */ (byId("pad")), () => this.changed());
    this.panel = byId("draw");
    this.seen = /** @type {HTMLCanvasElement} */ (byId("seen"));
    this.hint = byId("pad-hint");
    this.verdict = byId("verdict");
    this.clear = /** @type {HTMLButtonElement} */ (byId("clear-drawing"));
    this.clear.addEventListener("click", () => this.pad.clear());
    this.bars = Array.from({ length: 10 }, (_, digit) => makeBar(digit));
    byId("bars").append(...this.bars.map(({ row }) => row));
    /** @type {Uint8Array | null} */
    this.image = null;
    this.asking = false;
    this.stale = false;
    onColours(() => this.show());
    this.hide();
  }

  /** There is nothing to draw for. */
  hide() {
    this.panel.hidden = true;
    this.disable("");
  }

  /** Let the visitor draw. */
  enable() {
    this.panel.hidden = false;
    this.pad.enable(true);
    this.hint.textContent = "Draw a digit, 0 to 9";
    this.pad.clear();
  }

  /** Show the pad, but not yet to draw on. @param {string} hint */
  announce(hint) {
    this.panel.hidden = false;
    this.disable(hint);
  }

  /** @param {string} hint */
  disable(hint) {
    this.pad.enable(false);
    this.hint.textContent = hint;
    this.pad.clear();
  }

  changed() {
    this.image = rasterize(this.pad.strokes, DOT);
    this.clear.disabled = this.image === null;
    this.hint.hidden = this.image !== null;
    this.show();
    if (this.image) this.ask();
    else this.tell(null);
  }

  /** Ask for one prediction at a time; of what is drawn meanwhile only the latest counts. */
  async ask() {
    this.stale = true;
    if (this.asking) return;
    this.asking = true;
    try {
      while (this.stale && this.image) {
        this.stale = false;
        const shares = await this.predict(Array.from(this.image, (count) => count / FULL));
        const why = mistake(shares);
        if (why) throw new Error(why);
        if (this.image) this.tell(shares);
      }
    } catch (error) {
      this.tell(null);
      this.verdict.textContent = `No prediction: ${error instanceof Error ? error.message : error}`;
    } finally {
      this.asking = false;
    }
  }

  /** Draw the 8×8 image. */
  show() {
    const context = this.seen.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, 8, 8);
    context.fillStyle = colour("--ink");
    this.image?.forEach((count, i) => {
      context.globalAlpha = count / FULL;
      context.fillRect(i % 8, Math.floor(i / 8), 1, 1);
    });
    context.globalAlpha = 1;
  }

  /** @param {number[] | null} shares */
  tell(shares) {
    const best = shares ? shares.indexOf(Math.max(...shares)) : -1;
    this.bars.forEach(({ row, fill, share }, digit) => {
      const value = shares?.[digit] ?? 0;
      fill.style.transform = `scaleX(${value})`;
      share.textContent = shares ? percent(value) : "";
      row.classList.toggle("best", digit === best);
    });
    this.verdict.textContent = shares ? `Looks like a ${best} (${percent(shares[best] ?? 0)})` : "";
  }
}

/** What is wrong with an answer; empty if it is ten shares. @param {number[]} shares */
function mistake(shares) {
  if (shares.length !== 10) return `expected ten shares, got ${shares.length} numbers`;
  if (shares.some(Number.isNaN)) return "the network answers with NaN, which is not a number";
  const odd = shares.find((share) => share < -ROUNDING || share > 1 + ROUNDING);
  return odd === undefined ? "" : `expected shares from 0 to 1, got ${odd.toPrecision(3)}`;
}

/** @param {number} share */
const percent = (share) => `${Math.round(share * 100)} %`;

/** @param {number} digit */
function makeBar(digit) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  const track = document.createElement("span");
  const fill = document.createElement("span");
  const share = document.createElement("span");
  name.className = "digit";
  name.textContent = String(digit);
  track.className = "track";
  fill.className = "fill";
  share.className = "share";
  track.append(fill);
  row.append(name, track, share);
  return { row, fill, share };
}
