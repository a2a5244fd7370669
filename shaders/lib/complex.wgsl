//! hypot_f32: the length of (x, y), without overflow before the result itself overflows.
//! @domain x: -1e38..1e38 beyond 1e-30
//! @domain y: -1e38..1e38 beyond 1e-30
//! @error 3 ulp
//! @reference np.hypot(x, y)
fn hypot_f32(x: f32, y: f32) -> f32 {
  let large = max(abs(x), abs(y));
  let r = min(abs(x), abs(y)) / large;
  let y0 = select(large * sqrt(fma(r, r, 1.0)), 0.0, large == 0.0);
  let known = select(y0, nan(), is_nan(x) | is_nan(y));
  return select(known, inf(), is_inf(x) | is_inf(y));
}

//! abs_c64: the absolute value of a complex number.
//! @domain z: -1e38..1e38 beyond 1e-30
//! @error 3 ulp
//! @reference np.abs(z)
fn abs_c64(z: vec2f) -> f32 {
  return hypot_f32(z.x, z.y);
}

//! conj_c64: the complex conjugate.
//! @domain z: -3e38..3e38
//! @error exact
//! @reference np.conj(z)
fn conj_c64(z: vec2f) -> vec2f {
  return vec2f(z.x, -z.y);
}

//! mul_c64: the product of complex numbers, part by part as it is defined.
//! @domain x: -1e18..1e18 beyond 1e-15
//! @domain y: -1e18..1e18 beyond 1e-15
//! @error 3 ulp
//! @reference x * y
fn mul_c64(x: vec2f, y: vec2f) -> vec2f {
  return vec2f(x.x * y.x - x.y * y.y, x.x * y.y + x.y * y.x);
}

//! over_zero: x / 0, which a compiler may take for anything.
//! @error exact
//! @internal
fn over_zero(x: f32) -> f32 {
  return select(copysign_f32(inf(), x), nan(), (x == 0.0) | is_nan(x));
}

//! div_c64: the quotient of complex numbers, after Smith 1962: it overflows only where the result does.
//! @domain x: -1e18..1e18 beyond 1e-15
//! @domain y: -1e18..1e18 beyond 1e-15
//! @error 8 ulp
//! @reference x / y
fn div_c64(x: vec2f, y: vec2f) -> vec2f {
  let flat = abs(y.x) >= abs(y.y);
  let large = select(y.y, y.x, flat);
  let small = select(y.x, y.y, flat);
  let r = small / large;
  // Products of a tiny divisor would be subnormal, and may be flushed; those of a large one would overflow.
  let up = select(select(1.0, 0.0009765625, abs(large) > 1e37), 1099511627776.0, abs(large) < 1e-30);
  let scale = large * up + (small * up) * r;
  let turned = select(vec2f(x.x * r + x.y, x.y * r - x.x), vec2f(x.x + x.y * r, x.y - x.x * r), flat);
  return select(turned / scale * up, vec2f(over_zero(x.x), over_zero(x.y)), (y.x == 0.0) & (y.y == 0.0));
}

//! reciprocal_c64: 1 / z.
//! @domain z: -1e37..1e37 beyond 1e-37
//! @error 8 ulp
//! @reference 1 / z
fn reciprocal_c64(z: vec2f) -> vec2f {
  return div_c64(vec2f(1.0, 0.0), z);
}

