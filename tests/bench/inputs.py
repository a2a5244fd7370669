"""The inputs of the workloads, in NumPy: the same numbers as `pages/common.js` makes."""

import json
import math
from pathlib import Path

import numpy as np


def hash32(n: int, seed: int) -> np.ndarray:
    """Return the hash of 0 to n - 1, as README.md defines it."""
    m = np.uint64(0xFFFFFFFF)
    start = np.uint64(1 + (seed * 0x9E3779B9 & 0xFFFFFFFF))
    x = (np.arange(n, dtype=np.uint64) + start) & m
    x ^= x >> np.uint64(16)
    x = x * np.uint64(0x85EBCA6B) & m
    x ^= x >> np.uint64(13)
    x = x * np.uint64(0xC2B2AE35) & m
    x ^= x >> np.uint64(16)
    return x


def unit(seed: int, *shape: int) -> np.ndarray:
    """Return numbers in [0, 1), exact in float32."""
    bits = hash32(math.prod(shape), seed) >> np.uint64(8)
    return (bits.astype(np.float64) / 16777216).reshape(shape).astype(np.float32)


def uniform(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Return numbers in [-scale, scale)."""
    return ((2 * unit(seed, *shape).astype(np.float64) - 1) * scale).astype(np.float32)


def integers(seed: int, n: int, bound: int) -> np.ndarray:
    """Return n integers below `bound`."""
    return (hash32(n, seed) % np.uint64(bound)).astype(np.int32)


def zeros(*shape: int) -> np.ndarray:
    """Return float32 zeros."""
    return np.zeros(shape, np.float32)


def mlp() -> dict:
    """Return the inputs of `mlp`."""
    sizes, params = (784, 256, 256, 10), {}
    for k in range(3):
        scale = math.sqrt(6 / sizes[k])
        params[f"w{k}"] = uniform(10 + k, sizes[k], sizes[k + 1], scale=scale)
        params[f"b{k}"] = zeros(sizes[k + 1])
    return {"params": params, "x": unit(20, 128, 784), "labels": integers(21, 128, 10)}


def cnn() -> dict:
    """Return the inputs of `cnn`; kernels are [height, width, in, out]."""
    params = {
        "k1": uniform(30, 3, 3, 1, 16, scale=math.sqrt(6 / 9)),
        "c1": zeros(16),
        "k2": uniform(31, 3, 3, 16, 32, scale=math.sqrt(6 / 144)),
        "c2": zeros(32),
        "w": uniform(32, 1568, 10, scale=math.sqrt(6 / 1568)),
        "b": zeros(10),
    }
    return {"params": params, "x": unit(33, 32, 28, 28, 1), "labels": integers(34, 32, 10)}


def gpt() -> dict:
    """Return the inputs of `gpt`."""
    vocabulary, width, length, batch, layers, hidden = 65, 64, 64, 8, 2, 256
    params = {
        "wte": uniform(40, vocabulary, width, scale=0.05),
        "wpe": uniform(41, length, width, scale=0.05),
    }
    one = np.ones(width, np.float32)
    for layer in range(layers):
        s = 50 + 10 * layer
        mine = {
            "ln1g": one, "ln1b": zeros(width),
            "wqkv": uniform(s, width, 3 * width, scale=0.1), "bqkv": zeros(3 * width),
            "wo": uniform(s + 1, width, width, scale=0.1), "bo": zeros(width),
            "ln2g": one, "ln2b": zeros(width),
            "w1": uniform(s + 2, width, hidden, scale=0.1), "b1": zeros(hidden),
            "w2": uniform(s + 3, hidden, width, scale=0.1), "b2": zeros(width),
        }  # fmt: skip
        params |= {f"l{layer}_{k}": v for k, v in mine.items()}
    head = uniform(42, width, vocabulary, scale=0.1)
    params |= {"lnfg": one, "lnfb": zeros(width), "head": head}
    tokens = integers(43, batch * (length + 1), vocabulary).reshape(batch, length + 1)
    sizes = {"V": vocabulary, "D": width, "S": length, "B": batch, "L": layers, "F": hidden, "H": 4}
    texts = {"tokens": tokens[:, :-1].ravel(), "targets": tokens[:, 1:].ravel()}
    return {"params": params, **sizes, **texts}


def hvp() -> dict:
    """Return the inputs of `hvp`."""
    shapes = {"w1": (10, 32), "b1": (32,), "w2": (32, 1), "b2": (1,)}
    scales = {"w": 0.5, "b": 0.1}
    params = {k: uniform(70 + i, *s, scale=scales[k[0]]) for i, (k, s) in enumerate(shapes.items())}
    v = {k: uniform(74 + i, *s) for i, (k, s) in enumerate(shapes.items())}
    return {"params": params, "v": v, "x": uniform(78, 64, 10), "y": uniform(79, 64, 1)}


def matmul(n: int) -> dict:
    """Return the inputs of `matmul<n>`."""
    return {"a": uniform(1, n, n), "b": uniform(2, n, n)}


def fft(rows: int, n: int) -> dict:
    """Return the inputs of `fft<n>`: the parts of complex numbers."""
    return {"re": uniform(7, rows, n), "im": uniform(8, rows, n)}


def matrices(count: int, n: int) -> dict:
    """Return the inputs of decompositions: `count` square matrices."""
    return {"x": uniform(9, count, n, n)}


def case(entry: dict | list) -> dict | np.ndarray:
    """Return the inputs that `pages/cases.json` describes."""
    if isinstance(entry, dict):
        return {k: case(v) for k, v in entry.items()}
    kind, seed, *rest = entry
    if kind == "ints":
        return {"data": integers(seed, *rest), "shape": rest[:1]}
    shape, *scale = rest
    return uniform(seed, *shape, scale=scale[0]) if kind == "U" else unit(seed, *shape)


CASES = json.loads((Path(__file__).parent / "pages" / "cases.json").read_text())

DECOMPOSITIONS = {
    f"{name}{n}": (count, n)
    for name in ("cholesky", "lu", "qr", "eigh", "svd")
    for count, n in ((1, 256), (256, 32))
}

WORKLOADS = {
    "roundtrip": dict,
    "matmul256": lambda: matmul(256),
    "matmul512": lambda: matmul(512),
    "matmul1024": lambda: matmul(1024),
    "chain": lambda: {"x": uniform(3, 1048576)},
    "softmax": lambda: {"x": uniform(4, 1024, 1024, scale=4)},
    "fft1024": lambda: fft(512, 1024),
    "fft262144": lambda: fft(1, 262144),
    **{name: (lambda sizes=sizes: matrices(*sizes)) for name, sizes in DECOMPOSITIONS.items()},
    "tiny": lambda: {"x": uniform(5, 1000)},
    "record": lambda: {"x": uniform(5, 1000), "y": uniform(6, 1000)},
    "mlp": mlp,
    "cnn": cnn,
    "gpt": gpt,
    "hvp": hvp,
    **{name: (lambda entry=entry: case(entry)) for name, entry in CASES.items()},
}
