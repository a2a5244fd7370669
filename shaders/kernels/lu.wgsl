//! lu: the factors of a panel with row pivoting, in place: l below the diagonal, u above.
//!
//! In each step the lanes of a matrix look for the largest element of a column, swap two rows, divide the column
//! and take its products with the row from the rest. ACROSS lanes share a row. A lane that has whole rows need not
//! wait for others before it goes on with them, and takes the products of WIDE columns from the rest at once. Small
//! panels lie in workgroup memory (HELD is 1), those of MANY matrices side by side; others stay in their buffer.
//!
//! @bindings   0 a read and write   1 pivots write: row k was swapped with row pivots[k] - 1, counted from the
//!             first row of the matrix   2 info read and write: the first pivot that is zero, from 1, or 0
//! @dispatch   one workgroup for each MANY matrices, folded over x and y
//! @blocks     bindings; dims: NB columns and ROWS rows at most, LANES is a multiple of ACROSS, and of 16 above 32,
//!             WIDE is 1, or 4 where ACROSS is 1; sizes: count() matrices, height() rows, width() columns,
//!             pivoted() columns to factor, first(), the number of rows and columns before; a, pivots, info: how
//!             they are read and written; source: where the elements are at first, if HELD; arithmetic: of complex
//!             elements
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
const ACROSS = 8u;
const WIDE = 1u;
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
const DOWN = LANES / ACROSS;
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
  let across = lane % ACROSS;
  let down = lane / ACROSS;
  let b = number * MANY + slot;
  let mine = b < count();
  if (HELD == 1u && mine) {
    for (var i = down; i < height(); i += DOWN) {
      for (var j = across; j < width(); j += ACROSS) { keep(b, slot, i, j, source_load(b, i, j)); }
    }
  }
  var failed = 0u;
  for (var top = 0u; top < pivoted(); top += WIDE) {
    let end = min(top + WIDE, pivoted());
    for (var k = top; k < end; k++) {
      if (ACROSS > 1u || k == 0u) { meet(); }
      largest[local] = -1.0;
      places[local] = k;
      if (mine) { look(b, slot, k, lane, local); }
      meet();
      let place = found(slot, lane, k);
      if (mine) {
        if (lane == 0u) { pivots_store(b, k, 0u, i32(first() + place + 1u)); }
        if (place != k) { swap(b, slot, k, place, lane); }
      }
      meet();
      var pivot = elem();
      if (mine) { pivot = cell(b, slot, k, k); }
      let zero = weight(pivot) == 0.0;
      if (zero && failed == 0u) { failed = first() + k + 1u; }
      if (mine && !zero) { divide(b, slot, k, pivot, lane); }
      if (ACROSS > 1u) { meet(); }
      if (mine && WIDE > 1u) { subtract(b, slot, k, end, across, down); }
    }
    if (WIDE == 1u) {
      if (mine) { subtract(b, slot, top, width(), across, down); }
    } else if (end < width()) {
      meet();
      if (mine) { substitute(b, slot, top, end, lane); }
      meet();
      if (mine) { subtract_all(b, slot, top, end, down); }
    }
  }
  meet();
  if (!mine) { return; }
  if (HELD == 1u) {
    for (var i = down; i < height(); i += DOWN) {
      for (var j = across; j < width(); j += ACROSS) { a_store(b, i, j, cell(b, slot, i, j)); }
    }
  }
  if (lane == 0u && (first() == 0u || info_load(b, 0u, 0u) == 0i)) {
    info_store(b, 0u, 0u, i32(failed));
  }
}

// The first number from `start` on that one of `lanes` has.
fn own(start: u32, lane: u32, lanes: u32) -> u32 { return start + (lane + lanes - start % lanes) % lanes; }

// The largest element of the rows of a lane in column k.
fn look(b: u32, slot: u32, k: u32, lane: u32, local: u32) {
  var best = -1.0;
  var place = k;
  for (var i = own(k, lane, LANES); i < height(); i += LANES) {
    let value = weight(cell(b, slot, i, k));
    if (value > best) {
      best = value;
      place = i;
    }
  }
  largest[local] = best;
  places[local] = place;
}

fn swap(b: u32, slot: u32, k: u32, place: u32, lane: u32) {
  for (var j = lane; j < width(); j += LANES) {
    let upper = cell(b, slot, k, j);
    keep(b, slot, k, j, cell(b, slot, place, j));
    keep(b, slot, place, j, upper);
  }
}

fn divide(b: u32, slot: u32, k: u32, pivot: elem, lane: u32) {
  for (var i = own(k + 1u, lane, LANES); i < height(); i += LANES) {
    keep(b, slot, i, k, over(cell(b, slot, i, k), pivot));
  }
}

// Take the products of column k with row k from the columns behind it, to `end`.
fn subtract(b: u32, slot: u32, k: u32, end: u32, across: u32, down: u32) {
  for (var j = own(k + 1u, across, ACROSS); j < end; j += ACROSS) {
    let upper = cell(b, slot, k, j);
    for (var i = own(k + 1u, down, DOWN); i < height(); i += DOWN) {
      keep(b, slot, i, j, cell(b, slot, i, j) - times(cell(b, slot, i, k), upper));
    }
  }
}

// Finish rows `top` to `end` - 1 behind their columns: each row less its products with those above it.
fn substitute(b: u32, slot: u32, top: u32, end: u32, lane: u32) {
  for (var j = end + lane; j < width(); j += LANES) {
    for (var i = top + 1u; i < end; i++) {
      var value = cell(b, slot, i, j);
      for (var k = top; k < i; k++) { value -= times(cell(b, slot, i, k), cell(b, slot, k, j)); }
      keep(b, slot, i, j, value);
    }
  }
}

// Take the products of columns `top` to `end` - 1 with their rows from what is behind them, two rows at a time.
fn subtract_all(b: u32, slot: u32, top: u32, end: u32, down: u32) {
  if (end - top < 4u) {
    for (var k = top; k < end; k++) {
      for (var i = own(end, down, DOWN); i < height(); i += DOWN) {
        let factor = cell(b, slot, i, k);
        for (var j = end; j < width(); j++) {
          keep(b, slot, i, j, cell(b, slot, i, j) - times(factor, cell(b, slot, k, j)));
        }
      }
    }
    return;
  }
  for (var i = own(end, down, DOWN); i < height(); i += 2u * DOWN) {
    let next = select(i, i + DOWN, i + DOWN < height());
    let i0 = cell(b, slot, i, top);
    let i1 = cell(b, slot, i, top + 1u);
    let i2 = cell(b, slot, i, top + 2u);
    let i3 = cell(b, slot, i, top + 3u);
    let n0 = cell(b, slot, next, top);
    let n1 = cell(b, slot, next, top + 1u);
    let n2 = cell(b, slot, next, top + 2u);
    let n3 = cell(b, slot, next, top + 3u);
    for (var j = end; j < width(); j++) {
      let u0 = cell(b, slot, top, j);
      let u1 = cell(b, slot, top + 1u, j);
      let u2 = cell(b, slot, top + 2u, j);
      let u3 = cell(b, slot, top + 3u, j);
      let one = cell(b, slot, i, j) - times(i0, u0) - times(i1, u1) - times(i2, u2) - times(i3, u3);
      let two = cell(b, slot, next, j) - times(n0, u0) - times(n1, u1) - times(n2, u2) - times(n3, u3);
      keep(b, slot, i, j, one);
      keep(b, slot, next, j, two);
    }
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
