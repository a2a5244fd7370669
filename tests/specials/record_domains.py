"""True values of the special functions: `python -m tests.specials.record_domains`, where mpmath is.

They are computed with 60 digits from each function's definition.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

from tests.specials.domains import DOMAINS

PATH = pathlib.Path(__file__).with_name("expected_domains.json")


def truths() -> dict[str, Any]:
    """Return the definition of each function, in mpmath."""
    import mpmath as mp

    def incomplete(a: Any, x: Any, upper: bool) -> Any:
        if a < 2000:
            low, high = (x, mp.inf) if upper else (0, x)
            return mp.gammainc(a, low, high, regularized=True)
        # the tail by its integral, in pieces of its scale
        lead = mp.exp(a * mp.log(x) - x - mp.loggamma(a))
        if x > a:
            end = min(90 / (x - a), 15 / mp.sqrt(a))
            tail = mp.quad(lambda v: mp.exp(a * v - x * mp.expm1(v)), mp.linspace(0, end, 17))
            return lead * tail if upper else 1 - lead * tail
        end = min(90 / (a - x), 15 / mp.sqrt(x)) if a > x else 15 / mp.sqrt(x)
        tail = mp.quad(lambda v: mp.exp(-a * v - x * mp.expm1(-v)), mp.linspace(0, end, 17))
        return 1 - lead * tail if upper else lead * tail

    def recurrence(first: Any, n: Any, following: Any) -> Any:
        p, q = mp.mpf(1), first
        if n == 0:
            return p
        for k in range(1, int(n)):
            p, q = q, following(k, p, q)
        return q

    def chebyshev(a: int, b: int, shifted: bool) -> Any:
        def value(x: Any, n: Any) -> Any:
            x = 2 * x - 1 if shifted else x
            return recurrence(a * x + b, n, lambda _k, p, q: 2 * x * q - p)

        return value

    def quantile(p: Any) -> Any:
        if p > 0.5:
            return -quantile(1 - p)
        guess = -mp.sqrt(-2 * mp.log(p)) + mp.mpf("0.8") if p < 0.1 else mp.mpf(-0.5)
        return mp.findroot(lambda x: mp.log(mp.ncdf(x)) - mp.log(p), guess)

    def tail(x: Any) -> Any:
        """Return erfcx where exp(x * x) is too large even for 60 digits: its series."""
        if x < 1000:
            return mp.exp(x * x) * mp.erfc(x)
        z = 1 / (2 * x * x)
        return (1 - z * (1 - 3 * z * (1 - 5 * z * (1 - 7 * z)))) / (x * mp.sqrt(mp.pi))

    found = {
        "airy_ai": mp.airyai,
        "spherical_bessel_j0": mp.sinc,
        "i0e": lambda x: mp.besseli(0, x) * mp.exp(-abs(x)),
        "i1e": lambda x: mp.besseli(1, x) * mp.exp(-abs(x)),
        "erfcx": tail,
        "erf": mp.erf,
        "erfc": mp.erfc,
        "erfinv": mp.erfinv,
        "ndtr": mp.ncdf,
        "log_ndtr": lambda x: (
            mp.log(mp.ncdf(x)) if x > -1000 else -x * x / 2 + mp.log(tail(-x / mp.sqrt(2)) / 2)
        ),
        "ndtri": quantile,
        "gammaln": lambda x: mp.log(abs(mp.gamma(x))) if x < 100 else mp.loggamma(x),
        "digamma": mp.digamma,
        "entr": lambda x: -x * mp.log(x),
        "exp2": lambda x: mp.mpf(2) ** x,
        "expm1": mp.expm1,
        "log1p": mp.log1p,
        "expit": lambda x: 1 / (1 + mp.exp(-x)),
        "logit": lambda p: mp.log(p / (1 - p)),
        "sinc": mp.sincpi,
        "gammainc": lambda a, x: incomplete(a, x, False),
        "gammaincc": lambda a, x: incomplete(a, x, True),
        "zeta": mp.zeta,
        "xlogy": lambda x, y: x * mp.log(y),
        "xlog1py": lambda x, y: x * mp.log1p(y),
        "hermite_polynomial_h": lambda x, n: recurrence(
            2 * x, n, lambda k, p, q: 2 * (x * q - k * p)
        ),
        "hermite_polynomial_he": lambda x, n: recurrence(x, n, lambda k, p, q: x * q - k * p),
        "laguerre_polynomial_l": lambda x, n: mp.laguerre(int(n), 0, x),
        "legendre_polynomial_p": lambda x, n: mp.legendre(int(n), x),
    }
    for k, (a, b) in {"t": (1, 0), "u": (2, 0), "v": (2, -1), "w": (2, 1)}.items():
        found[f"chebyshev_polynomial_{k}"] = chebyshev(a, b, False)
        found[f"shifted_chebyshev_polynomial_{k}"] = chebyshev(a, b, True)
    for k in (0, 1):
        found[f"bessel_j{k}"] = lambda x, k=k: mp.besselj(k, x)
        found[f"bessel_y{k}"] = lambda x, k=k: mp.bessely(k, x)
        found[f"modified_bessel_i{k}"] = lambda x, k=k: mp.besseli(k, x)
        found[f"modified_bessel_k{k}"] = lambda x, k=k: mp.besselk(k, x)
        found[f"scaled_modified_bessel_k{k}"] = lambda x, k=k: (
            mp.besselk(k, x) * mp.exp(x) if x < 1e10 else mp.sqrt(mp.pi / (2 * x))
        )
    return found


def recorded() -> dict[str, list[float]]:
    """Return the value at each point of each domain, the wide ones last."""
    import mpmath as mp

    mp.mp.dps = 60
    known = truths()
    return {
        d.name: [float(known[d.name](*map(mp.mpf, p))) for p in (*d.points, *d.wide)]
        for d in DOMAINS
    }


if __name__ == "__main__":
    lines = [f'"{name}": {json.dumps(values)}' for name, values in recorded().items()]
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(PATH.stat().st_size)
