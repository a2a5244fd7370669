//! jacobi: symmetric matrices, or Hermitian ones, of at most N rows turned towards diagonal ones by rotations; their
//! product q.
//!
//! In one round N / 2 rotations of different rows and columns are made at once, and N - 1 rounds, a sweep, meet
//! every pair. A matrix is small, or two blocks of rows and columns of a large one (which two, follows from the
//! round of the blocks), or the products of such columns (GRAM is 1). flags says where a large element was found
//! at first (SWEEPS bounds what follows), or was left at last (WHOLE is 1). A matrix that had none in the sweep
//! before is left alone; a pair of blocks that has none gets the mark IDLE for its q. In blocks the larger elements
//! of the diagonal come to the front.
//!
//! @bindings   0 source read   1 q write   2 values write, if WHOLE   3 flags read and write
//! @dispatch   one workgroup for each pair of blocks of each matrix, or for each MANY small matrices; folded
//! @blocks     bindings; dims: N is a multiple of 4, LANES threads for each matrix; sizes: count() matrices,
//!             extent() and height() of each, blocks() of N / 2 rows, an even number, round() of them, later() is 1 after the
//!             first sweep, last() in the last one; source, q, values, flags, before: how they are read and written;
//!             arithmetic, rotations: of complex elements
//! @reference  np.linalg.eigh(source)

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read> source: array<elem>;
@group(0) @binding(1) var<storage, read_write> q: array<elem>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> flags: array<i32>;
//@end

//@begin dims
const N = 8u;
const LANES = 8u;
const MANY = 2u;
const GRAM = 0u;
const SWEEPS = 15u;
const WHOLE = 1u;
//@end

//@begin sizes
fn count() -> u32 { return 5u; }
fn extent() -> u32 { return 6u; }
fn height() -> u32 { return 6u; }
fn blocks() -> u32 { return 2u; }
fn round() -> u32 { return 0u; }
fn later() -> u32 { return 0u; }
fn last() -> u32 { return 0u; }
//@end

//@begin source
fn source_load(b: u32, i: u32, j: u32) -> elem { return source[(b * 6u + i) * 6u + j]; }
//@end

//@begin q
fn q_store(b: u32, i: u32, j: u32, value: elem) { q[(b * 8u + i) * 8u + j] = value; }
//@end

//@begin values
fn values_store(b: u32, i: u32, j: u32, value: f32) { values[b * 6u + i] = value; }
//@end

//@begin flags
fn flags_store(b: u32, i: u32, j: u32, value: i32) { flags[b] = value; }
//@end

//@begin before
fn before_load(b: u32, i: u32, j: u32) -> i32 { return 1i; }
//@end

//@begin arithmetic
fn times(x: elem, y: elem) -> elem { return x * y; }
fn size(x: elem) -> f32 { return abs(x); }
fn conjugate(x: elem) -> elem { return x; }
fn real(x: elem) -> f32 { return x; }
fn imaginary(x: elem) -> f32 { return 0.0; }
fn whole(x: f32) -> elem { return x; }
//@end

//@begin rotations
alias quad = vec4f;
fn scaled(x: elem, by: quad) -> quad { return x * by; }
fn sine(by: vec4f) -> elem { return by.x; }
fn phase(x: elem, size: f32) -> elem { return select(1.0, -1.0, x < 0.0); }
//@end

const HALF = N / 2u;
// How many threads have different pairs of columns, and different rows of them.
const ACROSS = min(LANES, HALF);
const DOWN = max(LANES / HALF, 1u);
const PITCH = N + 1u;
// stands first in the q of a pair that has nothing to turn
const IDLE = 2.0;
const LEAST = 1.2e-7;
const LEFT = 1e-6;
// columns whose products are all smaller are orthogonal: what underflows in them would never settle
const LOST = select(0.0, 1e-28, GRAM == 1u);
const CHUNK = select(1u, MANY * N * PITCH, GRAM == 1u);

