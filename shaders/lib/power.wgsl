//! head_f32: x with the low 12 bits of its significand cleared, so that products of two heads are exact.
//! @domain x: -1e38..1e38
//! @error exact
//! @internal
fn head_f32(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

//! log2_pair: log2(x) of a positive normal x as a sum of two floats, the first with at most 12 significant bits.
//! @error exact
//! @internal
fn log2_pair(x: f32) -> vec2f {
  let e = log_exponent(x);
  let m = log_significand(x, e);
  let f = m - 1.0;
  let d = m + 1.0;
  // s = f / d in two parts; d is split from the bits of m, as m + 1.0 may round.
  let s = f / d;
  let s_head = head_f32(s);
  let d_head = head_f32(d);
  let d_tail = (m - (d_head - 1.0));
  let s_tail = (fma(-s_head, d_tail, fma(-s_head, d_head, f))) / d;
  let z = s * s;
  let series = z * s * fma(z, fma(z, fma(z, 0.2358277589082718, 0.2853727638721466), 0.4000033438205719), 0.6666666269302368);
  // ln(m) = 2 s_head + rest; then times 1/ln(2), itself in two parts.
  let rest = fma(2.0, s_tail, series);
  let high = head_f32(fma(2.0, s_head, rest));
  let low = fma(2.0, s_head, -high) + rest;
  let k = log_whole(e);
  let product_low = fma(low, 1.4426950408889634, high * 0.00031222839606925845);
  let product_high = high * 1.4423828125;
  let sum = head_f32(k + (product_high + product_low));
  return vec2f(sum, ((k - sum) + product_high) + product_low);
}

//! pow_f32: x^y with the values of C's pow at zeros, infinities, NaN and negative x.
//!
//! exp2(y * log2(x)), with the product carried in two floats, since its error is
//! multiplied by the size of the result's exponent.
//! @domain x: 1e-30..1e30
//! @domain y: -1.2..1.2
//! @error 4 ulp
//! @reference np.power(x, y)
fn pow_f32(x: f32, y: f32) -> f32 {
  let a = abs(x);
  let tiny = a < 1.1754943508222875e-38;
  var l = log2_pair(select(a, a * 16777216.0, tiny));
  l.x -= select(0.0, 24.0, tiny);
  // Beyond this every result is 0, 1 or infinity, and the products below would overflow.
  let c = at_least(at_most(y, 8.6e9), -8.6e9);
  let c_head = head_f32(c);
  let high = c_head * l.x;
  let low = fma(c - c_head, l.x, c * l.y);
  let t = at_least(at_most(high + low, 200.0), -200.0);
  let n = nearest_i32(t);
  let r = at_least(at_most((high - f32(n)) + low, 1.0), -1.0);
  var result = exp2_rounded(1.0 + expm1_reduced(r * 0.6931471805599453), t);

  let y_is_integer = (trunc(y) == y) & !is_inf(y);
  let y_is_odd = y_is_integer & (trunc(0.5 * y) != 0.5 * y);
  let one = bitcast<u32>(a) == 0x3f800000u;
  let grows = (a > 1.0) == (y > 0.0);
  let extreme = is_inf(y) | is_inf(x) | (a == 0.0);
  result = select(result, select(0.0, inf(), grows), extreme);
  result = select(result, 1.0, one);
  result = select(result, -result, sign_bit(x) & y_is_odd);
  result = select(result, nan(), (x < 0.0) & !y_is_integer & !is_inf(x) & !is_inf(y));
  result = select(result, nan(), is_nan(x) | is_nan(y));
  return select(result, 1.0, ((y == 0.0) & !is_nan(y)) | (bitcast<u32>(x) == 0x3f800000u));
}

//! pow_i32: x^y modulo 2^32; 0, or 1 or -1 where that is exact, for negative y.
//! @domain x: -40..40 integer
//! @domain y: 0..5 integer
//! @error exact
//! @reference np.power(x.astype(np.int64), y.astype(np.int64)).astype(np.int32)
fn pow_i32(x: i32, y: i32) -> i32 {
  var base = x;
  var exponent = u32(y);
  if (y < 0) {
    exponent &= 1u;
    base = select(0, x, (x == 1) | (x == -1));
    exponent |= select(0u, 2u, (base == 0) | (x == -1));
  }
  var result = 1;
  while (exponent != 0u) {
    result = select(result, result * base, (exponent & 1u) != 0u);
    base *= base;
    exponent >>= 1u;
  }
  return result;
}

//! pow_u32: x^y modulo 2^32.
//! @domain x: 0..80 integer
//! @domain y: 0..5 integer
//! @error exact
//! @reference np.power(x.astype(np.int64), y.astype(np.int64)).astype(np.uint32)
fn pow_u32(x: u32, y: u32) -> u32 {
  var base = x;
  var exponent = y;
  var result = 1u;
  while (exponent != 0u) {
    result = select(result, result * base, (exponent & 1u) != 0u);
    base *= base;
    exponent >>= 1u;
  }
  return result;
}
