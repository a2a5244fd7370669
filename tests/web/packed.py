"""The text of the tests in one file, which each Python of the tests fetches for itself."""

from __future__ import annotations

import atexit
import functools
import json
import pathlib
import shutil
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
NAME = "files.json"


@functools.cache
def folder() -> pathlib.Path:
    """Write every Python file of the tests, and the data beside them, by path; return the folder it lies in.

    Through the driver of a browser these megabytes take seconds at each start.
    """
    files = sorted(
        path
        for pattern in ("*.py", "*.json")
        for path in (ROOT / "tests").rglob(pattern)
        if not {"bench", "node_modules"} & set(path.parts)
    )
    texts = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files}
    made = pathlib.Path(tempfile.mkdtemp(prefix="tabgrad-tests-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    (made / NAME).write_text(json.dumps(texts), "utf-8")
    return made


def archive() -> pathlib.Path:
    """Find the archive of tabgrad that the page starts from, in the folder of the built site."""
    (path,) = (ROOT / "web" / "dist" / "python").glob("tabgrad-*.zip")
    return path
