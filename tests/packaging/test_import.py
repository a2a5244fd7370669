"""What `import tabgrad` loads, and that it needs nothing but itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.web.inside.test_start import BYTES, MODULES

DEVICE_LIBRARIES = ["wgpu", "cupy", "js", "pyodide", "tabgrad_native"]


def python(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_no_device_library() -> None:
    loaded = python(
        "import sys, tabgrad; print(*{name.partition('.')[0] for name in sys.modules})"
    ).split()
    assert "tabgrad" in loaded
    assert not set(loaded) & set(DEVICE_LIBRARIES)


def test_lowering_and_the_rooms_that_few_need_are_loaded_when_used() -> None:
    loaded = python("import sys, tabgrad; print(*sys.modules)").split()
    late = ("lower", "nn", "optim", "func", "exporting", "hosts.device", "hosts.reference", "utils")
    assert not [x for x in late for name in loaded if f"{name}.".startswith(f"tabgrad.{x}.")]


def test_it_loads_no_more_than_a_page_may_wait_for() -> None:
    script = (
        "import os, sys, tabgrad; "
        "loaded = [m for n, m in sys.modules.items() if n.partition('.')[0] == 'tabgrad']; "
        "print(len(loaded), sum(os.path.getsize(m.__file__) for m in loaded))"
    )
    modules, size = map(int, python(script).split())
    assert modules <= MODULES
    assert size <= BYTES, "let what few need be imported late: tensor/late.py"


def test_processes_are_imported_when_a_loader_asks_for_some() -> None:
    loaded = python(
        "import sys, tabgrad as tg; loader = tg.utils.data.DataLoader([1, 2], collate_fn=list); list(loader); "
        "print(*sys.modules)"
    ).split()
    assert "tabgrad.utils.data.loader" in loaded
    assert not {"multiprocessing", "socket", "tabgrad.utils.data.worker"} & set(loaded)


def test_import_needs_no_numpy() -> None:
    assert (
        python("import sys; sys.modules['numpy'] = None; import tabgrad; print('fine')") == "fine"
    )


@pytest.mark.parametrize("name", ["nn", "optim", "func", "autograd", "linalg", "special"])
def test_the_public_packages_come_with_it(name: str) -> None:
    assert python(f"import tabgrad; print(tabgrad.{name}.__name__)") == f"tabgrad.{name}"
