//! radix: for each row the places of its elements in ascending order of their keys; equal keys keep their order.
//!
//! One digit of the keys after the other, from the lowest: each thread counts the digits in a run of neighbouring
//! elements, the counts are summed up in the order of digits, spans and threads, and each thread puts the places of
//! its run where the sums say. Counts alone decide, so equal keys keep their order and reruns are bit-identical.
//! A row that is one span takes one dispatch for all digits, others three for each.
//!
//! @overrides  PASS   0 count the digits of each span; 1 sum up the counts of each row; 2 put the places of each span;
//!                    3 all digits of rows of one span
//! @bindings   0 keys read   1 places read and write   2 work read and write: the counts, then the places after every
//!             other digit   3 params uniform: the number of the digit; not used by passes 1 and 3
//! @dispatch   one workgroup for each span of each row, for each row in passes 1 and 3, folded over x and y
//! @blocks     bindings; dims: run() is the number of elements of a thread, spans() of a row; DIGITS is a power of two, 2^BITS;
//!             COUNT is how many digits are sorted by, from the lowest; load_key, load_place,
//!             store_place: as in `sort`; params
//! @reference  np.argsort(keys, axis=-1, stable=True)

//@begin bindings
@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> places: array<u32>;
@group(0) @binding(2) var<storage, read_write> work: array<u32>;
@group(0) @binding(3) var<uniform> params: vec4u;
//@end

//@begin dims
fn rows() -> u32 { return 3u; }
fn length() -> u32 { return 20u; }
fn spans() -> u32 { return 2u; }
fn run() -> u32 { return 3u; }
const THREADS = 4u;
const BITS = 4u;
const COUNT = 8u;
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
fn number() -> u32 { return params.x; }
//@end

override PASS: u32 = 0u;

const DIGITS = 1u << BITS;

// The counts of each digit, one for each thread; then where the thread's next element with this digit goes.
var<workgroup> counts: array<u32, DIGITS * THREADS>;
var<workgroup> totals: array<u32, THREADS>;

fn digit(row: u32, place: u32, number: u32) -> u32 {
  return (load_key(row, place) >> (number * BITS)) & (DIGITS - 1u);
}

// The work of the places begins after the counts of all rows.
fn other(row: u32, i: u32) -> u32 {
  return (rows() * spans()) * DIGITS + row * length() + i;
}

// After the last digit the places are in the result, after the one before it in `work`, and so on.
fn in_result(number: u32) -> bool { return (COUNT - number) % 2u == 1u; }

fn place_before(row: u32, i: u32, number: u32) -> u32 {
  if (number == 0u) { return i; }
  if (in_result(number)) { return work[other(row, i)]; }
  return load_place(row, i);
}

fn put(row: u32, i: u32, place: u32, number: u32) {
  if (in_result(number)) { store_place(row, i, place); } else { work[other(row, i)] = place; }
}

fn count_run(row: u32, start: u32, end: u32, number: u32, local: u32) {
  for (var d = 0u; d < DIGITS; d++) { counts[d * THREADS + local] = 0u; }
  for (var i = start; i < end; i++) {
    counts[digit(row, place_before(row, i, number), number) * THREADS + local]++;
  }
  workgroupBarrier();
}

fn put_run(row: u32, start: u32, end: u32, number: u32, local: u32) {
  for (var i = start; i < end; i++) {
    let place = place_before(row, i, number);
    let at = digit(row, place, number) * THREADS + local;
    put(row, counts[at], place, number);
    counts[at]++;
  }
}

// Each thread goes over an equal part of the counts, first for its total.
fn sum_up(first: u32, count: u32, local: u32) {
  let each = (count + THREADS - 1u) / THREADS;
  let start = min(local * each, count);
  let end = min(start + each, count);
  var sum = 0u;
  for (var i = start; i < end; i++) { sum += work[first + i]; }
  totals[local] = sum;
  workgroupBarrier();
  sum = 0u;
  for (var t = 0u; t < local; t++) { sum += totals[t]; }
  for (var i = start; i < end; i++) {
    let one = work[first + i];
    work[first + i] = sum;
    sum += one;
  }
}

fn sum_up_block(local: u32) {
  var sum = 0u;
  for (var i = local * DIGITS; i < (local + 1u) * DIGITS; i++) { sum += counts[i]; }
  totals[local] = sum;
  workgroupBarrier();
  sum = 0u;
  for (var t = 0u; t < local; t++) { sum += totals[t]; }
  for (var i = local * DIGITS; i < (local + 1u) * DIGITS; i++) {
    let one = counts[i];
    counts[i] = sum;
    sum += one;
  }
  workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let index = group.y * groups.x + group.x;
  if (PASS == 1u) {
    if (index >= rows()) { return; }
    sum_up(index * DIGITS * spans(), DIGITS * spans(), local);
    return;
  }
  if (index >= rows() * spans()) { return; }
  let row = index / spans();
  let span = index % spans();
  let start = min((span * THREADS + local) * run(), length());
  let end = min(start + run(), length());
  if (PASS == 3u) {
    for (var n = 0u; n < COUNT; n++) {
      count_run(row, start, end, n, local);
      sum_up_block(local);
      put_run(row, start, end, n, local);
      storageBarrier();
      workgroupBarrier();
    }
    return;
  }
  count_run(row, start, end, number(), local);
  for (var d = local; d < DIGITS; d += THREADS) {
    let at = (row * DIGITS + d) * spans() + span;
    var sum = 0u;
    if (PASS == 2u) { sum = work[at]; }
    for (var t = 0u; t < THREADS; t++) {
      let one = counts[d * THREADS + t];
      counts[d * THREADS + t] = sum;
      sum += one;
    }
    if (PASS == 0u) { work[at] = sum; }
  }
  if (PASS == 2u) {
    workgroupBarrier();
    put_run(row, start, end, number(), local);
  }
}
