"""What a program leaves running: tasks are part of it, and Stop ends them; timers end with the next one."""

from __future__ import annotations

import pytest

from tests.web.desk import Desk

TICKS = """
import asyncio

async def ticks(n):
    for i in range(n):
        print("tick", i)
        await asyncio.sleep(0.02)

"""
REPEATED = """
import asyncio

def again():
    print("tick")
    asyncio.get_running_loop().call_later(0.02, again)

again()
"""


def test_a_program_runs_while_its_tasks_run(desk: Desk) -> None:
    output = desk.run(f"{TICKS}task = asyncio.create_task(ticks(5))\nprint('begun')")
    assert output == "begun\n" + "".join(f"tick {i}\n" for i in range(5))
    assert desk.stage.startswith("Finished")
    failing = "async def fails():\n    await ticks(2)\n    1 / 0\nasyncio.create_task(fails())\n"
    output = desk.run(f"{TICKS}{failing}asyncio.create_task(ticks(10**6))")
    assert "ZeroDivisionError" in output
    assert "asyncio/" not in output
    assert desk.stage == "Ended with an error"
    desk.page.wait_for_timeout(100)
    assert desk.output == output  # the other task was cancelled


@pytest.mark.parametrize(
    "program", [f"{TICKS}asyncio.create_task(ticks(10**6))", REPEATED], ids=["task", "callback"]
)
def test_stop_ends_what_a_program_left_running(desk: Desk, program: str) -> None:
    desk.write(f"kept = 7\n{program}")
    desk.press()
    desk.until_output("tick")
    assert desk.stage == "Running…"
    desk.press()
    desk.until_stage("Stopped", 10_000)
    assert "afresh" not in desk.output
    output = desk.output
    desk.page.wait_for_timeout(100)
    assert desk.output == output
    assert desk.run("print('alone')\nimport asyncio\nawait asyncio.sleep(0.1)") == "alone\n"


def test_timers_of_javascript_end_when_the_next_program_begins(desk: Desk) -> None:
    desk.run(
        "import js\nfrom pyodide.ffi import create_proxy\n"
        "js.setInterval(create_proxy(lambda: print('tick')), 20)\n"
        "js.setTimeout(create_proxy(lambda: print('late')), 400)\n"
    )
    desk.until_output("tick\ntick")
    output = desk.run("print('alone')\nimport asyncio\nawait asyncio.sleep(0.5)")
    assert output.partition("alone\n")[2] == ""  # what came before was on its way already
