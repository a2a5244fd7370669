//! reflections: a panel as q r by Householder's reflections 1 - tau v vᴴ, in place as LAPACK has it: r with the
//! vectors below its diagonal, whose first element, 1, is left out.
//!
//! A lane has some rows of one column, and what the lanes of a column find is added up. Small panels lie in
//! workgroup memory (HELD is 1), those of MANY matrices side by side. For what comes after a panel its vectors are
//! written out (BLOCK is 1), with the triangle t for which the product of all reflections is 1 - v t vᴴ. Small
//! matrices get the factors q and r themselves (FORM is 1).
//!
//! @bindings   0 q read and write, or another matrix   1 a read and write   2 tau write   3 r write, or another
//! @dispatch   one workgroup for each MANY matrices, folded over x and y
//! @blocks     bindings; dims: NB columns and ROWS rows at most, LANES is a multiple of NB, and of 16 above 32;
//!             sizes: count() matrices, height() rows, width() columns, reflected() columns to reduce; a, tau: how
//!             they are read and written; source: where the elements are at first, if HELD; more: v, t, q and r;
//!             arithmetic: of complex elements
//! @reference  scipy.linalg.qr(a, mode="raw")

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read_write> q: array<elem>;
@group(0) @binding(1) var<storage, read_write> a: array<elem>;
@group(0) @binding(2) var<storage, read_write> tau: array<elem>;
@group(0) @binding(3) var<storage, read_write> r: array<elem>;
//@end

//@begin dims
const NB = 8u;
const ROWS = 8u;
const MANY = 2u;
const LANES = 16u;
const HELD = 1u;
const BLOCK = 0u;
const FORM = 1u;
//@end

//@begin sizes
fn count() -> u32 { return 5u; }
fn height() -> u32 { return 6u; }
fn width() -> u32 { return 4u; }
fn reflected() -> u32 { return 4u; }
//@end

//@begin a
fn a_load(b: u32, i: u32, j: u32) -> elem { return a[(b * 6u + i) * 4u + j]; }
fn a_store(b: u32, i: u32, j: u32, value: elem) { a[(b * 6u + i) * 4u + j] = value; }
//@end

//@begin source
fn source_load(b: u32, i: u32, j: u32) -> elem { return a[(b * 6u + i) * 4u + j]; }
//@end

//@begin tau
fn tau_store(b: u32, i: u32, j: u32, value: elem) { tau[b * 4u + i] = value; }
//@end

//@begin more
fn v_store(b: u32, i: u32, j: u32, value: elem) {}
fn t_store(b: u32, i: u32, j: u32, value: elem) {}
fn q_store(b: u32, i: u32, j: u32, value: elem) { q[(b * 6u + i) * 4u + j] = value; }
fn r_store(b: u32, i: u32, j: u32, value: elem) { r[(b * 4u + i) * 4u + j] = value; }
//@end

//@begin arithmetic
fn times(x: elem, y: elem) -> elem { return x * y; }
fn over(x: elem, y: elem) -> elem { return x / y; }
fn size(x: elem) -> f32 { return abs(x); }
fn conjugate(x: elem) -> elem { return x; }
fn real(x: elem) -> f32 { return x; }
fn imaginary(x: elem) -> f32 { return 0.0; }
fn whole(x: f32) -> elem { return x; }
//@end

const PITCH = NB + 1u;
const DOWN = LANES / NB;
const CELLS = select(1u, MANY * ROWS * PITCH, HELD == 1u);
const CORNERS = select(1u, MANY * NB * NB, BLOCK == 1u);

var<workgroup> cells: array<elem, CELLS>;
var<workgroup> corners: array<elem, CORNERS>;
var<workgroup> factors: array<elem, MANY * NB>;
var<workgroup> norms: array<vec2f, MANY * LANES>;
var<workgroup> sums: array<elem, MANY * LANES>;

fn cell(b: u32, slot: u32, i: u32, j: u32) -> elem {
  if (HELD == 1u) { return cells[(slot * ROWS + i) * PITCH + j]; }
  return a_load(b, i, j);
}

fn keep(b: u32, slot: u32, i: u32, j: u32, value: elem) {
  if (HELD == 1u) {
    cells[(slot * ROWS + i) * PITCH + j] = value;
  } else {
    a_store(b, i, j, value);
  }
}

