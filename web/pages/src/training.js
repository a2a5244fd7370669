/** The training panel: how far, how fast, and the curves of what is logged. */

import { Charts } from "./charts.js";

/** @typedef {import("./messages.js").ProgressEvent} ProgressEvent */

/** @typedef {{ panel: HTMLElement, bar: HTMLProgressElement, count: HTMLElement, rate: HTMLElement,
 *   charts: HTMLElement }} Parts  what is filled; `panel` is hidden while there is nothing */

const SPAN = 2000; // milliseconds over which the speed is taken

export class TrainingPanel {
  number = 0; // of the bar that is shown
  began = 0;
  /** @type {number | null} */
  total = null;
  /** @type {{ n: number, time: number }[]} */
  recent = [];
  /** How many steps of inner bars had passed when each began. @type {Map<number, number>} */
  inner = new Map();
  passed = 0; // steps of inner bars

  /** @param {Parts} parts */
  constructor({ panel, bar, count, rate, charts }) {
    this.panel = panel;
    this.bar = bar;
    this.count = count;
    this.rate = rate;
    this.charts = new Charts(charts);
    this.reset();
  }

  /** Nothing has been logged: nothing is shown. */
  reset() {
    this.panel.hidden = true;
    this.number = 0;
    this.recent = [];
    this.bar.value = 0;
    this.count.textContent = "";
    this.rate.textContent = "";
    this.charts.reset(null);
  }

  /** @param {ProgressEvent[]} events */
  show(events) {
    const last = this.lastBegin(events);
    if (last > 0) this.number = 0;
    for (const event of events.slice(last)) this.take(event);
    this.charts.draw();
  }

  /** Where the last bar begins that is shown: nothing is left of those before it. @param {ProgressEvent[]} events */
  lastBegin(events) {
    let [last, shown] = [0, this.number];
    for (const [i, event] of events.entries()) {
      if (event.event === "start" && shown === 0) [last, shown] = [i, event.bar];
      else if (event.event === "end" && event.bar === shown) shown = 0;
    }
    return last;
  }

  /** @param {ProgressEvent} event */
  take(event) {
    if (event.event === "start") this.begin(event);
    else if (event.event === "publish") return;
    else if (event.bar !== this.number) this.takeInner(event);
    else if (event.event === "update") this.update(event.n, event.time);
    else if (event.event === "log") this.charts.add(event.n, event.values);
    else this.end(event.time);
  }

  /** An inner bar has no place of its own, but what it logs has: over the steps of all inner bars. @param {Exclude<ProgressEvent, { event: "start" | "publish" }>} event */
  takeInner(event) {
    const base = this.inner.get(event.bar);
    if (base === undefined) return;
    if (event.event === "end") this.inner.delete(event.bar);
    else this.passed = Math.max(this.passed, base + event.n);
    if (event.event === "log") this.charts.add(base + event.n, event.values, null);
  }

  /** @param {Extract<ProgressEvent, { event: "start" }>} event */
  begin({ bar, total, time }) {
    // Of nested bars the outermost is shown.
    if (this.number !== 0) {
      this.inner.set(bar, this.passed);
      return;
    }
    this.inner.clear();
    this.passed = 0;
    this.panel.hidden = false;
    this.charts.reset(total);
    this.number = bar;
    this.began = time;
    this.total = total;
    this.recent = [{ n: 0, time }];
    if (total === null) this.bar.removeAttribute("value");
    else this.bar.value = 0;
    this.update(0, time);
  }

  /** @param {number} n @param {number} time */
  update(n, time) {
    if (this.total !== null) this.bar.value = this.total ? n / this.total : 1;
    const whole = this.total === null ? "" : ` of ${grouped(this.total)}`;
    this.count.textContent = `${grouped(n)}${whole} steps`;
    this.recent.push({ n, time });
    while (this.recent.length > 2 && time - (this.recent[0]?.time ?? 0) > SPAN) this.recent.shift();
    const first = this.recent.at(0) ?? { n: 0, time };
    if (time > first.time) this.rate.textContent = perSecond((n - first.n) / (time - first.time));
  }

  /** @param {number} time */
  end(time) {
    const n = this.recent.at(-1)?.n ?? 0;
    const seconds = (time - this.began) / 1000;
    this.number = 0;
    if (this.total === null) this.bar.value = 1;
    this.count.textContent = `${grouped(n)} steps in ${seconds.toFixed(1)} s`;
    if (seconds > 0) this.rate.textContent = perSecond(n / seconds / 1000);
  }
}

/** @param {number} n */
const grouped = (n) => n.toLocaleString("en");

/** @param {number} perMillisecond */
function perSecond(perMillisecond) {
  const rate = perMillisecond * 1000;
  return `${rate >= 100 ? grouped(Math.round(rate)) : rate.toPrecision(2)} steps/s`;
}
