"""An exception at every line of recording, lowering, encoding and sending: what comes after is right."""

from __future__ import annotations

import linecache
import os
import sys
from types import CodeType, FrameType
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.locks import WRITING
from tabgrad.hosts.devices import connected
from tests.device.workload import Workload

pytestmark = pytest.mark.one_host("wgpu")
MODULES = ("tabgrad.core.graph", "tabgrad.hosts.", "tabgrad_native.")
EVERY = int(os.environ.get("TABGRAD_INJECT_EVERY", "7"))
"""Every so manyth line; 1 tries them all, which takes a minute."""
Place = tuple[CodeType, int]


class InjectedError(Exception):
    """What is raised."""


SURE = ("__del__", "__enter__", "__exit__")
"""What a __del__ raises goes nowhere; a mode whose __exit__ does not run stays, as may one at the end of
an __enter__ that raises. Nothing in them can raise, and no interrupt does."""


def places(work: Any, modules: str | tuple[str, ...] = MODULES) -> list[Place]:
    """Return the lines of `modules` that `work` runs through."""

    def ours(frame: FrameType) -> bool:
        name: str = frame.f_globals.get("__name__", "")
        return name.startswith(modules) and frame.f_code.co_name not in SURE

    seen: dict[Place, None] = {}

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            seen[frame.f_code, frame.f_lineno] = None
        return line

    before = sys.gettrace()
    sys.settrace(lambda frame, event, arg: line if ours(frame) else None)
    try:
        work()
    finally:
        sys.settrace(before)
    # nothing is done at a `try:`, which Python counts to no `with` around it
    return [
        (code, n) for code, n in seen if linecache.getline(code.co_filename, n).strip() != "try:"
    ]


def sure(frame: FrameType | None) -> bool:
    """Whether one of these runs."""
    while frame is not None and frame.f_code.co_name not in SURE:
        frame = frame.f_back
    return frame is not None


def inject(work: Any, place: Place) -> bool:
    """Run `work`, raising when it comes to a place; return whether the exception came out."""
    code, number = place
    done = False

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal done
        if event == "line" and frame.f_lineno == number and not done and not sure(frame):
            done = True
            raise InjectedError
        return line

    before = sys.gettrace()
    sys.settrace(lambda frame, event, arg: line if frame.f_code is code and not done else None)
    try:
        work()
    except InjectedError:
        return True
    finally:
        sys.settrace(before)
        free()
    return not done


def free() -> None:
    """Release what is still held after an exception at the very line that releases it, where nothing raises."""
    for lock in (WRITING, *(device.backend.lock for device in connected())):
        while getattr(lock, "_is_owned", bool)():
            lock.release()  # type: ignore[union-attr]


def check_counts(device: str) -> None:
    """Each buffer is counted, and none is lent twice."""
    pool = tg.device(device).backend.pool
    ids = [i for spare in pool.spare.values() for i in spare]
    assert len(set(ids)) == len(ids)
    assert pool.spare_bytes == sum(size * len(spare) for size, spare in pool.spare.items())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_line(device: str) -> None:
    workload = Workload(device)
    reached: dict[Place, Any] = {}
    for work in (workload.eager, workload.compiled, workload.new_shape, workload.compiling,
                 workload.reading, workload.indexing):  # fmt: skip
        work()
        for place in places(work):
            reached.setdefault(place, work)
    assert len(reached) > 500
    chosen = list(reached.items())[::EVERY]
    for (code, number), work in chosen:
        where = f"{code.co_filename}:{number}, in {work.__name__}"
        assert inject(work, (code, number)), f"swallowed at {where}"
        try:
            workload.check()
            check_counts(device)
        except Exception as error:
            raise AssertionError(f"after an exception at {where}") from error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_line_that_forgets_what_uses_a_buffer(device: str) -> None:
    """What an exception has left half forgotten is met again when other buffers end."""

    def work() -> None:
        step = tg.compile(lambda x: (x * 2 + 1).sum())
        for n in (301, 302, 303):
            x = tg.rand(n, device=device)
            for _ in range(3):
                step(x).item()
            (x + x.sqrt()).sum().item()
        tg.accelerator.empty_cache(device)

    names = ("_forget_group", "_drop_table", "_group")
    work()
    chosen = [place for place in places(work, "tabgrad_native.") if place[0].co_name in names]
    assert {code.co_name for code, _ in chosen} == set(names)
    for code, number in chosen:
        inject(work, (code, number))
        try:
            work()
            check_counts(device)
        except Exception as error:
            raise AssertionError(f"after an exception at line {number}, {code.co_name}") from error
