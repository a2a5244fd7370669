"""`python -m tabgrad run` and `check`."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

import tabgrad as tg
from tabgrad import __main__ as command
from tabgrad.pytorch import ipython, notebooks


def tabgrad(*args: str, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tabgrad", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


SCRIPT = """\
import sys
import torch
from torch import nn
from beside import value

if __name__ == "__main__":
    print(sys.argv[1:], torch.full((2,), value), nn.Linear.__name__, torch.zeros(1).device)
    sys.exit(len(sys.argv))
"""


def test_a_script_runs_as_python_runs_it(tmp_path: pathlib.Path) -> None:
    here = tmp_path / "a folder"
    here.mkdir()
    (here / "beside.py").write_text("value = 3.0")
    (here / "script.py").write_text(SCRIPT)
    done = tabgrad("run", "a folder/script.py", "--lr", "1", "-m", cwd=tmp_path)
    assert done.stdout == "['--lr', '1', '-m'] tensor([3., 3.]) Linear cpu\n", done.stderr
    assert (done.returncode, done.stderr) == (4, "")
    asked = tabgrad("run", "-m", "script", "x", cwd=here)
    assert (asked.returncode, asked.stdout[:5]) == (2, "['x']"), asked.stderr
    given = tabgrad("run", "-c", "import torch, sys; print(torch.ones(1), sys.argv)", "a", cwd=here)
    assert given.stdout == "tensor([1.]) ['-c', 'a']\n", given.stderr


def test_what_is_missing_is_told_before_it_runs(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("import torch\nprint('trains')\n\ntorch.nn.Linaer(1, 2)\n")
    done = tabgrad("run", "script.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "trains\n")
    first, second, *_, last = done.stderr.splitlines()
    assert first == "script.py:4: torch.nn.Linaer is missing; the nearest is 'Linear'"
    assert second == "Traceback (most recent call last):"
    assert last.endswith("module 'torch.nn' has no attribute 'Linaer'; the nearest is 'Linear'")
    assert 'File "script.py", line 4' in done.stderr
    assert "running.py" not in done.stderr
    strict = tabgrad("run", "--strict", "script.py", cwd=tmp_path)
    assert (strict.returncode, strict.stdout, strict.stderr) == (1, "", first + "\n")


WORKERS = """\
import torch
from torch.utils.data import DataLoader, Dataset

class Squares(Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, i):
        return torch.tensor(i) ** 2

if __name__ == "__main__":
    loader = DataLoader(Squares(), batch_size=2, num_workers=1, multiprocessing_context="spawn")
    print([batch.tolist() for batch in loader], __name__)
