//! lu: the factors of a panel with row pivoting, in place: l below the diagonal, u above.
//!
//! In each step the lanes of a matrix look for the largest element of a column, swap two rows, divide the column
//! and take its products with the row from the rest. Small panels lie in workgroup memory (HELD is 1), those of
//! MANY matrices side by side; others stay in their buffer.
//!
//! @bindings   0 a read and write   1 pivots write: row k was swapped with row pivots[k] - 1, counted from the
//!             first row of the matrix   2 info read and write: the first pivot that is zero, from 1, or 0
//! @dispatch   one workgroup for each MANY matrices, folded over x and y
//! @blocks     bindings; dims: NB columns and ROWS rows at most, LANES is a multiple of NB, and of 16 above 32;
//!             sizes: count() matrices, height() rows, width() columns, pivoted() columns to factor, first(), the
//!             number of rows and columns before; a, pivots, info: how they are read and written; source: where
//!             the elements are at first, if HELD; arithmetic: of complex elements
//! @reference  scipy.linalg.lu_factor(a)

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read_write> a: array<elem>;
@group(0) @binding(1) var<storage, read_write> pivots: array<i32>;
@group(0) @binding(2) var<storage, read_write> info: array<i32>;
//@end

//@begin dims
const NB = 8u;
const ROWS = 8u;
const MANY = 2u;
const LANES = 16u;
const HELD = 1u;
//@end

//@begin sizes
fn count() -> u32 { return 5u; }
fn height() -> u32 { return 6u; }
fn width() -> u32 { return 4u; }
fn pivoted() -> u32 { return 4u; }
fn first() -> u32 { return 0u; }
//@end

//@begin a
fn a_load(b: u32, i: u32, j: u32) -> elem { return a[(b * 6u + i) * 4u + j]; }
fn a_store(b: u32, i: u32, j: u32, value: elem) { a[(b * 6u + i) * 4u + j] = value; }
//@end

//@begin source
fn source_load(b: u32, i: u32, j: u32) -> elem { return a[(b * 6u + i) * 4u + j]; }
//@end

//@begin pivots
fn pivots_store(b: u32, i: u32, j: u32, value: i32) { pivots[b * 4u + i] = value; }
//@end

//@begin info
fn info_load(b: u32, i: u32, j: u32) -> i32 { return info[b]; }
fn info_store(b: u32, i: u32, j: u32, value: i32) { info[b] = value; }
//@end

//@begin arithmetic
fn times(x: elem, y: elem) -> elem { return x * y; }
fn over(x: elem, y: elem) -> elem { return x / y; }
fn weight(x: elem) -> f32 { return abs(x); }
//@end

const PITCH = NB + 1u;
const DOWN = LANES / NB;
const CELLS = select(1u, MANY * ROWS * PITCH, HELD == 1u);

var<workgroup> cells: array<elem, CELLS>;
var<workgroup> largest: array<f32, MANY * LANES>;
var<workgroup> places: array<u32, MANY * LANES>;

fn cell(b: u32, slot: u32, i: u32, j: u32) -> elem {
  if (HELD == 1u) { return cells[(slot * ROWS + i) * PITCH + j]; }
  return a_load(b, i, j);
}

fn keep(b: u32, slot: u32, i: u32, j: u32, value: elem) {
  if (HELD == 1u) {
    cells[(slot * ROWS + i) * PITCH + j] = value;
  } else {
    a_store(b, i, j, value);
  }
}

fn meet() {
  workgroupBarrier();
  if (HELD == 0u) { storageBarrier(); }
}

@compute @workgroup_size(MANY * LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  if (number * MANY >= count()) { return; }
  let slot = local / LANES;
  let lane = local % LANES;
  let column = lane % NB;
  let down = lane / NB;
  let b = number * MANY + slot;
  let mine = b < count();
  if (HELD == 1u && mine && column < width()) {
    for (var i = down; i < height(); i += DOWN) {
      keep(b, slot, i, column, source_load(b, i, column));
    }
  }
  var failed = 0u;
  for (var k = 0u; k < pivoted(); k++) {
    meet();
    var best = -1.0;
    var place = k;
    if (mine) {
      for (var i = k + lane; i < height(); i += LANES) {
        let value = weight(cell(b, slot, i, k));
        if (value > best) {
          best = value;
          place = i;
        }
      }
    }
    largest[local] = best;
    places[local] = place;
    workgroupBarrier();
    place = found(slot, lane, k);
    if (mine) {
      if (lane == 0u) { pivots_store(b, k, 0u, i32(first() + place + 1u)); }
      if (place != k && lane < width()) {
        for (var j = lane; j < width(); j += LANES) {
          let upper = cell(b, slot, k, j);
          keep(b, slot, k, j, cell(b, slot, place, j));
          keep(b, slot, place, j, upper);
        }
      }
    }
    meet();
    var pivot = elem();
    if (mine) { pivot = cell(b, slot, k, k); }
    let zero = weight(pivot) == 0.0;
    if (zero && failed == 0u) { failed = first() + k + 1u; }
    if (mine && !zero) {
      for (var i = k + 1u + lane; i < height(); i += LANES) {
        keep(b, slot, i, k, over(cell(b, slot, i, k), pivot));
      }
    }
    meet();
    if (mine && column > k && column < width()) {
      let upper = cell(b, slot, k, column);
      for (var i = k + 1u + down; i < height(); i += DOWN) {
        keep(b, slot, i, column, cell(b, slot, i, column) - times(cell(b, slot, i, k), upper));
      }
    }
  }
  meet();
  if (!mine) { return; }
  if (HELD == 1u && column < width()) {
    for (var i = down; i < height(); i += DOWN) {
      a_store(b, i, column, cell(b, slot, i, column));
    }
  }
  if (lane == 0u && (first() == 0u || info_load(b, 0u, 0u) == 0i)) {
    info_store(b, 0u, 0u, i32(failed));
  }
}

// The row of the largest element that any lane has seen, the first of several.
fn found(slot: u32, lane: u32, k: u32) -> u32 {
  var start = slot * LANES;
  var each = LANES;
  if (LANES > 32u) {
    // sixteen lanes look first, each at its part
    let part = LANES / 16u;
    if (lane < 16u) {
      let one = better(start + lane * part, part);
      largest[start + lane * part] = largest[one];
      places[start + lane * part] = places[one];
    }
    workgroupBarrier();
    var one = start;
    for (var t = 1u; t < 16u; t++) { one = first_of(one, start + t * part); }
    return places[one];
  }
  return places[better(start, each)];
}

fn better(start: u32, count: u32) -> u32 {
  var one = start;
  for (var t = 1u; t < count; t++) { one = first_of(one, start + t); }
  return one;
}

fn first_of(one: u32, other: u32) -> u32 {
  let more = largest[other] > largest[one];
  let same = largest[other] == largest[one] && places[other] < places[one];
  return select(one, other, more || same);
}
