"""Expected values of the long list, computed with PyTorch on the CPU in float64.

python tests/bench/reference_cases.py     # adds them to expected.json
"""

import json
from pathlib import Path

import inputs
import torch
import workloads

import native

STEPS = 20


def doubled(part):
    """Return an input as a tensor of float64."""
    single = torch.frombuffer(part["data"], dtype=torch.float32)
    return single.reshape(tuple(part["shape"])).double()


def expected(name):
    """Return what a workload's units read: a list for training steps."""
    work = workloads.make(name, "eager", native.part(inputs.WORKLOADS[name]()))
    if name == "reads":
        return work.run()
    if not isinstance(work, workloads.Training):
        return float(work.result())
    return [float(work.result()) for _ in range(STEPS)]


def main():
    workloads.use("torch", "cpu")
    torch.set_default_dtype(torch.float64)
    workloads.tensor = doubled
    file = Path(__file__).parent / "expected.json"
    found = json.loads(file.read_text())
    found["value"] |= {name: expected(name) for name in inputs.CASES}
    file.write_text(json.dumps(found, indent=0))


if __name__ == "__main__":
    main()
