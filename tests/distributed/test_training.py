"""Models trained by several processes, in processes that `mpiexec` started."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.distributed import launching


def trained(count: int, device: str, steps: int) -> str:
    """Train; check that the parameters are those of one process, and return their digest."""
    told = launching.run(count, "training", device, str(steps))
    differences = [float(x) for x in re.findall(r"difference (\S+)", told)]
    assert len(differences) >= count
    # float32 rounding, grown over the steps of parameters of about 1
    assert max(differences) < 1e-6, told
    digests = set(re.findall(r"digest (\S+)", told))
    assert len(digests) == 1
    return digests.pop()


@pytest.mark.every_host
def test_parameters_are_those_of_one_process_and_reruns_have_the_same_bits(device: str) -> None:
    steps = 100 if device == "cpu" else 25
    assert trained(2, device, steps) == trained(2, device, steps)


def test_four_processes_train_as_one_does() -> None:
    trained(4, "cpu", 100)


@pytest.mark.every_host
def test_models_behave_as_in_one_process(device: str, tmp_path: pathlib.Path) -> None:
    """Accumulation, unused parameters, uneven inputs, buffers, compiled and checkpointed models, ZeRO."""
    folder = str(tmp_path / "checkpoint")
    assert launching.run(2, "models", device, folder).count("is done") == 2
    if device == "cpu":
        for count in (1, 4):
            assert launching.run(count, "resuming", folder).count("is done") == count


@pytest.mark.every_host
def test_what_hooks_send_and_leave_out_is_the_gradient(device: str) -> None:
    assert launching.run(2, "compression", device, "sums").count("is done") == 2


def test_the_digits_are_learnt_with_each_compression() -> None:
    told = launching.run(2, "compression", "cpu", "digits")
    rows = re.findall(r"rank 0 (.+): (\S+) % with (\d+) bytes a step", told)
    assert len(rows) == 12
    sent = {name: int(count) for name, _, count in rows}
    assert all(float(right) >= 95 for _, right, _ in rows)
    for name, least in (
        ("fp16", 2), ("bf16", 2), ("PowerSGD, rank 2", 8), ("top 5 %", 9), ("random 10 %", 9),
        ("signs", 30), ("8 bits", 3.9), ("local", 2.5),
    ):  # fmt: skip
        assert sent["none"] >= least * sent[name], name
