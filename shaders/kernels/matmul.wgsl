//! matmul: out[b, i, j] = sum over k of lhs[b, i, k] * rhs[b, k, j], through workgroup memory.
//!
//! For GPUs. A workgroup computes one tile of outputs; both operands pass through workgroup memory
//! a few steps of k at a time, and each thread keeps its part of the tile in registers. The `tile`
//! block is written for other sizes by `lower/tiles.py`.
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
const TILE_ROWS = 32u;
const TILE_COLUMNS = 32u;
const TILE_DEPTH = 16u;
const ACROSS = (N + TILE_COLUMNS - 1u) / TILE_COLUMNS;
const GROUPS = (M + TILE_ROWS - 1u) / TILE_ROWS * ACROSS;

// Four neighbouring rows, or columns, of one step of k in each vector.
var<workgroup> lhs_tile: array<vec4<elem>, 128>;
var<workgroup> rhs_tile: array<vec4<elem>, 128>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let place = group.y * groups.x + group.x;
  if (place >= BATCH * GROUPS) { return; }
  let b = place / GROUPS;
  let top = place % GROUPS / ACROSS * TILE_ROWS;
  let left = place % ACROSS * TILE_COLUMNS;
  let row = local / 8u;
  let column = local % 8u;
  var c0_0 = vec4<elem>();
  var c1_0 = vec4<elem>();
  var c2_0 = vec4<elem>();
  var c3_0 = vec4<elem>();
  for (var k0 = 0u; k0 < K; k0 += TILE_DEPTH) {
    for (var v = local; v < 128u; v += 64u) {
      let s = v % 16u;
      let four = v / 16u;
      lhs_tile[s * 8u + four] = lhs_four(b, top + four * 4u, k0 + s);
    }
    for (var v = local; v < 128u; v += 64u) {
      let s = v / 8u;
      let four = v % 8u;
      rhs_tile[s * 8u + four] = rhs_four(b, left + four * 4u, k0 + s);
    }
    workgroupBarrier();
    for (var s = 0u; s < TILE_DEPTH; s++) {
      let l0 = lhs_tile[s * 8u + row + 0u];
      let r0 = rhs_tile[s * 8u + column + 0u];
      c0_0 += l0.x * r0;
      c1_0 += l0.y * r0;
      c2_0 += l0.z * r0;
      c3_0 += l0.w * r0;
    }
    workgroupBarrier();
  }
  store_four(b, top + (row + 0u) * 4u + 0u, left + (column + 0u) * 4u, c0_0);
  store_four(b, top + (row + 0u) * 4u + 1u, left + (column + 0u) * 4u, c1_0);
  store_four(b, top + (row + 0u) * 4u + 2u, left + (column + 0u) * 4u, c2_0);
  store_four(b, top + (row + 0u) * 4u + 3u, left + (column + 0u) * 4u, c3_0);
}

fn lhs_four(b: u32, i: u32, k: u32) -> vec4<elem> {
  if (k >= K) { return vec4<elem>(); }
  return vec4<elem>(
    load_lhs(b, min(i + 0u, M - 1u), k),
    load_lhs(b, min(i + 1u, M - 1u), k),
    load_lhs(b, min(i + 2u, M - 1u), k),
    load_lhs(b, min(i + 3u, M - 1u), k),
  );
}

fn rhs_four(b: u32, j: u32, k: u32) -> vec4<elem> {
  if (k >= K) { return vec4<elem>(); }
  return vec4<elem>(
    load_rhs(b, k, min(j + 0u, N - 1u)),
    load_rhs(b, k, min(j + 1u, N - 1u)),
    load_rhs(b, k, min(j + 2u, N - 1u)),
    load_rhs(b, k, min(j + 3u, N - 1u)),
  );
}

fn store_four(b: u32, i: u32, j: u32, acc: vec4<elem>) {
  if (i >= M) { return; }
  if (j + 0u < N) { store(b, i, j + 0u, acc.x); }
  if (j + 1u < N) { store(b, i, j + 1u, acc.y); }
  if (j + 2u < N) { store(b, i, j + 2u, acc.z); }
  if (j + 3u < N) { store(b, i, j + 3u, acc.w); }
}
//@end
