"""A public function gives for a sparse tensor what it gives for the dense one, or raises."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import tabgrad as tg
from tests.surface import names

PLACES = ("", "fft", "linalg", "special", "nn.functional")
OTHERWISE = {
    "empty_like": "its values are anything", "normal": "draws numbers", "rand_like": "draws numbers",
    "hspmm": "there is none for dense tensors", "hsmm": "there is none for dense tensors",
    "saddmm": "there is none for dense tensors", "smm": "there is none for dense tensors",
    "sspaddmm": "there is none for dense tensors", "spmm": "mm of sparse matrices", "dsmm": "as spmm",
    "sparse_mask": "keeps the places of the mask", "fork_rng": "takes devices", "manual_seed": "takes a number",
    "printoptions": "takes numbers", "randint": "draws numbers",
    "compile": "takes a function", "vmap": "takes a function", "save": "writes a file",
    "save_async": "writes a file",
    "backward": "gives nothing", "coalesce": "raises for dense tensors",
    "is_coalesced": "raises for dense tensors", "resize_as_": "gives a shape",
}  # fmt: skip
"""Names of which this test says nothing, and why."""


@functools.cache
def first() -> Any:
    at = [[0, 1, 1], [1, 0, 0]]
    return tg.sparse_coo_tensor(at, [0.25, 0.5, -0.125], (2, 2), device="cpu")


def sparse() -> Any:
    return first().clone()


def dense() -> Any:
    return tg.tensor([[0.5, 0.25], [0.125, 0.75]], device="cpu")


def arguments() -> Iterator[list[Any]]:
    """Yield lists of arguments, each made anew: functions of them, or plain values."""
    yield [sparse]
    for other in (dense, sparse, 0, 2.0, tg.float64, (0, 1)):
        yield [sparse, other]
    yield [dense, sparse]
    yield [dense, dense, sparse]
    yield [dense, sparse, dense]
    yield [sparse, 0, 1]
    yield [lambda: [sparse(), sparse()]]


def made(given: list[Any], densely: bool) -> list[Any]:
    out = [x() if callable(x) and not isinstance(x, type(tg.float64)) else x for x in given]
    return [densified(x) for x in out] if densely else out


def densified(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)([densified(part) for part in x])
    return x.to_dense() if isinstance(x, tg.Tensor) else x


def agrees(a: Any, b: Any) -> bool:
    """Tell whether two results without sparse tensors are the same."""
    if isinstance(a, tg.Tensor):
        same = isinstance(b, tg.Tensor) and a.dtype is b.dtype and a.shape == b.shape
        return same and bool(tg.allclose(a, b, equal_nan=True))
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(agrees, a, b))
    return a == b or type(a) is type(b)


def check(name: str, fn: Any, failures: list[str]) -> int:
    """Call `fn` with each list of arguments; return how many calls gave a result."""
    answered = 0
    for given in arguments():
        if "div" in name and given[1:] == [0]:
            # what is not stored stays 0, in PyTorch too
            continue
        try:
            found = fn(*made(given, False))
        except Exception:
            continue
        answered += 1
        try:
            wanted = fn(*made(given, True))
        except Exception as error:
            failures.append(f"{name}{made(given, False)}: {found}, but of dense ones {error!r}")
            continue
        if not agrees(densified(found), densified(wanted)):
            failures.append(f"{name}{made(given, False)}: {found}, but of dense ones {wanted}")
    return answered


def test_functions() -> None:
    failures: list[str] = []
    answered = {}
    with warnings.catch_warnings(), tg.device("cpu"):
        warnings.simplefilter("ignore")
        for place in PLACES:
            module = names.module(place)
            for name in sorted(dir(module)):
                fn = getattr(module, name)
                plain = callable(fn) and not inspect.isclass(fn) and not inspect.ismodule(fn)
                # a setting would hold for the functions after it
                other = name in OTHERWISE or name.startswith(("_", "set_"))
                if plain and not other:
                    answered[f"{place}.{name}"] = check(f"{place}.{name}", fn, failures)
    assert not failures, "\n".join(failures)
    some = [name for name, n in answered.items() if n]
    assert {".mm", ".add", ".sum", ".mul", ".sin", ".cat", ".neg"} <= set(some)
    assert len(some) < 140, some


def test_methods() -> None:
    failures: list[str] = []
    some = set()
    with warnings.catch_warnings(), tg.device("cpu"):
        warnings.simplefilter("ignore")
        for name in sorted(dir(tg.Tensor)):
            if name[0] != "_" and name not in OTHERWISE and callable(getattr(tg.Tensor, name)):

                def call(x: Any, *args: Any, name: str = name) -> Any:
                    return getattr(x, name)(*args)

                if check(f"Tensor.{name}", call, failures):
                    some.add(name)
    assert not failures, "\n".join(failures)
    assert {"mm", "add", "sum", "mul", "sin", "neg", "to_dense", "t", "clone"} <= some