var<workgroup> cells: array<elem, MANY * N * PITCH>;
var<workgroup> turns: array<elem, MANY * N * PITCH>;
var<workgroup> chunk: array<elem, CHUNK>;
var<workgroup> angles: array<vec4f, MANY * HALF>;
var<workgroup> partners: array<vec2u, MANY * HALF>;
var<workgroup> diagonal: array<f32, MANY * LANES>;
var<workgroup> votes: atomic<u32>;
var<workgroup> going: u32;

fn at(slot: u32, i: u32, j: u32) -> u32 { return (slot * N + i) * PITCH + j; }

// Which two of `count` meet in a round: one stays, the others go around.
fn met(count: u32, turn: u32, pair: u32) -> vec2u {
  let around = count - 1u;
  let one = select((turn + pair) % around, around, pair == 0u);
  let other = (turn + around - pair) % around;
  return vec2u(min(one, other), max(one, other));
}

fn index(pair: vec2u, i: u32) -> u32 {
  return select(pair.y * HALF + i - HALF, pair.x * HALF + i, i < HALF);
}

// None of the matrices of the workgroup had a large element in the sweep before.
fn settled(first: u32) -> bool {
  var large = later() == 0u;
  for (var b = first; b < min(first + MANY, count()); b++) {
    if (later() == 1u && before_load(b, 0u, 0u) != 0i) { large = true; }
  }
  return !large;
}

@compute @workgroup_size(MANY * LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  let pairs = blocks() / 2u;
  if (number >= (count() + MANY - 1u) / MANY * pairs) { return; }
  let slot = local / LANES;
  let lane = local % LANES;
  let b = number / pairs * MANY + slot;
  let pair = number % pairs;
  let two = met(blocks(), round(), pair);
  let mine = b < count();
  if (settled(number / pairs * MANY)) { return; }
  for (var e = lane; e < N * N; e += LANES) {
    let i = e / N;
    let j = e % N;
    turns[at(slot, i, j)] = whole(select(0.0, 1.0, i == j));
    cells[at(slot, i, j)] = elem();
    let row = index(two, max(i, j));
    let column = index(two, min(i, j));
    if (GRAM == 0u && mine && row < extent() && column < extent()) {
      // where the blocks are apart, the larger index has the row all the same
      let value = source_load(b, row, column);
      cells[at(slot, i, j)] = hermitian(value, i, j);
    }
  }
  if (GRAM == 1u) { multiply(b, slot, lane, two, mine); }
  let least = scale(b, slot, lane, mine) * LEAST;
  var idle = false;
  for (var sweep = 0u; sweep <= SWEEPS; sweep++) {
    if (local == 0u) { atomicStore(&votes, 0u); }
    workgroupBarrier();
    if (mine) {
      let seen = largest(slot, lane, least);
      if (seen >= 1u) { atomicOr(&votes, 1u); }
      let asked = select(sweep == 0u, sweep == SWEEPS, WHOLE == 1u);
      if (seen == 2u && asked) { flags_store(b, 0u, 0u, 1i); }
    }
    workgroupBarrier();
    if (local == 0u) { going = atomicLoad(&votes); }
    let done = workgroupUniformLoad(&going) == 0u;
    if (sweep == 0u) { idle = done; }
    if (done || sweep == SWEEPS) { break; }
    for (var turn = 0u; turn < N - 1u; turn++) {
      for (var p = lane; p < HALF; p += LANES) {
        let pq = met(N, turn, p);
        partners[slot * HALF + p] = pq;
        // rows and columns that only fill up a block stay behind the others
        let inside = WHOLE == 0u && index(two, pq.y) < extent();
        angles[slot * HALF + p] = angle(slot, pq, inside);
      }
      workgroupBarrier();
      if (lane < DOWN * ACROSS) {
        for (var p = lane % ACROSS; p < HALF; p += ACROSS) { turn_columns(slot, p, lane / ACROSS); }
      }
      workgroupBarrier();
    }
  }
  if (!mine) { return; }
  if (idle && WHOLE == 0u) {
    if (lane == 0u) { q_store(b * pairs + pair, 0u, 0u, whole(IDLE)); }
    return;
  }
  for (var e = lane; e < N * N; e += LANES) {
    q_store(b * pairs + pair, e / N, e % N, turns[at(slot, e / N, e % N)]);
  }
  if (WHOLE == 1u) {
    for (var i = lane; i < extent(); i += LANES) {
      values_store(b, i, 0u, real(cells[at(slot, i, i)]));
    }
  }
}

