"""Products with an identity are rows of the other operand: Jacobians begin with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.lower import recorder
from tests.lower.interpreted import multiplications, programs

SHAPES = {"a": (5, 7), "b": (7, 4), "x": (5,), "m": (5, 5)}


def drawn(device: Any) -> dict[str, Any]:
    draw = np.random.default_rng(3)
    return {
        k: tg.tensor(draw.uniform(-1, 1, s).astype("f"), device=device) for k, s in SHAPES.items()
    }


def layers(p: Any, x: Any) -> Any:
    return tg.tanh(tg.tanh(x @ p["a"]) @ p["b"])


def scalar(p: Any, x: Any) -> Any:
    return (tg.tanh(x @ p["a"]) ** 2).sum()


PROGRAMS: dict[str, tuple[Callable[[Any], Any], int]] = {
    # what, and the multiplications of products that are left
    "eye @": (lambda p: tg.eye(7, device=p["a"].device) @ p["b"], 0),
    "@ eye": (lambda p: p["a"] @ tg.eye(7, device=p["a"].device), 0),
    "wide": (lambda p: tg.eye(3, 5, device=p["a"].device) @ p["a"], 0),
    "tall": (lambda p: tg.eye(9, 5, device=p["a"].device) @ p["a"], 0),
    "scaled": (lambda p: (tg.eye(5, device=p["a"].device) * p["m"]) @ p["a"], 0),
    "by rows": (lambda p: (p["x"][:, None] * tg.eye(5, device=p["a"].device)) @ p["a"], 0),
    "by columns": (lambda p: (tg.eye(5, device=p["a"].device) / p["x"]) @ p["a"], 0),
    "negative": (lambda p: -(tg.eye(5, device=p["a"].device) * p["m"]) @ p["a"], 0),
    "turned": (lambda p: (tg.eye(5, device=p["a"].device) * p["m"]).T @ p["a"], 0),
    "the lower rows": (lambda p: tg.eye(5, device=p["a"].device)[1:] @ p["a"], 0),
    "jacrev": (lambda p: tg.func.jacrev(lambda x: layers(p, x))(p["x"]), 35 + 28 + 4 * 7 * 5),
    "jacfwd": (lambda p: tg.func.jacfwd(lambda x: layers(p, x))(p["x"]), 35 + 28 + 5 * 7 * 4),
    "hessian": (lambda p: tg.func.hessian(lambda x: scalar(p, x))(p["x"]), 35 + 5 * 7 * 5),
    "several": (
        lambda p: tg.func.jacrev(lambda x: (x @ p["a"], (x * x) @ p["a"]))(p["x"])[1], 35 + 35
    ),
}  # fmt: skip


def test_an_identity_is_not_multiplied_out() -> None:
    device = recorder.device()
    p = drawn(device)
    for name, (compute, most) in PROGRAMS.items():
        found = programs(lambda c=compute: c(p), device)
        assert sum(map(multiplications, found)) <= most, name


@pytest.mark.every_host
def test_values_of_products_with_identities(device: Any) -> None:
    for name, (compute, _) in PROGRAMS.items():
        want, got = (compute(drawn(where)).cpu().numpy() for where in ("cpu", device))
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6, err_msg=name)


@pytest.mark.every_host
def test_jacobians_in_chunks_and_of_several_results(device: Any) -> None:
    def run(where: Any) -> list[Any]:
        p = drawn(where)
        f = lambda x, a: (tg.sin(x @ a), x.sum() * a[0], a.sum())  # noqa: E731
        out = []
        for jacobian in (tg.func.jacrev, tg.func.jacfwd):
            for size in (None, 3):
                found = jacobian(f, (0, 1), chunk_size=size)(p["x"], p["a"])
                out += [v.cpu().numpy() for pair in found for v in pair]
        return out

    for a, b in zip(run("cpu"), run(device), strict=True):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-6)


@pytest.mark.every_host
def test_zeros_of_an_identity_times_what_is_not_finite_are_nan(device: Any) -> None:
    """Zero times inf or nan is nan, off the diagonal as well; one times inf is inf."""

    def run(where: Any) -> list[Any]:
        out = []
        for value in (np.inf, -np.inf, np.nan, 0.0):
            p = drawn(where)
            for name in ("a", "b", "m", "x"):
                spoiled = dict(p)
                spoiled[name] = p[name].clone()
                spoiled[name][1] = value
                out += [compute(spoiled).cpu().numpy() for compute, _ in PROGRAMS.values()]
        return out

    with np.errstate(all="ignore"):
        for a, b in zip(run("cpu"), run(device), strict=True):
            np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-6)
