import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import (
    BatchSampler, ConcatDataset, DataLoader, Dataset, IterableDataset, RandomSampler, Sampler, SequentialSampler, Subset,
    TensorDataset, WeightedRandomSampler, default_collate, random_split,
)


class FaceLandmarksDataset(Dataset):
    def __init__(self, n, transform=None):
        self.n, self.transform = n, transform

    def __len__(self):
        return self.n

    def __getitem__(self, idx):
        if torch.is_tensor(idx):
            idx = idx.tolist()
        sample = {"image": np.full((2, 3), idx, dtype=np.float32), "landmarks": [idx, idx + 0.5], "name": f"img{idx}"}
        return self.transform(sample) if self.transform else sample


class ToTensor:
    def __call__(self, sample):
        return {**sample, "image": torch.from_numpy(sample["image"].transpose((1, 0)))}


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, x):
        for t in self.transforms:
            x = t(x)
        return x


for i_batch, batch in enumerate(DataLoader(FaceLandmarksDataset(5, Compose([ToTensor()])), batch_size=2, shuffle=False)):
    print(i_batch, batch["image"].size(), batch["image"].sum().item(), batch["landmarks"], batch["name"])


class Stream(IterableDataset):
    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        return iter(range(7)) if info is None else iter(range(info.id, 7, info.num_workers))


class EvenFirst(Sampler):
    def __init__(self, source):
        self.source = source

    def __iter__(self):
        n = len(self.source)
        return iter([*range(0, n, 2), *range(1, n, 2)])

    def __len__(self):
        return len(self.source)


def collate(batch):
    xs, ys = zip(*batch)
    lengths = torch.tensor([len(x) for x in xs])
    return pad_sequence(xs, batch_first=True, padding_value=-1), lengths, torch.stack(ys)


print([b.tolist() for b in DataLoader(Stream(), batch_size=3, drop_last=True)])
words = [(torch.arange(k % 3 + 1), torch.tensor(k)) for k in range(5)]
for x, lengths, y in DataLoader(words, batch_size=3, collate_fn=collate, sampler=EvenFirst(words)):
    print(x.tolist(), lengths.tolist(), y.tolist())
data = TensorDataset(torch.arange(6).float().view(6, 1), torch.arange(6))
both = ConcatDataset([data, Subset(data, [0, 5])])
print(len(both), both[7], list(BatchSampler(SequentialSampler(both), 3, False)))
a, b = random_split(range(10), [7, 3], generator=torch.Generator().manual_seed(42))
print(len(a), len(b), sorted([*a, *b]))
weighted = list(WeightedRandomSampler([0.0, 1.0, 0.0], 4, replacement=True))
print(weighted, sorted(RandomSampler(range(4))), default_collate([(1, "a"), (2, "b")]))
loader = DataLoader(data, batch_size=4, shuffle=True, num_workers=0, pin_memory=False, worker_init_fn=None, persistent_workers=False)
print(len(loader), sum(y.sum().item() for _, y in loader), next(iter(loader))[0].shape)