// The largest element of the whole diagonal: beside it the others may be what was rounded. Products have none,
// as a small column of x is as exact as a large one.
fn scale(b: u32, slot: u32, lane: u32, mine: bool) -> f32 {
  var most = 0.0;
  if (GRAM == 0u && mine) {
    for (var i = lane; i < extent(); i += LANES) { most = max(most, abs(real(source_load(b, i, i)))); }
  }
  diagonal[slot * LANES + lane] = most;
  workgroupBarrier();
  for (var t = 0u; t < LANES; t++) { most = max(most, diagonal[slot * LANES + t]); }
  return most;
}

// 1 where an element of the lane is worth a rotation, 2 where it is large, or nan.
fn largest(slot: u32, lane: u32, least: f32) -> u32 {
  var seen = 0u;
  // columns that are no more than what was rounded in others may be askew at last
  let lost = select(LOST, 1e-16, GRAM == 1u && last() == 1u);
  for (var e = lane; e < N * N; e += LANES) {
    let i = e / N;
    let j = e % N;
    let value = cells[at(slot, i, j)];
    if (is_nan(real(value)) || is_nan(imaginary(value))) { seen = 2u; }
    if (i < j) {
      let across = max(abs(real(value)), abs(imaginary(value)));
      let both = abs(on_diagonal(slot, i)) + abs(on_diagonal(slot, j));
      if (across > max(LEAST * both, LOST)) { seen = max(seen, 1u); }
      if (across > max(LEFT * both, lost) && across > 4.0 * least) { seen = 2u; }
    }
  }
  return seen;
}

fn on_diagonal(slot: u32, i: u32) -> f32 { return real(cells[at(slot, i, i)]); }

// An element of the lower triangle, as element (i, j) of the whole matrix.
fn hermitian(value: elem, i: u32, j: u32) -> elem {
  if (i == j) { return whole(real(value)); }
  if (i < j) { return conjugate(value); }
  return value;
}

// The sine that makes element (p, q) zero, with the phase of that element, and 1 less the cosine: as the latter
// is computed from the former, a vector keeps its length whatever is rounded. The last number is 1 where the two
// change places, so that the larger elements of the diagonal come first: blocks of graded and of equal ones converge
// much sooner so.
fn angle(slot: u32, two: vec2u, sorted: bool) -> vec4f {
  let element = cells[at(slot, two.x, two.y)];
  let across = size(element);
  let apart = on_diagonal(slot, two.y) - on_diagonal(slot, two.x);
  let places = select(0.0, 1.0, sorted && apart > 0.0);
  if (across <= LOST) { return vec4f(0.0, 0.0, 0.0, places); }
  let half = apart / (2.0 * across);
  let ratio = abs(half);
  // from 1e4 on, the root is `ratio` itself, and its square may not overflow
  let root = select(sqrt(1.0 + ratio * ratio), ratio, ratio > 1e4);
  let tangent = select(1.0, -1.0, half < 0.0) / (ratio + root);
  let length = tangent / sqrt(1.0 + tangent * tangent);
  let toward = phase(element, across);
  let found = vec2f(real(toward), imaginary(toward)) * length;
  let square = dot(found, found);
  return vec4f(found, square / (1.0 + sqrt(1.0 - square)), places);
}

struct Pair { first: elem, second: elem }

fn turned(first: elem, second: elem, sine: elem, by: vec4f) -> Pair {
  let one = first - (times(conjugate(sine), second) + by.z * first);
  let other = second + (times(sine, first) - by.z * second);
  let swapped = by.w == 1.0;
  return Pair(select(one, other, swapped), select(other, -one, swapped));
}

