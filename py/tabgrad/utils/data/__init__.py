"""Data sets, samplers, and the loader that makes batches."""

import typing as _typing

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.utils.data.collate import (
    default_collate as default_collate,
    default_convert as default_convert,
)
from tabgrad.utils.data.dataset import (
    ChainDataset as ChainDataset,
    ConcatDataset as ConcatDataset,
    Dataset as Dataset,
    IterableDataset as IterableDataset,
    StackDataset as StackDataset,
    Subset as Subset,
    TensorDataset as TensorDataset,
    random_split as random_split,
)  # fmt: skip
from tabgrad.utils.data.distributed import DistributedSampler as DistributedSampler
from tabgrad.utils.data.fetching import get_worker_info as get_worker_info
from tabgrad.utils.data.loader import DataLoader as DataLoader
from tabgrad.utils.data.sampler import (
    BatchSampler as BatchSampler,
    RandomSampler as RandomSampler,
    Sampler as Sampler,
    SequentialSampler as SequentialSampler,
    SubsetRandomSampler as SubsetRandomSampler,
    WeightedRandomSampler as WeightedRandomSampler,
)  # fmt: skip

if not _typing.TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
