"""Every function of shaders/lib against its @reference over its @domain, within its @error."""

from __future__ import annotations

import re
import zlib

import numpy as np
import pytest

from tabgrad.lower import library
from tests.shaders import gpu, references

pytestmark = pytest.mark.one_host("wgpu")

FUNCTIONS = library.all_functions()
REFERENCED = sorted(name for name, f in FUNCTIONS.items() if "reference" in f.front_matter.tags)
SIGNATURE = re.compile(r"^fn \w+\(([^)]*)\) -> (\w+) \{")
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def parameters(name: str) -> tuple[list[tuple[str, str]], str]:
    found = SIGNATURE.match(FUNCTIONS[name].source)
    assert found, FUNCTIONS[name].source
    pairs = [tuple(part.strip() for part in p.split(":")) for p in found[1].split(",") if p]
    return pairs, found[2]


def float_samples(
    low: float, high: float, smallest: float, rng: np.random.Generator, count: int
) -> np.ndarray:
    """Samples of [low, high]: linear, logarithmic, near 1, halves, ends; specials if unbounded."""
    specials = np.array([])
    if np.isinf(low):
        specials, low, high = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0]), -3e38, 3e38
    linear = rng.uniform(low / 2, high / 2, count) * 2
    reach = max(abs(low), abs(high))
    logarithmic = np.exp(rng.uniform(np.log(smallest), np.log(reach), 2 * count)) * rng.choice(
        [-1, 1], 2 * count
    )
    near_one = 1 + rng.normal(size=count) * np.exp(rng.uniform(-16, -1, count))
    whole = np.round(rng.uniform(-12, 12, count)) / 2
    ends = np.array([low, high, 0.0, 1.0, -1.0])
    values = np.concatenate([linear, logarithmic, near_one, -near_one, whole, ends])
    values = values[(values >= low) & (values <= high)].astype(np.float32)
    return np.concatenate(
        [np.clip(values, np.float32(low), np.float32(high)), specials.astype(np.float32)]
    )


def complex_samples(
    low: float, high: float, smallest: float, rng: np.random.Generator, count: int
) -> np.ndarray:
    """Samples of a square: parts apart, of one size, and near the axes and the unit circle."""
    parts = float_samples(low, high, smallest, rng, count)
    x, y = rng.permutation(parts), rng.permutation(parts)
    even = x * np.exp(1j * rng.uniform(-np.pi, np.pi, x.size)) / 2
    circle = np.exp(1j * rng.uniform(-np.pi, np.pi, count)) * (1 + 1e-3 * rng.normal(size=count))
    found = np.concatenate([x + 1j * y, even, x[:count] + 0j, 1j * y[:count], circle])
    sizes = np.abs(np.stack([found.real, found.imag]))
    keep = np.all((sizes == 0) | (sizes >= smallest), axis=0) & np.all(sizes <= high, axis=0)
    return found[keep].astype(np.complex64)


