//! cholesky: the next NB columns of l, where l is lower triangular and a = l lᴴ.
//!
//! The columns before are subtracted from a already. Each thread has one row. Each workgroup factors the NB
//! rows of the diagonal itself, so that nothing waits for another, and has ROWS - NB rows below them; small
//! matrices share a workgroup, MANY at once. Column k of a row is its dot product with row k, so a step needs
//! one barrier. A minor that is not positive definite makes its own pivot and all that follow nan.
//!
//! @bindings   0 a read   1 l read and write   2 info read and write: the order of the first bad minor, or 0
//! @dispatch   one workgroup for each TILE rows below the diagonal rows of each matrix, at least one, or for
//!             each MANY matrices; folded over x and y
//! @blocks     bindings; dims: THREADS is at least MANY * ROWS; sizes: count() matrices, tiles() workgroups of
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
const THREADS = 32u;
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

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  if (number >= (count() + MANY - 1u) / MANY * tiles()) { return; }
  let slot = min(local / ROWS, MANY - 1u);
  let row = local - slot * ROWS;
  let b = number / tiles() * MANY + slot;
  let part = number % tiles();
  // Rows are counted from the first of the panel.
  var i = row;
  if (row >= NB) { i = row + part * TILE; }
  let diagonal = row < NB;
  let mine = row < ROWS && b < count() && i < height() && (row >= NB || row < width());
  if (mine) {
    for (var k = 0u; k < width(); k++) {
      var value = elem();
      if (i >= k) { value = a_load(b, i, k); }
      rows[at(slot, k, row)] = value;
      if (i == k) { pivots[slot * NB + k] = real(value); }
    }
  }
  for (var k = 0u; k < width(); k++) {
    workgroupBarrier();
    if (mine && i >= k) {
      var pivot = pivots[slot * NB + k];
      var value = rows[at(slot, k, row)];
      for (var m = 0u; m < k; m++) {
        let other = conjugate(rows[at(slot, m, k)]);
        pivot -= real(times(other, conjugate(other)));
        value -= times(rows[at(slot, m, row)], other);
      }
      let bad = is_nan(pivot) || pivot <= 0.0;
      let root = select(sqrt(pivot), nan(), bad);
      rows[at(slot, k, row)] = select(value / root, whole(root), i == k);
    }
  }
  workgroupBarrier();
  if (!mine) { return; }
  let failed = is_nan(real(rows[at(slot, width() - 1u, width() - 1u)]));
  if (!diagonal || part == 0u) {
    for (var k = 0u; k < width(); k++) {
      var value = rows[at(slot, k, row)];
      if (i < k) { value = elem(); }
      l_store(b, i, k, select(value, whole(nan()), failed));
    }
  }
  if (row == 0u && part == 0u) { report(b, slot); }
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
