// 64 multiplications and additions a turn in eight chains that do not wait for each other: the peak of arithmetic.
@group(0) @binding(0) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = vec4<f32>(0.5, 0.25, 0.125, 0.75) + f32(id.x & 15u) * 0.001;
  var a = x;
  var b = x + 1.0;
  var c = x + 2.0;
  var d = x + 3.0;
  var e = x + 4.0;
  var f = x + 5.0;
  var g = x + 6.0;
  var h = x + 7.0;
  for (var turn = 0u; turn < 256u; turn++) {
    a = a * x + x;
    b = b * x + x;
    c = c * x + x;
    d = d * x + x;
    e = e * x + x;
    f = f * x + x;
    g = g * x + x;
    h = h * x + x;
  }
  out[id.x] = a + b + c + d + e + f + g + h;
}
