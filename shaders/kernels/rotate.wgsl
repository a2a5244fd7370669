//! rotate: pairs of blocks of columns times the q of each pair, and for symmetric matrices their rows too.
//!
//! A thread makes tiles of 4 × 4 elements of a product.
//!
//! @bindings   0 q read   1 x read and write   2 s read and write, if there are rows to turn
//! @dispatch   one workgroup for each N rows of x of each pair of blocks of each matrix, or each MANY matrices; then
//!             one for each two pairs of s; folded over x and y
//! @blocks     bindings; dims: N is a multiple of 4, LANES threads for each matrix; sizes: count() matrices, extent()
//!             columns, height() rows of x, blocks() of N / 2 columns, an even number, round() of them, both() is 1 where
//!             there is s, later() is 1 after the first sweep; q, x, s, before: how they are read and
//!             written; arithmetic, rotations: of complex elements
//! @reference  x @ q

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read> q: array<elem>;
@group(0) @binding(1) var<storage, read_write> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> s: array<elem>;
//@end

//@begin dims
const N = 8u;
const LANES = 8u;
const MANY = 2u;
//@end

//@begin sizes
fn count() -> u32 { return 3u; }
fn extent() -> u32 { return 7u; }
fn height() -> u32 { return 9u; }
fn blocks() -> u32 { return 2u; }
fn round() -> u32 { return 0u; }
fn both() -> u32 { return 1u; }
fn later() -> u32 { return 0u; }
//@end

//@begin q
fn q_load(b: u32, i: u32, j: u32) -> elem { return q[(b * 8u + i) * 8u + j]; }
//@end

//@begin x
fn x_load(b: u32, i: u32, j: u32) -> elem { return x[(b * 9u + i) * 7u + j]; }
fn x_store(b: u32, i: u32, j: u32, value: elem) { x[(b * 9u + i) * 7u + j] = value; }
//@end

//@begin s
fn s_load(b: u32, i: u32, j: u32) -> elem { return s[(b * 7u + i) * 7u + j]; }
fn s_store(b: u32, i: u32, j: u32, value: elem) { s[(b * 7u + i) * 7u + j] = value; }
//@end

//@begin before
fn before_load(b: u32, i: u32, j: u32) -> i32 { return 1i; }
//@end

//@begin arithmetic
fn conjugate(x: elem) -> elem { return x; }
fn real(x: elem) -> f32 { return x; }
fn whole(x: f32) -> elem { return x; }
//@end

//@begin rotations
alias quad = vec4f;
fn scaled(x: elem, by: quad) -> quad { return x * by; }
//@end

const HALF = N / 2u;
const PITCH = N + 1u;
const TILES = N / 4u;
// stands first in the q of a pair that has nothing to turn
const IDLE = 2.0;
// Where the elements, the q of a pair and a product lie.
const CELLS = 0u;
const TURNS = MANY * N * PITCH;
const MADE = 2u * TURNS;

var<workgroup> work: array<elem, 3u * TURNS>;

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

// None of the matrices of the workgroup has anything to turn in a pair.
fn idle(first: u32, pairs: u32) -> bool {
  for (var slot = 0u; slot < MANY; slot++) {
    if (first / pairs + slot < count() && real(q_load(first + slot * pairs, 0u, 0u)) != IDLE) { return false; }
  }
  return true;
}

@compute @workgroup_size(MANY * LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = group.y * groups.x + group.x;
  let pairs = blocks() / 2u;
  let down = (height() + N - 1u) / N;
  let each = (down + both() * pairs) * pairs;
  if (number >= (count() + MANY - 1u) / MANY * each) { return; }
  let slot = local / LANES;
  let lane = local % LANES;
  let b = number / each * MANY + slot;
  let part = number % each / pairs;
  let pair = number % pairs;
  let mine = b < count();
  if (settled(number / each * MANY)) { return; }
  let rows = part >= down;
  if (idle(number / each * MANY * pairs + pair, pairs) &&
      (!rows || idle(number / each * MANY * pairs + part - down, pairs))) { return; }
  let columns = met(blocks(), round(), pair);
  let across = met(blocks(), round(), select(0u, part - down, rows));
  for (var e = lane; e < N * N; e += LANES) {
    let i = e / N;
    let j = e % N;
    var value = elem();
    let column = index(columns, j);
    if (mine && column < extent()) {
      if (rows) {
        let row = index(across, i);
        if (row < extent()) { value = s_load(b, row, column); }
      } else if (part * N + i < height()) {
        value = x_load(b, part * N + i, column);
      }
    }
    work[CELLS + at(slot, i, j)] = value;
  }
  // rows are turned once the columns are: by the conjugate transpose of their q, from the left
  for (var turn = 0u; turn <= u32(rows); turn++) {
    if (mine) {
      let by = b * pairs + select(pair, part - down, turn == 1u);
      let unit = real(q_load(by, 0u, 0u)) == IDLE;
      for (var e = lane; e < N * N; e += LANES) {
        var value = q_load(by, e / N, e % N);
        if (unit) { value = whole(select(0.0, 1.0, e / N == e % N)); }
        if (turn == 1u) { value = conjugate(value); }
        work[TURNS + at(slot, e / N, e % N)] = value;
      }
    }
    workgroupBarrier();
    for (var t = lane; t < TILES * TILES; t += LANES) {
      let i = t / TILES * 4u;
      let j = t % TILES * 4u;
      if (turn == 0u) {
        multiply(CELLS + at(slot, i, 0u), PITCH, 1u, TURNS + at(slot, 0u, j), MADE + at(slot, i, j));
      } else {
        multiply(TURNS + at(slot, 0u, i), 1u, PITCH, MADE + at(slot, 0u, j), CELLS + at(slot, i, j));
      }
    }
    workgroupBarrier();
  }
  if (!mine) { return; }
  for (var e = lane; e < N * N; e += LANES) {
    let i = e / N;
    let j = e % N;
    let column = index(columns, j);
    if (rows) {
      let row = index(across, i);
      if (row < extent() && column < extent()) { s_store(b, row, column, work[CELLS + at(slot, i, j)]); }
    } else if (part * N + i < height() && column < extent()) {
      x_store(b, part * N + i, column, work[MADE + at(slot, i, j)]);
    }
  }
}

// A tile of a product: rows from `left` on, `down` apart, with elements `across` apart, times the columns from
// `right` on.
fn multiply(left: u32, down: u32, across: u32, right: u32, to: u32) {
  var row0 = quad();
  var row1 = quad();
  var row2 = quad();
  var row3 = quad();
  var from_left = left;
  var from_right = right;
  for (var k = 0u; k < N; k++) {
    let other = four(from_right);
    row0 += scaled(work[from_left], other);
    row1 += scaled(work[from_left + down], other);
    row2 += scaled(work[from_left + 2u * down], other);
    row3 += scaled(work[from_left + 3u * down], other);
    from_left += across;
    from_right += PITCH;
  }
  keep(to, row0);
  keep(to + PITCH, row1);
  keep(to + 2u * PITCH, row2);
  keep(to + 3u * PITCH, row3);
}

fn four(place: u32) -> quad { return quad(work[place], work[place + 1u], work[place + 2u], work[place + 3u]); }

fn keep(place: u32, row: quad) {
  work[place] = row[0];
  work[place + 1u] = row[1];
  work[place + 2u] = row[2];
  work[place + 3u] = row[3];
}
