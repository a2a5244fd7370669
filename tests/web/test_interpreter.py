"""The driver itself: results, failures and printing come back, and whatever hangs is given up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.interpreter import DeadError, InsideError, Interpreter
from tests.web.stage import Stage


@pytest.fixture
def interpreter(stage: Stage) -> Interpreter:
    return stage.interpreter()


@pytest.fixture(params=["worker", "page"])
def victim(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Interpreter]:
    victim = stage.new_interpreter(thread=request.param)
    yield victim
    victim.close()


def test_values_go_in_and_come_back(interpreter: Interpreter) -> None:
    assert interpreter.call("json:loads", '{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}


def test_coroutines_are_awaited(interpreter: Interpreter) -> None:
    assert interpreter.call("asyncio:sleep", 0, "done") == "done"


def test_an_exception_comes_back_with_its_traceback(interpreter: Interpreter) -> None:
    with pytest.raises(InsideError, match=r"(?s)JSONDecodeError.*Expecting value"):
        interpreter.call("json:loads", "nonsense")
    assert interpreter.call("math:sqrt", 4) == 2


def test_what_a_failed_assert_compared_is_shown(interpreter: Interpreter) -> None:
    with pytest.raises(InsideError, match="left = 3"):
        interpreter.call("tests.web.inside.accidents:failed_assert")


def test_what_was_printed_is_in_the_failure(interpreter: Interpreter) -> None:
    with pytest.raises(InsideError, match=r"(?s)printed inside.*just before"):
        interpreter.call("tests.web.inside.accidents:print_and_raise")


def test_a_loop_without_end_meets_its_deadline(victim: Interpreter) -> None:
    with pytest.raises(DeadError, match="no answer within 1 s"):
        victim.call("tests.web.inside.accidents:loop", deadline=1)
    with pytest.raises(DeadError):
        victim.call("math:sqrt", 4)


def test_a_fatal_error_is_noticed(victim: Interpreter) -> None:
    with pytest.raises(DeadError, match="fatal error"):
        victim.call("tests.web.inside.accidents:drop_long_chain", deadline=30)


def test_an_interpreter_that_died_is_replaced(stage: Stage) -> None:
    first = stage.interpreter()
    first.die("for this test")
    second = stage.interpreter()
    assert second is not first
    assert second.call("math:sqrt", 9) == 3


def test_the_tests_run_on_the_wheel_of_this_checkout(stage: Stage) -> None:
    place = stage.interpreter().call("tests.web.inside.accidents:where_tabgrad_is")
    assert "site-packages" in place
