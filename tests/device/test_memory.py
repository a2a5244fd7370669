"""A device without enough memory: what fits is done, what does not is refused whole, and all else goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core import settings
from tabgrad.core.errors import LostValueError

pytestmark = pytest.mark.one_host("wgpu")
F = tg.nn.functional


def backend(device: str) -> Any:
    return tg.device(device).backend


@pytest.fixture
def scarce(device: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have the host refuse buffers above so many bytes; returns how often it was asked for one."""
    host = backend(device).host
    alloc, state = host._alloc, {"most": 1 << 40, "refused": 0, "times": 1 << 40}

    def refuse(command: Any) -> None:
        if command.nbytes > state["most"] and state["refused"] < state["times"]:
            state["refused"] += 1
            raise tg.OutOfMemoryError(f"no room for {command.nbytes} bytes")
        alloc(command)

    monkeypatch.setattr(host, "_alloc", refuse)
    return state


def test_what_is_spare_is_given_back_and_it_is_tried_again(device: str, scarce: Any) -> None:
    x = tg.arange(50_000.0, device=device)
    want = (x * 2).cumsum(0).tolist()
    (x * 3).tolist()
    scarce |= {"most": 100_000, "times": 1}
    assert (tg.arange(60_000.0, device=device) * 2).cumsum(0)[:50_000].tolist() == want
    assert scarce["refused"] == 1
    assert backend(device).pool.spare_bytes < 500_000


def test_the_rest_of_the_packet_is_as_before(device: str, scarce: Any) -> None:
    x = tg.arange(6.0, device=device)
    step = tg.compile(lambda v: v * 2 + 1)
    step(x).tolist()
    ahead = step(x)  # waits in the packet
    scarce["most"] = 100_000
    big = tg.ones(300, 300, device=device).cumsum(1)
    with pytest.raises(tg.OutOfMemoryError, match="no room for"):
        big.tolist()
    assert ahead.tolist() == [1, 3, 5, 7, 9, 11]
    assert step(x).tolist() == [1, 3, 5, 7, 9, 11]
    scarce["most"] = 1 << 40
    with pytest.raises(LostValueError, match="no room for"):
        big.tolist()
    assert tg.ones(300, 300, device=device).cumsum(1)[5, :3].tolist() == [1, 2, 3]


def test_values_that_never_were_computed_raise(device: str, scarce: Any) -> None:
    x = tg.ones(1 << 16, device=device)
    grow = tg.compile(lambda v: (v.cumsum(0), v + 1))
    small = tg.ones(4, device=device)
    grow(small)[0].tolist()
    grow(small)[0].tolist()
    scarce["most"] = 100_000
    wide = tg.ones(1 << 17, device=device)
    with pytest.raises(tg.OutOfMemoryError):
        grow(wide)[0].tolist()
    scarce["most"] = 1 << 40
    assert grow(small)[0].tolist() == [1, 2, 3, 4]
    assert x.sum().item() == 1 << 16
    assert grow(x)[0][-1].item() == 1 << 16


def test_an_upload_that_did_not_fit_is_lost_and_says_so(device: str, scarce: Any) -> None:
    tg.accelerator.empty_cache(device)
    scarce["most"] = 100_000
    x = tg.tensor(np.ones(1 << 16, "float32"), device=device)
    with pytest.raises(tg.OutOfMemoryError):
        x.sum().item()
    with pytest.raises(LostValueError, match="no room for"):
        x.sum().item()
    with pytest.raises(LostValueError, match="make it anew"):
        x.tolist()
    assert tg.arange(4.0, device=device).sum().item() == 6


@pytest.mark.parametrize("how", ["limit", "no room"])
def test_training_goes_on_with_a_smaller_batch(device: str, scarce: Any, how: str) -> None:
    """The step that did not fit is not done: parameters and optimizer are as before it."""
    tg.manual_seed(0)
    net = tg.nn.Sequential(tg.nn.Linear(8, 64), tg.nn.ReLU(), tg.nn.Linear(64, 4)).to(device)
    opt = tg.optim.Adam(net.parameters(), lr=1e-2)

    def step(x: Any) -> Any:
        opt.zero_grad()
        loss = (net(x).cumsum(0) ** 2).mean()
        loss.backward()
        opt.step()
        return loss.detach()

    small, big = tg.ones(16, 8, device=device), tg.ones(1 << 15, 8, device=device) * 2
    for _ in range(3):
        step(small).item()
    big.tolist()
    before = [p.tolist() for p in net.parameters()]
    if how == "limit":
        tg.accelerator.set_memory_limit(tg.accelerator.memory_allocated(device) + 500_000, device)
    else:
        tg.accelerator.empty_cache(device)
        scarce["most"] = 500_000
    try:
        with pytest.raises(tg.OutOfMemoryError):
            step(big).item()
        assert [p.tolist() for p in net.parameters()] == before
        opt.zero_grad()
        assert np.isfinite(step(small).item())
    finally:
        tg.accelerator.set_memory_limit(None, device)
    assert [p.tolist() for p in net.parameters()] != before
    assert {float(s["step"]) for s in opt.state.values()} == {4.0}


