//! attention_columns: the gradients of attention's k and v, from what `attention_rows` found of each row.
//!
//! With p = softmax(scale q kᵀ + mask) and d = ct vᵀ the gradient of v is pᵀ ct, and that of k is scale
//! (p (d - D))ᵀ q (Dao et al. 2022). A workgroup has ROWS rows of k and v, and goes through q and ct in tiles of
//! KEYS rows; no score leaves it. LANES threads share a row: each has every LANES-th score of a tile, and every
//! LANES-th four of elements of both gradients, PART in all. All sums have a fixed order.
//!
//! @bindings   0 q read   1 k read   2 v read   3 ct read   4 facts read   5 dk write   6 dv write
//! @dispatch   count() * tiles() workgroups, folded over x and y
//! @blocks     bindings; dims: DEEP and WIDE are the fours of DEPTH and WIDTH, LANES * PART at least both; CAUSAL is 1 if row i sees the columns up to i;
//!             sizes: count() matrices, height() rows of q, length() rows of k, and tiles() times ROWS at least as
//!             many; scale; q, k, v, ct, facts, mask, dk, dv: how they are read and written
//! @reference  attention_gradient(ct, q, k, v)[1:]

//@begin bindings
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> ct: array<f32>;
@group(0) @binding(4) var<storage, read> facts: array<f32>;
@group(0) @binding(5) var<storage, read_write> dk: array<f32>;
@group(0) @binding(6) var<storage, read_write> dv: array<f32>;
//@end

//@begin dims
const ROWS = 16u;
const LANES = 4u;
const KEYS = 8u;
const DEPTH = 6u;
const WIDTH = 5u;
const DEEP = 2u;
const WIDE = 2u;
const PART = 1u;
const CAUSAL = 1u;
//@end

//@begin sizes
fn count() -> u32 { return 3u; }
fn tiles() -> u32 { return 2u; }
fn height() -> u32 { return 19u; }
fn length() -> u32 { return 21u; }
//@end

//@begin scale
fn scale() -> f32 { return 0.5; }
//@end

//@begin q
fn q_load(b: u32, i: u32, j: u32) -> f32 { return q[(b * 19u + i) * 6u + j]; }
//@end

//@begin k
fn k_load(b: u32, i: u32, j: u32) -> f32 { return k[(b * 21u + i) * 6u + j]; }
//@end

//@begin v
fn v_load(b: u32, i: u32, j: u32) -> f32 { return v[(b * 21u + i) * 5u + j]; }
//@end

//@begin ct
fn ct_load(b: u32, i: u32, j: u32) -> f32 { return ct[(b * 19u + i) * 5u + j]; }
//@end

//@begin facts
fn facts_load(b: u32, i: u32, j: u32) -> f32 { return facts[(b * 19u + i) * 3u + j]; }
//@end

//@begin mask
fn mask_load(b: u32, i: u32, j: u32) -> f32 { return 0.0; }
//@end

//@begin dk
fn dk_store(b: u32, i: u32, j: u32, value: f32) { dk[(b * 21u + i) * 6u + j] = value; }
//@end

//@begin dv
fn dv_store(b: u32, i: u32, j: u32, value: f32) { dv[(b * 21u + i) * 5u + j] = value; }
//@end

const THREADS = ROWS * LANES;

var<workgroup> queries: array<vec4f, KEYS * DEEP>;
var<workgroup> changes: array<vec4f, KEYS * WIDE>;
var<workgroup> keys: array<vec4f, ROWS * DEEP>;
var<workgroup> values: array<vec4f, ROWS * WIDE>;
var<workgroup> known: array<vec4f, KEYS>;
var<workgroup> weights: array<f32, ROWS * KEYS>;
var<workgroup> slopes: array<f32, ROWS * KEYS>;

fn q_four(b: u32, i: u32, j: u32) -> vec4f {
  var four = vec4f();
  for (var e = 0u; e < 4u; e++) { if (j + e < DEPTH) { four[e] = q_load(b, i, j + e) * scale(); } }
  return four;
}

fn k_four(b: u32, i: u32, j: u32) -> vec4f {
  var four = vec4f();
  for (var e = 0u; e < 4u; e++) { if (j + e < DEPTH) { four[e] = k_load(b, i, j + e); } }
  return four;
}

