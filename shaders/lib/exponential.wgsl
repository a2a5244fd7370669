//! exp2_rounded: x * 2^n for the integer n nearest to t, |t| <= 250; anything for a larger one.
//!
//! In two factors, 2^(n/2) and the rest, so that each is a normal float, and the second product rounds what is
//! subnormal. Adding 1.5 * 2^23 and a bias leaves the exponent of a factor in the low bits.
//! @domain x: 0.7..1.5
//! @domain t: -125..127
//! @error exact
//! @reference x * 2.0 ** np.rint(t)
//! @internal
fn exp2_rounded(x: f32, t: f32) -> f32 {
  let first = bitcast<i32>(fma(t, 0.5, 12583039.0));
  let whole = bitcast<i32>(t + 12583166.0);
  return x * bitcast<f32>(first * 8388608) * bitcast<f32>((whole - first) * 8388608);
}

//! nearest_i32: x rounded to the nearest integer, for |x| < 2^21; anything beyond gives some integer.
//!
//! Adding 1.5 * 2^23 leaves the integer in the low bits. Conversion and round() cost software
//! adapters ten times as much.
//! @domain x: -2000000..2000000
//! @error exact
//! @reference np.rint(x)
//! @internal
fn nearest_i32(x: f32) -> i32 {
  return bitcast<i32>(x + 12582912.0) - 0x4b400000;
}

//! is_below: whether x < bound < 0, with bound as bits; false for NaN, whatever a compiler assumes of it.
//! @error exact
//! @internal
fn is_below(x: f32, bound: u32) -> bool {
  // Compared with signs, which software adapters do at once; the shift by 2^31 makes that the order without.
  return bitcast<i32>(bitcast<u32>(x) - bound + 0x7fffffffu) < bitcast<i32>(0x7f800000u - bound);
}

//! expm1_reduced: e^r - 1 for |r| <= ln(2)/2, relatively accurate at 0.
//! @domain r: -0.3466..0.3466
//! @error 2 ulp
//! @reference np.expm1(r)
//! @internal
fn expm1_reduced(r: f32) -> f32 {
  var p = fma(r, 0.0013898236211389303, 0.008366082794964314);
  p = fma(r, p, 0.04166685417294502);
  p = fma(r, p, 0.1666654795408249);
  p = fma(r, p, 0.5);
  return fma(r * r, p, r);
}

//! exp_remainder: x - n ln(2), with ln(2) in two parts so that no digits are lost.
//!
//! The product of n and the first part is made in integers: compilers that may reassociate
//! would otherwise take n out of both products and add the parts back together.
//! @error exact
//! @internal
fn exp_remainder(x: f32, n: i32) -> f32 {
  return fma(f32(n), -1.428606765330187e-06, fma(f32(n * 45426), -1.52587890625e-05, x));
}

//! exp_f32: e^x. WGSL allows exp() an error that grows with |x|; this one's does not.
//! @domain x: -87.3..88.7
//! @error 2 ulp
//! @reference np.exp(x)
fn exp_f32(x: f32) -> f32 {
  let t = at_most(x * 1.4426950408889634, 129.0);
  let n = nearest_i32(t);
  // Beyond the largest result the polynomial overflows by itself; below -104 it means nothing.
  let y = exp2_rounded(1.0 + expm1_reduced(exp_remainder(x, n)), t);
  return select(y, 0.0, is_below(x, 0xc2d00000u));
}

//! exp2_f32: 2^x, exact for integers.
//! @domain x: -126..127.99
//! @error 2 ulp
//! @reference np.exp2(x)
fn exp2_f32(x: f32) -> f32 {
  let t = at_most(x, 129.0);
  let n = nearest_i32(t);
  let y = exp2_rounded(1.0 + expm1_reduced((x - f32(n)) * 0.6931471805599453), t);
  return select(y, 0.0, is_below(x, 0xc3160000u));
}

//! expm1_f32: e^x - 1, accurate near zero, where exp(x) - 1.0 has no correct digits.
//! @domain x: -100..88.7
//! @error 3 ulp
//! @reference np.expm1(x)
fn expm1_f32(x: f32) -> f32 {
  let n = nearest_i32(at_most(x * 1.4426950408889634, 128.0));
  let p = expm1_reduced(exp_remainder(x, n));
  // 2^n (e^r - 1) + (2^n - 1), halved, because 2^128 is not a float.
  let scale = bitcast<f32>((n + 126) * 8388608);
  let y = 2.0 * fma(scale, p, scale - 0.5);
  return select(select(y, -1.0, is_below(x, 0xc1a00000u)), x, x == 0.0);
}

//! log1p_reduced: ln(1 + f) for sqrt(1/2) <= 1 + f <= sqrt(2), relatively accurate at 0.
//!
//! ln(1 + f) = 2 atanh(s), s = f / (2 + f); written so that the leading term f is exact.
//! @domain f: -0.2928..0.4142
//! @error 2 ulp
//! @reference np.log1p(f)
//! @internal
fn log1p_reduced(f: f32) -> f32 {
  let s = f / (2.0 + f);
  let z = s * s;
  let r = z * fma(z, fma(z, 0.2987232506275177, 0.3997752070426941), 0.6666677594184875);
  let h = 0.5 * f * f;
  return f - (h - s * (h + r));
}

