"""A part of a buffer is read where it lies: no kernel copies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.hosts.shared_buffers import place
from tests.grouped import grouped
from tests.lower import recorder

Part = Callable[[Any], Any]

BLOCKS: list[tuple[str, Part]] = [
    ("row", lambda x: x[1]), ("rows", lambda x: x[1:3]), ("row of rows", lambda x: x[2, 1:3]),
    ("reshaped", lambda x: x.reshape(6, 10)[2:4]), ("piece", lambda x: x.flatten()[7:19].reshape(3, 4)),
    ("one row", lambda x: x[1:2, :, None]), ("rows of rows", lambda x: x[1:][1:]),
    ("first axis of one", lambda x: x[2:3, 1:3]), ("line", lambda x: x[0, 3, 1:4]),
]  # fmt: skip
SINGLE: list[tuple[str, Part]] = [
    ("first", lambda x: x[0, 0, 0]), ("last", lambda x: x[-1, -1, -1]), ("flat", lambda x: x.flatten()[37]),
    ("kept axes", lambda x: x[1:2, 2:3, 3:4]), ("turned", lambda x: x.permute(2, 0, 1)[3, 1, 2]),
    ("mirrored", lambda x: x.flip(0, 2)[0, 1, 1]), ("stepped", lambda x: x[::2, 1::2, ::3][1, 1, 1]),
    ("expanded", lambda x: x[1, 2, 3].expand(4, 4)[2, 1]), ("window", lambda x: x.unfold(2, 3, 1)[1, 2, 2, 1]),
    ("turned and reshaped", lambda x: x.permute(2, 1, 0).reshape(10, 6)[7, 4]),
]  # fmt: skip
SCATTERED: list[tuple[str, Part]] = [
    ("column", lambda x: x[..., 1]), ("every other", lambda x: x[0, 0, ::2]),
    ("mirrored", lambda x: x[0, 0].flip(0)),
    ("turned", lambda x: x.permute(2, 0, 1)[3]), ("corner", lambda x: x[1, :2, :2]),
    ("padded", lambda x: tg.nn.functional.pad(x, (1, 1))[1]),
    ("repeated", lambda x: x[1, 2, 3].expand(4)),
]  # fmt: skip
SHAPE = (3, 4, 5)


@grouped("name, part", BLOCKS + SINGLE + SCATTERED, ids=lambda case: case[0])
def test_a_part_is_where_it_is_said_to_be(name: str, part: Part) -> None:
    where = recorder.device()
    with where:
        x = tg.tensor([float(i) for i in range(60)]).reshape(SHAPE)
        y = part(x)
    backend = where.backend
    found = place(backend.graph, y.value.id)
    of_all = tg.arange(60, device="cpu").reshape(SHAPE)
    want = part(of_all).flatten().tolist()
    if (name, part) in SCATTERED:
        assert found is None
        return
    assert found is not None
    leaf, start = found
    assert want == list(range(start, start + len(want)))
    assert backend.graph.buffer[leaf] is not None
    assert y.flatten().tolist() == want
    assert (backend.counters.dispatches, backend.counters.bytes_down) == (0, 4 * len(want))


def test_a_part_of_what_is_computed_is_one_kernel_with_it() -> None:
    where = recorder.device()
    with where:
        x = tg.tensor([float(i) for i in range(60)])
        step = tg.compile(lambda x: x - 1)
        step(x)
        for part in (lambda: (x + 1)[3], lambda: (x * 2).reshape(6, 10)[2], lambda: step(x)[5]):
            before = where.backend.counters.dispatches
            part().tolist()
            assert where.backend.counters.dispatches == before + 1


def test_parts_that_begin_within_a_word_are_copied() -> None:
    where = recorder.device("cuda", features=("float16",))
    with where:
        x = tg.zeros(40, dtype=tg.uint8).clone()
        x.tolist()
        before = where.backend.counters.dispatches
        assert x[8:12].tolist() == [0] * 4
        assert where.backend.counters.dispatches == before
        assert x[7:9].tolist() == [0] * 2
        assert where.backend.counters.dispatches > before


def test_parts_of_small_uploads_are_known() -> None:
    where = recorder.device()
    with where:
        for dtype in (tg.float32, tg.int32, tg.uint8, tg.bool):
            x = tg.tensor([[0, 1, 1], [1, 0, 1]], dtype=dtype)
            assert [x[1].tolist(), x[0, 1].item(), x.mT[2, 0].item()] == [[1, 0, 1], 1, 1]
        assert where.backend.counters.submits == 0


@pytest.mark.every_host
def test_parts_have_the_values_of_copies(device: str) -> None:
    with tg.device(device):
        for dtype in (
            tg.float32,
            tg.int32,
            tg.uint8,
            tg.bool,
            tg.bfloat16,
            tg.float16,
            tg.complex64,
        ):
            x = tg.tensor([float(i % 7) for i in range(60)]).reshape(SHAPE).to(dtype)
            x = x + x if dtype is not tg.bool else x
            for name, part in BLOCKS + SINGLE + SCATTERED:
                y = part(x)
                want = y.clone()
                assert (dtype, name, y.tolist()) == (dtype, name, want.tolist())


@pytest.mark.every_host
def test_a_part_that_is_kept_has_its_value_when_the_whole_is_changed(device: str) -> None:
    with tg.device(device):
        x = tg.arange(10.0) * 2
        kept, y = x[3].clone(), x[3]
        assert y.item() == 6.0
        x.add_(1)
        assert (kept.item(), y.item(), x[3].item(), x[3:5].tolist()) == (6.0, 7.0, 7.0, [7.0, 9.0])
