"""Test arguments for every op, made from what its declaration says.

A sample is what an application of the op needs: an array for each operand and the static parameters. Values
are float32 numbers (or integers, or bools), so that every device starts from the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tabgrad.core import dtype as dt
from tabgrad.core.op import Op

SHAPES = ((3, 4), (), (1, 3), (2, 0))
"""Of the operands of an element-wise op: two axes, none, one of size 1, none at all."""


@dataclass
class Sample:
    """One application of an op. `smooth` says that differences around the values make sense.

    Where complex numbers are among operands or results, `pairs` are the operands that are some: their arrays,
    and all results of cases, are pairs of real numbers along one more axis.
    """

    name: str
    arrays: list[Any]
    params: dict[str, Any] = field(default_factory=dict)
    smooth: bool = True
    pairs: tuple[int, ...] | None = None

    @property
    def operands(self) -> list[Any]:
        """The arrays as the op takes them."""
        return [
            x.view(np.complex64)[..., 0] if i in (self.pairs or ()) else x
            for i, x in enumerate(self.arrays)
        ]


def generator(op: Op, name: str) -> np.random.Generator:
    """Return the random numbers of one sample, the same in every run and for every order of tests."""
    return np.random.default_rng(zlib.crc32(f"{op.name}/{name}".encode()))


def samples(op: Op) -> Iterator[Sample]:
    """Yield the samples of `op`."""
    yield from BY_FAMILY[op.family](op)
    for name, make in SPECIAL.get(op.name, ()):
        yield make(op, name)


# -- element-wise ----------------------------------------------------------------------------------


def uniform(rng: np.random.Generator, low: float, high: float, shape: Any) -> Any:
    """Return float32 values between the bounds."""
    return np.asarray(rng.uniform(low, high, size=shape)).astype(np.float32)


def _domains(op: Any) -> list[tuple[float, float]]:
    n = len(op.operands)
    each = isinstance(op.domain[0], tuple)
    if op.name == "where":
        return [(0, 1), *[op.domain] * (n - 1)]
    return list(op.domain) if each else [op.domain] * n


PARAMS: dict[str, dict[str, Any]] = {
    "cast": {"dtype": dt.float32},
    "bitcast": {"dtype": dt.float32},
    "confined": {"rule": "not negative", "message": "expected no negative number"},
    "checked": {
        "size": 10, "name": "test", "what": "index", "dim": 0, "wraps": True, "ignore": None,
    },
}  # fmt: skip
INTEGER_DOMAINS = {
    "pow": ((-3, 4), (0, 5)),
    "floor_divide": ((-9, 10), (1, 4)),
    "remainder": ((-9, 10), (1, 4)),
    "fmod": ((-9, 10), (1, 4)),
    "confined": ((0, 10),),
}


def _integers(op: Any, rng: np.random.Generator, kind: Any, shape: Any) -> list[Any]:
    out = []
    for k in range(len(op.operands)):
        if op.name == "where" and k == 0:
            out.append(rng.integers(0, 2, size=shape).astype(np.bool_))
            continue
        if kind == np.bool_:
            out.append(rng.integers(0, 2, size=shape).astype(np.bool_))
            continue
        low, high = INTEGER_DOMAINS.get(op.name, ((-9, 10),) * 3)[k]
        if op.name.endswith("_shift"):
            low, high = ((0, 1000), (0, 6))[k]
        if np.dtype(kind).kind == "u":
            low = max(low, 0)
        out.append(np.asarray(rng.integers(low, high, size=shape)).astype(kind))
    return out


def _elementwise(op: Any) -> Iterator[Sample]:
    params: dict[str, Any] = PARAMS.get(op.name, {})
    if "f" in op.kinds:
        for shape in SHAPES:
            name = f"float{list(shape)}".replace(" ", "")
            rng = generator(op, name)
            arrays = [uniform(rng, low, high, shape) for low, high in _domains(op)]
            if op.name == "where":
                arrays[0] = rng.integers(0, 2, size=shape).astype(np.bool_)
            yield Sample(name, arrays, dict(params))
    if op.integers == "same":
        for letter, kinds in (
            ("i", (np.int32, np.int8)),
            ("u", (np.uint8, np.uint32)),
            ("b", (np.bool_,)),
        ):
            for kind in kinds if letter in op.kinds else ():
                name = np.dtype(kind).name
                arrays = _integers(op, generator(op, name), kind, (3, 4))
                yield Sample(name, arrays, dict(params), smooth=False)


def _special_values(op: Any, name: str) -> Sample:
    values = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan], dtype=np.float32)
    grid = np.meshgrid(*[values] * len(op.operands), indexing="ij")
    return Sample(name, [g.reshape(-1) for g in grid], smooth=False)


def _ties(op: Any, name: str) -> Sample:
    x, y = _integers(op, generator(op, name), np.int32, (5, 6))
    return Sample(name, [(x // 4).astype(np.float32), (y // 4).astype(np.float32)], smooth=False)


def _casts(source: Any, target: dt.DType) -> Any:
    def make(op: Any, name: str) -> Sample:
        rng = generator(op, name)
        kind = np.dtype(source).kind
        low = 0.0 if kind in "ub" or not target.signed else -9.0
        x = rng.uniform(low, 9, size=(3, 4))
        x = x > 4 if kind == "b" else x.astype(source)
        if target is dt.bool_:
            x[0] = 0
        return Sample(name, [x], {"dtype": target}, smooth=False)

    return make


_COMPARED = ("eq", "ne", "lt", "le", "gt", "ge")
SPECIAL: dict[str, list[tuple[str, Any]]] = {
    "bitcast": [
        ("int32 to uint32", _casts(np.int32, dt.uint32)),
        ("uint32 to int32", _casts(np.uint32, dt.int32)),
    ],
    **{
        name: [("special", _special_values), ("ties", _ties)]
        for name in (*_COMPARED, "maximum", "minimum")
    },
    **{
        name: [("special", _special_values)]
        for name in (
            "isnan",
            "isinf",
            "isfinite",
            "floor",
            "ceil",
            "trunc",
            "sign",
            "relu",
            "neg",
            "abs",
        )
    },
    "cast": [
        (f"{np.dtype(source).name}-{target.name}", _casts(source, target))
        for source in (np.float32, np.int32, np.uint8, np.bool_)
        for target in (dt.float32, dt.int32, dt.uint8, dt.bool_, dt.int8)
    ],
}


# -- views, products, kernels ----------------------------------------------------------------------


def _plain(params: dict[str, Any]) -> str:
    return ",".join(f"{k}={v!r}" for k, v in params.items()).replace(" ", "")


def _operand(rng: np.random.Generator, what: Any) -> Any:
    """Return the array that an entry of `samples` stands for."""
    if what and what[0] == "index":
        _, shape, n = what
        return np.asarray(rng.integers(0, n, size=shape)).astype(np.int32)
    if what and what[0] == "bool":
        return rng.integers(0, 2, size=what[1]).astype(np.bool_)
    if what and what[0] == "uint32":
        return np.asarray(what[1], dtype=np.uint32)
    if what and what[0] in ("definite", "triangle"):
        kind, shape = what
        x = uniform(rng, -1, 1, shape)
        more = 3 * np.eye(shape[-1], dtype=np.float32)
        return x @ np.swapaxes(x, -1, -2) + more if kind == "definite" else x + more
    if what and what[0] in ("complex64", "float32"):
        kind, shape = what
        return uniform(rng, -2, 2, (*shape, 2) if kind == "complex64" else shape)
    return uniform(rng, -2, 2, what)


def _declared(op: Any) -> Iterator[Sample]:
    entries = op.samples() if callable(op.samples) else op.samples
    for i, (operands, params) in enumerate(entries):
        name = (
            f"{i}:{_plain(params)}" if op.family != "view" else f"{list(operands)}:{_plain(params)}"
        )
        rng = generator(op, name)
        shapes = (operands,) if op.family == "view" else operands
        kinds = [s[0] if s and isinstance(s[0], str) else "" for s in shapes]
        pairs = tuple(k for k, kind in enumerate(kinds) if kind == "complex64")
        arrays = [_operand(rng, s) for s in shapes]
        both = "complex64" in kinds or "float32" in kinds
        yield Sample(name.replace(" ", ""), arrays, dict(params), pairs=pairs if both else None)


# -- reductions ------------------------------------------------------------------------------------

AXES = (((2, 3, 4), (1,)), ((2, 3, 4), (0, 2)), ((3, 5), (0, 1)), ((3, 1), (1,)), ((2, 3), ()))


def _reduction(op: Any) -> Iterator[Sample]:
    indexed = op.result == "index"
    single = indexed or op.name == "first_max"
    params: dict[str, Any] = {"dtype": dt.int64} if indexed else {}
    for shape, axes in AXES:
        if single and len(axes) != 1:
            continue
        name = f"{list(shape)}:{axes}".replace(" ", "")
        rng = generator(op, name)
        x = rng.integers(0, 2, size=shape).astype(np.bool_)
        if "f" in op.kinds:
            # apart from each other, so that no difference crosses a tie
            places = rng.permutation(int(np.prod(shape))).reshape(shape)
            x = (0.25 * places - 1.1 + uniform(rng, 0, 0.1, shape)).astype(np.float32)
        yield Sample(name, [x], {"axes": axes, **params})
    if not single and op.kind not in ("max", "min"):
        kind = np.bool_ if op.kinds == "b" else np.float32
        yield Sample("empty", [np.zeros((2, 0, 3), dtype=kind)], {"axes": (1,), **params})
    if "f" in op.kinds:
        rng = generator(op, "ties")
        ties = rng.integers(-2, 2, size=(4, 6)).astype(np.float32)
        yield Sample("ties", [ties], {"axes": (1,), **params}, smooth=False)
        if op.kind in ("max", "min", "argmax", "argmin"):
            ties = ties.copy()
            ties[1, 3] = ties[2, 1] = ties[2, 4] = np.nan
            yield Sample("nan", [ties], {"axes": (1,), **params}, smooth=False)
    if "i" in op.kinds:
        rng = generator(op, "int32")
        yield Sample(
            "int32",
            [rng.integers(-5, 6, size=(3, 4)).astype(np.int32)],
            {"axes": (0,), **params},
            False,
        )


def _zeros_in_product(op: Any, name: str) -> Sample:
    x = np.array(
        [[1.5, 0.0, 2.0, -1.0], [0.0, 0.5, 0.0, 2.0], [1.0, 2.0, 3.0, 0.5]], dtype=np.float32
    )
    return Sample(name, [x], {"axes": (1,)})


SPECIAL["reduce_prod"] = [("zeros", _zeros_in_product)]

BY_FAMILY = {
    "elementwise": _elementwise,
    "view": _declared,
    "reduction": _reduction,
    "bilinear": _declared,
    "kernel": _declared,
}
