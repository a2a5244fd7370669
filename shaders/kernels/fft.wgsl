//! fft: the discrete Fourier transforms of lines, each inside of one workgroup.
//!
//! A workgroup transforms LINES lines in stages, of which the first one loads elements and the last one stores
//! results; in between they are in its memory. Lines that are too long for that are transformed in several
//! passes: `load` and `store` say what a line is, and turn elements.
//!
//! @overrides  none
//! @bindings   0 x read   1 out read and write
//! @dispatch   one workgroup for each LINES lines, folded over x and y
//! @blocks     bindings; dims: LINES * LENGTH elements fit the memory of a workgroup, RESULTS are stored of a
//!             line, ACROSS says whether neighbouring lines lie beside each other where they are loaded, BESIDE
//!             where they are stored; load; store; place: where an element goes after the first stage, but
//!             for the number of its result; stages: `lower/kernels/fourier/stages.py` writes these two
//! @reference  np.fft.fft(x, axis=-1)

//@begin bindings
@group(0) @binding(0) var<storage, read> x: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec2f>;
//@end

//@begin dims
fn lines() -> u32 { return 5u; }
const LINES = 2u;
const LENGTH = 6u;
const RESULTS = 6u;
const THREADS = 4u;
const ACROSS = false;
const BESIDE = false;
//@end

var<workgroup> values: array<vec2f, LINES * LENGTH>;

//@begin load
fn load(line: u32, r: u32) -> vec2f { return x[line * LENGTH + r]; }
//@end

//@begin store
fn store(line: u32, r: u32, v: vec2f) { out[line * LENGTH + r] = v; }
//@end

//@begin place
fn place(r: u32) -> u32 { return r % 2u * 3u + r / 2u; }
//@end

//@begin stages
fn stage_0(first: u32, t: u32) {
  let line = select(t / 2u, t % LINES, ACROSS);
  let r = select(t % 2u, t / LINES, ACROSS);
  if (first + line >= lines()) { return; }
  let x0 = load(first + line, r);
  let x1 = load(first + line, r + 2u);
  let x2 = load(first + line, r + 4u);
  let at = line * LENGTH + place(r);
  let p = x1 + x2;
  let m = 0.866025404 * (x1 - x2);
  let c = x0 - 0.5 * p;
  values[at] = x0 + p;
  values[at + 1u] = vec2f(c.x + m.y, c.y - m.x);
  values[at + 2u] = vec2f(c.x - m.y, c.y + m.x);
}
fn stage_1(first: u32, t: u32) {
  let line = select(t / 3u, t % LINES, BESIDE);
  let r = select(t % 3u, t / LINES, BESIDE);
  if (first + line >= lines()) { return; }
  let at = line * LENGTH + r;
  let x0 = values[at];
  let x1 = times(values[at + 3u], unit(r, 6u));
  store(first + line, r, x0 + x1);
  store(first + line, r + 3u, x0 - x1);
}
fn transform(first: u32, local: u32) {
  for (var t = local; t < 4u; t += THREADS) { stage_0(first, t); }
  workgroupBarrier();
  for (var t = local; t < 6u; t += THREADS) { stage_1(first, t); }
}
//@end

fn conjugate(a: vec2f) -> vec2f { return vec2f(a.x, -a.y); }

fn times(a: vec2f, b: vec2f) -> vec2f {
  return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// exp(-2πi u/n) for u < n < 2 ** 30: the angle is reduced to an eighth of a circle in integers
fn unit(u: u32, n: u32) -> vec2f {
  let quarter = (4u * u + n / 2u) / n;
  let a = f32(i32(4u * u - quarter * n)) * (1.57079633 / f32(n));
  let b = a * a;
  let s = a + a * b * (-0.166666547 + b * (0.00833216087 - 0.00019515296 * b));
  let c = 1.0 - 0.5 * b + b * b * (0.0416666457 + b * (-0.00138873163 + 0.0000244331571 * b));
  let turned = select(vec2f(c, -s), vec2f(-s, -c), (quarter & 1u) != 0u);
  return select(turned, -turned, (quarter & 2u) != 0u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let first = (group.y * groups.x + group.x) * LINES;
  if (first >= lines()) { return; }
  transform(first, local);
}
