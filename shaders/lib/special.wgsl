//! erf_series: erf(x) / x - 1 from z = x * x, for |x| <= 0.95.
//! @domain z: 1e-12..0.9025
//! @error 2e-7 absolute
//! @reference erf(np.sqrt(z)) / np.sqrt(z) - 1
//! @internal
fn erf_series(z: f32) -> f32 {
  var p = fma(z, 8.185081969713792e-05, -0.0008097700192593038);
  p = fma(z, p, 0.005196951795369387);
  p = fma(z, p, -0.026857705786824226);
  p = fma(z, p, 0.11283663660287857);
  p = fma(z, p, -0.37612631916999817);
  return fma(z, p, 0.12837916612625122);
}

//! erfc_tail: erfc(a) for a >= 0.45, as e^(-a*a) times a polynomial in (a - 3) / (a + 3) over 1 + 2a.
//! @domain a: 0.45..9.1
//! @error 8 ulp
//! @reference erfc(a)
//! @internal
fn erfc_tail(a: f32) -> f32 {
  let x = at_most(a, 10.1);
  let y = (x - 3.0) / (x + 3.0);
  var p = fma(y, -0.00019737114780582488, -0.0006997819291427732);
  p = fma(y, p, 0.001963163958862424);
  p = fma(y, p, 0.0025111271534115076);
  p = fma(y, p, -0.023791462182998657);
  p = fma(y, p, 0.06830970197916031);
  p = fma(y, p, -0.11927124112844467);
  p = fma(y, p, 0.12964510917663574);
  p = fma(y, p, -0.04756239429116249);
  p = fma(y, p, -0.1356211006641388);
  p = fma(y, p, 1.2530080080032349);
  // x * x = h * h + (x - h) * (x + h), the first product exact: its error would be multiplied by x * x.
  let h = bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
  let rest = 1.0 + expm1_reduced((h - x) * (x + h));
  return exp_f32(-h * h) * rest * p / fma(2.0, x, 1.0);
}

//! erf_f32: the error function.
//! @domain x: -5..5
//! @error 4 ulp
//! @reference erf(x)
fn erf_f32(x: f32) -> f32 {
  let a = abs(x);
  let near = fma(a, erf_series(at_most(a * a, 1.0)), a);
  let y = select(near, 1.0 - erfc_tail(at_least(a, 0.45)), a > 0.95);
  return select(copysign_f32(y, x), x, is_nan(x) | (x == 0.0));
}

//! erfc_f32: 1 - erf(x), relatively accurate for large x.
//! @domain x: -5..9.1
//! @error 8 ulp
//! @reference erfc(x)
fn erfc_f32(x: f32) -> f32 {
  let a = abs(x);
  let near = 1.0 - fma(x, erf_series(at_most(a * a, 1.0)), x);
  let tail = erfc_tail(at_least(a, 0.45));
  let y = select(near, select(tail, 2.0 - tail, x < 0.0), a > 0.5);
  return select(y, x, is_nan(x));
}

//! erfinv_f32: the inverse of erf; infinite at 1 and -1, NaN beyond.
//! @domain x: -0.99999994..0.99999994
//! @error 6 ulp
//! @reference erfinv(x)
fn erfinv_f32(x: f32) -> f32 {
  let a = abs(x);
  let w = -log1p_f32(-at_most(a, 0.99999994)) - log1p_f32(at_most(a, 1.0));
  let t = w - 2.5;
  var p = fma(t, 2.3934132897807103e-08, 3.428799288940354e-07);
  p = fma(t, p, -3.471488298600889e-06);
  p = fma(t, p, -4.387512944958871e-06);
  p = fma(t, p, 0.0002183788310503587);
  p = fma(t, p, -0.00125373643822968);
  p = fma(t, p, -0.0041774301789700985);
  p = fma(t, p, 0.24664074182510376);
  p = fma(t, p, 1.5014094114303589);
  let s = sqrt(at_least(w, 0.0)) - 3.0;
  var q = fma(s, -0.0001056387773132883, 2.517810571589507e-05);
  q = fma(s, q, 0.0012270815204828978);
  q = fma(s, q, -0.0035936159547418356);
  q = fma(s, q, 0.005792560055851936);
  q = fma(s, q, -0.007645726203918457);
  q = fma(s, q, 0.009430911391973495);
  q = fma(s, q, 1.0016757249832153);
  q = fma(s, q, 2.832977056503296);
  let y = x * select(p, q, w > 5.0);
  let edge = select(y, copysign_f32(inf(), x), a == 1.0);
  return select(select(edge, nan(), a > 1.0), x, is_nan(x));
}

//! sin_pi: sin(pi * x), exactly 0 at integers.
//! @domain x: -1000..1000
//! @error 4 ulp
//! @reference sin_pi(x)
fn sin_pi(x: f32) -> f32 {
  let n = round(2.0 * x);
  let r = fma(n, -0.5, x) * 3.141592653589793;
  let quadrant = u32(i32(clamp(n, -2147483648.0, 2147483520.0))) & 3u;
  let y = select(sin_reduced(r), cos_reduced(r), (quadrant & 1u) == 1u);
  return select(y, -y, quadrant >= 2u);
}

