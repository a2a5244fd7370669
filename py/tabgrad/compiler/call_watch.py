"""Watches a call while it runs: which code runs, and which functions written in C it calls."""

from __future__ import annotations

import gc
import sys
from types import CodeType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any

from tabgrad.compiler.code import (
    INTERNAL,
    OF_OPTIONS,
    OUTSIDE,
    PURE,
    USER,
    looks_anywhere,
    module_kind,
    names_of,
    not_repeatable,
    root_of,
    searches,
)  # fmt: skip
from tabgrad.compiler.state import State

if TYPE_CHECKING:
    from tabgrad.compiler.watched_arrays import Origin


class CallWatch:
    """Notes in `state`, before code inside the block runs, what that code may read.

    Python calls `event` for each call, as for a profiler; another profiler is off inside the block. The garbage
    collector is off too, because its callbacks and the finalizers that it runs are not part of the call.
    """

    def __init__(self, state: State, arrays: list[Origin]) -> None:
        self.state = state
        self.arrays = arrays
        self.kinds: dict[int, str] = {}
        self.made: set[int] = set()
        self.codes: dict[int, CodeType] = {}
        self.on = True
        self._before: Any = None
        self._collects = False

    def __enter__(self) -> CallWatch:
        self._collects = gc.isenabled()
        gc.disable()
        self._before = sys.getprofile()
        sys.setprofile(self.event)
        return self

    def __exit__(self, *exc: object) -> None:
        self.on = False
        if self._collects:
            gc.enable()
        sys.setprofile(None if hasattr(self._before, "enable") else self._before)
        if hasattr(self._before, "enable"):
            # a profiler written in C is an object with this method
            self._before.enable()

    def event(self, frame: FrameType, event: str, arg: object) -> None:
        """Handle a call of a Python function, or of one written in C."""
        if not self.on:
            return
        if event == "call":
            if id(frame.f_code) not in self.kinds:
                self.meet(frame)
        elif event == "c_call" and self.kinds.get(id(frame.f_code)) == USER:
            self.judge(arg)
            if arg is id and root_of(frame.f_globals.get("__name__") or "") != "tabgrad":
                self.state.reasons.append(
                    "calls id(), which tells objects apart that a replay does not"
                )

    def meet(self, frame: FrameType) -> None:
        """Note the names of code that runs for the first time."""
        code, table = frame.f_code, frame.f_globals
        module = table.get("__name__") or ""
        kind = self.kinds[id(code)] = module_kind(module)
        self.codes[id(code)] = code
        if kind == OUTSIDE:
            self.state.reasons.append(
                f"calls {module}.{code.co_qualname}(), which can't be repeated"
            )
        if kind == PURE:
            self.meet_library(frame, module)
        if kind == USER:
            self.state.use(names_of(code), table, code.co_name)
            self.made.update(id(c) for c in code.co_consts if isinstance(c, CodeType))
            if set(code.co_freevars) - {"__class__"} and id(code) not in self.state.codes:
                self.find(code)
        elif kind == INTERNAL:
            self.made.update(id(c) for c in code.co_consts if isinstance(c, CodeType))

    def meet_library(self, frame: FrameType, module: str) -> None:
        """Note what code of Python's library may read when a user's code calls it."""
        code = frame.f_code
        depends = module.startswith(OF_OPTIONS)
        if not depends and not searches(module, names_of(code)):
            return
        if not _called_by_user(frame):
            # a later call may come from the user's code
            del self.kinds[id(code)]
        elif depends:
            self.state.reasons.append(f"calls {module}.{code.co_qualname}(), which has options")
        else:
            self.state.use_everything()

    def find(self, code: CodeType) -> None:
        """Reach the closures with this code, unless code that ran inside the block made them."""
        if id(code) in self.made:
            return
        for fn in gc.get_referrers(code):
            if isinstance(fn, FunctionType):
                self.state.reach(fn, fn.__qualname__)

    def judge(self, fn: object) -> None:
        """Note whether a call, by a user's code, of a function written in C can be repeated."""
        if looks_anywhere(fn):
            self.state.use_everything()
        elif self.arrays and root_of(getattr(fn, "__module__", None) or "") == "numpy":
            for array in self.arrays:
                array.read = True
        reason = not_repeatable(fn)
        if reason is not None:
            self.state.reasons.append(reason)


def _called_by_user(frame: FrameType | None) -> bool:
    """Whether a user's code, not tabgrad's, has called this code of Python's library."""
    while frame is not None:
        kind = module_kind(frame.f_globals.get("__name__") or "")
        if kind != PURE:
            return kind == USER
        frame = frame.f_back
    return False