//! sqrt_c64: the square root whose real part is not negative; the cut along the negative axis goes by the
//! sign of the imaginary part, zeros included.
//! @domain z: -3e38..3e38 beyond 1e-37
//! @error 6 ulp
//! @reference np.sqrt(z)
fn sqrt_c64(z: vec2f) -> vec2f {
  let m = max(abs(z.x), abs(z.y));
  let up = select(select(1.0, 0.0625, m > 1e37), 1.152921504606847e18, m < 1e-18);
  let back = select(select(1.0, 4.0, m > 1e37), 9.313225746154785e-10, m < 1e-18);
  let s = z * up;
  let t = sqrt(0.5 * (hypot_f32(s.x, s.y) + abs(s.x)));
  let other = 0.5 * abs(s.y) / t;
  let left = sign_bit(z.x);
  let w = back * vec2f(select(t, other, left), copysign_f32(select(other, t, left), z.y));
  let none = select(w, vec2f(0.0, z.y), m == 0.0);
  let lost = select(none, vec2f(nan(), nan()), is_nan(z.x) | is_nan(z.y));
  let side = select(0.0, z.y, is_nan(z.y));
  let ends = select(vec2f(z.x, copysign_f32(side, z.y)), vec2f(side, copysign_f32(inf(), z.y)), left);
  let wide = select(lost, ends, is_inf(z.x));
  return select(wide, vec2f(inf(), z.y), is_inf(z.y));
}

//! rsqrt_c64: 1 / sqrt(z).
//! @domain z: -1e37..1e37 beyond 1e-37
//! @error 12 ulp
//! @reference 1 / np.sqrt(z)
fn rsqrt_c64(z: vec2f) -> vec2f {
  return reciprocal_c64(sqrt_c64(z));
}

//! turned_f32: scale * (cos(angle), sin(angle)); at an angle of 0 the imaginary part is that zero.
//! @error 4 ulp
//! @internal
fn turned_f32(scale: f32, angle: f32) -> vec2f {
  let y = scale * sin_f32(angle);
  return vec2f(scale * cos_f32(angle), select(y, angle, angle == 0.0));
}

//! at_infinity: e to the power of an infinite x, turned by an angle that is not finite.
//! @error exact
//! @internal
fn at_infinity(x: f32) -> vec2f {
  return select(vec2f(0.0, 0.0), vec2f(x, nan()), x > 0.0);
}

//! exp_c64: e^z, with C's values at infinities.
//! @domain z: -60..60
//! @error 8 ulp
//! @reference np.exp(z)
fn exp_c64(z: vec2f) -> vec2f {
  // above 80 in two factors, since a part may be finite where e^x is not
  let far = z.x > 80.0;
  let e = exp_f32(select(z.x, z.x - 40.0, far));
  let y = turned_f32(e, z.y) * select(1.0, 2.3538526683702e17, far);
  return select(y, at_infinity(z.x), is_inf(z.x) & !is_finite(z.y));
}

//! exp2_c64: 2^z.
//! @domain z: -60..60
//! @error 40 ulp
//! @reference np.exp2(z)
fn exp2_c64(z: vec2f) -> vec2f {
  let y = turned_f32(exp2_f32(z.x), z.y * 0.6931471805599453);
  return select(y, at_infinity(z.x), is_inf(z.x) & !is_finite(z.y));
}

//! expm1_c64: e^z - 1, accurate near 0.
//! @domain z: -60..60
//! @error 8 ulp
//! @reference np.expm1(z)
fn expm1_c64(z: vec2f) -> vec2f {
  let half = sin_f32(0.5 * z.y);
  let near = expm1_f32(z.x) * cos_f32(z.y) - 2.0 * half * half;
  let whole = exp_c64(z);
  let far = (abs(z.x) > 1.0) | is_nan(z.x) | !is_finite(z.y);
  return vec2f(select(near, whole.x - 1.0, far), whole.y);
}

//! log_c64: ln(z), with its imaginary part from -pi to pi by the sign of that of z, zeros included.
//! @domain z: -3e38..3e38 beyond 1e-37
//! @error 6 ulp
//! @reference np.log(z)
fn log_c64(z: vec2f) -> vec2f {
  let large = max(abs(z.x), abs(z.y));
  let r = min(abs(z.x), abs(z.y)) / large;
  let whole = log_f32(large) + 0.5 * log1p_f32(select(r * r, 0.0, large == 0.0));
  let known = select(whole, nan(), is_nan(z.x) | is_nan(z.y));
  return vec2f(select(known, inf(), is_inf(z.x) | is_inf(z.y)), atan2_f32(z.y, z.x));
}

