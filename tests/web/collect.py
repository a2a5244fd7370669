"""Collects the functions of `inside/test_*.py` as tests, which run inside Pyodide."""

from __future__ import annotations

import importlib.util
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.sampling import EVERY_CASE
from tests.web.engine import WITH_PAGES
from tests.web.interpreter import ROOT, DeadError, InsideError
from tests.web.stage import Stage

STAGE: pytest.StashKey[Stage] = pytest.StashKey()


# Of six parts of the cases. Deno and Firefox have the compiler of shaders that the native tests run all cases
# with. Node has Chromium's engine, compiler and driver: in a run of both, Chromium leaves it its parts.
SHARES = {"firefox": (0,), "deno": (1,), "node": (2, 3)}
PARTS = 6
WITH_NODE = os.environ.get("TABGRAD_WITH_NODE") == "1"


def takes(engine: str, test: Any, case: str | None, thread: str) -> bool:
    """Whether an engine runs a case of a test: Chromium runs all, others parts of those `in_parts`."""
    if case is None or EVERY_CASE or not hasattr(test, "in_parts"):
        return True
    part = zlib.crc32(case.encode()) % PARTS
    if engine in SHARES:
        return part in SHARES[engine]
    return thread == "page" or not (WITH_NODE and part in SHARES["node"])


class InsideItem(pytest.Item):
    """One function, on one device, on one thread, for one case."""

    def __init__(self, *, test: Callable[..., Any], args: list[str], thread: str, **rest: Any):
        super().__init__(**rest)
        self.test = test
        self.args = args
        self.thread = thread

    def runtest(self) -> None:
        stage = self.config.stash[STAGE]
        kind = {"numpy": self.args[0] == "cpu", "thread": self.thread}
        alone = getattr(self.test, "alone", False)
        interpreter = stage.new_interpreter(**kind) if alone else stage.interpreter(**kind)
        module = self.path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        seconds = getattr(self.test, "deadline", 60.0)
        try:
            interpreter.call(f"{module}:{self.test.__name__}", *self.args, deadline=seconds)
        finally:
            if alone:
                interpreter.close()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], **_: Any) -> Any:
        if isinstance(excinfo.value, InsideError | DeadError):
            return f"{type(excinfo.value).__name__}: {excinfo.value}"
        return super().repr_failure(excinfo, style="short")

    def reportinfo(self) -> tuple[Any, int, str]:
        return self.path, self.test.__code__.co_firstlineno - 1, self.name


class InsideFile(pytest.File):
    """A file of such functions. It is imported here too, so `js` is imported inside functions."""

    def collect(self) -> Iterable[InsideItem]:
        spec = importlib.util.spec_from_file_location(f"inside_{self.path.stem}", self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        skipped = vars(module).get("SKIPPED_IN", {}).get(self.config.stash[STAGE].engine)
        for name, value in vars(module).items():
            if name.startswith("test_") and callable(value):
                for item in self.items(name, value):
                    if skipped:
                        item.add_marker(pytest.mark.skip(reason=skipped))
                    yield item

    def items(self, name: str, test: Any) -> Iterator[InsideItem]:
        engine = self.config.stash[STAGE].engine
        runs = [(device, "worker") for device in getattr(test, "runs", ("webgpu",))]
        if getattr(test, "main_thread", False) and engine in WITH_PAGES:
            runs.append(("webgpu", "page"))
        for device, thread in runs:
            cases = test.cases(device) if hasattr(test, "cases") else [None]
            for case in cases:
                if not takes(engine, test, case, thread):
                    continue
                parts = [case, device, "main-thread" if thread == "page" else None]
                label = "-".join(part for part in parts if part)
                args = [device] if case is None else [device, case]
                yield InsideItem.from_parent(
                    self, name=f"{name}[{label}]", test=test, args=args, thread=thread
                )
