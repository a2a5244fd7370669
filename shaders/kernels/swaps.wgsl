//! swaps: rows of a exchanged as the pivots of a panel say, in order, and its own columns left alone.
//!
//! @bindings   0 pivots read   1 a read and write: row first() + k goes to row pivots[k] - 1, and that one here
//! @dispatch   one workgroup for each 64 columns of each matrix, folded over x and y
//! @blocks     bindings; sizes: count() matrices, width() columns, first(), the number of rows before the panel,
//!             swapped(), the number of its pivots and columns; a, pivots: how they are read and written
//! @reference  a[lu_permutation(pivots)]

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read> pivots: array<i32>;
@group(0) @binding(1) var<storage, read_write> a: array<elem>;
//@end

//@begin sizes
fn count() -> u32 { return 2u; }
fn width() -> u32 { return 7u; }
fn first() -> u32 { return 1u; }
fn swapped() -> u32 { return 2u; }
//@end

//@begin a
fn a_load(b: u32, i: u32, j: u32) -> elem { return a[(b * 5u + i) * 7u + j]; }
fn a_store(b: u32, i: u32, j: u32, value: elem) { a[(b * 5u + i) * 7u + j] = value; }
//@end

//@begin pivots
fn pivots_load(b: u32, i: u32, j: u32) -> i32 { return pivots[b * 2u + i]; }
//@end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  let across = (width() + 63u) / 64u;
  let b = number / across;
  let j = number % across * 64u + local;
  if (b >= count() || j >= width() || (j >= first() && j < first() + swapped())) { return; }
  for (var k = 0u; k < swapped(); k++) {
    let i = first() + k;
    let other = u32(pivots_load(b, k, 0u)) - 1u;
    if (other != i) {
      let value = a_load(b, i, j);
      a_store(b, i, j, a_load(b, other, j));
      a_store(b, other, j, value);
    }
  }
}
