"""What crosses between a loader and its workers: indices there, batches and errors back."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import threading
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad import nn
from tabgrad.utils.data import (
    ConcatDataset,
    DataLoader,
    RandomSampler,
    TensorDataset,
    default_convert,
    random_split,
)
from tests.data import examples
from tests.data.examples import Holding, Made, Uneven, as_they_are, load

pytestmark = [
    pytest.mark.usefixtures("no_worker_is_left"),
    # on a machine with one core two workers are more than that
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


# Order
# What crosses


DTYPES = (
    tg.float64, tg.float32, tg.float16, tg.bfloat16, tg.complex64, tg.int64, tg.uint8, tg.bool,
)  # fmt: skip


@pytest.mark.parametrize("shape", [(), (0, 3), (3, 2), (700, 1000)])
def test_tensors_arrive_as_they_were(shape: tuple[int, ...]) -> None:
    def make() -> Any:
        rows = tg.arange(int(np.prod(shape))).reshape(shape).remainder(100)
        plain = [rows.to(dtype) for dtype in DTYPES]
        return [*plain, *(x[None, ::2].mT if shape else x for x in plain)]

    (got,) = load(Made(make, 1), None, num_workers=1)
    for x, y in zip(got, make(), strict=True):
        assert (x.dtype, x.shape, x.device) == (y.dtype, y.shape, y.device)
        assert tg.equal(x, y)
        x.fill_(0)


def test_parameters_arrive_as_parameters() -> None:
    (got,) = load(Made(lambda: {"many": [nn.Parameter(tg.ones(2))]}, 1), None, num_workers=1)
    assert type(got["many"][0]) is nn.Parameter
    assert got["many"][0].requires_grad


def test_an_array_that_is_written_to_later_arrives_as_it_was() -> None:
    held = np.zeros(300_000)

    def make() -> Any:
        held[:] += 1
        return held, held[:3]

    assert [(a.min(), a.max(), b.tolist()) for a, b in as_they_are(Made(make, 5))] == [
        (k, k, [k] * 3) for k in range(1, 6)
    ]  # fmt: skip


def test_a_new_process_gets_all_that_a_data_set_may_hold() -> None:
    rows = TensorDataset(tg.arange(6.0).reshape(3, 2), tg.arange(3))
    first, second = random_split(rows, [2, 1], generator=tg.Generator().manual_seed(0))
    data = Holding(
        tensors=rows, subset=first, concat=ConcatDataset([second, first]), sampler=RandomSampler(range(3)),
        module=nn.Sequential(nn.Linear(2, 3), nn.ReLU()), parameter=nn.Parameter(tg.ones(2)),
        generator=tg.Generator().manual_seed(7), bfloat16=tg.ones(2, dtype=tg.bfloat16),
    )  # fmt: skip
    here = default_convert(data[0])
    data.held["generator"].manual_seed(7)
    for method in ("spawn", "fork"):
        context = multiprocessing.get_context(method)
        (there,) = DataLoader(data, None, num_workers=1, multiprocessing_context=context)
        assert there == here


def test_what_fails_while_a_new_process_makes_its_data_set_is_said() -> None:
    made = DataLoader(examples.Unwilling(), num_workers=1, multiprocessing_context="spawn")
    with pytest.raises(LookupError, match=r"(?s)worker process 0.*no file here"):
        next(iter(made))


def test_long_lists_of_indices_do_not_wait_for_each_other() -> None:
    assert list(load(range(500_000), 125_000, collate_fn=len)) == [125_000] * 4


def test_two_loaders_at_once() -> None:
    made = zip(load(Uneven(6)), load(range(6)), strict=True)
    assert [(a[0].tolist(), b.tolist()) for a, b in made] == [([i, i + 1],) * 2 for i in (0, 2, 4)]


def test_what_cannot_be_pickled_for_a_new_process_is_said() -> None:
    with pytest.raises(Exception, match="pickle") as caught:
        iter(DataLoader(Uneven(), collate_fn=lambda b: b, num_workers=1,
                        multiprocessing_context="spawn"))  # fmt: skip
    assert "define them at the top of a module" in caught.value.__notes__[0]


class Unpicklable:
    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


class Unloadable:
    def __reduce__(self) -> Any:
        return int, ("not to be loaded",)


def test_an_index_that_can_not_be_sent_is_an_error_in_its_turn() -> None:
    made = iter(load(range(9), sampler=[0, 1, 2, 3, 4, Unpicklable(), 6, 7], num_workers=1))
    assert [next(made).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(TypeError, match="not to be pickled"):
        next(made)
    with pytest.raises(StopIteration):
        next(made)


def test_an_index_that_can_not_be_loaded_is_an_error_of_the_worker() -> None:
    made = iter(load(range(9), sampler=[0, 1, 2, Unloadable(), 4, 5], num_workers=1))
    assert next(made).tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"(?s)worker process 0.*not to be loaded"):
        next(made)
    assert next(made).tolist() == [4, 5]


def test_a_tensor_with_a_history_is_refused() -> None:
    w = tg.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"(?s)worker process 0.*detach"):
        next(iter(load(Made(lambda: w * 2, 2))))
    (got,) = load(Made(lambda: w, 1), None, num_workers=1)
    assert got.requires_grad


def test_an_iterator_knows_how_many_batches_there_are() -> None:
    made = iter(load(range(7)))
    assert len(made) == 4
    assert [b.tolist() for b in made] == [[0, 1], [2, 3], [4, 5], [6]]


def test_threads_may_share_an_iterator() -> None:
    made = iter(load(range(50), 1))
    got: list[int] = []

    def take() -> None:
        for batch in made:
            got.append(batch.item())

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got) == list(range(50))


def test_an_iterator_is_not_copied() -> None:
    loader = load(range(4), persistent_workers=True)
    assert len(list(loader)) == 2
    with pytest.raises(NotImplementedError, match="copied"):
        copy.deepcopy(loader)
    gc.collect()
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3]]
