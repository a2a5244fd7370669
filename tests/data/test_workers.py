"""Worker processes of a loader: order, copies, seeds, errors, ends."""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core import settings
from tabgrad.utils.data import (
    DataLoader,
    IterableDataset,
    get_worker_info,
    loader as loader_module,
)
from tests.data import examples
from tests.data.examples import Acting, Made, Shared, Uneven, as_they_are, load, throws

pytestmark = [
    pytest.mark.usefixtures("no_worker_is_left"),
    # on a machine with one core two workers are more than that
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


# Order


def test_batches_come_in_order_from_all_workers_every_time() -> None:
    for _ in range(20):
        batches = list(load(Uneven(), 3))
        assert [b[0].tolist() for b in batches] == [[i, i + 1, i + 2] for i in range(0, 24, 3)]
        pids = {p for b in batches for p in b[1].tolist()}
        assert len(pids) == 2
        assert os.getpid() not in pids


@pytest.mark.parametrize("options", [
    {"prefetch_factor": 1}, {"prefetch_factor": 50}, {"num_workers": 1}, {"num_workers": 3},
    {"drop_last": True}, {"persistent_workers": True}, {"timeout": 60}, {"batch_size": None},
    {"batch_size": 100}, {"sampler": [5, 3, 3, 1, 0]}, {"shuffle": True}, {"collate_fn": max},
    {"batch_size": 1, "batch_sampler": [[4, 0], [1], [2, 3, 5]]},
], ids=str)  # fmt: skip
def test_batches_are_those_that_the_caller_would_make(options: dict[str, Any]) -> None:
    def seen(batch: Any) -> Any:
        return batch[0] if isinstance(batch[0], int) else batch[0].tolist()

    here = {k: v for k, v in options.items()
            if k not in ("num_workers", "prefetch_factor", "persistent_workers", "timeout")}  # fmt: skip
    options = {"batch_size": 5, **options}
    tg.manual_seed(3)
    made = load(Uneven(22), **options)
    first = [seen(b) for b in made]
    tg.manual_seed(3)
    assert first == [seen(b) for b in DataLoader(Uneven(22), **{"batch_size": 5, **here})]
    assert len(first) == len(made)


def test_the_quick_ones_first_where_order_does_not_matter() -> None:
    class Late(Uneven):
        def __getitem__(self, i: int) -> int:  # type: ignore[override]
            time.sleep(0.3 * (i == 0))
            return i

    assert [b.tolist() for b in load(Late(5), 1, in_order=False, prefetch_factor=1)] == [
        [1],
        [2],
        [3],
        [4],
        [0],
    ]


def test_so_many_batches_are_made_ahead_and_no_more() -> None:
    asked: list[int] = []

    class Order:
        def __iter__(self) -> Iterator[int]:
            for i in range(20):
                asked.append(i)
                yield i

        def __len__(self) -> int:
            return 20

    it = iter(load(Uneven(), None, sampler=Order(), prefetch_factor=3))
    assert len(asked) == 6
    for k in range(4):
        assert next(it)[0] == k
        assert len(asked) == 7 + k


def test_they_are_made_while_the_caller_does_something_else() -> None:
    it = iter(load(Made(lambda: time.sleep(0.2)), None))
    time.sleep(0.6)
    began = time.monotonic()
    assert list(it) == [None, None]
    assert time.monotonic() - began < 0.2


@pytest.mark.parametrize(("sizes", "options", "expected"), [  # as PyTorch 2.13 gives them
    ((5, 5), {}, [[0, 1], [100, 101], [2, 3], [102, 103], [4], [104]]),
    ((5, 5), {"drop_last": True}, [[0, 1], [100, 101], [2, 3], [102, 103]]),
    ((5, 5), {"batch_size": None}, [0, 100, 1, 101, 2, 102, 3, 103, 4, 104]),
    ((1, 7), {}, [[0], [100, 101], [102, 103], [104, 105], [106]]),
    ((1, 7), {"drop_last": True}, [[100, 101], [102, 103], [104, 105]]),
    ((0, 4), {"prefetch_factor": 1}, [[100, 101], [102, 103]]),
    ((7, 1), {"batch_size": None}, [0, 100, 1, 2, 3, 4, 5, 6]),
    ((4, 4, 1), {"persistent_workers": True}, [[0, 1], [100, 101], [200], [2, 3], [102, 103]]),
    ((0, 0), {}, []),
])  # fmt: skip
def test_examples_shared_out_among_workers(
    sizes: tuple[int, ...], options: dict[str, Any], expected: list[Any]
) -> None:
    made = load(Shared(*sizes), **{"num_workers": len(sizes), **options})
    for _ in range(2):
        assert [b if isinstance(b, int) else b.tolist() for b in made] == expected


def test_examples_not_shared_out_come_once_from_each() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

    assert list(load(Stream(), None)) == [0, 0, 1, 1, 2, 2]


def test_persistent_workers_stay_and_others_go() -> None:
    for keep in (True, False):
        made = load(Uneven(8), 2, persistent_workers=keep)
        passes = [[b[1].tolist() for b in made] for _ in range(2)]
        assert (passes[0] == passes[1]) == keep
        assert len(multiprocessing.active_children()) == 2 * keep
    made = load(Uneven(), 2, persistent_workers=True)
    for _ in range(3):
        it = iter(made)
        assert [next(it)[0].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    assert [i for b in made for i in b[0].tolist()] == list(range(24))
    del it, made


# What a worker is


def test_workers_draw_their_own_numbers_and_the_seed_repeats_them() -> None:
    def run(seed: int) -> list[Any]:
        tg.manual_seed(seed)
        made = load(Made(examples.draws, 4), None)
        return [sorted(made), sorted(made)]

    first, again, other = run(0), run(0), run(1)
    assert first == again
    assert first[0] != first[1]
    assert first != other
    drawn = [n for one_pass in first for example in one_pass for n in example[2:]]
    assert len(set(drawn)) == len(drawn)
    (zero, base, *_), last = first[0][0], first[0][-1]
    assert (zero, *last[:2]) == (0, 1, base + 1)


def test_the_seed_is_drawn_from_the_loaders_generator() -> None:
    def run(seed: int) -> list[Any]:
        return list(load(Made(examples.draws), None, generator=tg.Generator().manual_seed(seed)))

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_persistent_workers_go_on_drawing() -> None:
    made = load(Made(examples.draws), None, persistent_workers=True)
    assert [d[2:] for d in made] != [d[2:] for d in made]


def test_a_worker_knows_itself_and_begins_on_the_cpu_with_fresh_modes() -> None:
    data = Made(examples.where)
    with tg.device("webgpu"), tg.no_grad():
        found = sorted(load(data, None, worker_init_fn=examples.scales), key=lambda f: f[2])
    assert found == [["cpu", True, 0, 2, 100], ["cpu", True, 1, 2, 101]]
    assert data.n == 2
    assert get_worker_info() is None


# Errors


@pytest.mark.parametrize(("error", "kind"), [
    (ValueError("no"), ValueError), (KeyError("k"), KeyError), (IndexError("out"), IndexError),
    (tg.ShapeError("sizes"), tg.ShapeError), (examples.TwoParts(1, 2), RuntimeError),
    (StopIteration(3), RuntimeError), (type("Local", (Exception,), {})("here"), RuntimeError),
    (UnicodeDecodeError("ascii", b"x", 0, 1, "why"), RuntimeError),
])  # fmt: skip
def test_an_error_has_its_type_and_the_workers_traceback(error: Any, kind: Any) -> None:
    it = iter(load(Acting(throws(error))))
    assert next(it).tolist() == [0, 1]
    with pytest.raises(kind) as caught:
        next(it)
    assert type(caught.value) is kind
    assert "in DataLoader worker process 1.\nOriginal Traceback" in str(caught.value)
    assert "in act\n    raise error\n" in str(caught.value)
    assert next(it).tolist() == [4, 5]
    assert list(it) == []


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration("s")])
def test_without_workers_too_the_next_batch_comes_after_an_error(error: Exception) -> None:
    it = iter(DataLoader(Acting(throws(error)), 2))
    next(it)
    with pytest.raises((ValueError, RuntimeError)):
        next(it)
    assert [b.tolist() for b in it] == [[4, 5]]


