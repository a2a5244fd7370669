"""Every op: its derivatives against differences, its batching against a loop, every device against `cpu`."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np
import pytest

from tabgrad.core.op import REGISTRY, Op
from tabgrad.core.several import Part
from tests.grouped import grouped
from tests.ops import cases as made, replay

OPS = [op for op in REGISTRY if made.tested(op)]
STEP = 1e-6
names = grouped("op", OPS, ids=attrgetter("name"), size=16)


def applied(case: Any, arrays: list[Any]) -> Any:
    """Return the value of a case's op for other differentiable inputs, in float64."""
    fresh = iter(arrays)
    inputs = [
        {**r, "dtype": "float64", "data": next(fresh).reshape(-1).tolist()}
        if r.get("differentiable")
        else r
        for r in case["inputs"]
    ]
    (y,) = made.results({**case, "check": "forward", "inputs": inputs})
    return y


def inputs_of(case: Any) -> list[Any]:
    return [made.array(r).astype(np.float64) for r in case["inputs"] if r.get("differentiable")]


def expected(case: Any) -> list[Any]:
    return [np.array(e["data"], dtype=np.float64).reshape(e["shape"]) for e in case["expected"]]


def along(case: Any, xs: list[Any], vs: list[Any]) -> Any:
    """Return the derivative of the op at `xs` along `vs` by a central difference."""
    high = applied(case, [x + STEP * v for x, v in zip(xs, vs, strict=True)])
    low = applied(case, [x - STEP * v for x, v in zip(xs, vs, strict=True)])
    return (high - low) / (2 * STEP)


def of(op: Op, check: str) -> list[Any]:
    return [c for c in made.cases(op).values() if c["check"] == check]


def smooth(op: Op, check: str) -> list[Any]:
    rough = {s.name for s in made.samples(op) if not s.smooth}
    return [c for c in of(op, check) if c["id"].split("/")[1] not in rough]


def differences_of(check: str, case: Any, vs: list[Any]) -> list[Any]:
    """Return the derivatives along `vs` of the results of another check of the case's inputs."""

    def results(step: float) -> list[Any]:
        along = iter(vs)
        inputs = [
            {
                **r,
                "dtype": "float64",
                "data": (made.array(r) + step * next(along)).reshape(-1).tolist(),
            }
            if r.get("differentiable")
            else r
            for r in case["inputs"]
        ]
        return made.results({**case, "check": check, "inputs": inputs})

    high, low = results(STEP), results(-STEP)
    return [(a - b) / (2 * STEP) for a, b in zip(high, low, strict=True)]


@names
def test_forward_mode_agrees_with_differences(op: Op) -> None:
    for case in of(op, "jvp"):
        vs = [made.array(r).astype(np.float64) for r in case["tangents"]]
        want = along(case, inputs_of(case), vs)
        np.testing.assert_allclose(
            expected(case)[0], want, rtol=1e-6, atol=1e-7, err_msg=case["id"]
        )


@names
def test_reverse_mode_agrees_with_differences(op: Op) -> None:
    for case in smooth(op, "reverse"):
        xs, ct = [2 * x for x in inputs_of(case)], made.array(case["cotangent"]).astype(np.float64)
        rng = np.random.default_rng(1)
        vs = [rng.uniform(-1, 1, x.shape) for x in xs]
        got = sum(float((g * v).sum()) for g, v in zip(expected(case), vs, strict=True))
        # the leaf is half the input: its gradient is twice the input's
        want = 2 * float((along(case, xs, vs) * ct).sum())
        assert got == pytest.approx(want, rel=1e-6, abs=1e-6), case["id"]


@names
def test_reverse_is_the_transpose_of_forward(op: Op) -> None:
    reverse = {c["id"]: c for c in of(op, "reverse")}
    for case in of(op, "jvp"):
        partner = reverse[case["id"].replace("/jvp", "/reverse")]
        ct = made.array(partner["cotangent"]).astype(np.float64)
        vs = [made.array(r).astype(np.float64) for r in case["tangents"]]
        left = float((ct * expected(case)[0]).sum())
        right = sum(float((g * v).sum()) for g, v in zip(expected(partner), vs, strict=True)) / 2
        assert left == pytest.approx(right, rel=1e-10, abs=1e-10), case["id"]


