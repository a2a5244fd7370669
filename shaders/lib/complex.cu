// Complex numbers for CUDA: the functions of complex.wgsl under the same names, and their _c128 twins. It
// stands behind prelude.cu in the text of kernels that have complex numbers.

template <typename T> struct pair_of { T x, y; };
typedef pair_of<float> c64;
typedef pair_of<double> c128;

#define EACH template <typename T> LIBRARY
LIBRARY c64 c64_of(float x, float y = 0.0f) { return {x, y}; }
LIBRARY c128 c128_of(double x, double y = 0.0) { return {x, y}; }
LIBRARY c64 paired(float x, float y) { return {x, y}; }
LIBRARY c128 paired(double x, double y) { return {x, y}; }
LIBRARY c64 c64_from_c128(c128 z) { return {(float)z.x, (float)z.y}; }
LIBRARY c128 c128_from_c64(c64 z) { return {z.x, z.y}; }
EACH pair_of<T> operator+(pair_of<T> a, pair_of<T> b) { return {a.x + b.x, a.y + b.y}; }
EACH pair_of<T> operator-(pair_of<T> a, pair_of<T> b) { return {a.x - b.x, a.y - b.y}; }
EACH pair_of<T> operator-(pair_of<T> a) { return {-a.x, -a.y}; }
EACH bool operator!=(pair_of<T> a, pair_of<T> b) { return a.x != b.x || a.y != b.y; }
EACH pair_of<T> scaled(pair_of<T> a, T by) { return {a.x * by, a.y * by}; }

