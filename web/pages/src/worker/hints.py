"""What a visitor can do about an error that comes of running in a page; "" where that is not why."""

import errno
import sys

HERE = "Python's standard library, NumPy and tabgrad"
NETWORK = (
    "A program on this page has no network. Write the data into the program, or run it on your own "
    "computer, where it has one: pip install tabgrad"
)
KEYBOARD = (
    "input() has nobody to ask here: a program on this page reads no keyboard. Write the answer into the "
    'program instead, as in name = "Ada".'
)
TORCH = "PyTorch is not here, but tabgrad has its names: with this line at the top, import torch means tabgrad:"
PROCESSES = "A program on this page is alone: it can start no other program. Call the Python function itself."
FILES = (
    "A program on this page sees no files of yours, only what it has written itself. Write the data into the "
    "program, as text between three quotes, or run it on your own computer: pip install tabgrad"
)
INSTALLED = (
    f"No package can be loaded or installed here: a program on this page has {HERE}. On your own computer: "
    "pip install tabgrad, and what else you need."
)
MAGIC = (
    "Lines that begin with % or ! are for notebooks, and nothing can be installed here: a program on this page "
    f"has {HERE}. Take the line out."
)
DEBUGGER = (
    "A debugger has nobody to ask here: a program on this page reads no keyboard. Print what you want to see, "
    "or debug it on your own computer: pip install tabgrad"
)
PROGRESS = (
    "tqdm is not here, and nothing can be installed, but tabgrad has a progress bar: "
    "from tabgrad.utils import progress, then for x in progress(range(10)):"
)
THREADS = "Python in a page has one thread. Call the function itself, or use asyncio."
DOCUMENT = (
    "A program on this page runs in a worker: it sees no document and no window. What it prints and shows "
    "appears in the output."
)
UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.ECONNREFUSED}
OF_PAGES = {
    "document",
    "window",
    "parent",
    "localStorage",
    "sessionStorage",
    "alert",
    "prompt",
    "confirm",
}
FORKS = ("attribute 'fork'", "attribute 'posix_spawn'", "attribute 'SemLock'")
PROCESSED = {"_multiprocessing", "_posixsubprocess", "_posixshmem"}
NETWORKED = {"ssl", "_ssl", "requests", "httpx", "aiohttp", "urllib3", "_socket", "micropip"}


def hint(error: BaseException) -> tuple[str, str]:
    """Return the hint, and "torch" if the page can put in the alias; of a cause where the error has none."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = of_one(error)
        if text:
            return text, "torch" if text is TORCH else ""
        error = error.__cause__ or error.__context__
    return "", ""


def said(error: BaseException) -> str:
    """Return what an error says; "" where the program's own method for that fails."""
    try:
        return str(error)
    except Exception:
        return ""


def of_one(error: BaseException) -> str:
    """Return the hint on one error, whatever led to it."""
    if isinstance(error, ImportError):
        return absent(error)
    if isinstance(error, EOFError) and "reading a line" in said(error):
        return KEYBOARD
    if isinstance(error, RuntimeError) and "start new thread" in said(error):
        return THREADS
    if type(error).__name__ == "BdbQuit":
        return DEBUGGER
    if isinstance(error, AttributeError) and said(error).endswith(FORKS):
        return PROCESSES
    if isinstance(error, SyntaxError):
        return MAGIC if (error.text or "").lstrip().startswith(("%", "!")) else ""
    if isinstance(error, AttributeError) and said(error) in OF_PAGES:  # as js.document says
        return DOCUMENT
    if isinstance(error, OSError):
        return of_system(error)
    if isinstance(error, Exception) and "No known package" in said(
        error
    ):  # as Pyodide's loadPackage says
        return INSTALLED
    if networked(error):
        return NETWORK
    return ""


def debugged(error: BaseException) -> bool:
    """Whether an error comes of Python's debugger, which ends the program where nobody types."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") in ("pdb", "bdb"):
            return True
        trace = trace.tb_next
    return False


def of_system(error: OSError) -> str:
    """Return the hint on what an operating system would have: files, processes, a network."""
    if "does not support processes" in said(error):
        return PROCESSES
    if isinstance(error, FileNotFoundError):
        return FILES
    return NETWORK if networked(error) or error.errno in UNREACHABLE else ""


def absent(error: ImportError) -> str:
    """Return what to do about a module that is not here."""
    root = (error.name or "").partition(".")[0]
    if root == "js" or (error.name is None and "from 'js'" in said(error)):
        return DOCUMENT
    if not isinstance(error, ModuleNotFoundError) or root in ("", "tabgrad"):
        return ""
    if root == "torch":
        return TORCH
    if root == "tqdm":
        return PROGRESS
    if root in PROCESSED:
        return PROCESSES
    if root in NETWORKED:
        return NETWORK
    if root in sys.stdlib_module_names:
        return f"{root} is a part of Python that browsers have no use for."
    return (
        f"{root} is not here, and nothing can be installed: a program on this page has {HERE}. On your own "
        f"computer: pip install tabgrad {root}"
    )


def networked(error: BaseException) -> bool:
    """Whether an error says that there is no network."""
    words = said(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"URLError", "ConnectionError", "gaierror"} or "has no network" in words:
        return True
    return "JsException" in names and ("fetch" in words or "NetworkError" in words)
