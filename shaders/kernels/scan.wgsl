//! scan: out[row, i] = combine of x[row, 0] to x[row, i]: a running sum, product, maximum, ...
//!
//! Each thread combines a run of neighbouring elements, the workgroup scans what its threads found,
//! and each thread goes over its run again with what came before it. A row longer than SPAN takes
//! three passes: the totals of its spans, a scan of those (this kernel again, over one row
//! of spans), and the spans with the totals before them.
//!
//! @overrides  PASS   0 a span is a whole row; 1 only the totals of the spans; 2 spans with totals before them
//! @bindings   0 x read   1 out read and write   2 totals read and write, not in pass 0
//! @dispatch   one workgroup for each SPAN elements of each row, folded over x and y
//! @blocks     bindings; dims: SPAN is a multiple of THREADS; load; store; combine: associative, with
//!             identity(); totals: drop it where PASS is 0; join: scans `found` in place
//! @reference  np.cumsum(x, axis=-1)

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read_write> out: array<elem>;
@group(0) @binding(2) var<storage, read_write> totals: array<elem>;
//@end

//@begin dims
fn rows() -> u32 { return 3u; }
fn length() -> u32 { return 50u; }
const SPAN = 16u;
const THREADS = 8u;
//@end

//@begin load
fn load(row: u32, i: u32) -> elem {
  return x[row * length() + i];
}
//@end

//@begin store
fn store(row: u32, i: u32, acc: elem) {
  out[row * length() + i] = acc;
}
//@end

//@begin combine
fn identity() -> elem { return 0.0; }
fn combine(a: elem, b: elem) -> elem { return a + b; }
//@end

//@begin totals
fn total_before(row: u32, span: u32) -> elem { return totals[row * spans() + span - 1u]; }
fn store_total(row: u32, span: u32, acc: elem) { totals[row * spans() + span] = acc; }
//@end

override PASS: u32 = 0u;

fn spans() -> u32 { return (length() + SPAN - 1u) / SPAN; }
const RUN = SPAN / THREADS;

var<workgroup> found: array<elem, THREADS>;

//@begin join
fn join_found(local: u32) {
  for (var step = 1u; step < THREADS; step *= 2u) {
    var mine = found[local];
    if (local >= step) { mine = combine(found[local - step], mine); }
    workgroupBarrier();
    found[local] = mine;
    workgroupBarrier();
  }
}
//@end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  if (number >= rows() * spans()) { return; }
  let row = number / spans();
  let span = number % spans();
  let start = min(span * SPAN + local * RUN, length());
  let end = min(start + RUN, length());
  var acc = identity();
  for (var i = start; i < end; i++) { acc = combine(acc, load(row, i)); }
  found[local] = acc;
  workgroupBarrier();
  join_found(local);
  if (PASS == 1u) {
    if (local == 0u) { store_total(row, span, found[THREADS - 1u]); }
    return;
  }
  acc = identity();
  if (local > 0u) { acc = found[local - 1u]; }
  if (PASS == 2u && span > 0u) { acc = combine(total_before(row, span), acc); }
  for (var i = start; i < end; i++) {
    acc = combine(acc, load(row, i));
    store(row, i, acc);
  }
}
