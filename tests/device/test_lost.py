"""A device that is lost, at any point: DeviceLostError at once, then the same bits on a new one."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import tabgrad as tg
from tests.device import losses, remains

pytestmark = pytest.mark.one_host("wgpu")

POINTS = {**losses.POINTS, **losses.SPELLINGS, "numpy": losses.after(lambda t: np.asarray(t.x))}
USES = {**remains.USES, "numpy": lambda o: o.x.numpy(), "array": lambda o: np.asarray(o.x)}


@pytest.mark.parametrize("name", POINTS)
def test_it_says_so_and_training_goes_on(device: str, name: str) -> None:
    t = losses.Training(device)
    t.begin()
    t.check_loss(POINTS[name])


@pytest.fixture(scope="module")
def old() -> remains.Old:
    made = remains.Old("webgpu")
    losses.lose()
    losses.check_raises(lambda: tg.ones(1, device="webgpu").sin().item())
    return made


@pytest.mark.parametrize("name", USES)
def test_each_use_of_what_is_gone_says_so(device: str, old: remains.Old, name: str) -> None:
    tg.ones(1, device=device).item()
    losses.check_raises(lambda: USES[name](old))
    losses.lose()
    losses.check_raises(lambda: tg.ones(1, device=device).sin().item())
    losses.check_raises(lambda: USES[name](old))


@pytest.mark.parametrize("name", remains.HARMLESS)
def test_what_needs_no_value_goes_on(device: str, old: remains.Old, name: str) -> None:
    remains.HARMLESS[name](old)


@pytest.mark.parametrize("name", remains.WRITES)
def test_a_tensor_that_is_written_whole_is_there_again(device: str, name: str) -> None:
    remains.check_write(device, remains.WRITES[name])


def test_a_compiled_function_is_captured_anew_after_each_loss(device: str) -> None:
    """A loss is no cause that counts against it, and no capture of a device that is gone is kept."""
    f = tg.compile(lambda a: (a * 2).sum())
    for n in range(10):
        for size in (2, 3):
            x = tg.ones(size, device=device)
            assert [f(x).item() for _ in range(3)] == [2.0 * size] * 3
        assert f.traces == 2 * (n + 1)
        assert sum(len(known.entries) for known in f.known.values()) == 2
        losses.lose()
        losses.check_raises(lambda x=x: f(x).item())


@pytest.mark.parametrize("how", ["destroyed", "closed"])
def test_it_is_lost_while_threads_read(device: str, how: str) -> None:
    """Each hears of it at once, whatever it was in the middle of; nobody reads a buffer that is gone."""
    for _ in range(5):
        said: list[BaseException] = []

        def read(errors: list[BaseException]) -> None:
            try:
                while True:
                    (tg.tensor([1.0, 2.0], device=device) * 2).cumsum(0).sum().item()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=read, args=(said,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.04)
        host = tg.device("webgpu").backend.host
        start = time.perf_counter()
        if how == "destroyed":
            host._device.destroy()
        else:
            host.close()
        while len(said) < 3 and time.perf_counter() - start < 10:
            # a thread that was between two reads has connected again: it goes on
            time.sleep(0.01)
            if tg.device("webgpu")._backend is not None and time.perf_counter() - start > 0.2:
                tg.device("webgpu").backend.host.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
        assert [type(e) for e in said] == [tg.DeviceLostError] * 3, said
    assert tg.ones(2, device=device).sum().item() == 2
