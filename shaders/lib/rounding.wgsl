//! round_half_even_f32: to the nearest integer, halves to the even one.
//! @domain x: -1e9..1e9
//! @error exact
//! @reference np.rint(x)
fn round_half_even_f32(x: f32) -> f32 {
  return round(x);
}

//! fmod_f32: the remainder of x / y with the sign of x, exact like C's fmod, where WGSL's % is not
//! once the quotient is large. NaN if y is 0 or x is infinite.
//! @domain x: -1e30..1e30 beyond 1e-30
//! @domain y: -1e30..1e30 beyond 1e-30
//! @error exact
//! @reference np.fmod(x, y)
fn fmod_f32(x: f32, y: f32) -> f32 {
  let a = bitcast<u32>(x) & 0x7fffffffu;
  let b = bitcast<u32>(y) & 0x7fffffffu;
  let a_field = a >> 23u;
  let b_field = b >> 23u;
  let a_exponent = max(a_field, 1u);
  let b_exponent = max(b_field, 1u);
  var rest = (a & 0x007fffffu) | select(0x00800000u, 0u, a_field == 0u);
  let divisor = max((b & 0x007fffffu) | select(0x00800000u, 0u, b_field == 0u), 1u);
  // Long division of the significands, eight bits of the quotient at a time.
  var shifts = select(0u, a_exponent - b_exponent, a_exponent > b_exponent);
  if (a >= b) {
    rest %= divisor;
  }
  while (shifts > 0u) {
    let step = min(shifts, 8u);
    rest = (rest << step) % divisor;
    shifts -= step;
  }
  // Back to a float with y's exponent, or with fewer leading bits if that leaves the normal range.
  let lost = min(countLeadingZeros(rest) - 8u, b_exponent - 1u);
  let shifted = rest << (lost & 31u);
  let field = select(0u, b_exponent - lost, shifted >= 0x00800000u);
  let bits = (field << 23u) | (shifted & 0x007fffffu);
  let sign = bitcast<u32>(x) & 0x80000000u;
  let smaller = a < b;
  let result = bitcast<f32>(select(bits, a, smaller) | sign);
  let invalid = (b == 0u) | (a >= 0x7f800000u) | (b > 0x7f800000u);
  return select(result, nan(), invalid);
}

//! remainder_f32: the remainder of x / y with the sign of y, as Python's %; a zero has that of x, as in PyTorch.
//! @domain x: -1e30..1e30 beyond 1e-30
//! @domain y: -1e30..1e30 beyond 1e-30
//! @error 1 ulp
//! @reference remainder(x, y)
fn remainder_f32(x: f32, y: f32) -> f32 {
  let r = fmod_f32(x, y);
  let apart = (r != 0.0) & (sign_bit(r) != sign_bit(y)) & !is_nan(r);
  return select(r, r + y, apart);
}

//! floor_divide_f32: floor(x / y) by Python's rule, exact below 2^22.
//! @domain x: -1e6..1e6 beyond 1e-30
//! @domain y: -1e3..1e3 beyond 1e-30
//! @error 2 ulp
//! @reference np.floor_divide(x, y)
fn floor_divide_f32(x: f32, y: f32) -> f32 {
  let r = fmod_f32(x, y);
  let below = (r != 0.0) & (sign_bit(r) != sign_bit(y));
  let quotient = (x - r) / y - select(0.0, 1.0, below);
  let whole = floor(quotient);
  let nearest = select(whole, whole + 1.0, quotient - whole > 0.5);
  let result = select(nearest, copysign_f32(0.0, x) * sign(y), quotient == 0.0);
  let finite = select(result, nan(), is_inf(x));
  return select(select(finite, x / y, y == 0.0), nan(), is_nan(x) | is_nan(y));
}

//! floor_divide_i32: floor(x / y), Python's //; 0 if y is 0, as NumPy.
//! @domain x: -100000..100000 integer
//! @domain y: -300..300 integer
//! @error exact
//! @reference np.floor_divide(x.astype(np.int32), y.astype(np.int32))
fn floor_divide_i32(x: i32, y: i32) -> i32 {
  let quotient = x / y;
  let rest = x - quotient * y;
  let below = (rest != 0) & ((rest ^ y) < 0);
  return select(quotient - select(0, 1, below), 0, y == 0);
}

//! remainder_i32: x modulo y with the sign of y, Python's %; 0 if y is 0, as NumPy.
//! @domain x: -100000..100000 integer
//! @domain y: -300..300 integer
//! @error exact
//! @reference np.remainder(x.astype(np.int32), y.astype(np.int32))
fn remainder_i32(x: i32, y: i32) -> i32 {
  let rest = x % y;
  let below = (rest != 0) & ((rest ^ y) < 0);
  return select(select(rest, rest + y, below), 0, y == 0);
}

//! floor_divide_u32: x / y; 0 if y is 0, as NumPy.
//! @domain x: 0..100000 integer
//! @domain y: 0..300 integer
//! @error exact
//! @reference np.floor_divide(x.astype(np.uint32), y.astype(np.uint32))
fn floor_divide_u32(x: u32, y: u32) -> u32 {
  return select(x / y, 0u, y == 0u);
}

