"""The programs on the pages of `docs/` and in CONTRIBUTING.md run, and show what the page says."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re

import pytest

from tabgrad.pytorch import alias

ROOT = pathlib.Path(__file__).parents[2]
BLOCK = re.compile(r"```(python|text)\n([\s\S]*?)```")


@pytest.mark.one_host("wgpu", "cuda")
def test_what_the_page_on_plans_shows(device: str) -> None:
    """Each text is what the program above it has printed, but for numbers that an adapter chooses."""
    names: dict[str, object] = {"__name__": "train"}
    printed = ""
    shown = 0
    for kind, text in BLOCK.findall((ROOT / "docs" / "explaining.md").read_text("utf-8")):
        if kind == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text.replace("webgpu", device), "train.py", "exec"), names)
            printed = out.getvalue()
            continue
        shown += 1
        wanted = text.replace("webgpu", device).splitlines()
        found = printed.splitlines()
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert re.sub(r"\d+ × \d+ × \d+|:\d+$", "", a) == re.sub(
                r"\d+ × \d+ × \d+|:\d+$", "", b
            )
    assert shown == 2


@pytest.mark.parametrize(
    "page", ["docs/index.md", "docs/pytorch.md", "docs/seeing.md", "CONTRIBUTING.md"]
)
def test_programs_run(page: str) -> None:
    programs = [
        t for kind, t in BLOCK.findall((ROOT / page).read_text("utf-8")) if kind == "python"
    ]
    assert programs
    for text in programs:
        try:
            exec(compile(text, page, "exec"), {"__name__": "example"})
        finally:
            alias.remove()


def test_the_line_of_a_plan_is_as_the_page_reads_it() -> None:
    import tabgrad as tg
    from tests.lower import recorder

    device = recorder.device()
    x = tg.tensor([[1.0] * 64] * 128, device=device)
    device.backend.flush()
    y = x.exp().sum(1)
    device.backend.flush()
    assert y.shape == (128,)
    assert f"\n    {recorder.last_plan(device)}\n" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