LIBRARY float hypot_f32(float x, float y) { return hypotf(x, y); }
LIBRARY double hypot_f64(double x, double y) { return hypot(x, y); }
EACH T not_a_number() { return (T)nan(); }
EACH T infinity() { return (T)inf(); }
EACH T abs_of(pair_of<T> z) { return hypot(z.x, z.y); }
EACH pair_of<T> conj_of(pair_of<T> z) { return {z.x, -z.y}; }
EACH pair_of<T> mul_of(pair_of<T> a, pair_of<T> b) { return {a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x}; }
EACH pair_of<T> div_of(pair_of<T> a, pair_of<T> b) {
  if (b.x == T(0) && b.y == T(0)) return {a.x / fabs(b.x), a.y / fabs(b.x)};
  if (fabs(b.x) >= fabs(b.y)) {
    T r = b.y / b.x, scale = b.x + b.y * r;
    return {(a.x + a.y * r) / scale, (a.y - a.x * r) / scale};
  }
  T r = b.x / b.y, scale = b.y + b.x * r;
  return {(a.x * r + a.y) / scale, (a.y * r - a.x) / scale};
}
EACH pair_of<T> reciprocal_of(pair_of<T> z) { return div_of(pair_of<T>{T(1), T(0)}, z); }
EACH pair_of<T> sqrt_of(pair_of<T> z) {
  if (is_inf(z.y)) return {infinity<T>(), z.y};
  if (is_inf(z.x)) {
    T side = is_nan(z.y) ? z.y : T(0);
    if (z.x < T(0)) return {side, copysign(infinity<T>(), z.y)};
    return {z.x, copysign(side, z.y)};
  }
  if (is_nan(z.x) || is_nan(z.y)) return {not_a_number<T>(), not_a_number<T>()};
  if (z.x == T(0) && z.y == T(0)) return {T(0), z.y};
  bool large = fmax(fabs(z.x), fabs(z.y)) > T(1e37);
  pair_of<T> s = scaled(z, large ? T(0.0625) : T(1));
  T t = sqrt(T(0.5) * (hypot(s.x, s.y) + fabs(s.x))), other = T(0.5) * fabs(s.y) / t, back = large ? T(4) : T(1);
  if (sign_bit(z.x)) return {back * other, copysign(back * t, z.y)};
  return {back * t, copysign(back * other, z.y)};
}
EACH pair_of<T> rsqrt_of(pair_of<T> z) { return reciprocal_of(sqrt_of(z)); }
EACH pair_of<T> turned(T scale, T angle) { return {scale * cos(angle), angle == T(0) ? angle : scale * sin(angle)}; }
EACH pair_of<T> at_infinity(T x) {
  if (x < T(0)) return {T(0), T(0)};
  return {x, not_a_number<T>()};
}
EACH pair_of<T> exp_of(pair_of<T> z) {
  if (is_inf(z.x) && !is_finite(z.y)) return at_infinity(z.x);
  bool far = z.x > T(80);
  return scaled(turned(exp(far ? z.x - T(40) : z.x), z.y), far ? T(2.3538526683702e17) : T(1));
}
EACH pair_of<T> exp2_of(pair_of<T> z) {
  if (is_inf(z.x) && !is_finite(z.y)) return at_infinity(z.x);
  return turned(exp2(z.x), z.y * T(0.6931471805599453));
}
EACH pair_of<T> expm1_of(pair_of<T> z) {
  pair_of<T> whole = exp_of(z);
  if (fabs(z.x) > T(1) || is_nan(z.x) || !is_finite(z.y)) return {whole.x - T(1), whole.y};
  T half = sin(T(0.5) * z.y);
  return {expm1(z.x) * cos(z.y) - T(2) * half * half, whole.y};
}
EACH pair_of<T> log_of(pair_of<T> z) {
  T large = fmax(fabs(z.x), fabs(z.y)), r = large == T(0) ? T(0) : fmin(fabs(z.x), fabs(z.y)) / large;
  T size = log(large) + T(0.5) * log1p(r * r);
  if (is_nan(z.x) || is_nan(z.y)) size = not_a_number<T>();
  return {is_inf(z.x) || is_inf(z.y) ? infinity<T>() : size, atan2(z.y, z.x)};
}
EACH pair_of<T> logaddexp_of(pair_of<T> x, pair_of<T> y) {
  if (is_nan(x.x) || is_nan(x.y) || is_nan(y.x) || is_nan(y.y)) return {not_a_number<T>(), not_a_number<T>()};
  pair_of<T> low = x.x < y.x ? x : y, high = x.x < y.x ? y : x;
  bool none = is_inf(low.x) && low.x < T(0);
  if (is_inf(low.x) && low.x == high.x) return none ? low : log_of(exp_of(low) + exp_of(high));
  return none ? high : high + log1p_of(exp_of(low - high));
}
EACH pair_of<T> log2_of(pair_of<T> z) { return scaled(log_of(z), T(1.4426950408889634)); }
EACH pair_of<T> log10_of(pair_of<T> z) { return scaled(log_of(z), T(0.4342944819032518)); }
EACH pair_of<T> log1p_of(pair_of<T> z) {
  pair_of<T> w = log_of(pair_of<T>{T(1) + z.x, z.y});
  if (fabs(z.x) < T(0.4) && fabs(z.y) < T(0.4)) w.x = T(0.5) * log1p(z.x * (T(2) + z.x) + z.y * z.y);
  return w;
}
EACH pair_of<T> pow_of(pair_of<T> x, pair_of<T> y) {
  if (y.x == T(0) && y.y == T(0)) return {T(1), T(0)};
  if (x.x == T(0) && x.y == T(0)) {
    T zero = y.x > T(0) ? T(0) : not_a_number<T>();
    return {zero, zero};
  }
  return y.x == T(2) && y.y == T(0) ? mul_of(x, x) : exp_of(mul_of(y, log_of(x)));
}
EACH pair_of<T> sigmoid_of(pair_of<T> z) {
  pair_of<T> e = exp_of(z.x < T(0) ? z : -z);
  return div_of(z.x < T(0) ? e : pair_of<T>{T(1), T(0)}, pair_of<T>{T(1) + e.x, e.y});
}
EACH pair_of<T> sinh_of(pair_of<T> z) {
  bool far = fabs(z.x) > T(80);
  T x = far ? copysign(fabs(z.x) - T(40), z.x) : z.x, back = far ? T(2.3538526683702e17) : T(1);
  bool flat = (z.x == T(0) || is_inf(z.x)) && !is_finite(z.y);
  return {flat ? z.x : sinh(x) * cos(z.y) * back, z.y == T(0) ? z.y : cosh(x) * sin(z.y) * back};
}
EACH pair_of<T> cosh_of(pair_of<T> z) {
  bool far = fabs(z.x) > T(80);
  T x = far ? copysign(fabs(z.x) - T(40), z.x) : z.x, back = far ? T(2.3538526683702e17) : T(1);
  bool flat = z.y == T(0) || (z.x == T(0) && !is_finite(z.y));
  T zero = sign_bit(z.x) != sign_bit(z.y) ? -T(0) : T(0);
  bool open = is_inf(z.x) && !is_finite(z.y);
  return {open ? infinity<T>() : cosh(x) * cos(z.y) * back, flat ? zero : sinh(x) * sin(z.y) * back};
}
EACH pair_of<T> tanh_of(pair_of<T> z) {
  T one = copysign(T(1), z.x), si = sin(z.y), co = cos(z.y);
  if (is_inf(z.x)) return {one, copysign(T(0), is_finite(z.y) ? si * co : z.y)};
  T a = fabs(z.x), tail = exp(-a), s = sinh(a > T(20) ? T(0) : z.x);
  T below = s * s + co * co, rho = sqrt(s * s + T(1));
  pair_of<T> y = {rho * s / below, si * co / below};
  if (a > T(20)) y = {one, T(4) * si * co * tail * tail};
  return {z.x == T(0) ? z.x : y.x, z.y == T(0) ? z.y : y.y};
}
EACH pair_of<T> over_i(pair_of<T> w) { return {w.y, -w.x}; }
EACH pair_of<T> times_i(pair_of<T> z) { return {-z.y, z.x}; }
EACH pair_of<T> sin_of(pair_of<T> z) { return over_i(sinh_of(times_i(z))); }
EACH pair_of<T> cos_of(pair_of<T> z) { return cosh_of(times_i(z)); }
EACH pair_of<T> tan_of(pair_of<T> z) { return over_i(tanh_of(times_i(z))); }
EACH pair_of<T> asin_of(pair_of<T> z) {
  if (is_inf(z.x) || is_inf(z.y)) return {atan2(z.x, fabs(z.y)), copysign(infinity<T>(), z.y)};
  pair_of<T> a = sqrt_of(pair_of<T>{T(1) - z.x, -z.y}), b = sqrt_of(pair_of<T>{T(1) + z.x, z.y});
  return {atan2(z.x, a.x * b.x - a.y * b.y), asinh(a.x * b.y - a.y * b.x)};
}
EACH pair_of<T> acos_of(pair_of<T> z) {
  if (is_inf(z.x) || is_inf(z.y)) return {atan2(fabs(z.y), z.x), copysign(infinity<T>(), -z.y)};
  pair_of<T> a = sqrt_of(pair_of<T>{T(1) - z.x, -z.y}), b = sqrt_of(pair_of<T>{T(1) + z.x, z.y});
  return {T(2) * atan2(a.x, b.x), asinh(b.x * a.y - b.y * a.x)};
}
EACH pair_of<T> acosh_of(pair_of<T> z) {
  pair_of<T> w = acos_of(z);
  return sign_bit(z.y) ? over_i(w) : times_i(w);
}
EACH pair_of<T> asinh_of(pair_of<T> z) { return over_i(asin_of(times_i(z))); }
EACH pair_of<T> atanh_of(pair_of<T> z) {
  T a = fabs(z.x), d = T(1) - a;
  if (!(fmax(a, fabs(z.y)) < T(1e9))) {
    bool open = is_inf(z.x) || is_inf(z.y);
    T angle = is_nan(z.y) ? not_a_number<T>() : copysign(T(1.5707963267948966), z.y);
    return {open ? copysign(T(0), z.x) : reciprocal_of(z).x, angle};
  }
  T im = z.y == T(0) && a < T(1) ? z.y : T(0.5) * atan2(T(2) * z.y, d * (T(1) + a) - z.y * z.y);
  return {copysign(T(0.25) * log1p(T(4) * a / (d * d + z.y * z.y)), z.x), im};
}
EACH pair_of<T> atan_of(pair_of<T> z) { return over_i(atanh_of(times_i(z))); }

