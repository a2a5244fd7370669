"""Data sets, samplers, collation, loaders."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)  # fmt: skip


@pytest.fixture(autouse=True)
def on_cpu() -> Any:
    tg.set_default_device("cpu")
    yield
    tg.set_default_device(None)


class Squares(Dataset[Any]):
    def __getitem__(self, index: int) -> Any:
        return index, float(index * index)

    def __len__(self) -> int:
        return 5


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


def pairs(n: int = 7) -> TensorDataset:
    return TensorDataset(tg.arange(n).reshape(n, 1), tg.arange(n) * 10)


def test_batches_in_order() -> None:
    batches = list(DataLoader(pairs(), batch_size=3))
    assert [b[0].shape for b in batches] == [(3, 1), (3, 1), (1, 1)]
    assert batches[1][1].tolist() == [30, 40, 50]
    assert len(DataLoader(pairs(), batch_size=3)) == 3
    assert len(list(DataLoader(pairs(), batch_size=3, drop_last=True))) == 2
    assert len(DataLoader(pairs(), batch_size=3, drop_last=True)) == 2


def test_shuffling_is_seeded_and_complete() -> None:
    def once(seed: int) -> list[int]:
        tg.manual_seed(seed)
        return [i for _, y in DataLoader(pairs(50), batch_size=8, shuffle=True) for i in y.tolist()]

    assert sorted(once(0)) == [10 * i for i in range(50)]
    assert once(0) == once(0)
    assert once(0) != once(1)
    loader = DataLoader(pairs(50), batch_size=50, shuffle=True)
    assert next(iter(loader))[1].tolist() != next(iter(loader))[1].tolist()
    mine = [
        [
            i
            for (i,) in DataLoader(
                TensorDataset(tg.arange(9)), None, True, generator=tg.Generator()
            )
        ]
        for _ in range(2)
    ]
    assert [int(i) for i in mine[0]] == [int(i) for i in mine[1]]


def test_rows_of_one_batch_belong_together() -> None:
    for x, y in DataLoader(Subset(pairs(), [6, 2, 4, 1]), batch_size=2, shuffle=True):
        assert (x[:, 0] * 10).tolist() == y.tolist()


def test_negative_indices() -> None:
    loader = DataLoader(pairs(), batch_sampler=[[-2, -1], [0, 1], [3, 1]])
    assert [y.tolist() for _, y in loader] == [[50, 60], [0, 10], [30, 10]]


def test_examples_and_streams() -> None:
    (index, square), *_ = DataLoader(Squares(), batch_size=2)
    assert index.tolist() == [0, 1]
    assert square.dtype is tg.float64  # as PyTorch
    assert list(DataLoader(Squares(), batch_size=None)) == [[i, float(i * i)] for i in range(5)]
    assert [b.tolist() for b in DataLoader(Stream(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader(Stream(), 2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(DataLoader(Stream(), batch_size=None)) == [0, 1, 2, 3, 4]
    assert [b for b in DataLoader(Squares(), 2, collate_fn=len)] == [2, 2, 1]


def test_whole_batches_at_once() -> None:
    class Whole(Squares):
        def __getitems__(self, indices: list[int]) -> list[Any]:
            return [i + 100 for i in indices]

    assert [b.tolist() for b in DataLoader(Whole(), 4)] == [[100, 101, 102, 103], [104]]


def test_collate() -> None:
    Point = namedtuple("Point", "x y")
    made = default_collate([
        {"a": tg.ones(2), "b": [1, "one"], "c": Point(1.5, np.zeros(2))},
        {"a": tg.zeros(2), "b": [2, "two"], "c": Point(2.5, np.ones(2))},
    ])  # fmt: skip
    assert made["a"].tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert made["b"][0].tolist() == [1, 2]
    assert made["b"][1] == ("one", "two")
    assert made["c"].x.tolist() == [1.5, 2.5]
    assert made["c"].y.shape == (2, 2)
    with pytest.raises(TypeError, match="found object"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1], [1, 2]])


def test_combinations() -> None:
    both = Squares() + Squares()
    assert isinstance(both, ConcatDataset)
    assert len(both) == 10
    assert both[7] == (2, 4.0)
    assert both[-1] == (4, 16.0)
    with pytest.raises(IndexError, match="out of range"):
        both[10]
    assert list(Stream() + Stream()) == [0, 1, 2, 3, 4] * 2
    assert isinstance(Stream() + Stream(), ChainDataset)
    assert StackDataset(Squares(), Squares())[2] == ((2, 4.0), (2, 4.0))
    assert StackDataset(a=Squares())[1] == {"a": (1, 1.0)}
    with pytest.raises(AssertionError, match="size mismatch"):
        TensorDataset(tg.zeros(2), tg.zeros(3))


def test_random_split() -> None:
    tg.manual_seed(0)
    parts = random_split(range(11), [0.5, 0.5])
    assert [len(p) for p in parts] == [6, 5]
    assert sorted(i for p in parts for i in p) == list(range(11))
    again = random_split(range(11), [4, 7], generator=tg.Generator().manual_seed(3))
    twin = random_split(range(11), [4, 7], generator=tg.Generator().manual_seed(3))
    assert list(again[0]) == list(twin[0])
    with pytest.raises(ValueError, match="Sum of input lengths"):
        random_split(range(11), [4, 4])


def test_samplers() -> None:
    tg.manual_seed(0)
    assert sorted(RandomSampler(range(4), num_samples=8)) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(list(RandomSampler(range(4), replacement=True, num_samples=9))) == 9
    assert sorted(SubsetRandomSampler([3, 5, 7])) == [3, 5, 7]
    drawn = Counter(WeightedRandomSampler([0.0, 1.0, 3.0], 4000))
    assert drawn[0] == 0
    assert 2.4 < drawn[2] / drawn[1] < 3.6
    assert sorted(WeightedRandomSampler([1, 0, 2], 2, replacement=False)) == [0, 2]
    with pytest.raises(ValueError, match="without replacement"):
        WeightedRandomSampler([1, 0, 2], 3, replacement=False)
    with pytest.raises(ValueError, match="batch_size=0"):
        BatchSampler(range(3), 0, False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shuffle": True, "sampler": [0]}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler option"),
        ({"batch_size": None, "drop_last": True}, "drop_last"),
        ({"num_workers": -1}, "non-negative"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataLoader(Squares(), **options)
    with pytest.raises(ValueError, match="IterableDataset"):
        DataLoader(Stream(), shuffle=True)


def test_samplers_need_no_numpy() -> None:
    program = (
        "import sys; sys.modules['numpy'] = None\n"
        "from tabgrad.utils.data import DataLoader\n"
        "print(sum(len(b) for b in DataLoader(range(9), 2, True, collate_fn=list)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "9\n"


def test_examples_without_batches_are_converted() -> None:
    """What PyTorch's `default_convert` makes of each."""
    Pair = namedtuple("Pair", "a b")

    class Rows(list[Any]):
        pass

    one, text = np.ones(1), np.array(["a"])
    examples = [
        one, text, "s", b"b", 3, None, {"k": one}, Pair(one, 2), (one, 2), [one, "x"], Rows([one]),
        OrderedDict(k=one), defaultdict(int, k=one), range(2), np.float32(3),
    ]  # fmt: skip
    loader = tg.utils.data.DataLoader(examples, batch_size=None)  # type: ignore[arg-type]
    found = list(loader)
    kinds = [
        tg.Tensor, np.ndarray, str, bytes, int, type(None), dict, Pair, list, list, Rows,
        OrderedDict, defaultdict, list, tg.Tensor,
    ]  # fmt: skip
    assert [type(x) for x in found] == kinds
    assert found[0].dtype is tg.float64
    assert [type(x) for x in (found[6]["k"], found[7].a, found[8][0], found[10][0])] == [
        tg.Tensor
    ] * 4
    assert found[12]["absent"] == 0
    assert (found[13], found[14].item()) == ([0, 1], 3.0)


