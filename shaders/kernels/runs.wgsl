//! runs: puts the elements of a source where their keys say, those of one key in their order: out[key] + x, + x, ...
//!
//! `order` has the places of the elements by their keys. A thread whose element is the first one of its key goes
//! over all of that key; the other threads have nothing to do.
//!
//! @bindings   0 keys read   1 x read   2 order read   3 out read and write
//! @dispatch   one workgroup for each 64 elements of all rows, folded over x and y
//! @blocks     bindings; dims: size() is the length of a row of out; load_key, load_order, load_value, load_out,
//!             store_out; combine: what an element makes of what is there
//! @reference  for each row: np.add.at(out[row], keys[row], x[row])

alias elem = f32;

//@begin bindings
@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<elem>;
//@end

//@begin dims
fn rows() -> u32 { return 3u; }
fn length() -> u32 { return 20u; }
fn size() -> u32 { return 7u; }
//@end

//@begin load_key
fn load_key(row: u32, place: u32) -> u32 { return keys[row * length() + place]; }
//@end

//@begin load_order
fn load_order(row: u32, i: u32) -> u32 { return order[row * length() + i]; }
//@end

//@begin load_value
fn load_value(row: u32, place: u32) -> elem { return x[row * length() + place]; }
//@end

//@begin load_out
fn load_out(row: u32, place: u32) -> elem { return out[row * size() + place]; }
//@end

//@begin store_out
fn store_out(row: u32, place: u32, acc: elem) { out[row * size() + place] = acc; }
//@end

//@begin combine
fn combine(acc: elem, value: elem) -> elem { return acc + value; }
//@end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let number = (group.y * groups.x + group.x) * 64u + local;
  let first = number / rows();
  let row = number % rows();
  if (first >= length()) { return; }
  var place = load_order(row, first);
  let key = load_key(row, place);
  if (key >= size()) { return; }
  if (first > 0u) {
    if (load_key(row, load_order(row, first - 1u)) == key) { return; }
  }
  var acc = load_out(row, key);
  for (var i = first; i < length(); i++) {
    place = load_order(row, i);
    if (load_key(row, place) != key) { break; }
    acc = combine(acc, load_value(row, place));
  }
  store_out(row, key, acc);
}
