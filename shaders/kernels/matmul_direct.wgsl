//! matmul_direct: out[b, i, j] = sum over k of lhs[b, i, k] * rhs[b, k, j], without workgroup memory.
//!
//! For software adapters, where barriers cost more than shared tiles save, and a load from a buffer
//! costs ten multiply-adds. Four neighbouring invocations share one tile of outputs, held in
//! registers; neighbours have neighbouring columns. The `tile` block is written for other sizes by
//! `lower/tiles.py`, with subgroup operations where the device has them: then each of the four loads
//! a quarter of the rows and broadcasts it.
//!
//! @bindings   0 lhs read   1 rhs read   2 out write
//! @dispatch   BATCH * GROUPS workgroups, folded over x and y
//! @blocks     bindings; dims; load_lhs, load_rhs: called for valid indices only, and best without a
//!             `return` before the end, which some compilers take seconds to inline; store: called
//!             once for each element of out; tile. A load may split its index, see `tiles.direct_body`.
//! @reference  np.matmul(lhs, rhs)

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read> lhs: array<elem>;
@group(0) @binding(1) var<storage, read> rhs: array<elem>;
@group(0) @binding(2) var<storage, read_write> out: array<elem>;
//@end

//@begin dims
const BATCH = 2u;
const M = 7u;
const N = 10u;
const K = 6u;
//@end

//@begin load_lhs
fn load_lhs(b: u32, i: u32, k: u32) -> elem {
  return lhs[(b * M + i) * K + k];
}
//@end

//@begin load_rhs
fn load_rhs(b: u32, k: u32, j: u32) -> elem {
  return rhs[(b * K + k) * N + j];
}
//@end

//@begin store
fn store(b: u32, i: u32, j: u32, acc: elem) {
  out[(b * M + i) * N + j] = acc;
}
//@end

//@begin tile
const TILE_ROWS = 4u;
const TILE_COLUMNS = 8u;
const ACROSS = (N + TILE_COLUMNS - 1u) / TILE_COLUMNS;
const TILES = (M + TILE_ROWS - 1u) / TILE_ROWS * ACROSS;
const GROUPS = (TILES + 1u) / 2u;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let place = group.y * groups.x + group.x;
  if (place >= BATCH * GROUPS) { return; }
  let b = place / GROUPS;
  let wanted = place % GROUPS * 2u + local / 4u;
  // Broadcasts want all of a quad, so a surplus tile is computed and not stored.
  let tile = min(wanted, TILES - 1u);
  let lane = local % 4u;
  let top = tile / ACROSS * TILE_ROWS;
  let left = tile % ACROSS * TILE_COLUMNS + lane;
  let i0 = min(top + 0u, M - 1u);
  let i1 = min(top + 1u, M - 1u);
  let i2 = min(top + 2u, M - 1u);
  let i3 = min(top + 3u, M - 1u);
  let j0 = min(left + 0u, N - 1u);
  let j1 = min(left + 4u, N - 1u);
  var c0_0 = elem();
  var c0_1 = elem();
  var c1_0 = elem();
  var c1_1 = elem();
  var c2_0 = elem();
  var c2_1 = elem();
  var c3_0 = elem();
  var c3_1 = elem();
  for (var k = 0u; k < 6u; k += 2u) {
    let r0_0 = load_rhs(b, k, j0);
    let r1_0 = load_rhs(b, k, j1);
    let r0_1 = load_rhs(b, k + 1u, j0);
    let r1_1 = load_rhs(b, k + 1u, j1);
    let l0_0 = load_lhs(b, i0, k);
    let l0_1 = load_lhs(b, i0, k + 1u);
    c0_0 = c0_0 + l0_0 * r0_0 + l0_1 * r0_1;
    c0_1 = c0_1 + l0_0 * r1_0 + l0_1 * r1_1;
    let l1_0 = load_lhs(b, i1, k);
    let l1_1 = load_lhs(b, i1, k + 1u);
    c1_0 = c1_0 + l1_0 * r0_0 + l1_1 * r0_1;
    c1_1 = c1_1 + l1_0 * r1_0 + l1_1 * r1_1;
    let l2_0 = load_lhs(b, i2, k);
    let l2_1 = load_lhs(b, i2, k + 1u);
    c2_0 = c2_0 + l2_0 * r0_0 + l2_1 * r0_1;
    c2_1 = c2_1 + l2_0 * r1_0 + l2_1 * r1_1;
    let l3_0 = load_lhs(b, i3, k);
    let l3_1 = load_lhs(b, i3, k + 1u);
    c3_0 = c3_0 + l3_0 * r0_0 + l3_1 * r0_1;
    c3_1 = c3_1 + l3_0 * r1_0 + l3_1 * r1_1;
  }
  var done = array<elem, 8>(
    c0_0, c0_1, c1_0, c1_1, c2_0, c2_1, c3_0, c3_1,
  );
  for (var e = 0u; e < 8u; e++) {
    let i = top + e / 2u;
    let j = left + e % 2u * 4u;
    if (i < M && j < N && wanted < TILES) { store(b, i, j, done[e]); }
  }
}
//@end
