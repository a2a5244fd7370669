// The functions of this folder's .wgsl files for CUDA, under the same names, and _f64 twins
// of those that end in _f32. Most are CUDA's own, which are accurate to a few ulp.
//
// No header is included: NVRTC brings the mathematical functions, and a wheel of NVRTC brings no headers.

#define LIBRARY static __device__ __forceinline__

LIBRARY float inf() { return __int_as_float(0x7f800000); }
LIBRARY float nan() { return __int_as_float(0x7fc00000); }
LIBRARY double inf_f64() { return __longlong_as_double(0x7ff0000000000000LL); }
LIBRARY double nan_f64() { return __longlong_as_double(0x7ff8000000000000LL); }

// Bits rather than comparisons, so that --use_fast_math cannot remove them.
LIBRARY unsigned magnitude_bits(float x) { return __float_as_uint(x) & 0x7fffffffu; }
LIBRARY unsigned long long magnitude_bits(double x) {
  return (unsigned long long)__double_as_longlong(x) & 0x7fffffffffffffffULL;
}
LIBRARY bool is_nan(float x) { return magnitude_bits(x) > 0x7f800000u; }
LIBRARY bool is_inf(float x) { return magnitude_bits(x) == 0x7f800000u; }
LIBRARY bool is_finite(float x) { return magnitude_bits(x) < 0x7f800000u; }
LIBRARY bool sign_bit(float x) { return (__float_as_uint(x) >> 31) != 0u; }
LIBRARY bool is_nan(double x) { return magnitude_bits(x) > 0x7ff0000000000000ULL; }
LIBRARY bool is_inf(double x) { return magnitude_bits(x) == 0x7ff0000000000000ULL; }
LIBRARY bool is_finite(double x) { return magnitude_bits(x) < 0x7ff0000000000000ULL; }
LIBRARY bool sign_bit(double x) { return __double_as_longlong(x) < 0; }

// One argument: NAME_f32 is SINGLE, NAME_f64 is DOUBLE.
#define UNARY(NAME, SINGLE, DOUBLE)                          \
  LIBRARY float NAME##_f32(float x) { return SINGLE(x); }    \
  LIBRARY double NAME##_f64(double x) { return DOUBLE(x); }
#define BINARY(NAME, SINGLE, DOUBLE)                                    \
  LIBRARY float NAME##_f32(float x, float y) { return SINGLE(x, y); }   \
  LIBRARY double NAME##_f64(double x, double y) { return DOUBLE(x, y); }

UNARY(exp, expf, exp)
UNARY(exp2, exp2f, exp2)
UNARY(expm1, expm1f, expm1)
UNARY(log, logf, log)
UNARY(log2, log2f, log2)
UNARY(log10, log10f, log10)
UNARY(log1p, log1pf, log1p)
UNARY(tanh, tanhf, tanh)
UNARY(sinh, sinhf, sinh)
UNARY(cosh, coshf, cosh)
UNARY(asinh, asinhf, asinh)
UNARY(acosh, acoshf, acosh)
UNARY(atanh, atanhf, atanh)
UNARY(sin, sinf, sin)
UNARY(cos, cosf, cos)
UNARY(tan, tanf, tan)
UNARY(asin, asinf, asin)
UNARY(acos, acosf, acos)
UNARY(atan, atanf, atan)
UNARY(erf, erff, erf)
UNARY(erfc, erfcf, erfc)
UNARY(erfinv, erfinvf, erfinv)
UNARY(lgamma, lgammaf, lgamma)
UNARY(round_half_even, rintf, rint)
BINARY(pow, powf, pow)
BINARY(atan2, atan2f, atan2)
BINARY(fmod, fmodf, fmod)
BINARY(copysign, copysignf, copysign)
BINARY(nextafter, nextafterf, nextafter)

