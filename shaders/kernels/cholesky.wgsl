//! cholesky: the next NB columns of l, where l is lower triangular and a = l lᴴ.
//!
//! The columns before are subtracted from a already. Each of the LANES threads of a matrix has some rows, EACH at
//! once. Each workgroup factors the NB rows of the diagonal itself, so that nothing waits for another, and has
//! ROWS - NB rows below them; small matrices share a workgroup, MANY at once. Column k of a row is its dot product
//! with row k, so a step needs one barrier. A minor that is not positive definite makes its own pivot and all that
//! follow nan.
//!
//! @bindings   0 a read   1 l read and write   2 info read and write: the order of the first bad minor, or 0
//! @dispatch   one workgroup for each TILE rows below the diagonal rows of each matrix, at least one, or for
//!             each MANY matrices; folded over x and y
//! @blocks     bindings; dims: EACH is 1 or 4; sizes: count() matrices, tiles() workgroups of
//!             each, height() rows from the first of the panel on, width() columns, at most NB, and first(), the
//!             number of columns before; a, l, info: how they are read and written; arithmetic: of complex elements
//! @reference  np.linalg.cholesky(a)

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read> a: array<elem>;
@group(0) @binding(1) var<storage, read_write> l: array<elem>;
@group(0) @binding(2) var<storage, read_write> info: array<i32>;
//@end

//@begin dims
const NB = 5u;
const ROWS = 5u;
const MANY = 4u;
const LANES = 5u;
const EACH = 1u;
//@end

//@begin sizes
fn count() -> u32 { return 6u; }
fn tiles() -> u32 { return 1u; }
fn height() -> u32 { return 5u; }
fn width() -> u32 { return 5u; }
fn first() -> u32 { return 0u; }
//@end

//@begin a
fn a_load(b: u32, i: u32, j: u32) -> elem { return a[(b * 5u + i) * 5u + j]; }
//@end

//@begin l
fn l_store(b: u32, i: u32, j: u32, value: elem) { l[(b * 5u + i) * 5u + j] = value; }
//@end

//@begin info
fn info_load(b: u32, i: u32, j: u32) -> i32 { return info[b]; }
fn info_store(b: u32, i: u32, j: u32, value: i32) { info[b] = value; }
//@end

//@begin arithmetic
fn times(x: elem, y: elem) -> elem { return x * y; }
fn conjugate(x: elem) -> elem { return x; }
fn real(x: elem) -> f32 { return x; }
fn whole(x: f32) -> elem { return x; }
//@end

const TILE = ROWS - NB;

var<workgroup> rows: array<elem, MANY * NB * ROWS>;
var<workgroup> pivots: array<f32, MANY * NB>;

fn at(slot: u32, k: u32, row: u32) -> u32 { return (slot * NB + k) * ROWS + row; }

@compute @workgroup_size(MANY * LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  if (number >= (count() + MANY - 1u) / MANY * tiles()) { return; }
  let slot = local / LANES;
  let lane = local % LANES;
  let b = number / tiles() * MANY + slot;
  let part = number % tiles();
  // Rows are counted from the first of the panel; those behind the NB rows of the diagonal are `below` further.
  let below = part * TILE;
  var end = 0u;
  if (b < count()) { end = min(ROWS, height() - below); }
  for (var row = lane; row < end; row += LANES) {
    let i = select(row, row + below, row >= NB);
    for (var k = 0u; k < width(); k++) {
      var value = elem();
      if (i >= k) { value = a_load(b, i, k); }
      rows[at(slot, k, row)] = value;
      if (i == k) { pivots[slot * NB + k] = real(value); }
    }
  }
  for (var k = 0u; k < width(); k++) {
    workgroupBarrier();
    let first_row = k + (lane + LANES - k % LANES) % LANES;
    if (first_row < end) {
      let root = root_of(slot, k);
      if (EACH == 4u) {
        for (var row = first_row; row < end; row += 4u * LANES) { step_four(slot, k, row, end, root); }
      } else {
        for (var row = first_row; row < end; row += LANES) { step(slot, k, row, root); }
      }
    }
  }
  workgroupBarrier();
  if (end == 0u) { return; }
  let failed = is_nan(real(rows[at(slot, width() - 1u, width() - 1u)]));
  for (var row = lane; row < end; row += LANES) {
    let i = select(row, row + below, row >= NB);
    if (row >= NB || part == 0u) {
      for (var k = 0u; k < width(); k++) {
        var value = rows[at(slot, k, row)];
        if (i < k) { value = elem(); }
        l_store(b, i, k, select(value, whole(nan()), failed));
      }
    }
  }
  if (lane == 0u && part == 0u) { report(b, slot); }
}

// Element k of the diagonal, nan where there is none.
fn root_of(slot: u32, k: u32) -> f32 {
  var pivot = pivots[slot * NB + k];
  for (var m = 0u; m < k; m++) {
    let other = rows[at(slot, m, k)];
    pivot -= real(times(other, conjugate(other)));
  }
  return select(sqrt(pivot), nan(), is_nan(pivot) || pivot <= 0.0);
}

fn step(slot: u32, k: u32, row: u32, root: f32) {
  var value = rows[at(slot, k, row)];
  for (var m = 0u; m < k; m++) { value -= times(rows[at(slot, m, row)], conjugate(rows[at(slot, m, k)])); }
  rows[at(slot, k, row)] = select(value / root, whole(root), row == k);
}

// Four rows of a lane, of which those that are not there are the first one again.
fn step_four(slot: u32, k: u32, row: u32, end: u32, root: f32) {
  let row1 = select(row, row + LANES, row + LANES < end);
  let row2 = select(row, row + 2u * LANES, row + 2u * LANES < end);
  let row3 = select(row, row + 3u * LANES, row + 3u * LANES < end);
  var value = rows[at(slot, k, row)];
  var value1 = rows[at(slot, k, row1)];
  var value2 = rows[at(slot, k, row2)];
  var value3 = rows[at(slot, k, row3)];
  for (var m = 0u; m < k; m++) {
    let other = conjugate(rows[at(slot, m, k)]);
    value -= times(rows[at(slot, m, row)], other);
    value1 -= times(rows[at(slot, m, row1)], other);
    value2 -= times(rows[at(slot, m, row2)], other);
    value3 -= times(rows[at(slot, m, row3)], other);
  }
  let first_one = select(value / root, whole(root), row == k);
  rows[at(slot, k, row1)] = select(value1 / root, first_one, row1 == row);
  rows[at(slot, k, row2)] = select(value2 / root, first_one, row2 == row);
  rows[at(slot, k, row3)] = select(value3 / root, first_one, row3 == row);
  rows[at(slot, k, row)] = first_one;
}

// A matrix that failed before keeps the number from then.
fn report(b: u32, slot: u32) {
  var found = 0u;
  for (var k = 0u; k < width(); k++) {
    if (found == 0u && is_nan(real(rows[at(slot, k, k)]))) { found = first() + k + 1u; }
  }
  if (first() == 0u || (found > 0u && info_load(b, 0u, 0u) == 0i)) {
    info_store(b, 0u, 0u, i32(found));
  }
}
