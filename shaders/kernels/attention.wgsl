//! attention: y[b, i] = softmax over j of (scale * q[b, i] · k[b, j] + mask[b, i, j]), times v[b, j].
//!
//! A workgroup has ROWS rows of q and goes through k and v in tiles of KEYS rows, with the largest score so far
//! and the sums relative to it (Milakov and Gimelshein 2018), so no score leaves it. LANES threads share a row:
//! each has every LANES-th score of a tile, and every LANES-th four of elements of y, PART in all.
//!
//! @bindings   0 q read   1 k read   2 v read   3 y write
//! @dispatch   count() * tiles() workgroups, folded over x and y
//! @blocks     bindings; dims: DEEP and WIDE are the fours of DEPTH and WIDTH, LANES * PART at least WIDE; CAUSAL is 1 if row i sees the columns up to i;
//!             sizes: count() matrices, height() rows of q, tiles() times ROWS at least as many, and length() rows
//!             of k; scale; q, k, v, mask, y: how they are read and written
//! @reference  attention(q, k, v)

//@begin bindings
@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
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

//@begin mask
fn mask_load(b: u32, i: u32, j: u32) -> f32 { return 0.0; }
//@end

//@begin y
fn y_store(b: u32, i: u32, j: u32, value: f32) { y[(b * 19u + i) * 5u + j] = value; }
//@end

const THREADS = ROWS * LANES;
const LOWEST = -3.4e38;

var<workgroup> queries: array<vec4f, ROWS * DEEP>;
var<workgroup> keys: array<vec4f, KEYS * DEEP>;
var<workgroup> values: array<vec4f, KEYS * WIDE>;
var<workgroup> scores: array<f32, ROWS * KEYS>;

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
  var high = LOWEST;
  var total = 0.0;
  var sums: array<vec4f, PART>;
  var end = length();
  if (CAUSAL == 1u) { end = min(end, top + ROWS); }
  for (var first = 0u; first < end; first += KEYS) {
    workgroupBarrier();
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
    workgroupBarrier();
    for (var c = lane; c < KEYS; c += LANES) {
      let j = first + c;
      var score = -inf();
      if (j < end && i < height() && (CAUSAL == 0u || j <= i)) {
        var parts = vec4f();
        for (var e = 0u; e < DEEP; e++) { parts += queries[row * DEEP + e] * keys[c * DEEP + e]; }
        score = (parts.x + parts.y) + (parts.z + parts.w) + mask_load(b, i, j);
      }
      scores[row * KEYS + c] = score;
    }
    workgroupBarrier();
    var peak = high;
    for (var c = 0u; c < KEYS; c++) { peak = max(peak, scores[row * KEYS + c]); }
    let shrink = exp_f32(high - peak);
    high = peak;
    total *= shrink;
    for (var p = 0u; p < PART; p++) { sums[p] *= shrink; }
    for (var c = 0u; c < min(KEYS, end - first); c++) {
      let weight = exp_f32(scores[row * KEYS + c] - high);
      total += weight;
      for (var p = 0u; p < PART; p++) { sums[p] += weight * values[c * WIDE + min(p * LANES + lane, WIDE - 1u)]; }
    }
  }
  if (i < height()) {
    let whole = select(total, 1.0, total == 0.0);
    for (var p = 0u; p < PART; p++) {
      let j = (p * LANES + lane) * 4u;
      for (var e = 0u; e < 4u; e++) { if (j + e < WIDTH) { y_store(b, i, j + e, sums[p][e] / whole); } }
    }
  }
}