//! lgamma_near_two: ln(gamma(2 + z)) for |z| <= 1/2.
//! @error 2 ulp
//! @internal
fn lgamma_near_two(z: f32) -> f32 {
  var p = fma(z, 0.00011655216076178476, -0.00025386232300661504);
  p = fma(z, p, 0.0005047863232903183);
  p = fma(z, p, -0.001185837434604764);
  p = fma(z, p, 0.002891119569540024);
  p = fma(z, p, -0.0073861777782440186);
  p = fma(z, p, 0.020580777898430824);
  p = fma(z, p, -0.0673522800207138);
  p = fma(z, p, 0.32246702909469604);
  p = fma(z, p, 0.42278432846069336);
  return z * p;
}

//! lgamma_positive: ln(gamma(x)) for x > 0, relatively accurate at its zeros 1 and 2.
//! @domain x: 1e-30..1e36
//! @error 8 ulp
//! @reference lgamma(x)
//! @internal
fn lgamma_positive(x: f32) -> f32 {
  // gamma(x) = product^sign * gamma(2 + z), by steps of one toward [1.5, 2.5].
  let z = x - select(select(2.0, 3.0, x >= 2.5), 4.0, x >= 3.5);
  let shift = select(select(z, x - 1.0, x < 1.5), x, x < 0.5);
  var product = select(select(1.0, x - 1.0, x >= 2.5), (x - 1.0) * (x - 2.0), x >= 3.5);
  product = select(select(product, x, x < 1.5), x * (x + 1.0), x < 0.5);
  let l = log_f32(product);
  let near = lgamma_near_two(at_least(at_most(shift, 0.5), -0.5)) + select(l, -l, x < 1.5);
  let v = at_least(x, 4.0);
  let u = 1.0 / v;
  let z2 = u * u;
  let stirling = u * fma(z2, fma(z2, 0.0007936507936507937, -0.002777777777777778), 0.08333333333333333);
  let far = fma(v - 0.5, log_f32(v) - 1.0, 0.41893853320467274 + stirling);
  return select(near, far, x >= 4.5);
}

//! lgamma_f32: ln(|gamma(x)|); infinite at 0, -1, -2, ...
//! @domain x: -50..1e36
//! @error 12 ulp or 2e-5 absolute
//! @reference lgamma(x)
fn lgamma_f32(x: f32) -> f32 {
  let a = abs(x);
  let positive = lgamma_positive(at_least(a, 1e-30));
  // Reflection: gamma(x) gamma(-x) = -pi / (x sin(pi x)).
  let s = abs(sin_pi(x)) * a;
  let reflected = 1.1447298858494002 - log_f32(s) - positive;
  let whole = (x <= 0.0) & ((floor(x) == x) | (a >= 8388608.0));
  // Near 0 the reflection would underflow, and ln(|gamma(x)|) = -ln(|x|) on both sides.
  let y = select(select(positive, reflected, x < -1e-10), -log_f32(a), a < 1e-20);
  return select(select(y, inf(), whole | is_inf(x)), x, is_nan(x));
}

//! digamma_f32: the derivative of ln(gamma(x)); NaN at -1, -2, ...
//! @domain x: -20..1e30
//! @error 12 ulp or 2e-5 absolute
//! @reference digamma(x)
fn digamma_f32(x: f32) -> f32 {
  // Reflection: digamma(1 - x) = digamma(x) + pi / tan(pi x).
  let negative = x < 0.0;
  let start = select(x, 1.0 - x, negative);
  var v = start;
  var sum = 0.0;
  for (var i = 0; i < 6; i++) {
    let small = v < 6.0;
    sum += select(0.0, 1.0 / v, small);
    v += select(0.0, 1.0, small);
  }
  let u = 1.0 / v;
  let z = u * u;
  let series = z * fma(z, fma(z, -0.003968253968253968, 0.008333333333333333), -0.08333333333333333);
  let positive = log_f32(v) - 0.5 * u + series - sum;
  let y = select(positive, positive - 3.141592653589793 * sin_pi(x + 0.5) / sin_pi(x), negative);
  let whole = negative & ((floor(x) == x) | is_inf(x));
  let edge = select(select(y, nan(), whole), -copysign_f32(inf(), x), x == 0.0);
  return select(edge, x, is_nan(x) | (bitcast<u32>(x) == 0x7f800000u));
}

//! trigamma_f32: the second derivative of ln(gamma(x)); infinite at 0, -1, -2, ...
//! @domain x: -20..1e18
//! @error 12 ulp
//! @reference trigamma(x)
fn trigamma_f32(x: f32) -> f32 {
  // Reflection: trigamma(1 - x) + trigamma(x) = (pi / sin(pi x))^2.
  let negative = x < 0.5;
  var v = select(x, 1.0 - x, negative);
  var sum = 0.0;
  for (var i = 0; i < 6; i++) {
    let small = v < 6.0;
    sum += select(0.0, 1.0 / (v * v), small);
    v += select(0.0, 1.0, small);
  }
  let u = 1.0 / v;
  let z = u * u;
  let series = z * fma(z, fma(z, 0.023809523809523808, -0.03333333333333333), 0.16666666666666666);
  let positive = sum + u + 0.5 * z + u * series;
  let w = 3.141592653589793 / sin_pi(x);
  let whole = (x <= 0.0) & (floor(x) == x);
  let y = select(select(positive, w * w - positive, negative), inf(), whole);
  // there is no limit at -inf, whose bits these are
  return select(y, nan(), is_nan(x) | (bitcast<u32>(x) == 0xff800000u));
}