// The rest exists once for both types.
template <typename T> LIBRARY T larger(T x, T y) { return is_nan(x) ? x : is_nan(y) ? y : (x > y ? x : y); }
template <typename T> LIBRARY T smaller(T x, T y) { return is_nan(x) ? x : is_nan(y) ? y : (x < y ? x : y); }
template <typename T> LIBRARY T sign_of(T x) { return is_nan(x) ? T(0) : x == T(0) ? x : (x > T(0) ? T(1) : T(-1)); }
template <typename T> LIBRARY T sigmoid_of(T x) {
  T e = exp(x < T(0) ? x : -x);
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}
template <typename T> LIBRARY T softplus_of(T x) {
  return is_nan(x) ? x : (x > T(0) ? x : T(0)) + log1p(exp(x < T(0) ? x : -x));
}
template <typename T> LIBRARY T logaddexp_of(T x, T y) {
  T high = larger(x, y), gap = x < y ? x - y : y - x;
  return is_finite(gap) ? high + log1p(exp(gap)) : high;
}
template <typename T> LIBRARY T remainder_of(T x, T y) {
  T r = fmod(x, y);
  if (is_nan(r)) return r;
  return r != T(0) && sign_bit(r) != sign_bit(y) ? r + y : r;
}
template <typename T> LIBRARY T floor_divide_of(T x, T y) {
  if (is_nan(x) || is_nan(y)) return (T)nan();
  if (y == T(0)) return x / y;
  if (is_inf(x)) return (T)nan();
  T rest = fmod(x, y);
  T quotient = (x - rest) / y - (rest != T(0) && sign_bit(rest) != sign_bit(y) ? T(1) : T(0));
  T whole = floor(quotient);
  if (quotient - whole > T(0.5)) whole += T(1);
  return quotient == T(0) ? copysign(T(0), x) * sign_of(y) : whole;
}
// Polynomials by their recurrence, of the degree n cut to an integer; 0 below 0, NaN above 65,535.
template <typename T> LIBRARY T of_degree(T q, T n) {
  if (is_nan(n) || n >= T(65536)) return (T)nan();
  return n <= T(-1) ? T(0) : n < T(1) ? T(1) : q;
}
#define RECURRENCE(NAME, FIRST, NEXT)                                           \
  template <typename T> LIBRARY T NAME##_of(T x, T n) {                         \
    T p = T(1), q = FIRST;                                                      \
    for (T k = T(1); k + T(1) <= n && n < T(65536) && !is_nan(q); k += T(1)) {  \
      T r = NEXT;                                                               \
      p = q;                                                                    \
      q = r;                                                                    \
    }                                                                           \
    return of_degree(q, n);                                                     \
  }
RECURRENCE(hermite_h, T(2) * x, T(2) * (x * q - k * p))
RECURRENCE(hermite_he, x, x * q - k * p)
RECURRENCE(laguerre, T(1) - x, ((T(2) * k + T(1) - x) * q - k * p) / (k + T(1)))
RECURRENCE(legendre, x, ((T(2) * k + T(1)) * x * q - k * p) / (k + T(1)))
template <typename T> LIBRARY T chebyshev_of(T x, T first, T n) {
  T p = T(1), q = first;
  for (T k = T(1); k + T(1) <= n && n < T(65536) && !is_nan(q); k += T(1)) {
    T r = T(2) * x * q - p;
    p = q;
    q = r;
  }
  return of_degree(q, n);
}
template <typename T> LIBRARY T sin_pi_of(T x) { return sinpi(x); }
template <typename T> LIBRARY T digamma_of(T x) {
  if (is_nan(x) || (is_inf(x) && x > T(0))) return x;
  if (x == T(0)) return -copysign((T)inf(), x);
  bool negative = x < T(0);
  if (negative && floor(x) == x) return (T)nan();
  T v = negative ? T(1) - x : x, sum = T(0);
  for (int i = 0; i < 10; i++) {
    if (v < T(10)) {
      sum += T(1) / v;
      v += T(1);
    }
  }
  T u = T(1) / v, z = u * u;
  // DLMF 5.11.2, to the sixth Bernoulli number.
  T series = z * (T(1) / 12 - z * (T(1) / 120 - z * (T(1) / 252 - z * (T(1) / 240 - z * (T(1) / 132 - z * (T(691) / 32760))))));
  T positive = log(v) - u / T(2) - series - sum;
  return negative ? positive - T(3.141592653589793) * cospi(x) / sinpi(x) : positive;
}
template <typename T> LIBRARY T trigamma_of(T x) {
  if (is_nan(x)) return x;
  if (is_inf(x) && x < T(0)) return (T)nan();
  if (x <= T(0) && floor(x) == x) return (T)inf();
  bool reflect = x < T(0.5);
  T v = reflect ? T(1) - x : x, sum = T(0);
  for (int i = 0; i < 10; i++) {
    if (v < T(10)) {
      sum += T(1) / (v * v);
      v += T(1);
    }
  }
  T u = T(1) / v, z = u * u;
  T series = z * (T(1) / 6 - z * (T(1) / 30 - z * (T(1) / 42 - z * (T(1) / 30 - z * (T(5) / 66)))));
  T positive = sum + u + z / T(2) + u * series;
  T w = T(3.141592653589793) / sinpi(x);
  return reflect ? w * w - positive : positive;
}

