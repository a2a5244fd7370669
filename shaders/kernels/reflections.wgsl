//! reflections: a panel as q r by Householder's reflections 1 - tau v vᴴ, in place as LAPACK has it: r with the
//! vectors below its diagonal, whose first element, 1, is left out.
//!
//! A lane has some rows of one column of ACROSS, and what the lanes of a column find is added up. Small panels lie
//! in workgroup memory (HELD is 1), those of MANY matrices side by side. For what comes after a panel its vectors
//! are written out (BLOCK is 1), with the triangle t for which the product of all reflections is 1 - v t vᴴ. Small
//! matrices get the factors q and r themselves (FORM is 1).
//!
//! @bindings   0 q read and write, or another matrix   1 a read and write   2 tau write   3 r write, or another
//! @dispatch   one workgroup for each MANY matrices, folded over x and y
//! @blocks     bindings; dims: NB columns and ROWS rows at most, LANES is a multiple of ACROSS, and of 16 above
//!             32; sizes: count() matrices, height() rows, width() columns, reflected() columns to reduce; a, tau:
//!             how they are read and written; source: where the elements are at first, if HELD; more: v, t, q and r;
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
const ACROSS = 8u;
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
const DOWN = LANES / ACROSS;
// So many rows are added up on their own: what is rounded grows with the number of sums in a row.
const PART = 16u;
const CELLS = select(1u, MANY * ROWS * PITCH, HELD == 1u);
const CORNERS = select(1u, MANY * NB * NB, BLOCK == 1u);

var<workgroup> cells: array<elem, CELLS>;
var<workgroup> corners: array<elem, CORNERS>;
var<workgroup> factors: array<elem, MANY * NB>;
var<workgroup> norms: array<vec2f, MANY * LANES>;
var<workgroup> sums: array<elem, MANY * DOWN * NB>;

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
  let across = lane % ACROSS;
  let down = lane / ACROSS;
  let b = number * MANY + slot;
  let mine = b < count();
  // the columns of those that have no matrix
  let columns = select(0u, width(), mine);
  if (HELD == 1u) {
    for (var j = across; j < columns; j += ACROSS) {
      for (var i = down; i < height(); i += DOWN) { keep(b, slot, i, j, source_load(b, i, j)); }
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
    // the triangle takes the products with the columns before, too
    let start = select(next(k + 1u, across), across, BLOCK == 1u);
    multiply(b, slot, k, start, columns, down);
    gather(slot, lane);
    reflect(b, slot, k, next(k + 1u, across), columns, down, conjugate(factor));
    if (BLOCK == 1u && mine) {
      for (var j = lane; j <= k; j += LANES) { corner(slot, k, j, factor); }
    }
  }
  meet();
  for (var j = across; j < columns; j += ACROSS) { write(b, slot, j, down); }
  if (FORM == 1u) {
    for (var turn = 0u; turn < reflected(); turn++) {
      form(b, slot, reflected() - 1u - turn, lane, min(columns, reflected()));
    }
    meet();
    for (var j = across; j < min(columns, reflected()); j += ACROSS) {
      for (var i = down; i < height(); i += DOWN) { q_store(b, i, j, cell(b, slot, i, j)); }
    }
  }
}

// The first column from `start` on that a lane has.
fn next(start: u32, across: u32) -> u32 { return start + (across + ACROSS - start % ACROSS) % ACROSS; }