// Columns of pair p: in the rows of each other pair, which turn as well, and in q.
fn turn_columns(slot: u32, p: u32, start: u32) {
  let columns = partners[slot * HALF + p];
  let by = angles[slot * HALF + p];
  for (var i = start; i < HALF; i += DOWN) {
    let rows = partners[slot * HALF + i];
    let pp = at(slot, rows.x, columns.x);
    let pq = at(slot, rows.x, columns.y);
    let qp = at(slot, rows.y, columns.x);
    let qq = at(slot, rows.y, columns.y);
    if (i == p) {
      let more = real(times(conjugate(sine(by)), cells[pq])) / (1.0 - by.z);
      let first = whole(real(cells[pp]) - more);
      let second = whole(real(cells[qq]) + more);
      cells[pp] = select(first, second, by.w == 1.0);
      cells[qq] = select(second, first, by.w == 1.0);
      // a nan stays
      cells[pq] = whole(more - more);
      cells[qp] = whole(more - more);
    } else {
      let one = angles[slot * HALF + i];
      let left = turned(cells[pp], cells[qp], conjugate(sine(one)), one);
      let right = turned(cells[pq], cells[qq], conjugate(sine(one)), one);
      let upper = turned(left.first, right.first, sine(by), by);
      let lower = turned(left.second, right.second, sine(by), by);
      cells[pp] = upper.first;
      cells[pq] = upper.second;
      cells[qp] = lower.first;
      cells[qq] = lower.second;
    }
  }
  for (var row = start; row < N; row += DOWN) {
    let left = at(slot, row, columns.x);
    let right = at(slot, row, columns.y);
    let made = turned(turns[left], turns[right], sine(by), by);
    turns[left] = made.first;
    turns[right] = made.second;
  }
}

// The products of all columns, a chunk of rows at a time.
fn multiply(b: u32, slot: u32, lane: u32, two: vec2u, mine: bool) {
  for (var top = 0u; top < height(); top += N) {
    workgroupBarrier();
    for (var e = lane; e < N * N; e += LANES) {
      let column = index(two, e % N);
      var value = elem();
      if (mine && top + e / N < height() && column < extent()) {
        value = source_load(b, top + e / N, column);
      }
      chunk[at(slot, e / N, e % N)] = value;
    }
    workgroupBarrier();
    for (var t = lane; t < N * N / 16u; t += LANES) { multiply_tile(slot, t / (N / 4u) * 4u, t % (N / 4u) * 4u); }
  }
}

// The products of four columns with four.
fn multiply_tile(slot: u32, i: u32, j: u32) {
  var row0 = four(at(slot, i, j), true);
  var row1 = four(at(slot, i + 1u, j), true);
  var row2 = four(at(slot, i + 2u, j), true);
  var row3 = four(at(slot, i + 3u, j), true);
  for (var k = 0u; k < N; k++) {
    let left = four(at(slot, k, i), false);
    let right = four(at(slot, k, j), false);
    row0 += scaled(conjugate(left[0]), right);
    row1 += scaled(conjugate(left[1]), right);
    row2 += scaled(conjugate(left[2]), right);
    row3 += scaled(conjugate(left[3]), right);
  }
  keep(at(slot, i, j), row0);
  keep(at(slot, i + 1u, j), row1);
  keep(at(slot, i + 2u, j), row2);
  keep(at(slot, i + 3u, j), row3);
}

fn four(place: u32, made: bool) -> quad {
  if (made) { return quad(cells[place], cells[place + 1u], cells[place + 2u], cells[place + 3u]); }
  return quad(chunk[place], chunk[place + 1u], chunk[place + 2u], chunk[place + 3u]);
}

fn keep(place: u32, row: quad) {
  cells[place] = row[0];
  cells[place + 1u] = row[1];
  cells[place + 2u] = row[2];
  cells[place + 3u] = row[3];
}
