"""Write what PyTorch computes of each architecture: `python -m tests.huggingface.record [--files DIR]`.

It needs PyTorch and transformers. With `--files` the checkpoints and all numbers are written there too.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np

from tests.huggingface.architectures import ARCHITECTURES, computed, digest, made

EXPECTED = pathlib.Path(__file__).with_name("expected.json")


def main() -> None:
    """Record all architectures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=pathlib.Path)
    parser.add_argument("--names", nargs="*", default=sorted(ARCHITECTURES))
    args = parser.parse_args()
    found = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    for name in args.names:
        try:
            arrays = computed(name, "cpu")
        except Exception as error:
            print(name, type(error).__name__, error)
            continue
        assert all(np.isfinite(a).all() for a in arrays.values()), name
        found[name] = digest(arrays)
        if args.files:
            made(name, "cpu").save_pretrained(args.files / name)
            np.savez(args.files / f"{name}.npz", **arrays)
    lines = [f"{json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found)]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(len(found), "architectures recorded")


if __name__ == "__main__":
    main()