def test_a_step_inside_of_vmap_beside_what_has_no_room(device: str) -> None:
    def step(a: Any) -> Any:
        p = a.detach().clone().requires_grad_(True)
        p.grad = tg.ones(2, device=device)
        tg.optim.SGD([p], lr=0.5).step()
        return p.detach()

    big = tg.ones(1 << 17, device=device).cumsum(0)
    x = tg.ones(3, 2, device=device)
    tg.accelerator.set_memory_limit(tg.accelerator.memory_allocated(device) + 100_000, device)
    try:
        assert tg.vmap(step)(x).tolist() == [[0.5, 0.5]] * 3
    finally:
        tg.accelerator.set_memory_limit(None, device)
    assert big[-1].item() == 1 << 17


def test_a_limit_of_the_user(device: str) -> None:
    tg.accelerator.empty_cache(device)
    used = tg.accelerator.memory_allocated(device)
    tg.accelerator.set_memory_limit(used + (1 << 16), device)
    try:
        with pytest.raises(tg.OutOfMemoryError, match="limit"):
            tg.ones(1 << 16, device=device).cumsum(0).tolist()
        assert tg.arange(4.0, device=device).sum().item() == 6
    finally:
        tg.accelerator.set_memory_limit(None, device)
    assert tg.ones(1 << 16, device=device).cumsum(0)[-1].item() == 1 << 16
    assert "MiB" in tg.accelerator.memory_summary(device)


@pytest.mark.parametrize(
    "bad", [-1, "1", 1.5, True, float("nan"), float("inf"), [1], np.float32(2), np.True_]
)
def test_a_limit_is_a_whole_number_of_bytes(device: str, bad: Any) -> None:
    tg.accelerator.set_memory_limit(np.int64(1 << 40), device)
    kind = ValueError if bad == -1 else TypeError
    with pytest.raises(
        kind, match="set_memory_limit: expected bytes, a whole number from 0 on, or None, got"
    ):
        tg.accelerator.set_memory_limit(bad, device)
    assert "1,048,576.00 MiB" in tg.accelerator.memory_summary(device)  # as it was
    tg.accelerator.set_memory_limit(None, device)


def test_limit_and_peak_begin_anew_with_the_settings(device: str) -> None:
    default = tg.hosts.devices.chosen_device()
    big = tg.ones(1 << 18, device=device).cumsum(0)
    big.tolist()
    tg.accelerator.set_memory_limit(1, device)
    del big
    try:
        settings.restore()
    finally:
        tg.set_default_device(default)
    assert tg.accelerator.max_memory_allocated(device) == tg.accelerator.memory_allocated(device)
    assert tg.ones(1 << 16, device=device).cumsum(0)[-1].item() == 1 << 16


def test_the_cache_is_emptied(device: str) -> None:
    tg.ones(1 << 18, device=device).cumsum(0).tolist()
    tg.accelerator.empty_cache(device)
    assert tg.accelerator.memory_reserved(device) == tg.accelerator.memory_allocated(device)
    assert tg.accelerator.max_memory_allocated(device) >= 1 << 20
    tg.accelerator.reset_peak_memory_stats(device)
    assert tg.accelerator.max_memory_allocated(device) == tg.accelerator.memory_allocated(device)