//! log2_c64: the logarithm to base 2.
//! @domain z: -3e38..3e38 beyond 1e-37
//! @error 8 ulp
//! @reference np.log2(z)
fn log2_c64(z: vec2f) -> vec2f {
  return log_c64(z) * 1.4426950408889634;
}

//! log10_c64: the logarithm to base 10.
//! @domain z: -3e38..3e38 beyond 1e-37
//! @error 8 ulp
//! @reference np.log10(z)
fn log10_c64(z: vec2f) -> vec2f {
  return log_c64(z) * 0.4342944819032518;
}

//! log1p_c64: ln(1 + z), accurate near 0.
//! @domain z: -3e38..3e38 beyond 1e-18
//! @error 8 ulp
//! @reference complex_log1p(z)
fn log1p_c64(z: vec2f) -> vec2f {
  let near = (abs(z.x) < 0.4) & (abs(z.y) < 0.4);
  let s = select(vec2f(0.0, 0.0), z, near);
  let w = log_c64(vec2f(1.0 + z.x, z.y));
  return vec2f(select(w.x, 0.5 * log1p_f32(fma(s.x, 2.0 + s.x, s.y * s.y)), near), w.y);
}

//! logaddexp_c64: ln(e^x + e^y), without overflow; its imaginary part goes on from that of the number with the
//! larger real part, of x where they are equal.
//! @domain x: -1..1
//! @domain y: -1..1
//! @error 8 ulp or 4e-7 absolute
//! @reference np.log(np.exp(x) + np.exp(y))
fn logaddexp_c64(x: vec2f, y: vec2f) -> vec2f {
  let low = select(y, x, x.x < y.x);
  let high = select(x, y, x.x < y.x);
  let ends = is_inf(low.x) & is_inf(high.x) & (sign_bit(low.x) == sign_bit(high.x));
  let none = is_inf(low.x) & sign_bit(low.x);
  let part = select(exp_c64(low - high), vec2f(0.0, 0.0), none);
  let end = select(log_c64(exp_c64(low) + exp_c64(high)), low, none);
  let found = select(high + log1p_c64(part), end, ends);
  let lost = is_nan(x.x) | is_nan(x.y) | is_nan(y.x) | is_nan(y.y);
  return select(found, vec2f(nan(), nan()), lost);
}

//! pow_c64: x to the power of y, e^(y ln x); 1 if y is 0, and 0 if x is and y has a positive real part.
//! @domain x: -8..8 beyond 0.1
//! @domain y: -4..4 beyond 0.01
//! @error 60 ulp
//! @reference np.power(x, y)
fn pow_c64(x: vec2f, y: vec2f) -> vec2f {
  let power = select(exp_c64(mul_c64(y, log_c64(x))), mul_c64(x, x), (y.x == 2.0) & (y.y == 0.0));
  let of_zero = select(vec2f(nan(), nan()), vec2f(0.0, 0.0), y.x > 0.0);
  let known = select(power, of_zero, (x.x == 0.0) & (x.y == 0.0));
  return select(known, vec2f(1.0, 0.0), (y.x == 0.0) & (y.y == 0.0));
}

//! sigmoid_c64: 1 / (1 + e^-z), without overflow of e^-z.
//! @domain z: -2..2
//! @error 20 ulp
//! @reference 1 / (1 + np.exp(-z))
fn sigmoid_c64(z: vec2f) -> vec2f {
  let left = z.x < 0.0;
  let e = exp_c64(select(-z, z, left));
  return div_c64(select(vec2f(1.0, 0.0), e, left), vec2f(1.0 + e.x, e.y));
}

