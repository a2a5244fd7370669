"""What comes from a file: what `admitted` lets through runs, whatever its operands and parameters are."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import numpy as np
import pytest

from tabgrad.core import dtype as dt
from tabgrad.core.errors import TabgradError
from tabgrad.core.op import REGISTRY
from tabgrad.core.several import Several
from tabgrad.core.spec import Spec, intern_params, spec
from tabgrad.hosts.reference import NumPyBackend, array_name
from tabgrad.ops.admitting import admitted
from tests.grouped import grouped
from tests.lower import toy_qr2

OPS = [
    op for op in REGISTRY if op.__module__.startswith("tabgrad.ops") and not isinstance(op, Several)
]
DTYPES = [dt.float32, dt.bool_, dt.int32, dt.int64, dt.uint8, dt.float16, dt.complex64, dt.bfloat16]
SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (3,), (2, 3), (3, 0), (0, 3), (2, 1, 3), (1, 2, 7)]
NUMBERS = [0, 1, 2, 3, -1, 5, -5]
TRIES = 300


def samples(op: Any) -> list[tuple[list[Spec], dict[str, Any]]]:
    """Return applications of an op that are right."""
    if op.family == "elementwise":
        params: dict[str, Any] = {
            "checked": {"size": 4, "name": "f", "what": "index", "dim": 0, "wraps": True, "ignore": None},
            "confined": {"rule": "positive", "message": "m"},
            "cast": {"dtype": dt.int32}, "bitcast": {"dtype": dt.int32},
        }.get(op.name, {})  # fmt: skip
        mask = [spec((2, 3), dt.bool_)] if op.name == "where" else []
        count = len(op.operands) - len(mask)
        return [([*mask, *[spec((2, 3), d)] * count], params) for d in DTYPES if right(op, d)]
    if op.family == "reduction":
        index = {"dtype": dt.int64} if op.result == "index" else {}
        dtype = dt.bool_ if op.kinds == "b" else dt.float32
        return [([spec((2, 3), dtype)], {"axes": (1,), **index})]
    given = op.samples() if callable(op.samples) else op.samples
    if op.family == "view":
        return [([spec(shape, dt.float32)], params) for shape, params in given]
    return [([operand(a) for a in args], params) for args, params in given]


def right(op: Any, dtype: dt.DType) -> bool:
    letter = "u" if dtype is dt.uint8 else "bifc"[dtype.category]
    if op.name in ("cast", "bitcast"):
        return dtype.itemsize == 4
    if op.name == "complex" and dtype in dt.HALVES:
        return False
    return letter in op.kinds and (op.integers == "same" or dtype.is_differentiable)


def operand(sample: Any) -> Spec:
    if sample[:1] == ("index",):
        return spec(sample[1], dt.int64)
    if sample[:1] == ("uint32",):
        return spec((), dt.uint32)
    if sample[:1] in (("definite",), ("triangle",)):
        return spec(sample[1], dt.float32)
    if sample and isinstance(sample[0], str):
        return spec(sample[1], dt.by_name(sample[0]))
    return spec(tuple(sample), dt.float32)


def changed(value: Any, rnd: random.Random) -> Any:
    """Return something else in the place of a parameter."""
    if isinstance(value, tuple) and value and rnd.random() < 0.7:
        i = rnd.randrange(len(value))
        one = () if rnd.random() < 0.2 else (changed(value[i], rnd),)
        return (*value[:i], *one, *value[i + 1 :])
    if isinstance(value, dt.DType) and rnd.random() < 0.7:
        return rnd.choice(DTYPES)
    if type(value) is int and rnd.random() < 0.7:
        return rnd.choice(NUMBERS)
    return rnd.choice(
        [None, "x", 1.5, True, (), (1,), (0, 1), 1 << 62, 1 << 70, dt.float32, *NUMBERS]
    )


def changes(op: Any, rnd: random.Random) -> Iterator[tuple[list[Spec], dict[str, Any]]]:
    given = samples(op)
    for _ in range(TRIES):
        specs, params = rnd.choice(given)
        specs, params = [*specs], dict(params)
        for _ in range(rnd.choice((1, 1, 2))):
            what = rnd.randrange(6)
            i = rnd.randrange(len(specs)) if specs else 0
            if what == 0 and specs:
                specs[i] = spec(specs[i].shape, rnd.choice(DTYPES))
            elif what == 1 and specs:
                specs[i] = spec(rnd.choice(SHAPES), specs[i].dtype)
            elif what == 2 and specs:
                shape = list(specs[i].shape)
                if shape:
                    shape[rnd.randrange(len(shape))] = rnd.choice((0, 1, 2, 3, 4))
                specs[i] = spec(tuple(shape), specs[i].dtype)
            elif what == 3 and rnd.random() < 0.3:
                specs = specs[1:] if rnd.random() < 0.5 else [*specs, *specs[:1]]
            elif params:
                name = rnd.choice([*params])
                params[name] = changed(params[name], rnd)
        yield specs, params


@grouped("op", OPS, ids=attrgetter("name"), size=16)
def test_what_is_right_is_admitted(op: Any) -> None:
    for specs, params in samples(op):
        assert admitted(op, specs, params) is op.infer(tuple(specs), intern_params(params))


@grouped("op", [op for op in OPS if op.name != "loop"], ids=attrgetter("name"), size=16)
def test_what_is_admitted_runs(op: Any) -> None:
    rnd, backend, ran = random.Random(7), NumPyBackend(), 0
    for specs, params in changes(op, rnd):
        try:
            want = admitted(op, specs, params)
        except TabgradError:
            continue
        if sum(s.size for s in (*specs, want)) > 10_000:
            continue
        # ones are right as indices wherever there is more than one element
        arrays = tuple([np.ones(s.shape, array_name(s.dtype)) for s in specs])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                found, _ = backend.run(op, arrays, tuple(specs), intern_params(params))
        except IndexError as fault:
            assert "out of" in str(fault), (specs, params)  # noqa: PT017
            continue
        except Exception as fault:
            raise AssertionError(f"{op.name}: {specs} {params}") from fault
        assert found.shape == want.shape, (specs, params)
        ran += 1
    assert ran or op.name in ("confined",)


def test_an_op_with_several_results_is_in_a_program_by_its_parts() -> None:
    qr2 = toy_qr2.declare()
    try:
        square = spec((3, 2, 2), dt.float32)
        with pytest.raises(TabgradError, match=r"as qr2\.0"):
            admitted(qr2, [square], {})
        assert [admitted(part, [square], {}) for part in qr2.parts] == [square, square]
    finally:
        toy_qr2.forget()
