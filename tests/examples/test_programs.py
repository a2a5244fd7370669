"""The other programs of the page, on every host."""

from __future__ import annotations

import pathlib
import runpy

import pytest

import tabgrad.examples

pytestmark = pytest.mark.every_host


def run(name: str) -> None:
    """Run a program as the page does: by its text, whatever was imported before."""
    folder = pathlib.Path(tabgrad.examples.__path__[0])
    runpy.run_path(str(folder / f"{name}.py"), run_name="__main__")


def test_tensors(capsys: pytest.CaptureFixture[str], device: str) -> None:
    run("tensors")
    said = capsys.readouterr().out
    assert f"device: {device}" in said
    assert "sum 6.25 of (5, 5)" in said
    assert "gradient tensor([ 1.0000, -3.5000, -1.0000])" in said
    assert "slope  tensor([ 3.0000, -0.4763, -1.1445,  0.0770,  0.4276])" in said
    assert "[ 3., 12.,  1.]" in said


def test_spirals(capsys: pytest.CaptureFixture[str]) -> None:
    run("spirals")
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "<plane with 200 points, 40 x 40 values>",
        "100.0% of the points lie on their own side",
    ]
