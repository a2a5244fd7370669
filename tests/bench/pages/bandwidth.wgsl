// 16 bytes read and 16 written by each thread: the peak of the memory's bandwidth.
@group(0) @binding(0) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u) {
  out[id.x] = x[id.x] + 1.0;
}