def test_batches_keep_the_types_of_containers() -> None:
    rows = [OrderedDict(k=1.0), OrderedDict(k=2.0)]
    batch = tg.utils.data.default_collate(rows)
    assert type(batch) is OrderedDict
    assert batch["k"].tolist() == [1.0, 2.0]
    assert type(tg.utils.data.default_collate([(1, 2), (3, 4)])) is list
    counted = tg.utils.data.default_collate([defaultdict(int, k=1)] * 2)
    assert (type(counted), counted["absent"]) == (defaultdict, 0)


@pytest.mark.parametrize("order", [None, [0, 1, 2, 3, 4, 5], [3, 1, 5, 0, 2, 4], range(6)])
def test_a_batch_is_a_copy(order: Any) -> None:
    x = tg.arange(6.0)
    data = Subset(TensorDataset(x), range(6))
    for batch in DataLoader(data, 2, sampler=order):
        batch[0].mul_(10)
    assert x.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("order", [range(8), [4, 5, 6, 7], [0, 7], [6]])
def test_rows_that_are_not_there(order: Any) -> None:
    loader = DataLoader(TensorDataset(tg.arange(6.0)), 4, sampler=order)
    with pytest.raises(IndexError):
        list(loader)


def test_an_iterator_knows_how_many_batches_there_are() -> None:
    loader = DataLoader(range(7), 2)  # type: ignore[arg-type]
    assert len(iter(loader)) == 4  # type: ignore[arg-type]
    assert len(iter(DataLoader(range(7), None))) == 7  # type: ignore[arg-type]


