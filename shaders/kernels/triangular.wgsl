//! triangular: x with a x = b, for lower triangular matrices of at most NB rows.
//!
//! A matrix and COLUMNS columns of its b lie in workgroup memory, those of MANY small matrices side by side.
//! DOWN threads share the rows of some columns. Row k is final after step k, and is then taken out of the rows
//! below, so a step needs one barrier; none where a thread has whole columns.
//!
//! @bindings   0 a read   1 b read   2 x read and write; b and x may be the same memory
//! @dispatch   one workgroup for each COLUMNS columns of each matrix, or of each MANY matrices; folded over x and y
//! @blocks     bindings; dims: COLUMNS is a multiple of LANES, which share a row; sizes: count() matrices, tiles() workgroups of each,
//!             height() rows, width() columns of b, unit() is 1 where the diagonal counts as ones and is not read;
//!             a, b, x: how they are read and written; arithmetic: of complex elements
//! @reference  np.linalg.solve(np.tril(a), b)

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read> a: array<elem>;
@group(0) @binding(1) var<storage, read> b: array<elem>;
@group(0) @binding(2) var<storage, read_write> x: array<elem>;
//@end

//@begin dims
const NB = 8u;
const COLUMNS = 4u;
const LANES = 2u;
const DOWN = 8u;
const MANY = 2u;
//@end

//@begin sizes
fn count() -> u32 { return 5u; }
fn tiles() -> u32 { return 2u; }
fn height() -> u32 { return 6u; }
fn width() -> u32 { return 7u; }
fn unit() -> u32 { return 0u; }
//@end

//@begin a
fn a_load(b: u32, i: u32, j: u32) -> elem { return a[(b * 6u + i) * 6u + j]; }
//@end

//@begin b
fn b_load(g: u32, i: u32, j: u32) -> elem { return b[(g * 6u + i) * 7u + j]; }
//@end

//@begin x
fn x_store(b: u32, i: u32, j: u32, value: elem) { x[(b * 6u + i) * 7u + j] = value; }
//@end

//@begin arithmetic
fn times(x: elem, y: elem) -> elem { return x * y; }
fn over(x: elem, y: elem) -> elem { return x / y; }
fn whole(x: f32) -> elem { return x; }
//@end

const EACH = COLUMNS / LANES;

var<workgroup> lower: array<elem, MANY * NB * NB>;
var<workgroup> found: array<elem, MANY * NB * COLUMNS>;

@compute @workgroup_size(MANY * DOWN * LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  if (number >= (count() + MANY - 1u) / MANY * tiles()) { return; }
  let slot = local / (DOWN * LANES);
  let down = local / LANES % DOWN;
  let lane = local % LANES;
  let matrix = number / tiles() * MANY + slot;
  let left = number % tiles() * COLUMNS;
  let mine = matrix < count();
  // Column k of the matrix from matrix_at + k * NB on, row k of what is found from found_at + k * COLUMNS on.
  let matrix_at = slot * NB * NB;
  let found_at = slot * NB * COLUMNS;
  for (var row = down; row < height(); row += DOWN) {
    for (var k = lane; k < height(); k += LANES) {
      var value = whole(1.0);
      if (mine && (row > k || (row == k && unit() == 0u))) { value = a_load(matrix, row, k); }
      lower[matrix_at + k * NB + row] = value;
    }
    for (var c = lane; c < COLUMNS; c += LANES) {
      var value = elem();
      if (mine && left + c < width()) { value = b_load(matrix, row, left + c); }
      found[found_at + row * COLUMNS + c] = value;
    }
  }
  if (DOWN == 1u) {
    workgroupBarrier();
    for (var e = 0u; e < EACH; e += 4u) { substitute(matrix_at, found_at, lane, e); }
  } else {
    for (var k = 0u; k < height(); k++) {
      workgroupBarrier();
      // the first row below that is the thread's
      let row = k + 1u + (down + DOWN - (k + 1u) % DOWN) % DOWN;
      take_out(matrix_at, found_at, k, row, lane);
    }
  }
  if (!mine) { return; }
  for (var row = down; row < height(); row += DOWN) {
    for (var c = lane; c < COLUMNS; c += LANES) {
      if (left + c < width()) {
        let pivot = lower[matrix_at + row * NB + row];
        let value = found[found_at + row * COLUMNS + c];
        x_store(matrix, row, left + c, select(over(value, pivot), value, DOWN == 1u));
      }
    }
  }
}

// Take row k out of those of a thread below it.
fn take_out(matrix_at: u32, found_at: u32, k: u32, start: u32, lane: u32) {
  let pivot = lower[matrix_at + k * NB + k];
  for (var row = start; row < height(); row += DOWN) {
    let factor = lower[matrix_at + k * NB + row];
    for (var c = lane; c < COLUMNS; c += LANES) {
      found[found_at + row * COLUMNS + c] -= times(factor, over(found[found_at + k * COLUMNS + c], pivot));
    }
  }
}

// Solve four columns of a thread, from its column e on, or less: the last one stands for those that are not there.
fn substitute(matrix_at: u32, found_at: u32, lane: u32, e: u32) {
  let c0 = found_at + lane + e * LANES;
  let c1 = found_at + lane + min(e + 1u, EACH - 1u) * LANES;
  let c2 = found_at + lane + min(e + 2u, EACH - 1u) * LANES;
  let c3 = found_at + lane + min(e + 3u, EACH - 1u) * LANES;
  for (var row = 0u; row < height(); row++) {
    let own = row * COLUMNS;
    var x0 = found[own + c0];
    var x1 = found[own + c1];
    var x2 = found[own + c2];
    var x3 = found[own + c3];
    for (var k = 0u; k < row; k++) {
      let factor = lower[matrix_at + k * NB + row];
      let other = k * COLUMNS;
      x0 -= times(factor, found[other + c0]);
      x1 -= times(factor, found[other + c1]);
      x2 -= times(factor, found[other + c2]);
      x3 -= times(factor, found[other + c3]);
    }
    let pivot = lower[matrix_at + row * NB + row];
    found[own + c0] = over(x0, pivot);
    found[own + c1] = over(x1, pivot);
    found[own + c2] = over(x2, pivot);
    found[own + c3] = over(x3, pivot);
  }
}
