"""The archives of Python's library and of tabgrad, which a started Python needs before it has them.

The snapshot knows where each file lies in both, and the worker lays them after the start: what is imported
or read before waits for them. `library` of the module `tabgrad_page` is a promise until then, and then None.
"""

import sys
import traceback
import types
import zipimport
from collections.abc import Callable
from typing import Any

import tabgrad_page as page
from pyodide.ffi import JsException, can_run_sync, run_sync

AGAIN = (
    1.0  # seconds after a failure within which nothing that is read has the archives fetched again
)


class Absent(Exception):
    """Says why the archives are not there."""


def wait() -> None:
    """Wait until the archives lie there; raises Absent where that can't be, or they don't come."""
    if page.library is None:
        return
    if not can_run_sync():
        raise Absent(
            "Python's library is still being fetched, and nothing can wait for it here; import all at the "
            "beginning of the program"
        )
    try:
        run_sync(page.library)
    except JsException as error:
        raise Absent(
            f"Python's library could not be fetched ({error}); is there a network? Run again"
        ) from None


class LibraryFirst:
    """Lets an import wait for the archives; the modules that are part of the interpreter need none."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Wait; then everything is left to others. Raises ImportError where the archives don't come."""
        if name in sys.builtin_module_names:
            return
        try:
            wait()
        except Absent as error:
            raise ImportError(f"{name}: {error}", name=name) from None
        sys.meta_path.remove(self)


class ReadsLater:
    """Lets the importers of archives wait before they read: sources, data, lists of files.

    They read through two functions of `zipimport`, which are in place again once the archives are there. A
    report on an error does not wait: its frames of the archives are without their lines. Pyodide writes such
    reports where JavaScript is under way too, and nothing can wait there though `can_run_sync` says so.
    """

    def __init__(self) -> None:
        self.read, self.listed = zipimport._get_data, zipimport._read_directory  # type: ignore[attr-defined]
        self.put(self.later(self.read, OSError), self.later(self.listed, zipimport.ZipImportError))

    @staticmethod
    def put(read: Callable[..., Any], listed: Callable[..., Any]) -> None:
        """Have the importers read through these."""
        zipimport._get_data, zipimport._read_directory = read, listed  # type: ignore[attr-defined]

    def later(
        self, function: Callable[..., Any], raised: Callable[[str], Exception]
    ) -> Callable[..., Any]:
        """Return a function that waits before; it raises an error that those who read expect."""

        def waits(archive: str, *rest: Any) -> Any:
            if archive in ARCHIVES:
                try:
                    self.wait()
                except Absent as error:
                    raise raised(str(error)) from None
            return function(archive, *rest)

        return waits

    def wait(self) -> None:
        """Wait, unless it is for a report."""
        if page.library is not None and reporting():
            raise Absent("Python's library is still being fetched")
        wait()
        self.put(self.read, self.listed)


def reporting() -> bool:
    """Whether a report on an error is being written."""
    frame: types.FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals is not traceback.__dict__:
        frame = frame.f_back
    return frame is not None


ARCHIVES = {path for path in sys.path if path.endswith(".zip")}


def begin() -> None:
    """Have all that is imported and read from now on wait for the archives, which nothing fetches yet."""
    sys.meta_path.insert(0, LibraryFirst())
    ReadsLater()
