"""A trainer with callbacks, as small frameworks have it."""

from collections import defaultdict

import torch
import torch.nn as nn
from torch.utils.data import Dataset
from torch.utils.data.dataloader import DataLoader


class SortDataset(Dataset):
    def __init__(self, length=6, num_digits=3):
        self.length, self.num_digits = length, num_digits

    def __len__(self):
        return 32

    def __getitem__(self, idx):
        inp = (torch.arange(self.length) * (idx + 3) + idx // 2) % self.num_digits
        sol = torch.sort(inp)[0]
        cat = torch.cat((inp, sol), dim=0)
        x, y = cat[:-1].clone(), cat[1:].clone()
        y[: self.length - 1] = -1
        return x, y


class Trainer:
    def __init__(self, model, train_dataset, max_iters):
        self.model, self.train_dataset, self.max_iters = model, train_dataset, max_iters
        self.callbacks = defaultdict(list)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = self.model.to(self.device)

    def add_callback(self, onevent, callback):
        self.callbacks[onevent].append(callback)

    def run(self):
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-2)
        loader = DataLoader(
            self.train_dataset, batch_size=8, shuffle=False, pin_memory=True, num_workers=0
        )
        data_iter = iter(loader)
        self.model.train()
        for self.iter_num in range(self.max_iters):
            try:
                batch = next(data_iter)
            except StopIteration:
                data_iter = iter(loader)
                batch = next(data_iter)
            x, y = [t.to(self.device) for t in batch]
            logits = self.model(x)
            self.loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), y.flatten(), ignore_index=-1
            )
            self.model.zero_grad(set_to_none=True)
            self.loss.backward()
            self.optimizer.step()
            for callback in self.callbacks["on_batch_end"]:
                callback(self)


class Model(nn.Module):
    def __init__(self, vocab, width):
        super().__init__()
        self.emb = nn.Embedding(vocab, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, vocab)

    def forward(self, x):
        return self.head(self.rnn(self.emb(x))[0])


model = Model(3, 8)
with torch.no_grad():
    for i, p in enumerate(model.parameters()):
        p.copy_(torch.cos(torch.arange(p.numel()) * 1.7 + i).reshape(p.shape) * 0.4)


def report(trainer):
    if trainer.iter_num % 5 == 0:
        print(f"iter {trainer.iter_num}: train loss {trainer.loss.item():.5f}")


trainer = Trainer(model, SortDataset(), 16)
trainer.add_callback("on_batch_end", report)
trainer.run()