"""


def test_processes_of_a_program_run_under_the_alias(tmp_path: pathlib.Path) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    done = tabgrad("run", "workers.py", cwd=tmp_path)
    assert done.stdout == "[[0, 1], [4, 9]] __main__\n", done.stderr
    assert done.returncode == 0


NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": ["# Lecture"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "!pip install torch\n", "import torch"]},
        {"cell_type": "code", "source": "%%bash\nls"},
        {"cell_type": "code", "source": "text = '''\n%d\n''' % 5\nif text:\n    !ls\nfiles = !ls *.py\ntext"},
        {"cell_type": "code", "source": "import asyncio\nawait asyncio.sleep(0)\ntorch.ones(2)\n"},
        {"cell_type": "code", "source": "torch.ones(3);"},
        {"cell_type": "code", "source": "x = 1\ntorch.nothing"},
    ]
}  # fmt: skip


def test_a_notebook_runs_cell_by_cell(tmp_path: pathlib.Path) -> None:
    (tmp_path / "lecture.ipynb").write_text(json.dumps(NOTEBOOK))
    done = tabgrad("run", "lecture.ipynb", cwd=tmp_path)
    assert done.stdout == "'\\n5\\n'\ntensor([1., 1.])\n", done.stderr
    assert done.stderr.startswith("lecture.ipynb[6]:2: torch.nothing is missing")
    assert 'File "lecture.ipynb[6]", line 2' in done.stderr
    assert "    torch.nothing" in done.stderr
    assert done.returncode == 1


def test_a_notebook_displays_where_ipython_is_absent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        "from IPython.display import HTML, clear_output, display as show\n", "import IPython\n",
        "clear_output(wait=True)\n", "assert IPython.get_ipython() is None\n",
        "show('text', display_id=True).update(2)\n", "display(HTML('<b>'))\n",
    ]  # fmt: skip
    book = {"cells": [{"cell_type": "code", "source": lines}]}
    before = {name: m for name, m in sys.modules.items() if name.partition(".")[0] == "IPython"}
    for name in before:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(ipython, "find_spec", lambda name: None)
    try:
        notebooks.run(notebooks.cells(json.dumps(book), "live.ipynb"), {})
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "IPython"]:
            del sys.modules[name]
    assert capsys.readouterr().out == "text\n2\n<IPython.core.display.HTML object>\n"


def test_check_lists_what_is_missing(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, none = (tmp_path / name for name in ("good.py", "bad.py", "none.ipynb"))
    good.write_text("import torch\ntorch.zeros(3)\n")
    bad.write_text("import torch\ntorch.linspaec(3)\ntorch.linspaec(4)\n")
    none.write_text("{}")
    assert command.main(["check", str(good)]) == 0
    assert capsys.readouterr().out == f"{good}: 2 names of torch, 0 missing\n"
    assert command.main(["check", "--all", str(good)]) == 0
    assert f"  {good}:2: torch.zeros\n" in capsys.readouterr().out
    assert command.main(["check", str(good), str(bad)]) == 1
    assert capsys.readouterr().out.endswith(
        f"{bad}: 2 names of torch, 1 missing\n  {bad}:2: torch.linspaec is missing; "
        "the nearest is 'linspace' (also 3)\n"
    )
    assert command.main(["check", str(none)]) == 1
    assert "is no notebook" in capsys.readouterr().err
    assert command.main(["check", str(tmp_path / "absent.py")]) == 1
    assert "absent.py" in capsys.readouterr().err


def test_help_and_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--version"])
    assert capsys.readouterr().out == f"tabgrad {tg.__version__}\n"
    assert command.main(["run", "--help"]) == 0
    assert "usage: python -m tabgrad run" in capsys.readouterr().out
    assert command.main(["run"]) == 2
    assert command.main(["run", "--nonsense", "a.py"]) == 2
    assert command.main(["run", "-c"]) == 2
    assert "expected what to run" in capsys.readouterr().err
    assert command.main(["run", "no such file.py"]) == 1
    assert "no such file.py" in capsys.readouterr().err


def test_a_program_is_read_from_stdin(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tabgrad", "run", "-", "a", "b"],
        input="import sys, torch; print(sys.argv, torch.arange(2))",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "['-', 'a', 'b'] tensor([0, 1])\n", done.stderr


SPAWNING = """
import torch, torch.multiprocessing as mp
def work(rank, x):
    if x is None and rank == 1:
        raise ValueError("no tensor")
    if x is None:
        import time
        time.sleep(60)
    open(f"out{rank}", "w").write(str(x + rank))
if __name__ == "__main__":
    mp.spawn(work, args=(torch.ones(2),), nprocs=2)
    context = mp.spawn(work, args=(torch.zeros(1),), nprocs=1, join=False)
    context.processes[0].join()  # it has ended before anybody waits
    while not context.join():
        pass
    try:
        mp.spawn(work, args=(None,), nprocs=2)
    except mp.ProcessRaisedException as error:
        print(error)
"""


def test_processes_of_spawn_end_together(tmp_path: pathlib.Path) -> None:
    (tmp_path / "program.py").write_text(SPAWNING)
    done = tabgrad("run", "program.py", cwd=tmp_path)
    assert (tmp_path / "out0").read_text() == "tensor([0.])", done.stderr
    assert (tmp_path / "out1").read_text() == "tensor([2., 2.])"
    assert "process 1 raised" in done.stdout
    assert "ValueError: no tensor" in done.stdout
