"""torchrun's twin: a program for PyTorch, in processes that `python -m tabgrad.distributed.run` started."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tabgrad.distributed import run
from tests.distributed import launching

PROGRAM = """\
import os
import sys

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.elastic.multiprocessing.errors import record
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler


@record
def main():
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    dist.init_process_group(backend="nccl" if torch.cuda.is_available() else "gloo")
    assert (rank, int(os.environ["WORLD_SIZE"])) == (dist.get_rank(), dist.get_world_size())
    assert (local, os.environ["LOCAL_WORLD_SIZE"], os.environ["MASTER_ADDR"]) == (rank, "2", "127.0.0.1")
    if sys.argv[1:] == ["fail"] and rank == 1:
        raise ValueError("a mistake")
    x = ((torch.arange(64 * 20) * 37 % 101).float() / 50 - 1).reshape(64, 20)
    data = TensorDataset(x, torch.arange(64) % 3)
    model = torch.nn.Linear(20, 3)
    with torch.no_grad():
        model.weight.fill_(0.01)
        model.bias.zero_()
    model = DDP(model)
    loader = DataLoader(data, batch_size=8, sampler=DistributedSampler(data, shuffle=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        for inputs, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    print(rank, [round(v, 5) for v in model.module.weight[0, :4].tolist()], flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
"""
# what it prints with PyTorch 2.13 under `torchrun --nproc-per-node=2`, over Gloo
WEIGHTS = [0.15001, -0.1088, 0.02779, 0.11056]


def started(folder: pathlib.Path, *args: str) -> subprocess.CompletedProcess[str]:
    (folder / "train.py").write_text(PROGRAM)
    path = os.pathsep.join([str(launching.ROOT / "py"), str(launching.ROOT / "native")])
    command = [
        sys.executable,
        "-m",
        "tabgrad.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
    ]
    return subprocess.run(
        [*command, "--as-torch", "train.py", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=launching.LIMIT,
    )


def test_a_program_for_pytorch_trains_as_under_torchrun(tmp_path: pathlib.Path) -> None:
    done = started(tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [f"{rank} {WEIGHTS}" for rank in (0, 1)]


def test_a_process_that_fails_is_named_by_the_others(tmp_path: pathlib.Path) -> None:
    done = started(tmp_path, "fail")
    assert done.returncode != 0
    assert "rank 1 has ended with ValueError: a mistake" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--nnodes=2", "mpiexec --hostfile"),
        ("--nnodes=1:4", "of a fixed number"),
        ("--max-restarts=3", "resume from a distributed.checkpoint"),
        ("--redirects=3", "--redirects is not there"),
        ("--nproc-per-node=many", "expected a number"),
        ("--nproc-per-node=0", "expected a number"),
    ],
)
def test_what_it_has_not_is_told(
    options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run.command([options, "train.py"])
    assert message in capsys.readouterr().err


def test_the_command_is_that_of_mpiexec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MASTER_PORT", "1234")
    options = [
        "--nproc-per-node",
        "3",
        "--rdzv_backend=c10d",
        "-m",
        "package.train",
        "--epochs",
        "3",
    ]
    line, environment = run.command(options)
    assert line[1:3] == ["-n", "3"]
    assert line[-6:] == [sys.executable, "-u", "-m", "package.train", "--epochs", "3"]
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["MASTER_PORT"] == "1234"
    line, _ = run.command(["--no-python", "./a.out", "b"])
    assert line[-2:] == ["./a.out", "b"]
