//! hermite_h_f32: Hermite's polynomial of degree n, cut to an integer; 0 below 0, NaN above 65,535.
//! @domain x: -3..3
//! @domain n: 0..8
//! @error 8 ulp or 0.2 absolute
//! @reference hermite_h(x, n)
fn hermite_h_f32(x: f32, n: f32) -> f32 {
  var p = 1.0;
  var q = 2.0 * x;
  for (var k = 1.0; k + 1.0 <= n && n < 65536.0 && !is_nan(q); k += 1.0) {
    let r = 2.0 * (x * q - k * p);
    p = q;
    q = r;
  }
  return of_degree(q, n);
}

//! hermite_he_f32: the Hermite polynomial of probabilists of degree n, as hermite_h_f32.
//! @domain x: -3..3
//! @domain n: 0..8
//! @error 8 ulp or 1e-4 absolute
//! @reference hermite_he(x, n)
fn hermite_he_f32(x: f32, n: f32) -> f32 {
  var p = 1.0;
  var q = x;
  for (var k = 1.0; k + 1.0 <= n && n < 65536.0 && !is_nan(q); k += 1.0) {
    let r = x * q - k * p;
    p = q;
    q = r;
  }
  return of_degree(q, n);
}

//! laguerre_f32: Laguerre's polynomial of degree n, as hermite_h_f32.
//! @domain x: -3..3
//! @domain n: 0..8
//! @error 8 ulp or 1e-4 absolute
//! @reference laguerre(x, n)
fn laguerre_f32(x: f32, n: f32) -> f32 {
  var p = 1.0;
  var q = 1.0 - x;
  for (var k = 1.0; k + 1.0 <= n && n < 65536.0 && !is_nan(q); k += 1.0) {
    let r = ((2.0 * k + 1.0 - x) * q - k * p) / (k + 1.0);
    p = q;
    q = r;
  }
  return of_degree(q, n);
}

//! legendre_f32: Legendre's polynomial of degree n, as hermite_h_f32.
//! @domain x: -1..1
//! @domain n: 0..8
//! @error 8 ulp or 5e-6 absolute
//! @reference legendre(x, n)
fn legendre_f32(x: f32, n: f32) -> f32 {
  var p = 1.0;
  var q = x;
  for (var k = 1.0; k + 1.0 <= n && n < 65536.0 && !is_nan(q); k += 1.0) {
    let r = ((2.0 * k + 1.0) * x * q - k * p) / (k + 1.0);
    p = q;
    q = r;
  }
  return of_degree(q, n);
}

//! chebyshev_f32: the polynomial of degree n of Chebyshev's recurrence that begins with 1, first; as hermite_h_f32.
//! @domain x: -1..1
//! @domain first: -1..1
//! @domain n: 0..8
//! @error 8 ulp or 1e-5 absolute
//! @reference chebyshev(x, first, n)
fn chebyshev_f32(x: f32, first: f32, n: f32) -> f32 {
  var p = 1.0;
  var q = first;
  for (var k = 1.0; k + 1.0 <= n && n < 65536.0 && !is_nan(q); k += 1.0) {
    let r = 2.0 * x * q - p;
    p = q;
    q = r;
  }
  return of_degree(q, n);
}

//! of_degree: the value of a polynomial of degree n >= 1, or what the degree says of it.
//! @error exact
//! @internal
fn of_degree(q: f32, n: f32) -> f32 {
  let low = select(select(q, 1.0, n < 1.0), 0.0, n <= -1.0);
  return select(low, nan(), is_nan(n) | (n >= 65536.0));
}