//! gcd_u32: the greatest common divisor by Euclid's algorithm; that of 0 and y is y.
//! @domain x: 0..100000 integer
//! @domain y: 0..300 integer
//! @error exact
//! @reference np.gcd(x.astype(np.uint32), y.astype(np.uint32))
fn gcd_u32(x: u32, y: u32) -> u32 {
  var a = x;
  var b = y;
  while (b != 0u) {
    let rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

//! gcd_i32: the greatest common divisor, which is not negative.
//! @domain x: -100000..100000 integer
//! @domain y: -300..300 integer
//! @error exact
//! @reference np.gcd(x.astype(np.int32), y.astype(np.int32))
fn gcd_i32(x: i32, y: i32) -> i32 {
  return i32(gcd_u32(u32(abs(x)), u32(abs(y))));
}

//! remainder_u32: x modulo y; 0 if y is 0, as NumPy.
//! @domain x: 0..100000 integer
//! @domain y: 0..300 integer
//! @error exact
//! @reference np.remainder(x.astype(np.uint32), y.astype(np.uint32))
fn remainder_u32(x: u32, y: u32) -> u32 {
  return select(x % y, 0u, y == 0u);
}

//! i32_from_f32: truncation toward zero; -2^31 for NaN and what is out of range.
//! @domain x: -1e12..1e12
//! @error exact
//! @reference np.where(np.abs(x) < 2.0**31, np.trunc(x), -(2.0**31)).astype(np.int32)
fn i32_from_f32(x: f32) -> i32 {
  let inside = i32(clamp(x, -2147483648.0, 2147483520.0));
  return select(-2147483647 - 1, inside, !is_nan(x) & (x < 2147483648.0));
}

//! u32_from_f32: truncation toward zero, modulo 2^32; 0 for NaN and the infinities.
//! @domain x: -1e12..1e12
//! @error exact
//! @reference np.mod(np.trunc(x.astype(np.float64)), 2.0**32).astype(np.uint32)
fn u32_from_f32(x: f32) -> u32 {
  let whole = trunc(x);
  // Every step is exact: powers of two scale, and the difference keeps bits of `whole`.
  let size = abs(whole) - floor(abs(whole) * 0x1p-32) * 0x1p32;
  let found = select(0u, u32(clamp(size, 0.0, 4294967040.0)), is_finite(x));
  return select(found, 0u - found, whole < 0.0);
}

//! fmod_i32: the remainder of x / y with the sign of x; 0 if y is 0.
//! @domain x: -100000..100000 integer
//! @domain y: -300..300 integer
//! @error exact
//! @reference np.fmod(x.astype(np.int32), y.astype(np.int32))
fn fmod_i32(x: i32, y: i32) -> i32 {
  return select(x % y, 0, (y == 0) | (y == -1));
}

//! fmod_u32: the remainder of x / y; 0 if y is 0.
//! @domain x: 0..100000 integer
//! @domain y: 0..300 integer
//! @error exact
//! @reference np.fmod(x.astype(np.uint32), y.astype(np.uint32))
fn fmod_u32(x: u32, y: u32) -> u32 {
  return select(x % y, 0u, y == 0u);
}

//! left_shift_i32: the bits moved y places up; 0 for 32 places or more, and for a negative number of them.
//! @domain x: -100000..100000 integer
//! @domain y: -3..40 integer
//! @error exact
//! @reference np.where((y < 0) | (y > 31), 0, x.astype(np.int64) << np.clip(y, 0, 31).astype(np.int64)).astype(np.int32)
fn left_shift_i32(x: i32, y: i32) -> i32 {
  return select(x << (u32(y) & 31u), 0, u32(y) > 31u);
}

//! left_shift_u32: the bits moved y places up; 0 for 32 places or more.
//! @domain x: 0..100000 integer
//! @domain y: 0..40 integer
//! @error exact
//! @reference np.where(y > 31, 0, x.astype(np.int64) << np.clip(y, 0, 31).astype(np.int64)).astype(np.uint32)
fn left_shift_u32(x: u32, y: u32) -> u32 {
  return select(x << (y & 31u), 0u, y > 31u);
}

//! right_shift_i32: the bits moved y places down; the sign alone for 32 places or more, or a negative number.
//! @domain x: -100000..100000 integer
//! @domain y: -3..40 integer
//! @error exact
//! @reference x.astype(np.int32) >> np.where((y < 0) | (y > 31), 31, y).astype(np.int32)
fn right_shift_i32(x: i32, y: i32) -> i32 {
  return x >> min(u32(y), 31u);
}

//! right_shift_u32: the bits moved y places down; 0 for 32 places or more.
//! @domain x: 0..100000 integer
//! @domain y: 0..40 integer
//! @error exact
//! @reference np.where(y > 31, 0, x.astype(np.int64) >> np.clip(y, 0, 31).astype(np.int64)).astype(np.uint32)
fn right_shift_u32(x: u32, y: u32) -> u32 {
  return select(x >> (y & 31u), 0u, y > 31u);
}
