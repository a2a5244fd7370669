"""The driver itself: results, failures and printing come back, and whatever hangs is given up."""

from __future__ import annotations

import pytest

from tests.web.interpreter import DeadError, InsideError, Interpreter
from tests.web.stage import Stage


@pytest.fixture
def interpreter(stage: Stage) -> Interpreter:
    return stage.interpreter()


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


def test_the_tests_run_on_the_wheel_of_this_checkout(interpreter: Interpreter) -> None:
    place = interpreter.call("tests.web.inside.accidents:where_tabgrad_is")
    assert "site-packages" in place


@pytest.mark.parametrize("thread", ["worker", "page"])
def test_a_loop_without_end_meets_its_deadline_and_another_takes_its_place(
    stage: Stage, thread: str
) -> None:
    victim = stage.interpreter(thread=thread)
    with pytest.raises(DeadError, match="no answer within 1 s"):
        victim.call("tests.web.inside.accidents:loop", deadline=1)
    with pytest.raises(DeadError):
        victim.call("math:sqrt", 4)
    second = stage.interpreter(thread=thread)
    assert second is not victim
    assert second.call("math:sqrt", 9) == 3


@pytest.mark.parametrize("thread", ["worker", "page"])
def test_a_fatal_error_is_noticed(stage: Stage, thread: str) -> None:
    victim = stage.interpreter(thread=thread)
    with pytest.raises(DeadError, match="fatal error"):
        victim.call("tests.web.inside.accidents:drop_long_chain", deadline=30)