fn v_four(b: u32, i: u32, j: u32) -> vec4f {
  var four = vec4f();
  for (var e = 0u; e < 4u; e++) { if (j + e < WIDTH) { four[e] = v_load(b, i, j + e); } }
  return four;
}

fn ct_four(b: u32, i: u32, j: u32) -> vec4f {
  var four = vec4f();
  for (var e = 0u; e < 4u; e++) { if (j + e < WIDTH) { four[e] = ct_load(b, i, j + e); } }
  return four;
}

fn take(b: u32, first: u32, local: u32) {
  for (var at = local; at < KEYS * DEEP; at += THREADS) {
    let wanted = first + at / DEEP;
    var four = vec4f();
    if (wanted < height()) { four = q_four(b, wanted, at % DEEP * 4u); }
    queries[at] = four;
  }
  for (var at = local; at < KEYS * WIDE; at += THREADS) {
    let wanted = first + at / WIDE;
    var four = vec4f();
    if (wanted < height()) { four = ct_four(b, wanted, at % WIDE * 4u); }
    changes[at] = four;
  }
  for (var at = local; at < KEYS; at += THREADS) {
    let i = first + at;
    var four = vec4f();
    if (i < height()) { four = vec4f(facts_load(b, i, 0u), facts_load(b, i, 1u), facts_load(b, i, 2u), 0.0); }
    known[at] = four;
  }
}

fn score(row: u32, c: u32) -> f32 {
  var parts = vec4f();
  for (var e = 0u; e < DEEP; e++) { parts += queries[c * DEEP + e] * keys[row * DEEP + e]; }
  return (parts.x + parts.y) + (parts.z + parts.w);
}

fn slope(row: u32, c: u32) -> f32 {
  var parts = vec4f();
  for (var e = 0u; e < WIDE; e++) { parts += changes[c * WIDE + e] * values[row * WIDE + e]; }
  return (parts.x + parts.y) + (parts.z + parts.w);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  if (number >= count() * tiles()) { return; }
  let b = number / tiles();
  let top = number % tiles() * ROWS;
  let row = local / LANES;
  let lane = local % LANES;
  let j = top + row;
  for (var at = local; at < ROWS * DEEP; at += THREADS) {
    let wanted = top + at / DEEP;
    var four = vec4f();
    if (wanted < length()) { four = k_four(b, wanted, at % DEEP * 4u); }
    keys[at] = four;
  }
  for (var at = local; at < ROWS * WIDE; at += THREADS) {
    let wanted = top + at / WIDE;
    var four = vec4f();
    if (wanted < length()) { four = v_four(b, wanted, at % WIDE * 4u); }
    values[at] = four;
  }
  var for_keys: array<vec4f, PART>;
  var for_values: array<vec4f, PART>;
  var begin = 0u;
  if (CAUSAL == 1u) { begin = top; }
  for (var first = begin; first < height(); first += KEYS) {
    workgroupBarrier();
    take(b, first, local);
    workgroupBarrier();
    for (var c = lane; c < KEYS; c += LANES) {
      let i = first + c;
      var weight = 0.0;
      var one = 0.0;
      if ((i < height()) & (j < length()) & ((CAUSAL == 0u) | (j <= i))) {
        weight = exp_f32(score(row, c) + mask_load(b, i, j) - known[c].x) * known[c].y;
        one = weight * (slope(row, c) - known[c].z);
      }
      weights[row * KEYS + c] = weight;
      slopes[row * KEYS + c] = one;
    }
    workgroupBarrier();
    for (var c = 0u; c < min(KEYS, height() - first); c++) {
      let weight = weights[row * KEYS + c];
      let one = slopes[row * KEYS + c];
      for (var p = 0u; p < PART; p++) {
        let at = p * LANES + lane;
        for_keys[p] += one * queries[c * DEEP + min(at, DEEP - 1u)];
        for_values[p] += weight * changes[c * WIDE + min(at, WIDE - 1u)];
      }
    }
  }
  if (j < length()) {
    for (var p = 0u; p < PART; p++) {
      let at = (p * LANES + lane) * 4u;
      for (var e = 0u; e < 4u; e++) {
        if (at + e < DEPTH) { dk_store(b, j, at + e, for_keys[p][e]); }
        if (at + e < WIDTH) { dv_store(b, j, at + e, for_values[p][e]); }
      }
    }
  }
}
