//! tanh_f32: accurate near zero, where tanh() may lose every digit, and 1 rather than NaN for large x.
//! @domain x: -20..20
//! @error 5 ulp
//! @reference np.tanh(x)
fn tanh_f32(x: f32) -> f32 {
  // Beyond 10 the result is 1. There e^2x - 1 needs no case of its own, as expm1_f32 does.
  let a = at_most(2.0 * abs(x), 20.0);
  let n = nearest_i32(a * 1.4426950408889634);
  let scale = bitcast<f32>((n + 127) * 8388608);
  let t = fma(scale, expm1_reduced(exp_remainder(a, n)), scale - 1.0);
  return select(copysign_f32(at_most(t / (t + 2.0), 1.0), x), x, is_nan(x));
}

//! sinh_f32: accurate near zero and up to the largest float.
//! @domain x: -89.4..89.4
//! @error 6 ulp
//! @reference np.sinh(x)
fn sinh_f32(x: f32) -> f32 {
  let a = abs(x);
  let t = expm1_f32(at_most(a, 80.0));
  let w = exp_f32(0.5 * a);
  let y = select(0.5 * (t + t / (t + 1.0)), (0.5 * w) * w, a > 40.0);
  return select(copysign_f32(y, x), x, is_nan(x) | (x == 0.0));
}

//! cosh_f32: without overflow before the result itself overflows.
//! @domain x: -89.4..89.4
//! @error 6 ulp
//! @reference np.cosh(x)
fn cosh_f32(x: f32) -> f32 {
  let w = exp_f32(0.5 * abs(x));
  return (0.5 * w) * w + (0.5 / w) / w;
}

//! asinh_f32: accurate near zero, without overflow of x * x.
//! @domain x: -3e38..3e38
//! @error 4 ulp
//! @reference np.arcsinh(x)
fn asinh_f32(x: f32) -> f32 {
  let a = abs(x);
  let b = at_most(a, 4096.0);
  let near = log1p_f32(b + b * b / (1.0 + sqrt(fma(b, b, 1.0))));
  let y = select(near, log_f32(a) + 0.6931471805599453, a > 4096.0);
  return select(copysign_f32(y, x), x, is_nan(x) | (x == 0.0));
}

//! acosh_f32: NaN below 1.
//! @domain x: 1..3e38
//! @error 5 ulp
//! @reference np.arccosh(x)
fn acosh_f32(x: f32) -> f32 {
  let t = at_least(at_most(x, 4096.0), 1.0) - 1.0;
  let near = log1p_f32(t + sqrt(t * (t + 2.0)));
  let y = select(near, log_f32(x) + 0.6931471805599453, x > 4096.0);
  return select(select(y, nan(), x < 1.0), x, is_nan(x));
}

//! atanh_f32: accurate near zero; infinite at 1 and -1, NaN beyond.
//! @domain x: -0.9999999..0.9999999
//! @error 5 ulp
//! @reference np.arctanh(x)
fn atanh_f32(x: f32) -> f32 {
  let a = abs(x);
  let y = 0.5 * log1p_f32(2.0 * a / at_least(1.0 - a, 1e-30));
  let edge = select(y, select(nan(), inf(), a == 1.0), a >= 1.0);
  return select(copysign_f32(edge, x), x, is_nan(x) | (x == 0.0));
}