@names
def test_second_order_agrees_with_differences_of_the_first(op: Op) -> None:
    for case in of(op, "second"):
        rng = np.random.default_rng(2)
        xs = inputs_of(case)
        us = [rng.uniform(-1, 1, x.shape) for x in xs]

        def gradient(leaves: list[Any], case: Any = case) -> list[Any]:
            fresh = iter(leaves)
            inputs = [
                {**r, "data": next(fresh).reshape(-1).tolist()} if r.get("differentiable") else r
                for r in case["inputs"]
            ]
            return made.results({**case, "check": "reverse", "inputs": inputs})

        high = gradient([x + STEP * u for x, u in zip(xs, us, strict=True)])
        low = gradient([x - STEP * u for x, u in zip(xs, us, strict=True)])
        vs = [made.array(r).astype(np.float64) for r in case["tangents"]]
        want = sum(
            float(((a - b) / (2 * STEP) * v).sum()) for a, b, v in zip(high, low, vs, strict=True)
        )
        got = sum(float((g * u).sum()) for g, u in zip(expected(case), us, strict=True))
        assert got == pytest.approx(want, rel=1e-5, abs=1e-5), case["id"]


@names
def test_forward_mode_of_gradients_agrees_with_differences(op: Op) -> None:
    for case in of(op, "jvp of grad"):
        vs = [made.array(r).astype(np.float64) for r in case["tangents"]]
        want = differences_of("vmap of grad", {**case, "dims": []}, vs)
        for got, w in zip(expected(case), want, strict=True):
            np.testing.assert_allclose(got, w, rtol=1e-5, atol=1e-5, err_msg=case["id"])


@names
def test_second_order_of_an_op_of_itself_agrees_with_differences(op: Op) -> None:
    for case in of(op, "op of op"):
        vs = [made.array(r).astype(np.float64) for r in case["tangents"]]
        # the Hessian is symmetric: the derivative of the gradient along v is the gradient of ⟨gradient, v⟩
        want = differences_of("gradient of op of op", case, vs)
        for got, w in zip(expected(case), want, strict=True):
            np.testing.assert_allclose(got, w, rtol=1e-5, atol=1e-5, err_msg=case["id"])


@names
def test_batched_gradients_agree_with_a_loop(op: Op) -> None:
    for case in of(op, "vmap of grad"):
        rows = []
        for b in range(made.BATCH):
            dims = iter(case["dims"])
            ct = made.record(np.take(made.array(case["cotangent"]), b, axis=next(dims)))
            inputs = [
                r
                if not r.get("differentiable") or (d := next(dims)) is None
                else made.record(np.take(made.array(r), b, axis=d), differentiable=True)
                for r in case["inputs"]
            ]
            rows.append(made.results({**case, "inputs": inputs, "cotangent": ct, "dims": []}))
        for got, want in zip(expected(case), zip(*rows, strict=True), strict=True):
            np.testing.assert_allclose(
                got, np.stack(want), rtol=1e-9, atol=1e-11, err_msg=case["id"]
            )


def integral(op: Op) -> bool:
    """Whether the results of all samples of an op are integers."""
    return not any(made.infer(op, s).dtype.is_differentiable for s in made.samples(op))


def test_every_differentiable_op_has_every_check() -> None:
    wanted = {"reverse", "jvp", "second", "jvp of grad", "vmap of grad", "op of op", "vmap"}
    for op in OPS:
        # of a decomposition some results are integers
        if op.differentiable and not (isinstance(op, Part) and integral(op)):
            assert wanted <= {c["check"] for c in made.cases(op).values()}, op.name


@names
def test_batching_agrees_with_a_loop(op: Op) -> None:
    for case in of(op, "vmap"):
        rows = []
        for b in range(made.BATCH):
            inputs = [
                r if d is None else made.record(np.take(made.array(r), b, axis=d))
                for r, d in zip(case["inputs"], case["dims"], strict=True)
            ]
            rows.append(made.results({**case, "check": "forward", "inputs": inputs})[0])
        np.testing.assert_allclose(
            expected(case)[0], np.stack(rows), rtol=1e-10, atol=1e-12, err_msg=case["id"]
        )


@names
def test_shape_and_dtype_are_what_the_rule_says(op: Op) -> None:
    for sample in made.samples(op):
        out = made.infer(op, sample, paired=False)
        with np.errstate(all="ignore"):
            y = np.asarray(op.numpy(sample.operands, out, sample.params))
        assert y.shape == out.shape, sample.name
        assert (
            op.name == "erfinv"
            or y.dtype.name == out.dtype.name
            or y.dtype.kind == out.dtype.name[0]
        ), sample.name


@pytest.mark.every_host
@names
def test_device_agrees_with_the_reference(op: Op, device: str) -> None:
    wrong = []
    cases = made.cases_of_device(op, device)
    for case in cases.values():
        complaint = replay.check(case, device)
        if complaint:
            wrong.append(f"{case['id']}: {complaint}")
    assert not wrong, "\n".join(wrong[:5]) + f"\n({len(wrong)} of {len(cases)} cases)"


def test_every_op_declares_what_its_family_needs() -> None:
    REGISTRY.check()
