"""The sort and scan kernels against NumPy, for rows of one span and of many."""

from __future__ import annotations

import numpy as np
import pytest

from tabgrad.lower import library, passes
from tests.shaders import gpu

pytestmark = pytest.mark.one_host("wgpu")


def fold(groups: int) -> tuple[int, int, int]:
    return (groups, 1, 1) if groups < 4 else (-(-groups // 2), 2, 1)


def sizes(rows: int, length: int) -> str:
    return f"fn rows() -> u32 {{ return {rows}u; }}\nfn length() -> u32 {{ return {length}u; }}\n"


def argsort(keys: np.ndarray, key: str, block: int) -> np.ndarray:
    rows, length = keys.shape
    kernel = library.kernel("sort")
    kind = {np.float32: "f32", np.int32: "i32", np.uint32: "u32"}[keys.dtype.type]
    blocks = {
        "dims": f"{sizes(rows, length)}const BLOCK = {block}u;\n",
        "bindings": kernel.blocks["bindings"].replace("keys: array<u32>", f"keys: array<{kind}>"),
        "load_key": f"fn load_key(row: u32, place: u32) -> u32 {{ return {key}; }}\n",
    }
    source = kernel.with_blocks(blocks)
    program = gpu.Program({"keys": keys, "places": np.zeros(keys.shape, np.uint32)})
    for one in passes.sort_passes(rows, length, block):
        words = (*one.words, 0, 0)
        program.dispatch(source, fold(one.groups), ["keys"], ["places"], words, {"PASS": one.step})
    return program.read("places")


KEYS = {
    "f32": "sort_key_f32(keys[row * length() + place])",
    "i32": "sort_key_i32(keys[row * length() + place])",
    "u32": "keys[row * length() + place]",
}


def keys_of(kind: str, rows: int, length: int) -> np.ndarray:
    """Draw keys of which many are equal, and of floats some are special."""
    rng = np.random.default_rng(length)
    drawn = rng.integers(-length // 3 - 2, length // 3 + 2, (rows, length))
    keys = drawn.astype(gpu.SCALARS[kind])
    if kind == "f32":
        specials = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-40], np.float32)
        keys = np.where(rng.random(keys.shape) < 0.3, rng.choice(specials, keys.shape), keys)
    return keys.astype(gpu.SCALARS[kind])


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    ("rows", "length", "block"),
    [(3, 20, 8), (1, 1, 2), (4, 5, 8), (2, 64, 64), (1, 1000, 64), (2, 129, 128), (1, 3000, 512)],
)
def test_argsort_is_stable(kind: str, rows: int, length: int, block: int) -> None:
    keys = keys_of(kind, rows, length)
    got = argsort(keys, KEYS[kind], block)
    np.testing.assert_array_equal(got, np.argsort(keys, axis=-1, stable=True))


def test_argsort_of_all_lengths_around_the_block() -> None:
    rng = np.random.default_rng(0)
    for length in range(1, 40):
        keys = rng.integers(0, 9, (2, length)).astype(np.uint32)
        np.testing.assert_array_equal(
            argsort(keys, KEYS["u32"], 4), np.argsort(keys, axis=-1, stable=True)
        )


def test_argsort_of_a_long_row() -> None:
    keys = np.random.default_rng(1).normal(size=(1, 70001)).astype(np.float32)
    got = argsort(keys, KEYS["f32"], passes.sort_block(70001))
    np.testing.assert_array_equal(got, np.argsort(keys, axis=-1, stable=True))


def test_the_sort_file_as_it_stands() -> None:
    keys = np.random.default_rng(2).integers(0, 50, (3, 20)).astype(np.uint32)
    program = gpu.Program({"keys": keys, "places": np.zeros((3, 20), np.uint32)})
    for one in passes.sort_passes(3, 20, 8):
        program.dispatch(
            library.kernel("sort").source,
            (one.groups, 1, 1),
            ["keys"],
            ["places"],
            (*one.words, 0, 0),
            {"PASS": one.step},
        )
    np.testing.assert_array_equal(program.read("places"), np.argsort(keys, -1, stable=True))


