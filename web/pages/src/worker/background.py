"""What a program leaves running on the event loop: it runs until its tasks and callbacks have ended."""

import asyncio
import math
import os
import weakref
from typing import Any

import tabgrad

PAUSE = 0.05  # seconds between two looks at callbacks that wait for their time
LIBRARY = os.path.dirname(tabgrad.__file__)  # whose tasks belong to no program

waiting: weakref.WeakSet[asyncio.Handle] = weakref.WeakSet()  # callbacks that a program has set


def watch() -> None:
    """Note from now on which callbacks the loop is given, beside the steps of tasks."""
    loop: Any = asyncio.get_running_loop()
    if "call_later" in vars(loop):
        return
    own = loop.call_later

    def call_later(delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        owner = getattr(callback, "__self__", None)
        if delay == math.inf or owner is loop or isinstance(owner, asyncio.Future):
            step: asyncio.Handle = own(delay, callback, *args, context=context)
            return step

        def begin(*given: Any) -> None:
            waiting.discard(handle)
            callback(*given)

        handle: asyncio.Handle = own(delay, begin, *args, context=context)
        waiting.add(handle)
        return handle

    loop.call_later = call_later
    # What ends a task is found in the task; the loop would throw it at the worker too.
    loop._keyboard_interrupt_handler = lambda: None
    loop._system_exit_handler = lambda code: None


def tasks() -> set[asyncio.Task[Any]]:
    """Return the tasks that run beside the current one, without those of the library."""
    found = asyncio.all_tasks() - {asyncio.current_task()}
    return {task for task in found if not of_library(task)}


def of_library(task: asyncio.Task[Any]) -> bool:
    """Whether a task is one that tabgrad has begun for itself."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and code.co_filename.startswith(LIBRARY)


def callbacks() -> list[asyncio.Handle]:
    """Return the callbacks that are still to come."""
    return [handle for handle in waiting if not handle.cancelled()]


async def rest() -> None:
    """Wait for all that runs beside the current task; raises what one of the tasks raises."""
    while True:
        if running := tasks():
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error
        elif callbacks():
            await asyncio.sleep(PAUSE)
        else:
            return


async def end() -> None:
    """Cancel all that runs beside the current task, and wait until it has ended."""
    while True:
        for handle in callbacks():
            handle.cancel()
        running = tasks()
        if not running:
            return
        for task in running:
            task.cancel()
        done, _ = await asyncio.wait(running)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen, or the loop would tell of it