//! sinh_c64: the hyperbolic sine, with C's values at infinities.
//! @domain z: -60..60 beyond 1e-18
//! @error 10 ulp
//! @reference np.sinh(z)
fn sinh_c64(z: vec2f) -> vec2f {
  let far = abs(z.x) > 80.0;
  let x = select(z.x, copysign_f32(abs(z.x) - 40.0, z.x), far);
  let back = select(1.0, 2.3538526683702e17, far);
  let im = cosh_f32(x) * sin_f32(z.y) * back;
  let re = sinh_f32(x) * cos_f32(z.y) * back;
  let flat = ((z.x == 0.0) | is_inf(z.x)) & !is_finite(z.y);
  return vec2f(select(re, z.x, flat), select(im, z.y, z.y == 0.0));
}

//! cosh_c64: the hyperbolic cosine, with C's values at infinities.
//! @domain z: -60..60 beyond 1e-18
//! @error 10 ulp
//! @reference np.cosh(z)
fn cosh_c64(z: vec2f) -> vec2f {
  let far = abs(z.x) > 80.0;
  let x = select(z.x, copysign_f32(abs(z.x) - 40.0, z.x), far);
  let back = select(1.0, 2.3538526683702e17, far);
  let re = cosh_f32(x) * cos_f32(z.y) * back;
  let im = sinh_f32(x) * sin_f32(z.y) * back;
  let flat = (z.y == 0.0) | ((z.x == 0.0) & !is_finite(z.y));
  let zero = select(0.0, -0.0, sign_bit(z.x) != sign_bit(z.y));
  let open = is_inf(z.x) & !is_finite(z.y);
  return vec2f(select(re, inf(), open), select(im, zero, flat));
}

//! tanh_c64: the hyperbolic tangent, after Kahan 1987: it neither overflows nor loses digits near 0.
//! @domain z: -60..60 beyond 1e-18
//! @error 20 ulp
//! @reference np.tanh(z)
fn tanh_c64(z: vec2f) -> vec2f {
  let a = abs(z.x);
  let s = sinh_f32(clamp(z.x, -10.0, 10.0));
  let rho = sqrt(fma(s, s, 1.0));
  let si = sin_f32(z.y);
  let co = cos_f32(z.y);
  // Kahan's formula times cos(y)^2, which is finite where the tangent is not
  let below = fma(s, s, co * co);
  let near = vec2f(rho * s, si * co) / below;
  let tail = exp_f32(-a);
  let far = vec2f(copysign_f32(1.0, z.x), 4.0 * si * co * tail * tail);
  let y = select(near, far, a > 10.0);
  let end = vec2f(copysign_f32(1.0, z.x), copysign_f32(0.0, select(si * co, z.y, !is_finite(z.y))));
  let flat = vec2f(select(y.x, z.x, z.x == 0.0), select(y.y, z.y, z.y == 0.0));
  let lost = vec2f(nan(), select(nan(), z.y, z.y == 0.0));
  return select(select(flat, end, is_inf(z.x)), lost, is_nan(z.x));
}

//! sin_c64: the sine, -i sinh(i z).
//! @domain z: -60..60 beyond 1e-18
//! @error 10 ulp
//! @reference np.sin(z)
fn sin_c64(z: vec2f) -> vec2f {
  let w = sinh_c64(vec2f(-z.y, z.x));
  return vec2f(w.y, -w.x);
}

//! cos_c64: the cosine, cosh(i z).
//! @domain z: -60..60 beyond 1e-18
//! @error 10 ulp
//! @reference np.cos(z)
fn cos_c64(z: vec2f) -> vec2f {
  return cosh_c64(vec2f(-z.y, z.x));
}

//! tan_c64: the tangent, -i tanh(i z).
//! @domain z: -60..60 beyond 1e-18
//! @error 20 ulp
//! @reference np.tan(z)
fn tan_c64(z: vec2f) -> vec2f {
  let w = tanh_c64(vec2f(-z.y, z.x));
  return vec2f(w.y, -w.x);
}

