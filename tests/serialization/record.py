"""Writes files of PyTorch's into `pytorch/`, and checks that it reads ours; run where PyTorch is.

python -m tests.serialization.record
"""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
from typing import Any

import tabgrad as tg
from tests.serialization import objects

HERE = pathlib.Path(__file__).parent


def _ours(make: Any) -> bytes:
    file = io.BytesIO()
    tg.save(make(tg), file)
    return file.getvalue()


def main() -> None:
    """Write the files and what PyTorch reads in them, and in ours."""
    import torch

    torch.manual_seed(0)
    folder = HERE / "pytorch"
    expected: dict[str, Any] = {"theirs": {}, "ours": {}, "modules": {}}
    for name, make in objects.WEIGHTS.items():
        torch.save(make(torch), folder / f"{name}.pt")
        safe = name != "plain"
        there = torch.load(folder / f"{name}.pt", weights_only=safe)
        expected["theirs"][name] = objects.told(torch, there)
        raw = _ours(make)
        here = objects.told(torch, torch.load(io.BytesIO(raw), weights_only=safe))
        if name != "checkpoint":
            assert here == expected["theirs"][name], (
                f"PyTorch reads something else in our file {name}"
            )
        expected["ours"][name] = {"sha256": hashlib.sha256(raw).hexdigest(), "read": here}
    old = objects.WEIGHTS["views"](torch)
    torch.save(old, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(objects.bits(torch), folder / "bits.pt")
    for name, (module, shape) in objects.modules(torch).items():
        want = objects.output(torch, module, shape)
        torch.save(module, folder / f"module_{name}.pt")
        expected["modules"][name] = {"output": objects.told(torch, want), "repr": repr(module)}
    with tg.device("cpu"):
        for name, (module, shape) in objects.modules(tg).items():
            ours = objects.output(tg, module, shape)
            file = io.BytesIO()
            tg.save(module, file)
            file.seek(0)
            again = torch.load(file, weights_only=False)
            theirs = objects.output(torch, again, shape)
            torch.testing.assert_close(theirs, torch.tensor(ours.tolist()), msg=name)
    (HERE / "expected.json").write_text(
        json.dumps(expected, indent=None, separators=(",", ":")) + "\n"
    )


if __name__ == "__main__":
    with tg.device("cpu"):
        main()
