"""Programs whose worker processes end with them, however they end: none is left, and nothing is printed."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process ids of POSIX")

PROGRAM = """
import os, sys, time, multiprocessing
import tabgrad as tg
from tabgrad.utils.data import DataLoader, Dataset
tg.set_default_device("cpu")

class Data(Dataset):
    def __len__(self):
        return 100
    def __getitem__(self, i):
        time.sleep({seconds})
        return os.getpid()

def pids():
    print(*(p.pid for p in multiprocessing.active_children()), flush=True)

def main():
    loader = DataLoader(Data(), None, num_workers=2, persistent_workers={keep},
                        multiprocessing_context="{method}")
    {body}

{guard}
    main()
"""
GUARD = 'if __name__ == "__main__":'
NEXT = "it = iter(loader); pids(); next(it)"


def program(body: str, folder: pathlib.Path, **fields: Any) -> subprocess.Popen[str]:
    """Start a program in a session of its own, as a terminal does."""
    path = folder / "program.py"
    fields = {"seconds": 0.05, "keep": False, "method": "fork", "guard": GUARD, **fields}
    path.write_text(PROGRAM.format(body=body, **fields))
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def lives(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = pathlib.Path(f"/proc/{pid}/stat")
    try:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def all_ended(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(lives, pids))


@pytest.mark.parametrize(("then", "keep"), [
    ("", False), ("list(it)", True), ("sys.exit(0)", True), ("loader.it = it", False),
])  # fmt: skip
def test_a_program_that_ends(then: str, keep: bool, tmp_path: pathlib.Path) -> None:
    with program(f"{NEXT}; {then}", tmp_path, keep=keep, seconds=0.002) as run:
        out, err = run.communicate(timeout=20)
    assert (run.returncode, err) == (0, "")
    pids = [int(p) for p in out.split()]
    assert len(pids) == 2
    assert all_ended(pids, 0)


@pytest.mark.parametrize(("whom", "keep", "seconds"), [
    ("all", False, 0.05), ("all", True, 30), ("one", True, 0.05), ("one", False, 30),
])  # fmt: skip
def test_an_interrupt(whom: str, keep: bool, seconds: float, tmp_path: pathlib.Path) -> None:
    """Of the whole terminal, as Ctrl-C is, or of the program alone."""
    body = """
    it = iter(loader)
    pids()
    try:
        for _ in it:
            pass
    except KeyboardInterrupt:
        print("interrupted", multiprocessing.active_children(), list(it), flush=True)
    """
    with program(body, tmp_path, keep=keep, seconds=seconds) as run:
        assert run.stdout is not None
        pids = [int(p) for p in run.stdout.readline().split()]
        time.sleep(0.2)
        (os.killpg if whom == "all" else os.kill)(run.pid, signal.SIGINT)
        began = time.monotonic()
        out, err = run.communicate(timeout=20)
    assert (run.returncode, out, err) == (0, "interrupted [] []\n", "")
    assert time.monotonic() - began < 2
    assert len(pids) == 2
    assert all_ended(pids, 0)


def test_an_interrupt_while_workers_start_and_end(tmp_path: pathlib.Path) -> None:
    body = """
    try:
        next(iter(loader))  # with all it imports
        print("ready", flush=True)
        while True:
            next(iter(loader))
    except KeyboardInterrupt:
        pass
    pids()
    """
    for wait in (0.0, 0.03, 0.08):
        with program(body, tmp_path, seconds=0) as run:
            assert run.stdout is not None
            run.stdout.readline()
            time.sleep(wait)
            os.killpg(run.pid, signal.SIGINT)
            out, err = run.communicate(timeout=20)
        assert (run.returncode, out.strip(), err) == (0, "", "")


def test_a_program_that_is_killed(tmp_path: pathlib.Path) -> None:
    """Its workers notice, also while other loaders have workers."""
    body = (
        "other = iter(DataLoader(Data(), None, num_workers=1)); it = iter(loader); pids(); list(it)"
    )
    with program(body, tmp_path) as run:
        assert run.stdout is not None
        pids = [int(p) for p in run.stdout.readline().split()]
        time.sleep(0.1)
        run.kill()
        try:
            assert len(pids) == 3
            assert all_ended(pids, 3)
        finally:
            for pid in filter(lives, pids):
                os.kill(pid, signal.SIGKILL)
        _, err = run.communicate(timeout=20)
    assert err == ""


def test_a_worker_of_another_loader_does_not_keep_one_alive(tmp_path: pathlib.Path) -> None:
    body = """
    it = iter(loader); next(it)
    other = iter(DataLoader(Data(), None, num_workers=1)); next(other)
    began = time.monotonic()
    del it
    print(time.monotonic() - began < 1, len(multiprocessing.active_children()))
    """
    with program(body, tmp_path) as run:
        out, err = run.communicate(timeout=20)
    assert (out, err) == ("True 1\n", "")


def test_a_worker_that_does_not_stop_is_stopped(tmp_path: pathlib.Path) -> None:
    body = f"""
    from tabgrad.utils.data import workers
    workers.PATIENCE = 0.2
    {NEXT}
    """
    began = time.monotonic()
    with program(body.replace("next(it)", "time.sleep(0.2)"), tmp_path, seconds=30) as run:
        out, err = run.communicate(timeout=20)
    assert (run.returncode, err) == (0, "")
    assert all_ended([int(p) for p in out.split()], 0)
    assert time.monotonic() - began < 5


def test_a_main_program_without_a_guard(tmp_path: pathlib.Path) -> None:
    began = time.monotonic()
    with program("list(loader)", tmp_path, method="spawn", guard="if True:") as run:
        _, err = run.communicate(timeout=30)
    assert run.returncode == 1
    last = err.rstrip().rpartition("\n")[2]
    assert "exited unexpectedly" in last
    assert 'must stand under `if __name__ == "__main__":`' in last
    assert time.monotonic() - began < 15
