/**
 * Strokes drawn by hand become an 8×8 image like those of UCI's digits.
 *
 * Their makers scaled each digit to a bitmap of 32×32, sheared it upright, evened out the
 * thickness of the pen, and counted the black pixels of each block of 4×4. The data show how
 * far: the leftmost pixels of the top and the bottom row stand above each other within a fifth
 * of a pixel, the ink reaches the top and the bottom edge, and covers 30 % of the image,
 * whichever the digit.
 */

/** @typedef {{ x: number, y: number }} Point */
/** @typedef {Point[]} Stroke */

const SIZE = 32;
const BLOCK = 4;
const WIDEST = 26;
const INK = 0.31;
const THINNEST = 1.6; // radius of the pen, in pixels of the bitmap
const THICKEST = 5;
const STEEPEST = 0.7; // shear, pixels a row
const PASSES = 4; // scaling, pen and shear depend on each other, and settle in a few rounds

/**
 * The image of some strokes: 64 counts from 0 to 16, row by row, or null if there is no ink.
 * @param {Stroke[]} strokes in any unit, y downwards
 * @param {number} smallest the extent below which a mark is a dot and is not magnified
 * @returns {Uint8Array | null}
 */
export function rasterize(strokes, smallest) {
  let paths = strokes.filter((stroke) => stroke.length > 0);
  if (paths.length === 0) return null;
  let radius = 2.5;
  let least = smallest;
  let distances = new Float64Array(0);
  for (let pass = 1; pass <= PASSES; pass++) {
    const scale = fit(paths, radius, least);
    paths = scale.paths;
    least *= scale.factor;
    distances = distancesTo(paths);
    radius = penRadius(distances);
    if (pass < PASSES) paths = upright(paths, distances, radius);
  }
  return countBlocks(distances, radius);
}

/**
 * Scale and centre the paths so that a pen of this radius just fits.
 * @param {Stroke[]} paths @param {number} radius @param {number} least
 */
function fit(paths, radius, least) {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { x, y } of paths.flat()) {
    left = Math.min(left, x);
    right = Math.max(right, x);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y);
  }
  const tall = (SIZE - 2 * radius) / Math.max(bottom - top, least);
  const wide = (WIDEST - 2 * radius) / Math.max(right - left, least);
  const factor = Math.min(tall, wide);
  const [x0, y0] = [(left + right) / 2, (top + bottom) / 2];
  const place = (/** @type {Point} */ { x, y }) => ({
    x: (x - x0) * factor + SIZE / 2,
    y: (y - y0) * factor + SIZE / 2,
  });
  return { factor, paths: paths.map((path) => path.map(place)) };
}

/**
 * How far each pixel's centre is from the nearest path.
 * @param {Stroke[]} paths
 */
function distancesTo(paths) {
  const squares = new Float64Array(SIZE * SIZE).fill(Infinity);
  for (const path of paths) {
    path.forEach((end, i) => {
      const start = path[Math.max(i - 1, 0)] ?? end;
      if (i > 0 || path.length === 1) nearer(squares, start, end);
    });
  }
  return squares.map(Math.sqrt);
}

/** @param {Float64Array} squares @param {Point} start @param {Point} end */
function nearer(squares, start, end) {
  const [dx, dy] = [end.x - start.x, end.y - start.y];
  const length = dx * dx + dy * dy;
  for (let i = 0; i < squares.length; i++) {
    const px = (i % SIZE) + 0.5 - start.x;
    const py = Math.floor(i / SIZE) + 0.5 - start.y;
    const along = length > 0 ? Math.min(Math.max((px * dx + py * dy) / length, 0), 1) : 0;
    const [ex, ey] = [px - along * dx, py - along * dy];
    squares[i] = Math.min(squares[i] ?? Infinity, ex * ex + ey * ey);
  }
}

/** The radius at which the ink covers its usual part of the image. @param {Float64Array} distances */
function penRadius(distances) {
  const sorted = distances.slice().sort();
  const radius = sorted[Math.floor(INK * sorted.length)] ?? THINNEST;
  return Math.min(Math.max(radius, THINNEST), THICKEST);
}

/**
 * Shear the paths so that the leftmost pixels of the top and bottom rows stand above each other.
 * @param {Stroke[]} paths @param {Float64Array} distances @param {number} radius
 */
function upright(paths, distances, radius) {
  const first = distances.findIndex((d) => d <= radius);
  const lastRow = Math.floor(distances.findLastIndex((d) => d <= radius) / SIZE);
  const firstRow = Math.floor(first / SIZE);
  // A dash has no slant to speak of.
  if (lastRow - firstRow < SIZE / 2) return paths;
  const bottom = distances.subarray(lastRow * SIZE).findIndex((d) => d <= radius);
  const slope = ((first % SIZE) - bottom) / (lastRow - firstRow);
  const shear = Math.min(Math.max(slope, -STEEPEST), STEEPEST);
  return paths.map((path) => path.map(({ x, y }) => ({ x: x + shear * (y - SIZE / 2), y })));
}

/** @param {Float64Array} distances @param {number} radius */
function countBlocks(distances, radius) {
  const across = SIZE / BLOCK;
  const counts = new Uint8Array(across * across);
  distances.forEach((distance, i) => {
    const row = Math.floor(i / SIZE / BLOCK);
    const column = Math.floor((i % SIZE) / BLOCK);
    if (distance <= radius)
      counts[row * across + column] = (counts[row * across + column] ?? 0) + 1;
  });
  return counts;
}