#define BOTH_UNARY(NAME, FUNCTION)                                \
  LIBRARY float NAME##_f32(float x) { return FUNCTION<float>(x); } \
  LIBRARY double NAME##_f64(double x) { return FUNCTION<double>(x); }
#define BOTH_BINARY(NAME, FUNCTION)                                             \
  LIBRARY float NAME##_f32(float x, float y) { return FUNCTION<float>(x, y); }  \
  LIBRARY double NAME##_f64(double x, double y) { return FUNCTION<double>(x, y); }

BOTH_BINARY(max, larger)
BOTH_BINARY(min, smaller)
BOTH_UNARY(sign, sign_of)
BOTH_UNARY(sigmoid, sigmoid_of)
BOTH_UNARY(softplus, softplus_of)
BOTH_BINARY(logaddexp, logaddexp_of)
BOTH_BINARY(remainder, remainder_of)
BOTH_BINARY(floor_divide, floor_divide_of)
BOTH_BINARY(hermite_h, hermite_h_of)
BOTH_BINARY(hermite_he, hermite_he_of)
BOTH_BINARY(laguerre, laguerre_of)
BOTH_BINARY(legendre, legendre_of)
LIBRARY float chebyshev_f32(float x, float first, float n) { return chebyshev_of(x, first, n); }
LIBRARY double chebyshev_f64(double x, double first, double n) { return chebyshev_of(x, first, n); }
BOTH_UNARY(digamma, digamma_of)
BOTH_UNARY(trigamma, trigamma_of)
LIBRARY float sin_pi(float x) { return sinpif(x); }
LIBRARY double sin_pi(double x) { return sinpi(x); }

