//! attention_rows: the gradient of attention's q, and what the gradients of k and v need of each row of scores.
//!
//! With s = scale q kᵀ + mask, p = softmax(s), d = ct vᵀ and D = the sum of p d over a row, the gradient of s is
//! p (d - D) and that of q is scale times its product with k (Dao et al. 2022). A workgroup has ROWS rows and goes
//! through k and v twice in tiles of KEYS rows: first for the largest score, the sum of the weights and D, then
//! for the product; no score leaves it. LANES threads share a row: each has every LANES-th score of a tile, and
//! every LANES-th four of elements of the gradient, PART in all. All sums have a fixed order.
//!
//! @bindings   0 q read   1 k read   2 v read   3 ct read   4 dq write   5 facts write
//! @dispatch   count() * tiles() workgroups, folded over x and y
//! @blocks     bindings; dims: DEEP and WIDE are the fours of DEPTH and WIDTH, LANES * PART at least DEEP; CAUSAL is 1 if row i sees the columns up to i, WANTED if the gradient is;
//!             sizes: count() matrices, height() rows of q, tiles() times ROWS at least as many, and length() rows
//!             of k; scale; q, k, v, ct, mask, dq, facts: how they are read and written
//! @reference  attention_gradient(ct, q, k, v)[0]; facts are the largest score, 1 over the sum of the weights, D

//@begin bindings
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> ct: array<f32>;
@group(0) @binding(4) var<storage, read_write> dq: array<f32>;
@group(0) @binding(5) var<storage, read_write> facts: array<f32>;
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
const WANTED = 1u;
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

//@begin mask
fn mask_load(b: u32, i: u32, j: u32) -> f32 { return 0.0; }
//@end

//@begin dq
fn dq_store(b: u32, i: u32, j: u32, value: f32) { dq[(b * 19u + i) * 6u + j] = value; }
//@end

//@begin facts
fn facts_store(b: u32, i: u32, j: u32, value: f32) { facts[(b * 19u + i) * 3u + j] = value; }
//@end

const THREADS = ROWS * LANES;
const LOWEST = -3.4e38;

var<workgroup> queries: array<vec4f, ROWS * DEEP>;
var<workgroup> changes: array<vec4f, ROWS * WIDE>;
var<workgroup> keys: array<vec4f, KEYS * DEEP>;
var<workgroup> values: array<vec4f, KEYS * WIDE>;
var<workgroup> slopes: array<f32, ROWS * KEYS>;
var<workgroup> found: array<vec4f, THREADS>;

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

fn take(b: u32, first: u32, end: u32, local: u32) {
  for (var at = local; at < KEYS * DEEP; at += THREADS) {
    let wanted = first + at / DEEP;
    var four = vec4f();
    if (wanted < end) { four = k_four(b, wanted, at % DEEP * 4u); }
    keys[at] = four;
  }
  for (var at = local; at < KEYS * WIDE; at += THREADS) {
    let wanted = first + at / WIDE;
    var four = vec4f();
    if (wanted < end) { four = v_four(b, wanted, at % WIDE * 4u); }
    values[at] = four;
  }
}

fn score(row: u32, c: u32) -> f32 {
  var parts = vec4f();
  for (var e = 0u; e < DEEP; e++) { parts += queries[row * DEEP + e] * keys[c * DEEP + e]; }
  return (parts.x + parts.y) + (parts.z + parts.w);
}

fn slope(row: u32, c: u32) -> f32 {
  var parts = vec4f();
  for (var e = 0u; e < WIDE; e++) { parts += changes[row * WIDE + e] * values[c * WIDE + e]; }
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
  let i = top + row;
  for (var at = local; at < ROWS * DEEP; at += THREADS) {
    let wanted = top + at / DEEP;
    var four = vec4f();
    if (wanted < height()) { four = q_four(b, wanted, at % DEEP * 4u); }
    queries[at] = four;
  }
  for (var at = local; at < ROWS * WIDE; at += THREADS) {
    let wanted = top + at / WIDE;
    var four = vec4f();
    if (wanted < height()) { four = ct_four(b, wanted, at % WIDE * 4u); }
    changes[at] = four;
  }
  var end = length();
  if (CAUSAL == 1u) { end = min(end, top + ROWS); }
  var high = LOWEST;
  var total = 0.0;
  var mean = 0.0;
  for (var first = 0u; first < end; first += KEYS) {
    workgroupBarrier();
    take(b, first, end, local);
    workgroupBarrier();
    for (var c = lane; c < KEYS; c += LANES) {
      let j = first + c;
      if ((j < end) & (i < height()) & ((CAUSAL == 0u) | (j <= i))) {
        let one = score(row, c) + mask_load(b, i, j);
        let peak = max(high, one);
        let shrink = exp_f32(high - peak);
        let weight = exp_f32(one - peak);
        high = peak;
        total = total * shrink + weight;
        mean = mean * shrink + weight * slope(row, c);
      }
    }
  }
  found[local] = vec4f(high, total, mean, 0.0);
  workgroupBarrier();
  for (var l = 0u; l < LANES; l++) { high = max(high, found[row * LANES + l].x); }
  total = 0.0;
  mean = 0.0;
  for (var l = 0u; l < LANES; l++) {
    let one = found[row * LANES + l];
    let shrink = exp_f32(one.x - high);
    total += one.y * shrink;
    mean += one.z * shrink;
  }
  let inverse = 1.0 / select(total, 1.0, total == 0.0);
  mean *= inverse;
  if ((lane == 0u) & (i < height())) {
    facts_store(b, i, 0u, high);
    facts_store(b, i, 1u, inverse);
    facts_store(b, i, 2u, mean);
  }
  if (WANTED == 0u) { return; }
  var sums: array<vec4f, PART>;
  for (var first = 0u; first < end; first += KEYS) {
    workgroupBarrier();
    take(b, first, end, local);
    workgroupBarrier();
    for (var c = lane; c < KEYS; c += LANES) {
      let j = first + c;
      var one = 0.0;
      if ((j < end) & (i < height()) & ((CAUSAL == 0u) | (j <= i))) {
        one = exp_f32(score(row, c) + mask_load(b, i, j) - high) * inverse * (slope(row, c) - mean);
      }
      slopes[row * KEYS + c] = one;
    }
    workgroupBarrier();
    for (var c = 0u; c < min(KEYS, end - first); c++) {
      let one = slopes[row * KEYS + c];
      for (var p = 0u; p < PART; p++) { sums[p] += one * keys[c * DEEP + min(p * LANES + lane, DEEP - 1u)]; }
    }
  }
  if (i < height()) {
    for (var p = 0u; p < PART; p++) {
      let j = (p * LANES + lane) * 4u;
      for (var e = 0u; e < 4u; e++) { if (j + e < DEPTH) { dq_store(b, i, j + e, sums[p][e] * scale()); } }
    }
  }
}
