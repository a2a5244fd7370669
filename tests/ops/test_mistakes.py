"""The suite notices mistakes: rules that are wrong make its tests fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tabgrad.core import families
from tabgrad.core.errors import RegistryError
from tabgrad.core.op import REGISTRY
from tabgrad.ops.elementwise import mul, stop_gradient
from tabgrad.ops.reduction import keep
from tabgrad.ops.trigonometry import cos
from tests.grouped import of_one_case
from tests.ops import cases as made, test_ops as suite


@pytest.fixture(autouse=True)
def fresh_cases() -> Iterator[None]:
    made.cases.cache_clear()
    yield
    made.cases.cache_clear()


def wrong_derivative(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(REGISTRY["sin"], "maps", (lambda t, x, _y: mul(t, mul(cos(x), 1.001)),))
    return "sin"


def derivative_that_is_a_constant(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(REGISTRY["sin"], "maps", (lambda t, x, _y: mul(t, stop_gradient(cos(x))),))
    return "sin"


def wrong_transpose(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(
        REGISTRY["reduce_sum"], "transpose", lambda ct, x, axes: keep(mul(ct, 2.0), x, axes)
    )
    return "reduce_sum"


def transpose_that_forgets_an_operand(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(
        REGISTRY["matmul"], "rhs", lambda ct, x, y: mul(y, 0.0) if hasattr(y, "value") else None
    )
    return "matmul"


def batching_of_another_axis(patch: pytest.MonkeyPatch) -> str:
    cumsum = REGISTRY["cumsum"]
    patch.setattr(
        cumsum,
        "batching",
        lambda n, args, dims, axis, reverse: cumsum.bind(args[0], axis=axis, reverse=reverse),
    )
    return "cumsum"


def shape_rule_that_lies(patch: pytest.MonkeyPatch) -> str:
    patch.setattr(REGISTRY["flip"], "fn", lambda x, axes: x[:1])
    return "flip"


FORWARD = of_one_case(suite.test_forward_mode_agrees_with_differences)
REVERSE = of_one_case(suite.test_reverse_mode_agrees_with_differences)
PAIRED = of_one_case(suite.test_reverse_is_the_transpose_of_forward)
SECOND = of_one_case(suite.test_second_order_agrees_with_differences_of_the_first)
BATCHED = of_one_case(suite.test_batching_agrees_with_a_loop)
MIXED = of_one_case(suite.test_forward_mode_of_gradients_agrees_with_differences)
COMPOSED = of_one_case(suite.test_second_order_of_an_op_of_itself_agrees_with_differences)
BATCHED_GRADIENTS = of_one_case(suite.test_batched_gradients_agree_with_a_loop)
SHAPED = of_one_case(suite.test_shape_and_dtype_are_what_the_rule_says)


@pytest.mark.parametrize(
    ("mistake", "test"),
    [
        (wrong_derivative, FORWARD), (wrong_derivative, REVERSE), (derivative_that_is_a_constant, SECOND),
        (wrong_transpose, REVERSE), (wrong_transpose, PAIRED), (transpose_that_forgets_an_operand, REVERSE),
        (batching_of_another_axis, BATCHED), (shape_rule_that_lies, SHAPED),
        (derivative_that_is_a_constant, MIXED), (derivative_that_is_a_constant, COMPOSED),
        (batching_of_another_axis, BATCHED_GRADIENTS),
    ],
)  # fmt: skip
def test_a_mistake_fails(
    mistake: Callable[[Any], str], test: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = REGISTRY[mistake(monkeypatch)]
    with pytest.raises(Exception):  # noqa: B017, PT011 (a wrong rule may raise anything)
        test(op)


def test_a_declaration_without_a_derivative_is_refused() -> None:
    with pytest.raises(RegistryError, match="say `derivative=None`"):

        @families.elementwise(code="{x}")
        def unsaid(x: Any) -> Any:
            """Return x."""
            return x


def test_code_that_names_no_operand_is_refused() -> None:
    with pytest.raises(RegistryError, match="names no operand"):

        @families.elementwise(code="({z} + 1.0)", derivative=None)
        def misnamed(x: Any) -> Any:
            """Return x + 1."""
            return x + 1

    assert "misnamed" not in REGISTRY


def test_an_op_without_a_docstring_is_refused() -> None:
    with pytest.raises(RegistryError, match="docstring"):

        @families.elementwise(code="{x}", derivative=None)
        def silent(x: Any) -> Any:
            return x


def test_a_name_is_used_once() -> None:
    with pytest.raises(
        RegistryError, match=r"exp: an op of this name is declared in tabgrad\.ops\.elementwise"
    ):

        @families.elementwise(code="{x}", derivative=None)
        def exp(x: Any) -> Any:
            """Return x."""
            return x
