//! pick_word: the argument whose number, counted from -1, is i.
//! @error exact
//! @internal
fn pick_word(i: i32, before: u32, w0: u32, w1: u32, w2: u32, w3: u32) -> u32 {
  return select(select(select(select(before, w0, i == 0), w1, i == 1), w2, i == 2), w3, i == 3);
}

//! mul_wide: the 64-bit product of x and y, low word first.
//! @error exact
//! @internal
fn mul_wide(x: u32, y: u32) -> vec2u {
  let x_low = x & 0xffffu;
  let x_high = x >> 16u;
  let y_low = y & 0xffffu;
  let y_high = y >> 16u;
  let middle = x_high * y_low + ((x_low * y_low) >> 16u);
  let cross = x_low * y_high + (middle & 0xffffu);
  return vec2u(x * y, x_high * y_high + (middle >> 16u) + (cross >> 16u));
}

//! quarter_turns_large: (angle, quadrant) with x = quadrant * pi/2 + angle modulo whole turns, for
//! finite |x| >= 8, by integer arithmetic on the bits of 2/pi that x's exponent selects (Payne and Hanek 1983).
//! @error exact
//! @internal
fn quarter_turns_large(x: f32) -> vec2f {
  let bits = bitcast<u32>(x);
  let significand = (bits & 0x007fffffu) | 0x00800000u;
  // |x| = significand * 2^e; bits of 2/pi with a weight of 2^(2-e) or more add only whole turns.
  let skip = i32((bits >> 23u) & 0xffu) - 152;
  let word = skip >> 5u;
  let offset = u32(skip) & 31u;
  // Bits 32 * word and on after the binary point of 2/pi = 0.a2f9836e4e441529fc27...
  let a = pick_word(word, 0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u);
  let b = pick_word(word, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u);
  let c = pick_word(word, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u);
  let d = pick_word(word, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
  // A shift by 32 is undefined, so the right shift is made in two steps.
  let back = 31u - offset;
  let high = (a << offset) | ((b >> 1u) >> back);
  let middle = (b << offset) | ((c >> 1u) >> back);
  let low = (c << offset) | ((d >> 1u) >> back);
  // The product modulo 2^96 without its last word: two bits of quadrant, then the fraction.
  let wide = mul_wide(significand, middle);
  var fraction_low = wide.x + mul_wide(significand, low).y;
  let carry = select(0u, 1u, fraction_low < wide.x);
  let top = significand * high + wide.y + carry;
  let quadrant = (top + 0x20000000u) >> 30u;
  var fraction_high = top - (quadrant << 30u);
  let below = fraction_high >= 0x80000000u;
  if (below) {
    fraction_low = ~fraction_low + 1u;
    fraction_high = ~fraction_high + select(0u, 1u, fraction_low == 0u);
  }
  let magnitude = f32(fraction_high) * 1.462918079267159e-09 + f32(fraction_low) * 3.406124158008866e-19;
  let flip = below != sign_bit(x);
  return vec2f(select(magnitude, -magnitude, flip), f32(select(quadrant, 4u - quadrant, sign_bit(x)) & 3u));
}

//! nearest_turns: the integer nearest to x / (pi/2), for |x| <= 8192; anything beyond gives some integer.
//! @domain x: -8192..8192
//! @error exact
//! @internal
fn nearest_turns(x: f32) -> i32 {
  return nearest_i32(x * 0.6366197723675814);
}

//! turned_back: x - n pi/2 for the n that nearest_turns gives.
//! @error 2 ulp
//! @internal
fn turned_back(x: f32, n: i32) -> f32 {
  // pi/2 in parts of 11 bits. The products are made in integers, where they are exact and
  // compilers that may reassociate cannot add the parts back together.
  var r = fma(f32(n * 201), -0.0078125, x);
  r = fma(f32(n * 2029), -2.384185791015625e-07, r);
  r = fma(f32(n * 1297), -5.820766091346741e-11, r);
  return fma(f32(n), -2.5633440682570896e-12, r);
}

//! quarter_turns: (angle, quadrant) as above, |angle| <= pi/4, for all finite x.
//! @error 2 ulp
//! @internal
fn quarter_turns(x: f32) -> vec2f {
  let n = nearest_turns(x);
  var turns = vec2f(turned_back(x, n), f32(n & 3));
  if (abs(x) > 8192.0) {
    turns = quarter_turns_large(x);
  }
  return turns;
}

//! is_far_turn: whether quarter_turns_near does not serve x: it is large, infinite or NaN.
//!
//! Software adapters compute both sides of a branch. Printed maps call sin_near for several elements in a row,
//! and go over them again with sin_f32 where one of them is far; cos and tan likewise.
//! @domain x: -inf..inf
//! @error exact
//! @reference ~(np.abs(x) <= 8192)
//! @internal
fn is_far_turn(x: f32) -> bool {
  return (bitcast<i32>(x) & 0x7fffffff) > 0x46000000;
}

//! sin_reduced: sin(r) for |r| <= pi/4, with the sign of a zero.
//! @domain r: -0.7854..0.7854
//! @error 2 ulp
//! @reference np.sin(r)
//! @internal
fn sin_reduced(r: f32) -> f32 {
  let z = r * r;
  let p = fma(z, fma(z, -0.00019516475731506944, 0.00833217240869999), -0.16666655242443085);
  return r * fma(z, p, 1.0);
}

//! cos_reduced: cos(r) for |r| <= pi/4.
//! @domain r: -0.7854..0.7854
//! @error 2 ulp
//! @reference np.cos(r)
//! @internal
fn cos_reduced(r: f32) -> f32 {
  let z = r * r;
  let p = fma(z, fma(z, 2.443752600811422e-05, -0.0013887359527871013), 0.04166664555668831);
  return fma(z * z, p, fma(z, -0.5, 1.0));
}

//! sin_quadrant: sin(r + n pi/2); the next quadrant of it is the cosine.
//! @domain r: -0.7854..0.7854
//! @domain n: 0..4
//! @error 3 ulp or 1e-7 absolute
//! @reference np.sin(r + n * np.pi / 2)
//! @internal
fn sin_quadrant(r: f32, n: i32) -> f32 {
  return select(sin_reduced(r), cos_reduced(r), (n & 1) == 1) * f32(1 - (n & 2));
}

//! tan_quadrant: tan(r + n pi/2).
//! @error 6 ulp
//! @internal
fn tan_quadrant(r: f32, n: i32) -> f32 {
  let s = sin_reduced(r);
  let c = cos_reduced(r);
  let odd = (n & 1) == 1;
  return select(s, -c, odd) / select(c, s, odd);
}

//! sin_near: sin_f32 for |x| <= 8192.
//! @domain x: -8192..8192
//! @error 3 ulp
//! @reference np.sin(x)
//! @internal
fn sin_near(x: f32) -> f32 {
  let n = nearest_turns(x);
  return sin_quadrant(turned_back(x, n), n);
}

//! sin_f32: with exact reduction of arguments of any size, where WGSL promises sin() only on [-pi, pi]
//! and to 2^-11 absolute; NaN for infinities.
//! @domain x: -3.4e38..3.4e38
//! @error 3 ulp
//! @reference np.sin(x)
fn sin_f32(x: f32) -> f32 {
  let turns = quarter_turns(x);
  return select(nan(), sin_quadrant(turns.x, nearest_i32(turns.y)), is_finite(x));
}

//! cos_near: cos_f32 for |x| <= 8192.
//! @domain x: -8192..8192
//! @error 3 ulp
//! @reference np.cos(x)
//! @internal
fn cos_near(x: f32) -> f32 {
  let n = nearest_turns(x);
  return sin_quadrant(turned_back(x, n), n + 1);
}

//! cos_f32: with exact reduction of arguments of any size; NaN for infinities.
//! @domain x: -3.4e38..3.4e38
//! @error 3 ulp
//! @reference np.cos(x)
fn cos_f32(x: f32) -> f32 {
  let turns = quarter_turns(x);
  return select(nan(), sin_quadrant(turns.x, nearest_i32(turns.y) + 1), is_finite(x));
}

//! tan_near: tan_f32 for |x| <= 8192.
//! @domain x: -8192..8192
//! @error 6 ulp
//! @reference np.tan(x)
//! @internal
fn tan_near(x: f32) -> f32 {
  let n = nearest_turns(x);
  return tan_quadrant(turned_back(x, n), n);
}

//! tan_f32: with exact reduction of arguments of any size; NaN for infinities.
//! @domain x: -3.4e38..3.4e38
//! @error 6 ulp
//! @reference np.tan(x)
fn tan_f32(x: f32) -> f32 {
  let turns = quarter_turns(x);
  return select(nan(), tan_quadrant(turns.x, nearest_i32(turns.y)), is_finite(x));
}

//! atan_unit: atan(t) for 0 <= t <= 1.
//! @domain t: 0..1
//! @error 3 ulp
//! @reference np.arctan(t)
//! @internal
fn atan_unit(t: f32) -> f32 {
  let far = t > 0.41421356;
  let v = select(t, (t - 1.0) / (t + 1.0), far);
  let z = v * v;
  let p = fma(z, fma(z, fma(z, 0.08054395020008087, -0.13878148794174194), 0.19977781176567078), -0.33332952857017517);
  return select(0.0, 0.7853981633974483, far) + fma(v * z, p, v);
}

//! atan_f32: the arc tangent; WGSL allows atan() 4096 ulp.
//! @domain x: -3e38..3e38
//! @error 4 ulp
//! @reference np.arctan(x)
fn atan_f32(x: f32) -> f32 {
  let a = abs(x);
  let inside = a <= 1.0;
  let r = atan_unit(select(1.0 / at_least(a, 1.0), a, inside));
  let y = select(1.5707963267948966 - r, r, inside);
  let whole = select(y, 1.5707963267948966, is_inf(x));
  return select(copysign_f32(whole, x), x, is_nan(x) | (x == 0.0));
}

//! atan2_f32: the angle of the point (x, y), with C's values at signed zeros and infinities.
//! @domain y: -1e18..1e18
//! @domain x: -1e18..1e18
//! @error 5 ulp
//! @reference np.arctan2(y, x)
fn atan2_f32(y: f32, x: f32) -> f32 {
  let a = abs(x);
  let b = abs(y);
  let small = at_most(a, b);
  let large = at_least(a, b);
  // Halving keeps the quotient of the largest floats normal on devices that flush reciprocals.
  let scale = select(1.0, 0.25, large > 1e37);
  var t = (small * scale) / (large * scale);
  t = select(t, 0.0, (large == 0.0) | is_inf(large));
  t = select(t, 1.0, is_inf(small));
  let r = atan_unit(t);
  let steep = select(r, 1.5707963267948966 - r, b > a);
  let turned = select(steep, 3.141592653589793 - steep, sign_bit(x));
  return select(copysign_f32(turned, y), nan(), is_nan(x) | is_nan(y));
}

//! asin_series: asin(s) / s - 1 from z = s * s, for |s| <= 1/2.
//! @domain z: 1e-8..0.25
//! @error 1e-7 absolute
//! @reference np.arcsin(np.sqrt(z)) / np.sqrt(z) - 1
//! @internal
fn asin_series(z: f32) -> f32 {
  var p = fma(z, 0.04223046451807022, 0.024141034111380577);
  p = fma(z, p, 0.04547833651304245);
  p = fma(z, p, 0.07495232671499252);
  return z * fma(z, p, 0.16666753590106964);
}

//! asin_f32: NaN outside [-1, 1].
//! @domain x: -1..1
//! @error 4 ulp
//! @reference np.arcsin(x)
fn asin_f32(x: f32) -> f32 {
  let a = abs(x);
  let far = a > 0.5;
  let z = select(a * a, 0.5 - 0.5 * a, far);
  let s = select(a, sqrt(at_least(z, 0.0)), far);
  let r = fma(s, asin_series(z), s);
  let y = select(r, 1.5707963267948966 - 2.0 * r, far);
  let inside = select(copysign_f32(y, x), x, x == 0.0);
  return select(select(inside, nan(), a > 1.0), x, is_nan(x));
}

//! acos_f32: NaN outside [-1, 1]; relatively accurate near 1.
//! @domain x: -1..1
//! @error 5 ulp or 1e-7 absolute
//! @reference np.arccos(x)
fn acos_f32(x: f32) -> f32 {
  let a = abs(x);
  let far = a > 0.5;
  let z = select(a * a, 0.5 - 0.5 * a, far);
  let s = select(x, sqrt(at_least(z, 0.0)), far);
  let r = fma(s, asin_series(z), s);
  let turned = select(2.0 * r, 3.141592653589793 - 2.0 * r, x < 0.0);
  let y = select(1.5707963267948966 - r, turned, far);
  return select(select(y, nan(), a > 1.0), x, is_nan(x));
}
