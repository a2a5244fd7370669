/** Curves of logged values, one chart for each name. */

import UPlot from "uplot";
import { colour, onColours } from "./page.js";

const LINES = ["--line-1", "--line-2", "--line-3", "--line-4"];
const MOST = LINES.length; // charts; further names are not drawn
const MOST_POINTS = 2000; // of one curve; when there are more, every second one goes

/** @typedef {{ element: HTMLElement, latest: HTMLElement, box: HTMLElement, plot: UPlot,
 *   steps: number[], values: (number | null)[] }} Chart */

export class Charts {
  /** @type {number | null} how many steps there will be */
  total = null;

  /** @param {HTMLElement} parent */
  constructor(parent) {
    this.parent = parent;
    /** @type {Map<string, Chart>} */
    this.charts = new Map();
    this.sizes = new ResizeObserver(() => this.resize());
    onColours(() => this.rebuild());
  }

  /** @param {number | null} total how many steps there will be */
  reset(total) {
    this.clear();
    this.total = total;
  }

  clear() {
    for (const { plot } of this.charts.values()) plot.destroy();
    this.sizes.disconnect();
    this.charts.clear();
    this.parent.replaceChildren();
  }

  /** Colours are drawn into the canvas, so new colours need new charts. */
  rebuild() {
    const kept = [...this.charts];
    this.clear();
    for (const [name, { steps, values, latest }] of kept) {
      this.create(name, steps, values).latest.textContent = latest.textContent;
    }
    this.draw();
  }

  /** @param {number} step @param {Record<string, number>} values @param {number | null} [total] of steps, where it is another */
  add(step, values, total = this.total) {
    this.total = total;
    for (const [name, value] of Object.entries(values)) {
      const chart =
        this.charts.get(name) ?? (this.charts.size < MOST ? this.create(name, [], []) : null);
      if (!chart) continue; // there is no room for more
      chart.steps.push(Math.max(step, chart.steps.at(-1) ?? step));
      chart.values.push(Number.isFinite(value) ? value : null);
      if (chart.steps.length > MOST_POINTS) thin(chart);
      chart.latest.textContent = format(name, value);
    }
  }

  draw() {
    for (const [name, { plot, steps, values, box, latest }] of this.charts) {
      plot.setData([steps, values]);
      const last = latest.textContent;
      const now = last ? `${last} at step ${steps.at(-1)}` : "no values yet";
      box.setAttribute("aria-label", `Curve of ${title(name).toLowerCase()}: ${now}`);
    }
  }

  resize() {
    for (const { plot, box } of this.charts.values()) {
      plot.setSize({ width: box.clientWidth, height: box.clientHeight });
    }
  }

  /**
   * @param {string} name @param {number[]} steps @param {(number | null)[]} values
   * @returns {Chart}
   */
  create(name, steps, values) {
    const element = document.createElement("div");
    element.className = "chart";
    const heading = document.createElement("h3");
    const swatch = document.createElement("span");
    const line = LINES[this.charts.size] ?? "--line-1";
    swatch.className = "swatch";
    swatch.style.background = `var(${line})`;
    const latest = document.createElement("output");
    heading.append(swatch, title(name));
    const box = document.createElement("div");
    box.className = "plot";
    box.setAttribute("role", "img");
    element.append(heading, latest, box);
    this.parent.append(element);
    const plot = new UPlot(
      options(name, line, box, () => this.total),
      [steps, values],
      box,
    );
    this.sizes.observe(box);
    const chart = { element, latest, box, plot, steps, values };
    this.charts.set(name, chart);
    return chart;
  }
}

/** @param {Chart} chart */
function thin(chart) {
  const every = (/** @type {unknown} */ _, /** @type {number} */ i) => i % 2 === 1;
  chart.steps = chart.steps.filter(every);
  chart.values = chart.values.filter(every);
}

/** @param {string} name */
const isShare = (name) => /accuracy|share|fraction/.test(name);

/** @param {string} name */
function title(name) {
  const words = name.replaceAll("_", " ").replace("held out", "held-out");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** @param {string} name @param {number} value */
function format(name, value) {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "∞").replace("-", "−");
  if (isShare(name)) return `${(value * 100).toFixed(1)} %`;
  return Math.abs(value) >= 0.001 || value === 0 ? value.toPrecision(3) : value.toExponential(1);
}

/** A mark of the upright axis, short and exact: marks are round numbers. @param {number} mark */
function tick(mark) {
  const short = Number(mark.toPrecision(3));
  return short !== 0 && Math.abs(short) < 0.001 ? short.toExponential() : String(short);
}

/**
 * @param {string} name @param {string} line @param {HTMLElement} box
 * @param {() => number | null} total @returns {UPlot.Options}
 */
function options(name, line, box, total) {
  const share = isShare(name);
  const grid = { stroke: colour("--grid", box), width: 1 };
  const axis = { stroke: colour("--muted", box), grid, ticks: { show: false }, font: "11px Inter" };
  /** @type {UPlot.Axis} */
  const y = { ...axis, size: 42, space: 36, values: (_, marks) => marks.map(tick) };
  if (share) y.values = (_, marks) => marks.map((mark) => `${Number((mark * 100).toFixed(1))} %`);
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    padding: [8, 14, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: (_, __, last) => [0, total() ?? (last || 100)] },
      y: { range: share ? shareRange : lossRange },
    },
    axes: [{ ...axis, size: 24, space: 56 }, y],
    series: [{}, { stroke: colour(line, box), width: 2, points: { show: false }, spanGaps: false }],
  };
}

/** @type {UPlot.Range.Function} */
const shareRange = (_, min) => [min == null ? 0 : Math.max(Math.floor(min * 10 - 0.5) / 10, 0), 1];

/** @type {UPlot.Range.Function} */
const lossRange = (_, min, max) => (max == null ? [0, 2.5] : [Math.min(min, 0), max * 1.05 || 1]);
