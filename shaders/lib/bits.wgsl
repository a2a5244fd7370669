//! inf: positive infinity, made from bits because WGSL rejects it as a constant.
//! @error exact
//! @reference np.inf
fn inf() -> f32 {
  var bits = 0x7f800000u;
  return bitcast<f32>(bits);
}

//! nan: a quiet NaN, made from bits because WGSL rejects it as a constant.
//! @error exact
//! @reference np.nan
fn nan() -> f32 {
  var bits = 0x7fc00000u;
  return bitcast<f32>(bits);
}

//! is_nan: whether x is NaN, tested on its bits: `x != x` may be compiled to false.
//! @domain x: -inf..inf
//! @error exact
//! @reference np.isnan(x)
fn is_nan(x: f32) -> bool {
  return (bitcast<i32>(x) & 0x7fffffff) > 0x7f800000;
}

//! is_inf: whether x is an infinity of either sign.
//! @domain x: -inf..inf
//! @error exact
//! @reference np.isinf(x)
fn is_inf(x: f32) -> bool {
  return (bitcast<i32>(x) & 0x7fffffff) == 0x7f800000;
}

//! is_finite: whether x is neither NaN nor an infinity.
//! @domain x: -inf..inf
//! @error exact
//! @reference np.isfinite(x)
fn is_finite(x: f32) -> bool {
  return (bitcast<i32>(x) & 0x7fffffff) < 0x7f800000;
}

//! sign_bit: whether the sign bit of x is set: true for -0.0 and for a NaN with a sign.
//! @domain x: -inf..inf
//! @error exact
//! @reference np.signbit(x)
fn sign_bit(x: f32) -> bool {
  return bitcast<i32>(x) < 0;
}

//! copysign_f32: the magnitude of x with the sign bit of y.
//!
//! A select, not masks joined by `|`: llvmpipe loses bits of the masks where y is a product of the same kernel.
//! @domain x: -inf..inf
//! @domain y: -inf..inf
//! @error exact
//! @reference np.copysign(x, y)
fn copysign_f32(x: f32, y: f32) -> f32 {
  return select(abs(x), -abs(x), bitcast<i32>(y) < 0);
}

//! at_most: x, or the bound where x is above it; NaN for NaN.
//!
//! Software adapters take longer for min(), which treats NaN in a way of its own.
//! @domain x: -inf..inf
//! @domain bound: -inf..inf
//! @error exact
//! @reference np.where(x > bound, bound, x)
//! @internal
fn at_most(x: f32, bound: f32) -> f32 {
  return select(x, bound, x > bound);
}

//! at_least: x, or the bound where x is below it; NaN for NaN.
//! @domain x: -inf..inf
//! @domain bound: -inf..inf
//! @error exact
//! @reference np.where(x < bound, bound, x)
//! @internal
fn at_least(x: f32, bound: f32) -> f32 {
  return select(x, bound, x < bound);
}

//! max_f32: the larger of x and y; NaN if either is NaN, where WGSL's max may return the other.
//! @domain x: -inf..inf
//! @domain y: -inf..inf
//! @error exact
//! @reference np.maximum(x, y)
fn max_f32(x: f32, y: f32) -> f32 {
  return select(select(at_least(y, x), y, is_nan(y)), x, is_nan(x));
}

//! min_f32: the smaller of x and y; NaN if either is NaN.
//! @domain x: -inf..inf
//! @domain y: -inf..inf
//! @error exact
//! @reference np.minimum(x, y)
fn min_f32(x: f32, y: f32) -> f32 {
  return select(select(at_most(y, x), y, is_nan(y)), x, is_nan(x));
}

//! sign_f32: -1, 0 or 1; 0 for NaN.
//! @domain x: -inf..inf
//! @error exact
//! @reference np.where(np.isnan(x), 0, np.sign(x))
fn sign_f32(x: f32) -> f32 {
  return select(sign(x), 0.0, is_nan(x));
}

//! nextafter_f32: the next float after x in the direction of y, subnormals included.
//! @domain x: -3e38..3e38
//! @domain y: -3e38..3e38
//! @error exact
//! @reference np.nextafter(x.astype(np.float32), y.astype(np.float32))
fn nextafter_f32(x: f32, y: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let magnitude = bits & 0x7fffffffu;
  let away = (y > x) == (bits < 0x80000000u);
  let from_zero = select(1u, 0x80000001u, y < x);
  let moved = select(select(bits - 1u, bits + 1u, away), from_zero, magnitude == 0u);
  let result = bitcast<f32>(select(moved, bitcast<u32>(y), x == y));
  return select(select(result, y, is_nan(y)), x, is_nan(x));
}

//! sort_key_f32: an unsigned integer that sorts as x does, zeros of both signs alike and NaN last.
//! @domain x: -inf..inf
//! @error exact
//! @reference sort_key(x)
fn sort_key_f32(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let key = select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
  return select(select(key, 0x80000000u, bits == 0x80000000u), 0xffffffffu, is_nan(x));
}

//! sort_key_i32: an unsigned integer that sorts as x does.
//! @domain x: -2147483648..2147483647 integer
//! @error exact
//! @reference (x.astype(np.int64) + 2**31).astype(np.uint32)
fn sort_key_i32(x: i32) -> u32 {
  return bitcast<u32>(x) ^ 0x80000000u;
}
