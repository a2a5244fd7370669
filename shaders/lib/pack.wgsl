//! f16_bits_from_f32: x rounded to binary16, nearest even, as 16 bits; WGSL's pack2x16float may round either way.
//! @domain x: -70000..70000
//! @error exact
//! @reference x.astype(np.float32).astype(np.float16).view(np.uint16).astype(np.uint32)
fn f16_bits_from_f32(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let magnitude = bits & 0x7fffffffu;
  let sign = (bits >> 16u) & 0x8000u;
  let rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u);
  let normal = min(rounded >> 13u, 0x7c00u);
  // Below 2^-14 the result is a multiple of 2^-24.
  let shift = min(126u - (magnitude >> 23u), 31u);
  let significand = (magnitude & 0x007fffffu) | 0x00800000u;
  let kept = significand >> shift;
  let lost = significand & ((1u << shift) - 1u);
  let half = (1u << shift) >> 1u;
  let up = (lost > half) | ((lost == half) & ((kept & 1u) == 1u));
  let subnormal = select(kept, kept + 1u, up);
  var result = select(normal, subnormal, magnitude < 0x38800000u);
  result = select(result, 0x7c00u, magnitude >= 0x47800000u);
  return sign | select(result, 0x7e00u, magnitude > 0x7f800000u);
}

//! f32_from_f16_bits: the value of the binary16 number in the low 16 bits of h, subnormals included.
//! @domain h: 0..65535 integer
//! @error exact
//! @reference h.astype(np.uint16).view(np.float16).astype(np.float32)
fn f32_from_f16_bits(h: u32) -> f32 {
  let magnitude = h & 0x7fffu;
  let normal = bitcast<f32>((magnitude << 13u) + 0x38000000u);
  let subnormal = f32(magnitude) * 5.9604644775390625e-08;
  let special = bitcast<f32>((magnitude << 13u) | 0x7f800000u);
  let value = select(select(normal, subnormal, magnitude < 0x400u), special, magnitude >= 0x7c00u);
  return bitcast<f32>(bitcast<u32>(value) | ((h & 0x8000u) << 16u));
}

//! bf16_bits_from_f32: x rounded to bfloat16, nearest even, as 16 bits.
//! @domain x: -3e38..3e38
//! @error exact
//! @reference bfloat16_bits(x)
fn bf16_bits_from_f32(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let rounded = (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
  return select(rounded, (bits >> 16u) | 0x40u, is_nan(x));
}

//! f32_from_bf16_bits: the value of the bfloat16 number in the low 16 bits of h.
//! @domain h: 0..65535 integer
//! @error exact
//! @reference (h.astype(np.uint32) << np.uint32(16)).view(np.float32)
fn f32_from_bf16_bits(h: u32) -> f32 {
  return bitcast<f32>(h << 16u);
}

//! unpack_u8: byte number lane & 3 of word, lowest first.
//! @domain word: 0..4294967295 integer
//! @domain lane: 0..3 integer
//! @error exact
//! @reference (word >> (8 * lane).astype(np.uint32)) & np.uint32(255)
fn unpack_u8(word: u32, lane: u32) -> u32 {
  return (word >> ((lane & 3u) * 8u)) & 0xffu;
}

//! unpack_i8: byte number lane & 3 of word as a signed integer.
//! @domain word: 0..4294967295 integer
//! @domain lane: 0..3 integer
//! @error exact
//! @reference ((word >> (8 * lane).astype(np.uint32)) & np.uint32(255)).astype(np.uint8).view(np.int8).astype(np.int32)
fn unpack_i8(word: u32, lane: u32) -> i32 {
  return bitcast<i32>(word << (24u - (lane & 3u) * 8u)) >> 24u;
}

//! unpack_u16: half number lane & 1 of word, low half first.
//! @domain word: 0..4294967295 integer
//! @domain lane: 0..1 integer
//! @error exact
//! @reference (word >> (16 * lane).astype(np.uint32)) & np.uint32(65535)
fn unpack_u16(word: u32, lane: u32) -> u32 {
  return (word >> ((lane & 1u) * 16u)) & 0xffffu;
}

//! unpack_i16: half number lane & 1 of word as a signed integer.
//! @domain word: 0..4294967295 integer
//! @domain lane: 0..1 integer
//! @error exact
//! @reference ((word >> (16 * lane).astype(np.uint32)) & np.uint32(65535)).astype(np.uint16).view(np.int16).astype(np.int32)
fn unpack_i16(word: u32, lane: u32) -> i32 {
  return bitcast<i32>(word << (16u - (lane & 1u) * 16u)) >> 16u;
}

//! unpack_f16: half number lane & 1 of word as a float.
//! @domain word: 0..4294967295 integer
//! @domain lane: 0..1 integer
//! @error exact
//! @reference ((word >> (16 * lane).astype(np.uint32)) & np.uint32(65535)).astype(np.uint16).view(np.float16).astype(np.float32)
fn unpack_f16(word: u32, lane: u32) -> f32 {
  return f32_from_f16_bits(unpack_u16(word, lane));
}

//! unpack_bf16: half number lane & 1 of word, a bfloat16, as a float.
//! @domain word: 0..4294967295 integer
//! @domain lane: 0..1 integer
//! @error exact
//! @reference ((word >> (16 * lane).astype(np.uint32)) << np.uint32(16)).view(np.float32)
fn unpack_bf16(word: u32, lane: u32) -> f32 {
  return f32_from_bf16_bits(unpack_u16(word, lane));
}

//! pack_u8: four integers modulo 256 in one word, the first lowest; also for the bits of i8.
//! @domain a: 0..4294967295 integer
//! @domain b: 0..4294967295 integer
//! @domain c: 0..4294967295 integer
//! @domain d: 0..4294967295 integer
//! @error exact
//! @reference (a & 255) | (b & 255) << 8 | (c & 255) << 16 | (d & 255) << 24
fn pack_u8(a: u32, b: u32, c: u32, d: u32) -> u32 {
  return (a & 0xffu) | ((b & 0xffu) << 8u) | ((c & 0xffu) << 16u) | (d << 24u);
}

//! pack_u16: two integers modulo 65536 in one word, the first lowest; also for i16 and the bits of f16.
//! @domain a: 0..4294967295 integer
//! @domain b: 0..4294967295 integer
//! @error exact
//! @reference (a & 65535) | (b & 65535) << 16
fn pack_u16(a: u32, b: u32) -> u32 {
  return (a & 0xffffu) | (b << 16u);
}

//! pack_f16: two floats rounded to binary16 in one word, the first lowest.
//! @domain a: -70000..70000
//! @domain b: -70000..70000
//! @error exact
//! @reference half_bits(a) | half_bits(b) << 16
fn pack_f16(a: f32, b: f32) -> u32 {
  return pack_u16(f16_bits_from_f32(a), f16_bits_from_f32(b));
}