def samples(name: str, count: int = 5000) -> list[np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    domains = dict(text.split(": ") for text in FUNCTIONS[name].front_matter.tags.get("domain", ()))
    columns = []
    for parameter, kind in parameters(name)[0]:
        limits, _, smallest = domains[parameter].removesuffix(" integer").partition(" beyond ")
        low, high = (float(end) for end in limits.split(".."))
        if kind == "f32":
            columns.append(float_samples(low, high, float(smallest or 1e-37), rng, count))
        elif kind == "vec2f":
            columns.append(complex_samples(low, high, float(smallest or 1e-37), rng, count))
        else:
            values = np.concatenate(
                [rng.integers(int(low), int(high), 4 * count, endpoint=True), [int(low), int(high)]]
            )
            columns.append(values.astype(gpu.SCALARS[kind]))
    if len(columns) == 1:
        return columns
    size = min(20000, 4 * max(len(column) for column in columns))
    return [rng.choice(column, size) for column in columns]


def reference(name: str, inputs: list[np.ndarray]) -> np.ndarray:
    kinds = {np.dtype(np.float32): float, np.dtype(np.complex64): complex}
    wide = [x.astype(kinds.get(x.dtype, x.dtype)) for x in inputs]
    scope = {
        **vars(references),
        **dict(zip((n for n, _ in parameters(name)[0]), wide, strict=True)),
        "np": np,
    }
    with np.errstate(all="ignore"):
        return np.asarray(eval(FUNCTIONS[name].front_matter.tag("reference"), scope))


def excess(got: np.ndarray, want: np.ndarray, bound: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the error in ulp of every element, and whether it is outside the bound.

    Of complex numbers it is the distance, in ulp of the absolute value.
    """
    want = np.broadcast_to(want, got.shape)
    narrow, wide = (np.complex64, complex) if got.dtype == np.complex64 else (np.float32, float)
    with np.errstate(all="ignore"):
        if wide is complex:
            got, want = without_certain_parts(got, want.astype(complex))
        rounded = want.astype(narrow).astype(wide)
        error = np.nan_to_num(np.abs(got.astype(wide) - want), nan=np.inf)
        unit = np.spacing(np.maximum(np.abs(rounded), SMALLEST_NORMAL).astype(np.float32)).astype(
            float
        )
        ulp = np.where(
            (got.astype(wide) == rounded) | (np.isnan(got) & np.isnan(want)), 0.0, error / unit
        )
        flushed = (np.abs(rounded) < SMALLEST_NORMAL) & (np.abs(got) <= SMALLEST_NORMAL)
    ulp = np.where(np.isnan(ulp), np.inf, np.where(flushed, 0.0, ulp))
    if bound == "exact":
        return ulp, ulp != 0
    outside = np.ones(got.shape, bool)
    for part in bound.split(" or "):
        amount, unit_name = part.split(" ")
        outside &= (ulp if unit_name == "ulp" else np.where(ulp == 0, 0, error)) > float(amount)
    return ulp, outside


def without_certain_parts(got: np.ndarray, want: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put 0 for parts that are the same infinity in both, or flushed: an error is that of the other part."""
    got, want = got.copy(), want.copy()
    for part in ("real", "imag"):
        x, y = getattr(got, part), getattr(want, part)
        same = (np.isinf(y) & (x == y)) | (np.isnan(x) & np.isnan(y))
        same |= (x == 0) & (np.abs(y) < SMALLEST_NORMAL)
        x[same] = y[same] = 0
    return got, want


def assert_within(name: str, inputs: list[np.ndarray], got: np.ndarray) -> None:
    """Fail with the worst element if any is outside the declared bound."""
    want = reference(name, inputs)
    ulp, outside = excess(got, want, FUNCTIONS[name].front_matter.tag("error"))
    worst = np.argmax(np.where(outside, ulp + 1, 0))
    assert not outside.any(), (
        f"{name}{tuple(x[worst] for x in inputs)} gave {got[worst]!r}, expected "
        f"{np.broadcast_to(want, got.shape)[worst]!r} "
        f"({ulp[worst]:.3g} ulp; {outside.sum()} of {got.size} outside)"
    )


@pytest.mark.parametrize("name", [name for name in REFERENCED if parameters(name)[0]])
def test_function_is_within_its_error_bound(name: str) -> None:
    inputs = samples(name)
    got = gpu.map_function(library.functions([name]), name, inputs, parameters(name)[1])
    assert_within(name, inputs, got)


@pytest.mark.parametrize("name", [name for name in REFERENCED if not parameters(name)[0]])
def test_constant(name: str) -> None:
    prelude = library.functions([name]) + f"fn wrapped(x: f32) -> f32 {{ return {name}(); }}\n"
    got = gpu.map_function(prelude, "wrapped", [np.zeros(4, np.float32)], parameters(name)[1])
    np.testing.assert_array_equal(got, np.full(4, reference(name, []), np.float32))


SPECIALS = np.array([np.nan, np.inf, 0, 1, 2, 3, 0.5, 2.5, 1e38, 1e-37, 1e8], np.float32)
SPECIALS = np.concatenate([SPECIALS, -SPECIALS])
AT_SPECIALS = """
    acos_f32 acosh_f32 asin_f32 asinh_f32 atan_f32 atanh_f32 cos_f32 cosh_f32 exp2_f32 exp_f32
    expm1_f32 log10_f32 log1p_f32 log2_f32 log_f32 sin_f32 sinh_f32 tan_f32 tanh_f32 erf_f32
    erfc_f32 lgamma_f32 sigmoid_f32 softplus_f32 sign_f32 max_f32 min_f32 pow_f32 fmod_f32
    remainder_f32 atan2_f32 logaddexp_f32 round_half_even_f32
""".split()


def special_inputs(name: str) -> list[np.ndarray]:
    """Every combination of the special values."""
    return [grid.ravel() for grid in np.meshgrid(*[SPECIALS] * len(parameters(name)[0]))]


def assert_specials(name: str, inputs: list[np.ndarray], got: np.ndarray) -> None:
    """Fail unless NaN, infinities, zeros and signs, those of zeros included, are the reference's."""
    with np.errstate(all="ignore"):
        want = reference(name, inputs).astype(np.float32)
    flushed = (np.abs(want) < SMALLEST_NORMAL) & (np.abs(got) < SMALLEST_NORMAL)
    _, outside = excess(got, want.astype(float), FUNCTIONS[name].front_matter.tag("error"))
    # The sign of a zero sum means nothing to a logarithm.
    signs = ~np.isnan(want) & (np.signbit(want) != np.signbit(got)) & (name != "logaddexp_f32")
    wrong = (outside & ~flushed) | signs
    assert not wrong.any(), "\n".join(
        f"{name}{tuple(x[i] for x in inputs)} gave {got[i]!r}, expected {want[i]!r}"
        for i in np.flatnonzero(wrong)[:20]
    )


def test_lgamma_of_the_least_floats() -> None:
    x = np.array(
        [1.2e-38, 9e-38, 1e-30, 1e-20, 1e-11, -1.2e-38, -9e-38, -1e-25, -1e-11], np.float32
    )
    got = gpu.map_function(library.functions(["lgamma_f32"]), "lgamma_f32", [x], "f32")
    assert_within("lgamma_f32", [x], got)


@pytest.mark.parametrize("name", AT_SPECIALS)
def test_function_at_infinities_zeros_and_nan(name: str) -> None:
    inputs = special_inputs(name)
    got = gpu.map_function(library.functions([name]), name, inputs, "f32")
    assert_specials(name, inputs, got)


COMPLEX_AT_SPECIALS = """
    abs_c64 conj_c64 sqrt_c64 exp_c64 log_c64 log2_c64 log10_c64 sinh_c64 cosh_c64 tanh_c64 sin_c64 cos_c64
    tan_c64 asin_c64 acos_c64 atan_c64 asinh_c64 acosh_c64 atanh_c64
""".split()
PARTS = np.array([0, 0.5, 1, 2, np.inf], np.float32)
UNSIGNED = {"sinh_c64", "cosh_c64", "sin_c64", "cos_c64", "exp_c64"}
"""Functions whose zeros, and infinities beside a nan, may have either sign at some arguments, in C as well."""


def complex_specials() -> np.ndarray:
    """Every pair of special parts, with every sign, and those that are not a number."""
    parts = np.concatenate([PARTS, -PARTS, [np.float32(np.nan)]])
    return np.array([complex(x, y) for x in parts for y in parts], np.complex64)


@pytest.mark.parametrize("name", COMPLEX_AT_SPECIALS)
def test_complex_function_at_infinities_cuts_and_nan(name: str) -> None:
    """The parts, and their signs, are NumPy's, which are C's; with a nan, only what is certain."""
    z = complex_specials()
    got = gpu.map_function(library.functions([name]), name, [z], parameters(name)[1])
    with np.errstate(all="ignore"):
        want = reference(name, [z]).astype(got.dtype)
    lost = np.isnan(z.real) | np.isnan(z.imag)
    wrong = []
    for i in range(z.size):
        for part in ("real", "imag"):
            g, w = (float(getattr(values[i], part)) for values in (got, want))
            close = g == w or (np.isnan(g) and np.isnan(w)) or abs(g - w) <= 3e-6 * max(1, abs(w))
            signs = np.isnan(w) or name in UNSIGNED or np.signbit(g) == np.signbit(w)
            loose = (np.isinf(g) and np.isinf(w) and name in UNSIGNED) or (lost[i] and np.isnan(g))
            if not (close and signs) and not loose:
                wrong.append(f"{name}({z[i]}) gave {got[i]}, expected {want[i]}")
    assert not wrong, "\n".join(wrong[:20])


def test_quotients_by_zero_and_powers_of_zero() -> None:
    x = np.array([1, -1j, 0, complex(np.nan, 1), complex(2, np.inf)], np.complex64)
    zero = np.zeros_like(x)
    got = gpu.map_function(library.functions(["div_c64"]), "div_c64", [x, zero], "vec2f")
    with np.errstate(all="ignore"):
        want = x / zero
    for part in ("real", "imag"):
        np.testing.assert_array_equal(getattr(got, part), getattr(want, part))
    y = np.array([2, 0, -1, 1j, 0.5], np.complex64)
    got = gpu.map_function(library.functions(["pow_c64"]), "pow_c64", [zero, y], "vec2f")
    assert got[0] == got[4] == 0
    assert got[1] == 1
    assert np.isnan(got[2:4]).all()


@pytest.mark.parametrize("name", ["log2_f32", "exp2_f32", "log10_f32"])
def test_exact_at_powers(name: str) -> None:
    exponents = np.arange(-126, 128) if name != "log10_f32" else np.arange(0, 11)
    powers = (10.0 if name == "log10_f32" else 2.0) ** exponents
    source, want = (exponents, powers) if name == "exp2_f32" else (powers, exponents)
    got = gpu.map_function(library.functions([name]), name, [source.astype(np.float32)], "f32")
    np.testing.assert_array_equal(got, want.astype(np.float32))


def test_pow_with_large_exponents_and_negative_bases() -> None:
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(0.4, 2.5, 20000), -rng.integers(1, 9, 3000)]).astype(np.float32)
    y = np.concatenate([rng.uniform(-90, 90, 20000), rng.integers(-30, 30, 3000)]).astype(
        np.float32
    )
    got = gpu.map_function(library.functions(["pow_f32"]), "pow_f32", [x, y], "f32")
    ulp, outside = excess(got, np.power(x.astype(float), y.astype(float)), "4 ulp")
    assert not outside.any(), (x[outside][:5], y[outside][:5], ulp[outside][:5])


