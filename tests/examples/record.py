"""Write down the loss curve that `test_digits.py` expects of every device.

`python -m tests.examples.record`, after a change that is meant to change the curve: of the
program, of an initial value, of the random numbers. The recorder is `cpu`, the oracle.
"""

from __future__ import annotations

import json
import pathlib

CURVE = pathlib.Path(__file__).with_name("curve.json")


def record() -> None:
    """Train once and write the losses and accuracies."""
    import tabgrad
    from tabgrad.examples import digits

    tabgrad.set_default_device("cpu")
    trained = digits.train()
    curve = {"losses": trained.losses, "accuracies": trained.accuracies}
    CURVE.write_text(json.dumps(curve, indent=0) + "\n")


if __name__ == "__main__":
    record()