HUGE = 2**33
FAMILIES = {
    "element-wise": lambda d: (tg.ones(HUGE, device=d) + 1).tolist(),
    "reduction": lambda d: tg.ones(2**40, device=d).sum().item(),
    "mean": lambda d: tg.ones(HUGE, device=d).mean().item(),
    "random": lambda d: tg.rand(HUGE, device=d).sum().item(),
    "outer": lambda d: (tg.ones(2**17, 1, device=d) * tg.ones(2**17, device=d)).sum().item(),
    "matmul": lambda d: (tg.ones(2**17, 2, device=d) @ tg.ones(2, 2**17, device=d)).tolist(),
    "expand": lambda d: tg.ones(1, device=d).expand(HUGE).clone().sum().item(),
    "cat": lambda d: tg.cat([tg.ones(2**31, device=d)] * 4)[-1].item(),
    "pad": lambda d: F.pad(tg.ones(3, device=d), (HUGE, 0)).sum().item(),
    "repeat": lambda d: tg.ones(6, device=d).repeat(2**32).sum().item(),
    "scan": lambda d: tg.ones(HUGE, device=d).cumsum(0)[-1].item(),
    "sort": lambda d: tg.ones(HUGE, device=d).sort()[0][0].item(),
    "index": lambda d: tg.ones(3, device=d)[tg.zeros(HUGE, dtype=tg.int32, device=d)].sum().item(),
    "eye": lambda d: tg.eye(2**20, device=d).sum().item(),
    "convolution": lambda d: F.conv1d(
        tg.ones(1, 1, HUGE, device=d), tg.ones(1, 1, 3, device=d)
    ).sum().item(),
    "one-hot": lambda d: F.one_hot(tg.zeros(2**17, dtype=tg.int32, device=d), 2**17).sum().item(),
    "read": lambda d: tg.ones(HUGE, device=d).numpy(),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_more_elements_than_a_device_numbers_are_refused(device: str, family: str) -> None:
    keep = tg.arange(6.0, device=device)
    with pytest.raises(tg.OutOfMemoryError, match="more than the 4,294,967,295"):
        FAMILIES[family](device)
    assert (keep * 2).tolist() == [0, 2, 4, 6, 8, 10]


KINDS = ["eager", "first call", "capture", "replay", "refused"]
WAYS = [(kind, how) for kind in KINDS for how in ("limit", "no room", "too large")]
# a plan that has run once has no buffer that is too large
WAYS.remove(("replay", "too large"))


@pytest.mark.parametrize(("kind", "how"), WAYS)
def test_a_step_without_room_has_not_been_done(
    device: str, scarce: Any, kind: str, how: str
) -> None:
    """Whatever runs the step: parameters, statistics, the optimizer's state and what Python counts are as
    before, and the steps after it have the bits they have without it."""

    def train(fails: bool) -> list[Any]:
        tg.manual_seed(0)
        net = tg.nn.Sequential(
            tg.nn.Linear(8, 64), tg.nn.BatchNorm1d(64), tg.nn.ReLU(), tg.nn.Linear(64, 4)
        ).to(device)
        one = tg.optim.NAdam(net[:2].parameters(), lr=1e-2)
        two = tg.optim.Adafactor(net[3].parameters(), lr=1e-2)
        outside = {"calls": 0}

        def step(x: Any) -> Any:
            one.zero_grad()
            two.zero_grad()
            if kind == "refused":
                outside["calls"] += 1
            loss = (net(x).cumsum(0) ** 2).mean()
            loss.backward()
            one.step()
            two.step()
            return loss.detach()

        run = step if kind == "eager" else tg.compile(step)
        small, big = tg.ones(16, 8, device=device), tg.ones(1 << 15, 8, device=device) * 2
        small, big = small + 0, big + 0
        big.tolist()
        if kind == "replay":
            run(big).item()
            run(big).item()
        for _ in range(0 if kind == "first call" else 3):
            run(small).item()

        def everything() -> list[Any]:
            states = [o.state_dict() for o in (one, two)]
            owns = [own for d in states for own in d["state"].values()]
            values = [*net.state_dict().values(), *[v for own in owns for v in own.values()]]
            return [v.tolist() if isinstance(v, tg.Tensor) else v for v in values]

        before = everything()
        if fails:
            with pytest.MonkeyPatch.context() as patch:
                tg.accelerator.empty_cache(device)
                if how == "limit":
                    used = tg.accelerator.memory_allocated(device)
                    tg.accelerator.set_memory_limit(used + 500_000, device)
                elif how == "no room":
                    scarce["most"] = 500_000
                else:
                    patch.setattr(backend(device).pool, "most", 500_000)
                    patch.setattr(backend(device), "plans", {})
                try:
                    with pytest.raises(tg.OutOfMemoryError):
                        run(big).item()
                    if how != "too large":
                        assert everything() == before
                finally:
                    tg.accelerator.set_memory_limit(None, device)
                    scarce["most"] = 1 << 40
            assert everything() == before
        for _ in range(3):
            run(small).item()
        return everything()

    assert train(True) == train(False)