def test_what_cannot_be_sent_is_an_error() -> None:
    it = iter(load(Acting(lambda: lambda: 0), None, num_workers=1))
    assert [next(it), next(it)] == [0, 1]
    with pytest.raises(Exception, match=r"(?s)in DataLoader worker process 0.*this one can't be"):
        next(it)
    assert list(it) == [3, 4, 5]


def test_an_error_at_the_beginning() -> None:
    with pytest.raises(ValueError, match="worker 0 can't begin"):
        list(load(Uneven(), worker_init_fn=examples.fails_to_begin))

    class Broken(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            raise ValueError("no examples")

    with pytest.raises(ValueError, match="no examples"):
        list(load(Broken()))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_order_is_raised_in_its_turn(workers: int) -> None:
    def order() -> Iterator[int]:
        yield from (4, 3, 2)
        raise ValueError("no more")

    it = iter(DataLoader(Uneven(), None, sampler=order(), num_workers=workers))
    assert [next(it)[0] for _ in range(3)] == [4, 3, 2]
    with pytest.raises(ValueError, match=r"^no more$"):
        next(it)


@pytest.mark.parametrize(("act", "how"), [
    (examples.leaves, "with exit code 7"), (examples.is_killed, "by signal 9"),
    (throws(SystemExit(3)), "with exit code 3"),
])  # fmt: skip
@pytest.mark.parametrize("others", [0.0, 30.0])
def test_a_worker_that_dies_is_named_at_once(
    act: Callable[[], Any], how: str, others: float
) -> None:
    """Whether the one whose turn it is has made its batch or not."""

    class Data(Acting):
        def __getitem__(self, i: int) -> Any:
            time.sleep(others * (i == 0))
            return super().__getitem__(i)

    began = time.monotonic()
    it = iter(load(Data(act)))
    for _ in range(2):
        with pytest.raises(RuntimeError, match=rf"worker 1 \(pid \d+\) exited unexpectedly, {how}"):
            list(it)
        assert not multiprocessing.active_children()
    assert time.monotonic() - began < 1.5


def test_too_slow() -> None:
    it = iter(load(Acting(lambda: time.sleep(30)), None, timeout=0.3))
    assert next(it) == 0
    assert next(it) == 1
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"timed out after 0\.3 seconds"):
        next(it)
    assert 0.25 < time.monotonic() - began < 1
    for process in multiprocessing.active_children():
        process.kill()  # sooner than the loader would


