//! threefry2x32: the Threefry block cipher of 20 rounds (Salmon et al., 2011) on counter (c0, c1) under key (key0, key1).
//!
//! Rotations to the left are written as products: compilers for GPUs make shifts of them, and
//! software adapters shift one lane at a time.
//! @error exact
fn threefry2x32(key0: u32, key1: u32, c0: u32, c1: u32) -> vec2u {
  let key2 = key0 ^ key1 ^ 0x1bd11bdau;
  var x = c0 + key0;
  var y = c1 + key1;
  x += y; y = ((y * 8192u) | (y >> 19u)) ^ x;
  x += y; y = ((y * 32768u) | (y >> 17u)) ^ x;
  x += y; y = ((y * 67108864u) | (y >> 6u)) ^ x;
  x += y; y = ((y * 64u) | (y >> 26u)) ^ x;
  x += key1; y += key2 + 1u;
  x += y; y = ((y * 131072u) | (y >> 15u)) ^ x;
  x += y; y = ((y * 536870912u) | (y >> 3u)) ^ x;
  x += y; y = ((y * 65536u) | (y >> 16u)) ^ x;
  x += y; y = ((y * 16777216u) | (y >> 8u)) ^ x;
  x += key2; y += key0 + 2u;
  x += y; y = ((y * 8192u) | (y >> 19u)) ^ x;
  x += y; y = ((y * 32768u) | (y >> 17u)) ^ x;
  x += y; y = ((y * 67108864u) | (y >> 6u)) ^ x;
  x += y; y = ((y * 64u) | (y >> 26u)) ^ x;
  x += key0; y += key1 + 3u;
  x += y; y = ((y * 131072u) | (y >> 15u)) ^ x;
  x += y; y = ((y * 536870912u) | (y >> 3u)) ^ x;
  x += y; y = ((y * 65536u) | (y >> 16u)) ^ x;
  x += y; y = ((y * 16777216u) | (y >> 8u)) ^ x;
  x += key1; y += key2 + 4u;
  x += y; y = ((y * 8192u) | (y >> 19u)) ^ x;
  x += y; y = ((y * 32768u) | (y >> 17u)) ^ x;
  x += y; y = ((y * 67108864u) | (y >> 6u)) ^ x;
  x += y; y = ((y * 64u) | (y >> 26u)) ^ x;
  return vec2u(x + key2, y + key0 + 5u);
}

//! random_bits: 32 random bits: the first word of the Threefry block of counter (counter, 0).
//! @domain key0: 0..4294967295 integer
//! @domain key1: 0..4294967295 integer
//! @domain counter: 0..4294967295 integer
//! @error exact
//! @reference threefry2x32(key0, key1, counter, np.zeros_like(counter))[0]
fn random_bits(key0: u32, key1: u32, counter: u32) -> u32 {
  return threefry2x32(key0, key1, counter, 0u).x;
}

//! uniform_from_bits: a float in [0, 1), a multiple of 2^-24, the same on every device.
//! @domain bits: 0..4294967295 integer
//! @error exact
//! @reference (bits >> np.uint32(8)) * 2.0**-24
fn uniform_from_bits(bits: u32) -> f32 {
  return f32(bits >> 8u) * 5.9604644775390625e-08;
}

//! normal_from_bits: a standard normal number, sqrt(2) erfinv(u) of a u in (-1, 1) symmetric about 0.
//! @domain bits: 0..4294967295 integer
//! @error 8 ulp
//! @reference np.sqrt(2) * erfinv((2.0 * (bits >> np.uint32(8)) + 1) * 2.0**-24 - 1)
fn normal_from_bits(bits: u32) -> f32 {
  let u = f32(i32((bits >> 8u) << 1u) - 16777215) * 5.9604644775390625e-08;
  return 1.4142135623730951 * erfinv_f32(u);
}