// Integers: the bodies below serve every width, since CUDA also stores 8, 16 and 64 bits.
template <typename T> LIBRARY T floor_divide_signed(T x, T y) {
  if (y == T(0)) return T(0);
  if (y == T(-1)) return T(0) - x;
  T quotient = x / y, rest = x - quotient * y;
  return rest != T(0) && ((rest < T(0)) != (y < T(0))) ? quotient - T(1) : quotient;
}
template <typename T> LIBRARY T remainder_signed(T x, T y) {
  if (y == T(0) || y == T(-1)) return T(0);
  T rest = x % y;
  return rest != T(0) && ((rest < T(0)) != (y < T(0))) ? rest + y : rest;
}
template <typename T> LIBRARY T pow_unsigned(T base, T exponent) {
  T result = T(1);
  while (exponent != T(0)) {
    if (exponent & T(1)) result *= base;
    base *= base;
    exponent >>= 1;
  }
  return result;
}
template <typename T, typename U> LIBRARY T pow_signed(T x, T y) {
  if (y >= T(0)) return (T)pow_unsigned<U>((U)x, (U)y);
  return x == T(1) ? T(1) : x == T(-1) ? ((y & T(1)) ? T(-1) : T(1)) : T(0);
}
template <typename T> LIBRARY T gcd_of(T x, T y) {
  while (y != 0) {
    T rest = x % y;
    x = y;
    y = rest;
  }
  return x;
}
LIBRARY unsigned gcd_u32(unsigned x, unsigned y) { return gcd_of(x, y); }
LIBRARY unsigned long long gcd_u64(unsigned long long x, unsigned long long y) { return gcd_of(x, y); }
LIBRARY int gcd_i32(int x, int y) {
  return (int)gcd_of(x < 0 ? 0u - (unsigned)x : (unsigned)x, y < 0 ? 0u - (unsigned)y : (unsigned)y);
}
LIBRARY long long gcd_i64(long long x, long long y) {
  typedef unsigned long long Whole;
  return (long long)gcd_of(x < 0 ? 0ULL - (Whole)x : (Whole)x, y < 0 ? 0ULL - (Whole)y : (Whole)y);
}
LIBRARY int floor_divide_i32(int x, int y) { return floor_divide_signed(x, y); }
LIBRARY int remainder_i32(int x, int y) { return remainder_signed(x, y); }
LIBRARY int pow_i32(int x, int y) { return pow_signed<int, unsigned>(x, y); }
LIBRARY long long floor_divide_i64(long long x, long long y) { return floor_divide_signed(x, y); }
LIBRARY long long remainder_i64(long long x, long long y) { return remainder_signed(x, y); }
LIBRARY long long pow_i64(long long x, long long y) { return pow_signed<long long, unsigned long long>(x, y); }
LIBRARY unsigned floor_divide_u32(unsigned x, unsigned y) { return y == 0u ? 0u : x / y; }
LIBRARY unsigned remainder_u32(unsigned x, unsigned y) { return y == 0u ? 0u : x % y; }
LIBRARY unsigned pow_u32(unsigned x, unsigned y) { return pow_unsigned(x, y); }
LIBRARY unsigned long long floor_divide_u64(unsigned long long x, unsigned long long y) { return y ? x / y : 0ULL; }
LIBRARY unsigned long long remainder_u64(unsigned long long x, unsigned long long y) { return y ? x % y : 0ULL; }
LIBRARY unsigned long long pow_u64(unsigned long long x, unsigned long long y) { return pow_unsigned(x, y); }
LIBRARY int fmod_i32(int x, int y) { return y == 0 || y == -1 ? 0 : x % y; }
LIBRARY long long fmod_i64(long long x, long long y) { return y == 0 || y == -1 ? 0 : x % y; }
LIBRARY unsigned fmod_u32(unsigned x, unsigned y) { return y ? x % y : 0u; }
LIBRARY unsigned long long fmod_u64(unsigned long long x, unsigned long long y) { return y ? x % y : 0ULL; }

// A shift by the width or more, or by less than nothing, leaves no bit but copies of the sign.
LIBRARY int left_shift_i32(int x, int y) { return (unsigned)y > 31u ? 0 : (int)((unsigned)x << y); }
LIBRARY unsigned left_shift_u32(unsigned x, unsigned y) { return y > 31u ? 0u : x << y; }
LIBRARY long long left_shift_i64(long long x, long long y) {
  return (unsigned long long)y > 63ULL ? 0 : (long long)((unsigned long long)x << y);
}
LIBRARY unsigned long long left_shift_u64(unsigned long long x, unsigned long long y) { return y > 63ULL ? 0ULL : x << y; }
LIBRARY int right_shift_i32(int x, int y) { return x >> ((unsigned)y > 31u ? 31 : y); }
LIBRARY unsigned right_shift_u32(unsigned x, unsigned y) { return y > 31u ? 0u : x >> y; }
LIBRARY long long right_shift_i64(long long x, long long y) { return x >> ((unsigned long long)y > 63ULL ? 63 : y); }
LIBRARY unsigned long long right_shift_u64(unsigned long long x, unsigned long long y) { return y > 63ULL ? 0ULL : x >> y; }

LIBRARY int i32_from_f32(float x) {
  return x >= -2147483648.0f && x < 2147483648.0f ? (int)x : -2147483647 - 1;
}
LIBRARY int i32_from_f64(double x) { return x > -2147483649.0 && x < 2147483648.0 ? (int)x : -2147483647 - 1; }
LIBRARY long long i64_from_f64(double x) {
  return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (long long)x : -9223372036854775807LL - 1;
}
LIBRARY long long i64_from_f32(float x) { return i64_from_f64(x); }
LIBRARY unsigned u32_from_f64(double x) { return (unsigned)i64_from_f64(x); }
LIBRARY unsigned u32_from_f32(float x) { return u32_from_f64(x); }
LIBRARY unsigned long long u64_from_f64(double x) {
  return x >= 9223372036854775808.0 ? (unsigned long long)x : (unsigned long long)i64_from_f64(x);
}
LIBRARY unsigned long long u64_from_f32(float x) { return u64_from_f64(x); }