# Ends


def test_leaving_early_leaves_no_process() -> None:
    for _ in load(Uneven()):
        break
    assert not multiprocessing.active_children()
    it = iter(load(Uneven(), persistent_workers=True))
    next(it)
    assert len(multiprocessing.active_children()) == 2
    ring: list[Any] = [it]
    ring.append(ring)
    del it, ring
    gc.collect()
    assert not multiprocessing.active_children()


def test_nothing_stays_open() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not show the files of a process")
    list(load(Made(lambda: np.ones(1 << 20)), None))
    gc.collect()
    before = open_files()
    for _ in range(3):
        kept = list(as_they_are(Made(lambda: np.ones(1 << 20), 4)))
        assert len(kept) == 4
        gc.collect()
        assert open_files() == before


# Options


@pytest.mark.parametrize(("options", "kind", "message"), [
    ({"num_workers": -1}, ValueError, "num_workers option should be non-negative"),
    ({"num_workers": "1"}, TypeError, "str"),
    ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
    ({"prefetch_factor": 2}, ValueError, "prefetch_factor option could only be specified"),
    ({"num_workers": 1, "prefetch_factor": -1}, ValueError, "prefetch_factor option should be"),
    ({"num_workers": 1, "prefetch_factor": 0}, AssertionError, "prefetch_factor must be greater"),
    ({"num_workers": 1.5}, TypeError, "float"),
    ({"persistent_workers": True}, ValueError, "persistent_workers option needs num_workers > 0"),
    ({"multiprocessing_context": "fork"}, ValueError, "can only be used with multi-process loading"),
    ({"num_workers": 1, "multiprocessing_context": "no"}, ValueError, "valid start method"),
    ({"num_workers": 1, "multiprocessing_context": 3}, TypeError, "valid context object"),
    ({"timeout": 3}, AssertionError, "timeout needs num_workers > 0"),
])  # fmt: skip
def test_options_that_do_not_fit(options: dict[str, Any], kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        list(DataLoader([1, 2, 3], **options))


def test_what_a_loader_is_does_not_change() -> None:
    made = DataLoader([1, 2, 3], num_workers=1)
    assert (made.prefetch_factor, made.in_order, made.multiprocessing_context) == (2, True, None)
    for name in loader_module.FIXED:
        with pytest.raises(ValueError, match="should not be set after DataLoader is initialized"):
            setattr(made, name, 1)
    made.timeout = 5
    assert DataLoader([1]).prefetch_factor is None


def test_a_stream_of_empty_batches_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=0"):
        DataLoader(Shared(3), batch_size=0)


def test_what_it_warns_of() -> None:
    with pytest.warns(UserWarning, match="no pinned memory"):
        assert len(list(DataLoader([1], pin_memory=True, pin_memory_device="cuda"))) == 1


def test_more_workers_than_cores() -> None:
    with pytest.warns(UserWarning, match="will create 4096 worker processes"):
        DataLoader([1], num_workers=4096)


def test_a_browser_has_no_processes_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_module, "in_browser", lambda: True)
    settings.restore()
    tg.set_default_device("cpu")
    options: dict[str, Any] = {"num_workers": 4, "timeout": 3, "persistent_workers": True,
                               "prefetch_factor": 2, "multiprocessing_context": "fork"}  # fmt: skip
    made = DataLoader(Made(examples.pid, 3), None, **options)
    with pytest.warns(UserWarning, match="a browser has no processes"):
        assert list(made) == [os.getpid()] * 3
    assert list(made) == [os.getpid()] * 3
    assert list(DataLoader(Shared(2), None, **options)) == [0, 1]


def test_an_iterator_that_ended_stays_at_its_end() -> None:
    it = iter(load(Uneven(4)))
    assert len(list(it)) == 2
    assert list(it) == []
    assert weakref.ref(it)() is it