// What becomes of column j when all columns are reduced.
fn write(b: u32, slot: u32, j: u32, down: u32) {
  if (BLOCK == 1u) { write_block(b, slot, j, down); }
  if (HELD == 1u && FORM == 0u) {
    for (var i = down; i < height(); i += DOWN) { a_store(b, i, j, cell(b, slot, i, j)); }
  }
  if (FORM == 1u) {
    for (var i = down; i < reflected(); i += DOWN) {
      r_store(b, i, j, select(elem(), cell(b, slot, i, j), j >= i));
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

// The parts of one lane in the products of the conjugate of vector k with columns, four at a time where it has so
// many: the last one stands for those that are not there.
fn multiply(b: u32, slot: u32, k: u32, start: u32, columns: u32, down: u32) {
  let sums_at = (slot * DOWN + down) * NB;
  if (ACROSS == NB) {
    if (start < columns && start != k) { sums[sums_at + start] = product(b, slot, k, start, down); }
    return;
  }
  for (var j = start; j < columns; j += 4u * ACROSS) {
    let j1 = select(j, j + ACROSS, j + ACROSS < columns);
    let j2 = select(j, j + 2u * ACROSS, j + 2u * ACROSS < columns);
    let j3 = select(j, j + 3u * ACROSS, j + 3u * ACROSS < columns);
    var sum = elem();
    var sum1 = elem();
    var sum2 = elem();
    var sum3 = elem();
    if (down == 0u) {
      sum = cell(b, slot, k, j);
      sum1 = cell(b, slot, k, j1);
      sum2 = cell(b, slot, k, j2);
      sum3 = cell(b, slot, k, j3);
    }
    for (var top = k + 1u + down; top < height(); top += PART * DOWN) {
      var part = elem();
      var part1 = elem();
      var part2 = elem();
      var part3 = elem();
      for (var i = top; i < min(top + PART * DOWN, height()); i += DOWN) {
        let factor = conjugate(cell(b, slot, i, k));
        part += times(factor, cell(b, slot, i, j));
        part1 += times(factor, cell(b, slot, i, j1));
        part2 += times(factor, cell(b, slot, i, j2));
        part3 += times(factor, cell(b, slot, i, j3));
      }
      sum += part;
      sum1 += part1;
      sum2 += part2;
      sum3 += part3;
    }
    sums[sums_at + j] = sum;
    sums[sums_at + j1] = sum1;
    sums[sums_at + j2] = sum2;
    sums[sums_at + j3] = sum3;
  }
}

fn product(b: u32, slot: u32, k: u32, column: u32, down: u32) -> elem {
  var sum = elem();
  if (down == 0u) { sum = cell(b, slot, k, column); }
  for (var i = k + 1u + down; i < height(); i += DOWN) {
    sum += times(conjugate(cell(b, slot, i, k)), cell(b, slot, i, column));
  }
  return sum;
}

// Add up what the lanes of each column have found.
fn gather(slot: u32, lane: u32) {
  if (DOWN > 1u || BLOCK == 1u) { workgroupBarrier(); }
  if (DOWN == 1u) { return; }
  let start = slot * DOWN * NB;
  for (var j = lane; j < NB; j += LANES) {
    var sum = elem();
    for (var t = 0u; t < DOWN; t++) { sum += sums[start + t * NB + j]; }
    sums[start + j] = sum;
  }
  workgroupBarrier();
}

fn added(slot: u32, column: u32) -> elem { return sums[slot * DOWN * NB + column]; }

// Subtract from columns vector k times a number and their products with it.
fn reflect(b: u32, slot: u32, k: u32, start: u32, columns: u32, down: u32, factor: elem) {
  if (ACROSS == NB) {
    if (start < columns) { subtract(b, slot, k, start, down, times(factor, added(slot, start))); }
    return;
  }
  for (var j = start; j < columns; j += 4u * ACROSS) {
    let j1 = j + ACROSS;
    let j2 = j + 2u * ACROSS;
    let j3 = j + 3u * ACROSS;
    if (j3 < columns) {
      let n0 = times(factor, added(slot, j));
      let n1 = times(factor, added(slot, j1));
      let n2 = times(factor, added(slot, j2));
      let n3 = times(factor, added(slot, j3));
      if (down == 0u) {
        keep(b, slot, k, j, cell(b, slot, k, j) - n0);
        keep(b, slot, k, j1, cell(b, slot, k, j1) - n1);
        keep(b, slot, k, j2, cell(b, slot, k, j2) - n2);
        keep(b, slot, k, j3, cell(b, slot, k, j3) - n3);
      }
      for (var i = k + 1u + down; i < height(); i += DOWN) {
        let v = cell(b, slot, i, k);
        keep(b, slot, i, j, cell(b, slot, i, j) - times(v, n0));
        keep(b, slot, i, j1, cell(b, slot, i, j1) - times(v, n1));
        keep(b, slot, i, j2, cell(b, slot, i, j2) - times(v, n2));
        keep(b, slot, i, j3, cell(b, slot, i, j3) - times(v, n3));
      }
    } else {
      for (var c = j; c < columns; c += ACROSS) { subtract(b, slot, k, c, down, times(factor, added(slot, c))); }
    }
  }
}

fn subtract(b: u32, slot: u32, k: u32, column: u32, down: u32, number: elem) {
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
fn form(b: u32, slot: u32, k: u32, lane: u32, columns: u32) {
  let across = lane % ACROSS;
  let down = lane / ACROSS;
  let start = next(k + 1u, across);
  meet();
  // row k of the columns behind is what is left of r there: zero in q
  if (down == 0u) {
    for (var j = start; j < columns; j += ACROSS) { keep(b, slot, k, j, elem()); }
  }
  if (DOWN > 1u) { meet(); }
  multiply(b, slot, k, start, columns, down);
  gather(slot, lane);
  let factor = factors[slot * NB + k];
  reflect(b, slot, k, start, columns, down, factor);
  meet();
  if (k % ACROSS == across && k < columns) {
    for (var i = down; i < height(); i += DOWN) {
      var value = elem();
      if (i == k) { value = whole(1.0) - factor; }
      if (i > k) { value = times(-factor, cell(b, slot, i, k)); }
      keep(b, slot, i, k, value);
    }
  }
}