//! asin_c64: the inverse sine, after Kahan 1987, with cuts on the real axis beyond -1 and 1.
//! @domain z: -1e18..1e18 beyond 1e-18
//! @error 12 ulp
//! @reference np.arcsin(z)
fn asin_c64(z: vec2f) -> vec2f {
  let a = sqrt_c64(vec2f(1.0 - z.x, -z.y));
  let b = sqrt_c64(vec2f(1.0 + z.x, z.y));
  let re = atan2_f32(z.x, a.x * b.x - a.y * b.y);
  let im = asinh_f32(a.x * b.y - a.y * b.x);
  let open = is_inf(z.x) | is_inf(z.y);
  return vec2f(select(re, atan2_f32(z.x, abs(z.y)), open), select(im, copysign_f32(inf(), z.y), open));
}

//! acos_c64: the inverse cosine, after Kahan 1987, with cuts on the real axis beyond -1 and 1.
//! @domain z: -1e18..1e18 beyond 1e-18
//! @error 12 ulp
//! @reference np.arccos(z)
fn acos_c64(z: vec2f) -> vec2f {
  let a = sqrt_c64(vec2f(1.0 - z.x, -z.y));
  let b = sqrt_c64(vec2f(1.0 + z.x, z.y));
  let re = 2.0 * atan2_f32(a.x, b.x);
  let im = asinh_f32(b.x * a.y - b.y * a.x);
  let open = is_inf(z.x) | is_inf(z.y);
  return vec2f(select(re, atan2_f32(abs(z.y), z.x), open), select(im, copysign_f32(inf(), -z.y), open));
}

//! acosh_c64: the inverse hyperbolic cosine, with a cut on the real axis below 1.
//! @domain z: -1e18..1e18 beyond 1e-18
//! @error 12 ulp
//! @reference np.arccosh(z)
fn acosh_c64(z: vec2f) -> vec2f {
  let w = acos_c64(z);
  return select(vec2f(-w.y, w.x), vec2f(w.y, -w.x), sign_bit(z.y));
}

//! asinh_c64: the inverse hyperbolic sine, -i asin(i z).
//! @domain z: -1e18..1e18 beyond 1e-18
//! @error 12 ulp
//! @reference np.arcsinh(z)
fn asinh_c64(z: vec2f) -> vec2f {
  let w = asin_c64(vec2f(-z.y, z.x));
  return vec2f(w.y, -w.x);
}

//! atanh_c64: the inverse hyperbolic tangent, with cuts on the real axis beyond -1 and 1.
//! @domain z: -1e17..1e17 beyond 1e-17
//! @error 12 ulp
//! @reference np.arctanh(z)
fn atanh_c64(z: vec2f) -> vec2f {
  let a = abs(z.x);
  let near = max(a, abs(z.y)) < 1e9;
  let s = select(vec2f(0.0, 0.0), vec2f(a, z.y), near);
  let d = 1.0 - s.x;
  let re = 0.25 * log1p_f32(4.0 * s.x / fma(d, d, s.y * s.y));
  let im = 0.5 * atan2_f32(2.0 * s.y, d * (1.0 + s.x) - s.y * s.y);
  // far away it is 1 / z beside a quarter turn
  let w = select(reciprocal_c64(z), vec2f(copysign_f32(0.0, z.x), 0.0), is_inf(z.x) | is_inf(z.y));
  let quarter = copysign_f32(1.5707963267948966, z.y);
  let known = select(quarter, nan(), is_nan(z.y));
  return select(vec2f(w.x, known), vec2f(copysign_f32(re, z.x), select(im, z.y, (z.y == 0.0) & (a < 1.0))), near);
}

//! atan_c64: the inverse tangent, -i atanh(i z).
//! @domain z: -1e17..1e17 beyond 1e-17
//! @error 12 ulp
//! @reference np.arctan(z)
fn atan_c64(z: vec2f) -> vec2f {
  let w = atanh_c64(vec2f(-z.y, z.x));
  return vec2f(w.y, -w.x);
}
