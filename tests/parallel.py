"""What spares a run in several processes time."""

from __future__ import annotations

import compileall
import contextlib
import pathlib
import sys

import pytest
from _pytest.assertion import rewrite
from _pytest.runner import runtestprotocol

TESTS = pathlib.Path(__file__).parent
SOURCES = ("py", "native")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Compile a share of the sources and the tests, where there is no bytecode of them yet.

    All processes collect the same files in the same order: each would compile each of them.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or sys.dont_write_bytecode:
        return
    mine = slice(int(worker["workerid"].removeprefix("gw")), None, worker["workercount"])
    sources = [path for name in SOURCES for path in (TESTS.parent / name).rglob("*.py")]
    for path in sorted(sources)[mine]:
        compileall.compile_file(path, quiet=2)
    for path in tests_of(session.config)[mine]:
        written = rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"
        if not written.exists():
            # what does not compile is reported when it is collected
            with contextlib.suppress(SyntaxError):
                source, code = rewrite._rewrite_test(path, session.config)
                written.parent.mkdir(parents=True, exist_ok=True)
                state = session.config.stash[rewrite.assertstate_key]
                rewrite._write_pyc(state, code, source, written)


def tests_of(config: pytest.Config) -> list[pathlib.Path]:
    """List the files of tests that a run is for."""
    named = [config.rootpath / name.partition("::")[0] for name in config.args]
    ignored = [config.rootpath / name for name in config.getoption("ignore") or ()]
    files = {
        path
        for place in named
        for path in (place.rglob("test_*.py") if place.is_dir() else [place])
    }
    return sorted(
        path for path in files if not any(path.is_relative_to(folder) for folder in ignored)
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Send one report of a test that passes, instead of three: they take longer than most tests do."""
    if not hasattr(item.config, "workerinput"):
        return None
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if len(reports) == 3 and all(report.passed for report in reports):
        call = reports[1]
        call.duration = sum(report.duration for report in reports)
        reports = [call]
    for report in reports:
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