def test_what_is_collated() -> None:
    """As PyTorch collates it."""
    words = default_collate([np.str_("a"), np.str_("b")])
    assert words == ["a", "b"]
    assert default_collate([range(2)] * 2)[1].tolist() == [1, 1]
    assert type(default_collate([deque([1, 2])] * 2)) is deque
    assert default_collate([2.5, 1]).dtype is tg.float64
    assert default_collate([1, 2.5]).dtype is tg.float32
    assert default_collate([np.float32(3)] * 2).dtype is tg.float32
    assert default_collate([True, False]).dtype is tg.bool
    for refused in (np.array(["a"]), None, 1j):
        with pytest.raises(TypeError, match="default_collate"):
            default_collate([refused])


@pytest.mark.parametrize(("make", "error"), [
    (lambda: WeightedRandomSampler([-1.0, 2.0], 3), RuntimeError),
    (lambda: WeightedRandomSampler([1.0, float("nan")], 3), RuntimeError),
    (lambda: WeightedRandomSampler([[1.0], [2.0]], 3), ValueError),
    (lambda: WeightedRandomSampler([1.0], 3, replacement=5), ValueError),  # type: ignore[arg-type]
    (lambda: RandomSampler(range(3), replacement=5), ValueError),  # type: ignore[arg-type]
    (lambda: BatchSampler(range(3), 2, drop_last=5), ValueError),  # type: ignore[arg-type]
    (lambda: list(ChainDataset([[1]])), AssertionError),
])  # fmt: skip
def test_what_is_no_option(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_many_examples_at_once_through_what_stands_around_a_data_set() -> None:
    asked: list[list[int]] = []

    class AtOnce(Dataset[int]):
        def __getitem__(self, i: int) -> int:
            raise AssertionError("one by one")

        def __getitems__(self, indices: list[int]) -> list[int]:
            asked.append(indices)
            return [10 * i for i in indices]

        def __len__(self) -> int:
            return 4

    both = StackDataset(AtOnce(), Subset(AtOnce(), [3, 2, 1, 0]))
    assert list(DataLoader(both, 3, collate_fn=list)) == [[(0, 30), (10, 20), (20, 10)], [(30, 0)]]
    assert asked == [[0, 1, 2], [3, 2, 1], [3], [0]]
    named = StackDataset(a=AtOnce(), b=[5, 6, 7, 8])  # type: ignore[arg-type]
    assert list(DataLoader(named, 4, collate_fn=list)) == [
        [{"a": 10 * i, "b": 5 + i} for i in range(4)]
    ]