fn meet() {
  workgroupBarrier();
  if (HELD == 0u) { storageBarrier(); }
}

@compute @workgroup_size(MANY * LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  if (number * MANY >= count()) { return; }
  let slot = local / LANES;
  let lane = local % LANES;
  let column = lane % NB;
  let down = lane / NB;
  let b = number * MANY + slot;
  let mine = b < count();
  let inside = mine && column < width();
  if (HELD == 1u && inside) {
    for (var i = down; i < height(); i += DOWN) {
      keep(b, slot, i, column, source_load(b, i, column));
    }
  }
  for (var k = 0u; k < reflected(); k++) {
    meet();
    var head = elem();
    var norm = NOTHING;
    if (mine) {
      head = cell(b, slot, k, k);
      for (var i = k + 1u + lane; i < height(); i += LANES) { norm = joined(norm, square(cell(b, slot, i, k))); }
    }
    norms[local] = norm;
    workgroupBarrier();
    let rest = summed(slot, lane);
    let all = joined(rest, square(head));
    // a head that is not real is turned to be so
    let turned = abs(imaginary(head));
    // what is shorter than any normal number has too few digits for a direction: it counts as zero
    let short = all.x <= NOTHING.x && all.y < 1.0;
    var factor = elem();
    if (short) {
      if (mine) {
        for (var i = k + 1u + lane; i < height(); i += LANES) { keep(b, slot, i, k, elem()); }
        if (lane == 0u) { keep(b, slot, k, k, whole(real(head))); }
      }
    } else if (rest.y > 0.0 || turned > 0.0 || is_nan(rest.y) || is_nan(turned)) {
      let first = head * inverse(all.x);
      let extent = sqrt(all.y);
      let beta = select(extent, -extent, real(head) >= 0.0);
      factor = (whole(beta) - first) / beta;
      if (mine) {
        for (var i = k + 1u + lane; i < height(); i += LANES) {
          keep(b, slot, i, k, over(cell(b, slot, i, k) * inverse(all.x), first - whole(beta)));
        }
        if (lane == 0u) { keep(b, slot, k, k, whole(beta * all.x)); }
      }
    }
    if (mine && lane == 0u) {
      factors[slot * NB + k] = factor;
      tau_store(b, k, 0u, factor);
    }
    meet();
    var sum = elem();
    if (inside && column != k) { sum = product(b, slot, k, column, down); }
    sums[local] = sum;
    workgroupBarrier();
    if (inside && column > k) { reflect(b, slot, k, column, down, times(conjugate(factor), added(slot, column))); }
    if (BLOCK == 1u && mine && down == 0u && column <= k) { corner(slot, k, column, factor); }
  }
  meet();
  if (inside && BLOCK == 1u) { write_block(b, slot, column, down); }
  if (inside && HELD == 1u && FORM == 0u) {
    for (var i = down; i < height(); i += DOWN) {
      a_store(b, i, column, cell(b, slot, i, column));
    }
  }
  if (FORM == 1u) {
    if (inside) {
      for (var i = down; i < reflected(); i += DOWN) {
        r_store(b, i, column, select(elem(), cell(b, slot, i, column), column >= i));
      }
    }
    for (var turn = 0u; turn < reflected(); turn++) {
      form(b, slot, reflected() - 1u - turn, lane, local, inside);
    }
    meet();
    if (inside && column < reflected()) {
      for (var i = down; i < height(); i += DOWN) {
        q_store(b, i, column, cell(b, slot, i, column));
      }
    }
  }
}

// A sum of squares is x² y, where x is the power of two just below the largest number, or the least normal one: no
// square overflows or is lost, and no scaling rounds.
const NOTHING = vec2f(0x1p-126f, 0.0);

fn square(value: elem) -> vec2f {
  let bits = max(bitcast<u32>(abs(real(value))), bitcast<u32>(abs(imaginary(value))));
  let power = bitcast<f32>(clamp(bits >> 23u, 1u, 253u) << 23u);
  let part = value * inverse(power);
  return vec2f(power, real(part) * real(part) + imaginary(part) * imaginary(part));
}