//! log_exponent: the integer e for which x * 2^-e lies in [sqrt(1/2), sqrt(2)), times 2^23; x is a normal float.
//!
//! Left where it stands among the bits of x: software adapters shift one lane at a time.
//! @domain x: 1.2e-38..3.4e38
//! @error exact
//! @reference np.round(np.log2(x)) * 2**23
//! @internal
fn log_exponent(x: f32) -> i32 {
  return (bitcast<i32>(x) - 0x3f3504f3) & -8388608;
}

//! log_whole: e from the result of log_exponent.
//! @error exact
//! @internal
fn log_whole(e: i32) -> f32 {
  return f32(e) * 1.1920928955078125e-07;
}

//! log_significand: x * 2^-e, e as log_exponent gives it.
//! @error exact
//! @internal
fn log_significand(x: f32, e: i32) -> f32 {
  return bitcast<f32>(bitcast<i32>(x) - e);
}

//! log_special: the value of a logarithm at x if x is zero, negative, infinite or NaN, else y.
//! @error exact
//! @internal
fn log_special(x: f32, y: f32) -> f32 {
  let bits = bitcast<i32>(x);
  let positive = select(y, x, bits >= 0x7f800000);
  return select(select(positive, nan(), bits < 0), -inf(), (bits & 0x7fffffff) == 0);
}

//! log_f32: ln(x), also near 1, where WGSL promises log() only to 2^-21 absolute.
//! @domain x: 1.2e-38..3.4e38
//! @error 2 ulp
//! @reference np.log(x)
fn log_f32(x: f32) -> f32 {
  let tiny = abs(x) < 1.1754943508222875e-38;
  let v = select(x, x * 8388608.0, tiny);
  let e = log_exponent(v);
  let k = log_whole(e) - select(0.0, 23.0, tiny);
  let p = log1p_reduced(log_significand(v, e) - 1.0);
  return log_special(x, fma(k, 0.693145751953125, fma(k, 1.428606765330187e-06, p)));
}

//! log2_f32: the logarithm to base 2, exact for powers of two.
//! @domain x: 1.2e-38..3.4e38
//! @error 3 ulp
//! @reference np.log2(x)
fn log2_f32(x: f32) -> f32 {
  let tiny = abs(x) < 1.1754943508222875e-38;
  let v = select(x, x * 8388608.0, tiny);
  let e = log_exponent(v);
  let k = log_whole(e) - select(0.0, 23.0, tiny);
  let p = log1p_reduced(log_significand(v, e) - 1.0);
  return log_special(x, fma(p, 1.4426950216293335, fma(p, 1.9259629911266175e-08, k)));
}

//! log10_f32: the logarithm to base 10, exact for powers of ten.
//! @domain x: 1.2e-38..3.4e38
//! @error 3 ulp
//! @reference np.log10(x)
fn log10_f32(x: f32) -> f32 {
  let tiny = abs(x) < 1.1754943508222875e-38;
  let v = select(x, x * 8388608.0, tiny);
  let e = log_exponent(v);
  let k = log_whole(e) - select(0.0, 23.0, tiny);
  let p = log1p_reduced(log_significand(v, e) - 1.0);
  // log10(e) and log10(2) in two parts each.
  let low = fma(k, 4.605039066518657e-06, p * -1.0103049952192578e-08);
  return log_special(x, fma(k, 0.301025390625, fma(p, 0.4342944920063019, low)));
}

//! log1p_f32: ln(1 + x), accurate near zero, where log(1.0 + x) has no correct digits.
//!
//! WGSL promises log() only to within 2^-21 absolute error on [0.5, 2], so the textbook
//! correction, which divides the error of 1 + x back out, cannot work here.
//! @domain x: -0.9999999..3.3e38
//! @error 3 ulp
//! @reference np.log1p(x)
fn log1p_f32(x: f32) -> f32 {
  let near = (x > -0.2928) & (x < 0.4142);
  let u = 1.0 + x;
  let e = select(log_exponent(u), 0, near);
  let f = select(log_significand(u, e) - 1.0, x, near);
  let k = log_whole(e);
  let y = fma(k, 0.693145751953125, fma(k, 1.428606765330187e-06, log1p_reduced(f)));
  return select(log_special(u, y), x, bitcast<u32>(x) << 1u == 0u);
}

//! sigmoid_f32: 1 / (1 + e^-x), relatively accurate for very negative x too.
//! @domain x: -87..100
//! @error 4 ulp
//! @reference 1 / (1 + np.exp(-x))
fn sigmoid_f32(x: f32) -> f32 {
  let e = exp_f32(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

//! softplus_f32: ln(1 + e^x), without overflow.
//! @domain x: -86..1e38
//! @error 4 ulp
//! @reference np.logaddexp(0.0, x)
fn softplus_f32(x: f32) -> f32 {
  return select(at_least(x, 0.0) + log1p_f32(exp_f32(-abs(x))), x, is_nan(x));
}

//! logaddexp_f32: ln(e^x + e^y), without overflow.
//! @domain x: -80..80
//! @domain y: -80..80
//! @error 4 ulp or 2e-7 absolute
//! @reference np.logaddexp(x, y)
fn logaddexp_f32(x: f32, y: f32) -> f32 {
  let high = max_f32(x, y);
  let gap = -abs(x - y);
  return select(high + log1p_f32(exp_f32(gap)), high, !is_finite(gap));
}