LIBRARY unsigned sort_key_f32(float x) {
  unsigned bits = __float_as_uint(x);
  if (is_nan(x)) return 0xffffffffu;
  return bits == 0x80000000u ? bits : bits >> 31 ? ~bits : bits | 0x80000000u;
}
LIBRARY unsigned long long sort_key_f64(double x) {
  unsigned long long bits = (unsigned long long)__double_as_longlong(x), top = 1ULL << 63;
  if (is_nan(x)) return ~0ULL;
  return bits == top ? bits : bits >> 63 ? ~bits : bits | top;
}
LIBRARY unsigned sort_key_i32(int x) { return (unsigned)x ^ 0x80000000u; }

LIBRARY unsigned rotate_left(unsigned x, int n) { return (x << n) | (x >> (32 - n)); }
LIBRARY uint2 threefry2x32(unsigned key0, unsigned key1, unsigned c0, unsigned c1) {
  const unsigned keys[3] = {key0, key1, key0 ^ key1 ^ 0x1bd11bdau};
  const int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  unsigned x = c0 + key0, y = c1 + key1;
#pragma unroll
  for (int group = 0; group < 5; group++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      x += y;
      y = rotate_left(y, rotations[group & 1][i]) ^ x;
    }
    x += keys[(group + 1) % 3];
    y += keys[(group + 2) % 3] + group + 1;
  }
  uint2 block;
  block.x = x;
  block.y = y;
  return block;
}
LIBRARY unsigned random_bits(unsigned key0, unsigned key1, unsigned counter) {
  return threefry2x32(key0, key1, counter, 0u).x;
}
LIBRARY float uniform_from_bits(unsigned bits) { return (float)(bits >> 8) * 5.9604644775390625e-08f; }
LIBRARY float normal_from_bits(unsigned bits) {
  float u = (float)((int)((bits >> 8) << 1) - 16777215) * 5.9604644775390625e-08f;
  return 1.4142135623730951f * erfinvf(u);
}

LIBRARY unsigned f16_bits_from_f32(float x) {
  unsigned short h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
  return h;
}
LIBRARY float f32_from_f16_bits(unsigned h) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)h));
  return x;
}
LIBRARY unsigned bf16_bits_from_f32(float x) {
  unsigned bits = __float_as_uint(x);
  return is_nan(x) ? (bits >> 16) | 0x40u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}
LIBRARY float f32_from_bf16_bits(unsigned h) { return __uint_as_float(h << 16); }
LIBRARY unsigned unpack_u8(unsigned word, unsigned lane) { return (word >> ((lane & 3u) * 8u)) & 0xffu; }
LIBRARY int unpack_i8(unsigned word, unsigned lane) { return (signed char)unpack_u8(word, lane); }
LIBRARY unsigned unpack_u16(unsigned word, unsigned lane) { return (word >> ((lane & 1u) * 16u)) & 0xffffu; }
LIBRARY int unpack_i16(unsigned word, unsigned lane) { return (short)unpack_u16(word, lane); }
LIBRARY float unpack_f16(unsigned word, unsigned lane) { return f32_from_f16_bits(unpack_u16(word, lane)); }
LIBRARY float unpack_bf16(unsigned word, unsigned lane) { return f32_from_bf16_bits(unpack_u16(word, lane)); }
LIBRARY unsigned pack_u8(unsigned a, unsigned b, unsigned c, unsigned d) {
  return (a & 0xffu) | ((b & 0xffu) << 8) | ((c & 0xffu) << 16) | (d << 24);
}
LIBRARY unsigned pack_u16(unsigned a, unsigned b) { return (a & 0xffffu) | (b << 16); }
LIBRARY unsigned pack_f16(float a, float b) { return pack_u16(f16_bits_from_f32(a), f16_bits_from_f32(b)); }
