"""What a program may have changed in Python itself, brought back: built-in functions, streams and hooks."""

import builtins
import contextlib
import sys
from typing import Any

BUILTINS = dict(vars(builtins))
STREAMS = {"stdin": sys.stdin, "stdout": sys.stdout, "stderr": sys.stderr}
HOOKS = {name: getattr(sys, name) for name in ("excepthook", "displayhook", "unraisablehook")}
DEEPEST = sys.getrecursionlimit()


def bring_back_builtins() -> None:
    """Give the names of Python itself their meanings, on which the page's own Python relies too."""
    vars(builtins).update(BUILTINS)


def bring_back() -> None:
    """Give a program what Python starts with."""
    bring_back_builtins()
    for fd, (name, stream) in enumerate(STREAMS.items()):
        if stream.closed:
            stream = STREAMS[name] = reopened(fd)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for name, hook in HOOKS.items():
        setattr(sys, name, hook)
    sys.setrecursionlimit(DEEPEST)


def reopened(fd: int) -> Any:
    """Return a stream that a program has closed, as it was."""
    return open(fd, "w" if fd else "r", buffering=1, encoding="utf-8", closefd=False)


def flush() -> None:
    """Pass on what is printed; a program may have put anything in place of a stream, or closed it."""
    for stream in (sys.stdout, sys.stderr, STREAMS["stdout"], STREAMS["stderr"]):
        with contextlib.suppress(Exception):
            stream.flush()


def complain(text: str) -> None:
    """Write an error where the program's errors go, or to the page where that can't be written to."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:
        if STREAMS["stderr"].closed:
            STREAMS["stderr"] = reopened(2)
        STREAMS["stderr"].write(text)
        STREAMS["stderr"].flush()