def radix_argsort(keys: np.ndarray, key: str, shape: tuple[int, int, int]) -> np.ndarray:
    threads, bits, run = shape
    rows, length = keys.shape
    spans, count = -(-length // (run * threads)), -(-32 // bits)
    kernel = library.kernel("radix")
    kind = {np.float32: "f32", np.int32: "i32", np.uint32: "u32"}[keys.dtype.type]
    blocks = {
        "dims": f"{sizes(rows, length)}fn spans() -> u32 {{ return {spans}u; }}\n"
        f"fn run() -> u32 {{ return {run}u; }}\n"
        f"const THREADS = {threads}u;\nconst BITS = {bits}u;\nconst COUNT = {count}u;\n",
        "bindings": kernel.blocks["bindings"].replace("keys: array<u32>", f"keys: array<{kind}>"),
        "load_key": f"fn load_key(row: u32, place: u32) -> u32 {{ return {key}; }}\n",
    }
    return radix_passes(kernel.with_blocks(blocks), keys, (spans, bits, count))


def radix_passes(source: str, keys: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    spans, bits, count = shape
    rows, length = keys.shape
    work = np.zeros(rows * ((spans << bits) + length), np.uint32)
    program = gpu.Program({"keys": keys, "places": np.zeros(keys.shape, np.uint32), "work": work})
    steps = ((0, spans), (1, 1), (2, spans)) if spans > 1 else ((3, 1),)
    for digit in range(count if spans > 1 else 1):
        for step, groups in steps:
            program.dispatch(
                source, fold(rows * groups), ["keys"], ["places", "work"], (digit, 0, 0, 0),
                {"PASS": step},
            )  # fmt: skip
    return program.read("places")


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    ("rows", "length", "shape"),
    [(3, 20, (4, 4, 2)), (1, 1, (8, 8, 1)), (2, 3000, (128, 4, 16)), (5, 700, (8, 8, 88)), (1, 513, (8, 8, 20)),
     (2, 65, (16, 4, 1)), (2, 600, (4, 6, 7))],
)  # fmt: skip
def test_radix_argsort_is_stable(
    kind: str, rows: int, length: int, shape: tuple[int, int, int]
) -> None:
    keys = keys_of(kind, rows, length)
    got = radix_argsort(keys, KEYS[kind], shape)
    np.testing.assert_array_equal(got, np.argsort(keys, axis=-1, stable=True))


def test_the_radix_file_as_it_stands() -> None:
    keys = np.random.default_rng(2).integers(0, 2**32, (3, 20), np.uint32)
    got = radix_passes(library.kernel("radix").source, keys, (2, 4, 8))
    np.testing.assert_array_equal(got, np.argsort(keys, -1, stable=True))


COMBINE = {
    "sum": ("0.0", "a + b", np.cumsum),
    "product": ("1.0", "a * b", np.cumprod),
    "maximum": ("-inf()", "max_f32(a, b)", np.maximum.accumulate),
}


def scan(x: np.ndarray, name: str, span: int, threads: int) -> np.ndarray:
    rows, length = x.shape
    kernel = library.kernel("scan")
    start, combined, _ = COMBINE[name]
    blocks = {
        "combine": f"fn identity() -> elem {{ return {start}; }}\n"
        f"fn combine(a: elem, b: elem) -> elem {{ return {combined}; }}\n"
    }

    def dims(rows: int, length: int, span: int) -> str:
        return f"{sizes(rows, length)}const SPAN = {span}u;\nconst THREADS = {threads}u;\n"

    spans = -(-length // span)
    names = ("x", "out", "totals", "before")
    program = gpu.Program(
        {"x": x, "out": np.zeros_like(x)}
        | {name: np.zeros((rows, spans), np.float32) for name in names[2:]}
    )
    source = kernel.with_blocks({**blocks, "dims": dims(rows, length, span)})
    if spans == 1:
        program.dispatch(source, fold(rows), ["x"], ["out", "totals"], overrides={"PASS": 0})
        return program.read("out")
    program.dispatch(source, fold(rows * spans), ["x"], ["out", "totals"], overrides={"PASS": 1})
    whole = threads * -(-spans // threads)
    of_totals = kernel.with_blocks({**blocks, "dims": dims(rows, spans, whole)})
    program.dispatch(of_totals, fold(rows), ["totals"], ["before", "out"], overrides={"PASS": 0})
    program.dispatch(source, fold(rows * spans), ["x"], ["out", "before"], overrides={"PASS": 2})
    return program.read("out")


@pytest.mark.parametrize("name", COMBINE)
@pytest.mark.parametrize(
    ("rows", "length", "span", "threads"),
    [(3, 50, 16, 8), (2, 1, 8, 8), (5, 64, 64, 64), (1, 1000, 64, 32), (2, 4097, 512, 64)],
)
def test_scan(name: str, rows: int, length: int, span: int, threads: int) -> None:
    x = np.random.default_rng(length).uniform(0.8, 1.25, (rows, length)).astype(np.float32)
    want = COMBINE[name][2](x.astype(float), axis=-1)
    np.testing.assert_allclose(scan(x, name, span, threads), want, rtol=1e-4)


def test_scan_of_a_million_elements_loses_less_than_a_running_sum() -> None:
    x = np.random.default_rng(3).uniform(0, 1, (1, 2**20)).astype(np.float32)
    want = np.cumsum(x.astype(float), axis=-1)
    got = scan(x, "sum", passes.scan_span(2**20), 64)
    assert np.max(np.abs(got - want) / want) < np.max(np.abs(np.cumsum(x, axis=-1) - want) / want)


def test_maximum_keeps_nan() -> None:
    x = np.array([[1, 3, np.nan, 2, 5]], np.float32)
    np.testing.assert_array_equal(scan(x, "maximum", 8, 8), [[1, 3, np.nan, np.nan, np.nan]])


def test_the_file_of_runs_as_it_stands() -> None:
    rng = np.random.default_rng(4)
    keys = rng.integers(0, 9, (3, 20)).astype(np.uint32)
    x, out = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 20), (3, 7)))
    order = np.argsort(keys, -1, stable=True).astype(np.uint32)
    program = gpu.Program({"keys": keys, "x": x, "order": order, "out": out})
    source = library.kernel("runs").source
    program.dispatch(source, (1, 1, 1), ["keys", "x"], ["order", "out"])
    want = out.copy()
    for row in range(3):
        inside = keys[row] < 7
        np.add.at(want[row], keys[row][inside], x[row][inside])
    np.testing.assert_array_equal(program.read("out"), want)
