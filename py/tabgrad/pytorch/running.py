"""`python -m tabgrad run` and `check`: programs for PyTorch, run and looked through under the alias."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType
from typing import Any

from tabgrad.pytorch import as_torch, notebooks, spawned
from tabgrad.pytorch.checking import Use, check

RUN = """\
usage: python -m tabgrad run [--strict] (SCRIPT.py | NOTEBOOK.ipynb | - | -m MODULE | -c CODE) [ARGS ...]

Run a program for PyTorch with tabgrad: in it `import torch` means tabgrad; `-` reads it from stdin. Names of
torch that the program uses and that are missing are told on stderr before it runs.

  --strict   end with status 1 before anything runs if names are missing
"""


def run(argv: Sequence[str]) -> int:
    """Run a program as `python` would, with the rest of `argv` as its arguments; return the exit status."""
    rest = list(argv)
    strict = rest[:1] == ["--strict"]
    rest = rest[strict:]
    if not rest or rest[0] in ("-h", "--help"):
        print(RUN, end="")
        return 0 if rest else 2
    option = rest.pop(0) if rest[0] in ("-m", "-c") else ""
    if not rest or (not option and rest[0].startswith("-") and rest[0] != "-"):
        print(f"{RUN}run: expected {'what to run' if not rest else 'a file'}", file=sys.stderr)
        return 2
    what, args = rest[0], rest[1:]
    try:
        parts = {} if option == "-m" else texts(what, option == "-c")
        missing = [use for use in check(parts) if use.problem and not use.guarded]
    except (OSError, ValueError, SyntaxError) as error:
        return _tell(error)
    for use in missing:
        print(told(use), file=sys.stderr)
    if strict and missing:
        return 1
    return _start(what, option, args, parts)


def texts(what: str, is_code: bool = False) -> dict[str, str]:
    """Return the Python texts of a file, by their names in messages: several of a notebook."""
    if is_code:
        return {"<string>": what}
    if what == "-":
        return {"<stdin>": sys.stdin.read()}
    with open(what, encoding="utf-8") as file:
        text = file.read()
    if what.endswith(".ipynb"):
        return {cell.name: cell.source for cell in notebooks.cells(text, what)}
    return {what: text}


def told(use: Use) -> str:
    """Tell what is wrong with a name, at its lines."""
    more = ", ".join(map(str, use.lines[1:4]))
    also = f" (also {more}{', ...' if len(use.lines) > 4 else ''})" if more else ""
    guard = " (inside `try`, or where it is asked for)" if use.guarded else ""
    return f"{use.file}:{use.lines[0]}: {use.name} {use.problem}{also}{guard}"


def _start(what: str, option: str, args: list[str], parts: dict[str, str]) -> int:
    as_torch()
    sys.argv = [option if option else what, *args]
    sys.path.insert(0, os.path.dirname(os.path.abspath(what)) if not option and what != "-" else "")
    try:
        if option == "-m":
            sys.argv[0] = what
            runpy.run_module(what, run_name="__main__", alter_sys=True)
            return 0
        module: Any = ModuleType("__main__")
        if not option and what != "-":
            module.__file__ = what
            if what.endswith(".py"):
                os.environ[spawned.PROGRAM] = os.path.abspath(what)
                module.__spec__ = ModuleSpec(spawned.__name__, None)
        sys.modules["__main__"] = module
        if what.endswith(".ipynb") and not option:
            found = [notebooks.Cell(name, source) for name, source in parts.items()]
            notebooks.run(found, vars(module))
        else:
            (name, text), *_ = parts.items()
            exec(compile(text, name, "exec"), vars(module))
        return 0
    except SystemExit:
        raise
    except BaseException as error:
        sys.last_value = error  # as Python does: what ends with the process may ask
        return _tell(error)


def _tell(error: BaseException) -> int:
    """Print an error of the program with its own lines alone; return the exit status."""
    ours = {__file__, notebooks.__file__, runpy.__file__, "<frozen runpy>"}
    at: TracebackType | None = error.__traceback__
    while at is not None and at.tb_frame.f_code.co_filename in ours:
        at = at.tb_next
    traceback.print_exception(type(error), error, at)
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def check_command(files: Sequence[str], every: bool = False) -> int:
    """Print which names of torch are missing in files, or all that they use; return 1 if some are missing."""
    failed = False
    for file in files:
        try:
            found = check(texts(file))
        except (OSError, ValueError, SyntaxError) as error:
            print(f"{file}: {error}", file=sys.stderr)
            failed = True
            continue
        missing = {use.name for use in found if use.problem}
        failed |= bool(missing)
        print(f"{file}: {len({use.name for use in found})} names of torch, {len(missing)} missing")
        for use in found:
            if every or use.problem:
                print(f"  {told(use)}".rstrip())
    return int(failed)
