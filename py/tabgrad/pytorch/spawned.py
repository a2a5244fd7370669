"""What a process that a program started runs in place of the program's file, if `tabgrad run` ran the program.

Python's `multiprocessing` runs the main program again in a new process, as the module `__mp_main__`, so that
its classes and functions are there. In it too `import torch` has to mean tabgrad.
"""

from __future__ import annotations

import os

PROGRAM = "TABGRAD_RUN_PROGRAM"
"""The variable of the environment that says which file the program is."""

if __name__ == "__mp_main__":
    from tabgrad.pytorch import as_torch

    as_torch()
    __file__ = os.environ[PROGRAM]
    with open(__file__, encoding="utf-8") as _file:
        exec(compile(_file.read(), __file__, "exec"), globals())
