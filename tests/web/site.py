"""The page's files: built, then served from loopback by the project's own server."""

from __future__ import annotations

import os
import pathlib
import subprocess

from tests.web import packed

ROOT = pathlib.Path(__file__).parents[2]


class Site:
    """Serves web/dist at `/`, the tests' own pages at `/shell/`, and their texts at `/tests/`.

    With `isolated=False` it sends no COOP and COEP headers and compresses nothing, as most static hosts.
    """

    def __init__(self, isolated: bool = True) -> None:
        mounts = ["--mount", "/=web/dist", "--mount", "/shell/=tests/web/shell"]
        mounts += ["--mount", f"/tests/={packed.folder()}"]
        plain = [] if isolated else ["--plain"]
        self.process = subprocess.Popen(
            ["node", ".dev/server.mjs", *mounts, *plain],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the server did not start; run `node .dev/server.mjs` to see why")

    def close(self) -> None:
        """Stop serving."""
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


def build() -> None:
    """Build web/dist from this checkout, so that no test runs against an old wheel.

    TABGRAD_SITE=built says that it was built just now, for several processes of tests.
    """
    if os.environ.get("TABGRAD_SITE") == "built":
        return
    done = subprocess.run(
        ["node", ".dev/build.mjs", "--lab", "--quick"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(f"web/dist could not be built:\n{done.stdout}{done.stderr}")
