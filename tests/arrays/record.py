"""Write what `array-api-strict` says of the cases: `python -m tests.arrays.record`, where it is installed."""

from __future__ import annotations

import json
import pathlib

from tests.arrays.cases import CASES, names, plain

EXPECTED = pathlib.Path(__file__).with_name("expected.json")


def main() -> None:
    """Evaluate the cases."""
    import array_api_strict as xp
    import numpy as np

    xp.set_array_api_strict_flags(api_version="2025.12")
    told = {}
    for case in CASES:
        try:
            found = eval(case, names(xp))
        except Exception as error:
            raise ValueError(f"{case}: {error}") from error
        told[case] = [
            str(found.dtype).rpartition(".")[2],
            list(found.shape),
            plain(np.asarray(found).tolist()),
        ]
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in told.items()]
    EXPECTED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
