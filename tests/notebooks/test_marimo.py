"""A notebook of marimo on the desktop: it runs, and shows what tabgrad shows."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

NOTEBOOK = """
# /// script
# dependencies = ["tabgrad", "numpy"]
# ///
import marimo

app = marimo.App()


@app.cell
def _():
    import tabgrad as tg

    x = tg.tensor([1.0, -2.0, 3.0], requires_grad=True, device="cpu")
    (x**3).sum().backward()
    return tg, x


@app.cell
def _(tg, x):
    tg.func.hessian(lambda x: (x**3).sum())(x)
    return


@app.cell
def _(x):
    str(x.grad.tolist())
    return
"""


def test_a_notebook_runs_and_its_values_are_shown(tmp_path: pathlib.Path) -> None:
    notebook, page = tmp_path / "notebook.py", tmp_path / "page.html"
    notebook.write_text(NOTEBOOK.lstrip())
    command = [sys.executable, "-m", "marimo", "export", "html", str(notebook), "-o", str(page)]
    done = subprocess.run(
        [*command, "--no-include-code", "--no-sandbox"],
        env={**os.environ, "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = page.read_text("utf-8")
    assert "[3.0, 12.0, 27.0]" in shown
    assert "monospace" in shown  # the Hessian, as a table
    assert "\\u003E18\\u003C" in shown or ">18<" in shown