// 1 / x of a power of two.
fn inverse(power: f32) -> f32 { return bitcast<f32>((254u << 23u) - bitcast<u32>(power)); }

fn joined(one: vec2f, other: vec2f) -> vec2f {
  let more = other.x > one.x;
  let large = select(one, other, more);
  let small = select(other, one, more);
  let part = small.x * inverse(large.x);
  return vec2f(large.x, large.y + small.y * part * part);
}

fn summed(slot: u32, lane: u32) -> vec2f {
  let start = slot * LANES;
  var norm = NOTHING;
  if (LANES > 32u) {
    // sixteen lanes add first, each its part
    let part = LANES / 16u;
    if (lane < 16u) {
      let at = start + lane * part;
      for (var t = 0u; t < part; t++) { norm = joined(norm, norms[at + t]); }
      norms[at] = norm;
    }
    workgroupBarrier();
    norm = NOTHING;
    for (var t = 0u; t < 16u; t++) { norm = joined(norm, norms[start + t * part]); }
  } else {
    for (var t = 0u; t < LANES; t++) { norm = joined(norm, norms[start + t]); }
  }
  return norm;
}

// The part of one lane in the product of the conjugate of vector k with a column.
fn product(b: u32, slot: u32, k: u32, column: u32, down: u32) -> elem {
  var sum = elem();
  if (down == 0u) { sum = cell(b, slot, k, column); }
  for (var i = k + 1u + down; i < height(); i += DOWN) {
    sum += times(conjugate(cell(b, slot, i, k)), cell(b, slot, i, column));
  }
  return sum;
}

fn added(slot: u32, column: u32) -> elem {
  var sum = elem();
  for (var t = 0u; t < DOWN; t++) { sum += sums[slot * LANES + t * NB + column]; }
  return sum;
}

// Subtract vector k times a number from a column.
fn reflect(b: u32, slot: u32, k: u32, column: u32, down: u32, number: elem) {
  if (down == 0u) { keep(b, slot, k, column, cell(b, slot, k, column) - number); }
  for (var i = k + 1u + down; i < height(); i += DOWN) {
    keep(b, slot, i, column, cell(b, slot, i, column) - times(cell(b, slot, i, k), number));
  }
}

// Column k of t: the products of vector k with those before it, times the t of those.
fn corner(slot: u32, k: u32, row: u32, factor: elem) {
  let start = slot * NB * NB;
  var value = factor;
  if (row < k) {
    value = elem();
    for (var j = row; j < k; j++) { value -= times(corners[start + row * NB + j], conjugate(added(slot, j))); }
    value = times(value, factor);
  }
  corners[start + row * NB + k] = value;
}

fn write_block(b: u32, slot: u32, column: u32, down: u32) {
  for (var i = down; i < height(); i += DOWN) {
    var value = elem();
    if (i == column) { value = whole(1.0); }
    if (i > column) { value = cell(b, slot, i, column); }
    v_store(b, i, column, value);
  }
  for (var i = down; i < width(); i += DOWN) {
    var value = elem();
    if (i <= column) { value = corners[slot * NB * NB + i * NB + column]; }
    t_store(b, i, column, value);
  }
}

// Put column k of q in the place of vector k; the columns behind it are those of q already.
fn form(b: u32, slot: u32, k: u32, lane: u32, local: u32, inside: bool) {
  let column = lane % NB;
  let down = lane / NB;
  let behind = inside && column > k && column < reflected();
  meet();
  // row k of the columns behind is what is left of r there: zero in q
  if (behind && down == 0u) { keep(b, slot, k, column, elem()); }
  meet();
  var sum = elem();
  if (behind) { sum = product(b, slot, k, column, down); }
  sums[local] = sum;
  workgroupBarrier();
  let factor = factors[slot * NB + k];
  if (behind) { reflect(b, slot, k, column, down, times(factor, added(slot, column))); }
  meet();
  if (inside && column == k) {
    for (var i = down; i < height(); i += DOWN) {
      var value = elem();
      if (i == k) { value = whole(1.0) - factor; }
      if (i > k) { value = times(-factor, cell(b, slot, i, k)); }
      keep(b, slot, i, k, value);
    }
  }
}
