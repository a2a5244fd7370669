//! order: the columns of x in the order of their values, which are sorted as well; nan where failed says so.
//!
//! A thread has a column, and counts the values that come before its own.
//!
//! @bindings   0 values read   1 x read   2 failed read   3 sorted write   4 out write
//! @dispatch   one workgroup for each 64 columns of each matrix, folded over x and y
//! @blocks     bindings; dims: DESCENDING, and SIGNED is 1 where the first large element of a column becomes real and
//!             positive; sizes: count() matrices, width() columns, height() rows of x; values, x, failed, sorted,
//!             out: how they are read and written; arithmetic, rotations: of complex
//!             elements
//! @reference  np.take_along_axis(x, np.argsort(values)[:, None], -1)

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> failed: array<i32>;
@group(0) @binding(3) var<storage, read_write> sorted: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<elem>;
//@end

//@begin dims
const DESCENDING = 0u;
const SIGNED = 0u;
//@end

//@begin sizes
fn count() -> u32 { return 3u; }
fn width() -> u32 { return 5u; }
fn height() -> u32 { return 4u; }
//@end

//@begin values
fn values_load(b: u32, i: u32, j: u32) -> f32 { return values[b * 5u + i]; }
//@end

//@begin x
fn x_load(b: u32, i: u32, j: u32) -> elem { return x[(b * 4u + i) * 5u + j]; }
//@end

//@begin failed
fn failed_load(b: u32, i: u32, j: u32) -> i32 { return failed[b]; }
//@end

//@begin sorted
fn sorted_store(b: u32, i: u32, j: u32, value: f32) { sorted[b * 5u + i] = value; }
//@end

//@begin out
fn out_store(b: u32, i: u32, j: u32, value: elem) { out[(b * 4u + i) * 5u + j] = value; }
//@end

//@begin arithmetic
fn times(x: elem, y: elem) -> elem { return x * y; }
fn size(x: elem) -> f32 { return abs(x); }
fn conjugate(x: elem) -> elem { return x; }
fn whole(x: f32) -> elem { return x; }
//@end

//@begin rotations
fn phase(x: elem, size: f32) -> elem { return select(1.0, -1.0, x < 0.0); }
//@end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = (group.y * groups.x + group.x) * 64u + local;
  let b = number / width();
  let j = number % width();
  if (b >= count()) { return; }
  let own = values_load(b, j, 0u);
  let bad = failed_load(b, 0u, 0u) != 0i;
  var place = 0u;
  for (var i = 0u; i < width(); i++) {
    let other = values_load(b, i, 0u);
    let less = select((other < own), (other > own), DESCENDING == 1u);
    if (less || (other == own && i < j)) { place++; }
  }
  if (bad) { place = j; }
  sorted_store(b, place, 0u, select(own, nan(), bad));
  var factor = whole(1.0);
  if (SIGNED == 1u) {
    var most = 0.0;
    for (var i = 0u; i < height(); i++) { most = max(most, size(x_load(b, i, j))); }
    var seen = false;
    for (var i = 0u; i < height(); i++) {
      let value = x_load(b, i, j);
      let length = size(value);
      if (!seen && length > 0.0 && length >= 0.98 * most) {
        seen = true;
        factor = conjugate(phase(value, length));
      }
    }
  }
  for (var i = 0u; i < height(); i++) {
    out_store(b, i, place, select(times(factor, x_load(b, i, j)), whole(nan()), bad));
  }
}
