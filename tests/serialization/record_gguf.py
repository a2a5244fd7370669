"""Writes `blocks.gguf` and what is in it, with the package `gguf`: python -m tests.serialization.record_gguf"""

from __future__ import annotations

import json
import pathlib

HERE = pathlib.Path(__file__).parent


def main() -> None:
    """Write a file with every kind of blocks that is read, and their values."""
    import gguf
    import numpy as np
    from gguf import quants

    rng = np.random.default_rng(0)
    out = gguf.GGUFWriter(HERE / "blocks.gguf", "llama")
    out.add_uint32("layers", 3)
    out.add_array("names", ["a", "ä"])
    out.add_array("numbers", [1, 2, 3])
    out.add_float32("rate", 1.5)
    out.add_bool("flag", True)
    want = {}
    for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q6_K"):
        kind = gguf.GGMLQuantizationType[name]
        _, size = gguf.GGML_QUANT_SIZES[kind]
        raw = rng.integers(0, 256, (2, size), dtype=np.uint8)
        halves = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q4_K": (0, 2), "Q6_K": (208,)}.get(name, (0,))
        for at in halves:
            raw[:, at : at + 2] = np.frombuffer(
                np.float16(rng.standard_normal(2)).tobytes(), np.uint8
            ).reshape(2, 2)
        out.add_tensor(name, raw, raw_dtype=kind)
        want[name] = quants.dequantize(raw, kind).tolist()
    for dtype in (np.float32, np.float16, np.int8, np.int32, np.int64):
        a = np.arange(6).reshape(2, 3).astype(dtype)
        out.add_tensor(dtype.__name__, a)
        want[dtype.__name__] = a.tolist()
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    (HERE / "expected_gguf.json").write_text(json.dumps(want, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