LIBRARY float abs_c64(c64 z) { return abs_of(z); }
LIBRARY double abs_c128(c128 z) { return abs_of(z); }
#define COMPLEX(NAME)                                      \
  LIBRARY c64 NAME##_c64(c64 z) { return NAME##_of(z); }   \
  LIBRARY c128 NAME##_c128(c128 z) { return NAME##_of(z); }
#define COMPLEX_TWO(NAME)                                              \
  LIBRARY c64 NAME##_c64(c64 x, c64 y) { return NAME##_of(x, y); }     \
  LIBRARY c128 NAME##_c128(c128 x, c128 y) { return NAME##_of(x, y); }
COMPLEX(conj) COMPLEX(reciprocal) COMPLEX(sqrt) COMPLEX(rsqrt) COMPLEX(sigmoid)
COMPLEX(exp) COMPLEX(exp2) COMPLEX(expm1) COMPLEX(log) COMPLEX(log2) COMPLEX(log10) COMPLEX(log1p)
COMPLEX(sin) COMPLEX(cos) COMPLEX(tan) COMPLEX(sinh) COMPLEX(cosh) COMPLEX(tanh)
COMPLEX(asin) COMPLEX(acos) COMPLEX(atan) COMPLEX(asinh) COMPLEX(acosh) COMPLEX(atanh)
COMPLEX_TWO(mul) COMPLEX_TWO(div) COMPLEX_TWO(pow) COMPLEX_TWO(logaddexp)