def test_integers_at_their_edges() -> None:
    low = np.int32(-(2**31))
    cases = np.array(
        [(low, -1), (low, 3), (2**31 - 1, -2), (5, 0), (-5, 0), (-7, 2), (7, -2), (low, low)],
        np.int32,
    )
    x, y = np.ascontiguousarray(cases.T)
    with np.errstate(all="ignore"):
        want = {"floor_divide_i32": np.floor_divide(x, y), "remainder_i32": np.remainder(x, y)}
    for name, expected in want.items():
        got = gpu.map_function(library.functions([name]), name, [x, y], "i32")
        np.testing.assert_array_equal(got, expected, err_msg=name)


def test_random_bits_agree_with_published_vectors() -> None:
    """The known answers of the Random123 distribution (kat_vectors, threefry 2x32 20 rounds)."""
    ones = 0xFFFFFFFF
    vectors = [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((ones, ones), (ones, ones), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ]
    for key, counter, want in vectors:
        words = [np.array([w], np.uint32) for w in (*key, *counter)]
        assert [int(w[0]) for w in references.threefry2x32(*words)] == list(want)
        for lane, expected in zip("xy", want, strict=True):
            body = f"return threefry2x32(a, b, c, d).{lane};"
            wrapper = f"fn lane(a: u32, b: u32, c: u32, d: u32) -> u32 {{ {body} }}"
            got = gpu.map_function(
                library.functions(["threefry2x32"]) + wrapper, "lane", words, "u32"
            )
            assert int(got[0]) == expected


def test_functions_without_a_reference_are_parts_of_functions_with_one() -> None:
    covered: set[str] = set()
    stack = list(REFERENCED)
    while stack:
        name = stack.pop()
        if name not in covered:
            covered.add(name)
            stack.extend(FUNCTIONS[name].uses)
    assert covered == set(FUNCTIONS)
