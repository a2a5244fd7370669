"""The notebooks of `notebooks/` in Jupyter's own kernel, on the desktop."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

pytestmark = pytest.mark.one_host("wgpu")

ROOT = pathlib.Path(__file__).parents[2]


def run(name: str) -> list[list[dict[str, Any]]]:
    """Run all cells of a notebook; returns the outputs of each code cell. A cell that raises raises here."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(ROOT))
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def text(outputs: list[dict[str, Any]]) -> str:
    """What a cell printed, and its last value as text."""
    parts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs]
    return "\n".join(parts)


def test_first_steps() -> None:
    first, gradient, curvature, _points, minimum = run("first-steps.ipynb")
    assert "webgpu" in text(first)
    assert "tensor(" in text(gradient)
    assert "48" in text(curvature)
    assert any("text/html" in output.get("data", {}) for output in gradient)
    assert "0.5" in text(minimum)


def test_a_pytorch_notebook_runs_unmodified() -> None:
    alias, versions, _model, losses, accuracy, plot = run("pytorch.ipynb")
    assert "torch means tabgrad" in text(alias)
    assert "+tabgrad" in text(versions)
    lines = [line.split("loss ")[1] for line in text(losses).split("\n") if "loss " in line]
    assert float(lines[-1]) < float(lines[0])
    assert "accuracy" in text(accuracy)
    assert any("image/png" in output.get("data", {}) for output in plot)
