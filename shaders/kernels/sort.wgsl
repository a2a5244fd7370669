//! sort: for each row the places of its elements in ascending order of their keys; equal keys keep their order.
//!
//! A bitonic network in which every comparator points the same way (its first step in each stage
//! mirrors the run), so that rows of any length need no padding: what lies past the end never moves.
//! Places are compared with their keys, which makes the order total and the sort stable.
//! A row of at most BLOCK elements takes the first pass only; see `lower/passes.py` for the rest.
//!
//! @overrides  PASS   0 sort each block of BLOCK elements; 1 one step over all of a row;
//!                    2 the remaining steps of a stage, inside each block
//! @bindings   0 keys read   1 places read and write   2 params uniform: size, stride; only used by pass 1
//! @dispatch   one workgroup for each BLOCK elements of each row, folded over x and y
//! @blocks     bindings; dims: BLOCK is a power of two; load_key: an unsigned integer that sorts as
//!             the element does, such as `sort_key_f32` gives; load_place; store_place
//! @reference  np.argsort(keys, axis=-1, stable=True)

//@begin bindings
@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> places: array<u32>;
@group(0) @binding(2) var<uniform> params: vec4u;
//@end

//@begin dims
fn rows() -> u32 { return 3u; }
fn length() -> u32 { return 20u; }
const BLOCK = 8u;
//@end

//@begin load_key
fn load_key(row: u32, place: u32) -> u32 {
  return keys[row * length() + place];
}
//@end

//@begin load_place
fn load_place(row: u32, i: u32) -> u32 {
  return places[row * length() + i];
}
//@end

//@begin store_place
fn store_place(row: u32, i: u32, place: u32) {
  places[row * length() + i] = place;
}
//@end

//@begin params
fn size() -> u32 { return params.x; }
fn stride() -> u32 { return params.y; }
//@end

override PASS: u32 = 0u;

const HALF = BLOCK / 2u;
fn blocks() -> u32 { return (length() + BLOCK - 1u) / BLOCK; }

// Key and place; past the end both are the largest, so that they stay there.
var<workgroup> block: array<vec2u, BLOCK>;

fn before(a: vec2u, b: vec2u) -> bool {
  return a.x < b.x || (a.x == b.x && a.y < b.y);
}

fn order(i: u32, j: u32) {
  let a = block[i];
  let b = block[j];
  if (before(b, a)) {
    block[i] = b;
    block[j] = a;
  }
}

@compute @workgroup_size(HALF)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  if (number >= rows() * blocks()) { return; }
  let row = number / blocks();
  let start = number % blocks() * BLOCK;
  if (PASS == 1u) {
    step_over_row(row, start / 2u + local);
    return;
  }
  for (var i = local; i < BLOCK; i += HALF) {
    block[i] = vec2u(0xffffffffu);
    if (start + i < length()) {
      var place = start + i;
      if (PASS == 2u) { place = load_place(row, start + i); }
      block[i] = vec2u(load_key(row, place), place);
    }
  }
  workgroupBarrier();
  if (PASS == 0u) {
    for (var run = 2u; run <= BLOCK; run *= 2u) {
      let half = run / 2u;
      let low = local / half * run + local % half;
      order(low, low ^ (run - 1u));
      workgroupBarrier();
      steps_in_block(half / 2u, local);
    }
  } else {
    steps_in_block(HALF, local);
  }
  for (var i = local; i < BLOCK; i += HALF) {
    if (start + i < length()) { store_place(row, start + i, block[i].y); }
  }
}

fn steps_in_block(first: u32, local: u32) {
  for (var step = first; step > 0u; step /= 2u) {
    let low = local / step * step * 2u + local % step;
    order(low, low + step);
    workgroupBarrier();
  }
}

// Comparator `number` of a row: the first step of a stage, whose stride() is 0, mirrors runs of
// size(), outwards from their middles, so that the first comparators reach all of a short last run.
fn step_over_row(row: u32, number: u32) {
  let mirror = stride() == 0u;
  let half = select(stride(), size() / 2u, mirror);
  let run = number / half * half * 2u;
  let offset = number % half;
  let low = run + select(offset, half - 1u - offset, mirror);
  let high = run + half + offset;
  if (high >= length()) { return; }
  let a = load_place(row, low);
  let b = load_place(row, high);
  if (before(vec2u(load_key(row, b), b), vec2u(load_key(row, a), a))) {
    store_place(row, low, b);
    store_place(row, high, a);
  }
}
