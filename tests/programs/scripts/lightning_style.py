# a small framework of one's own: logging, metrics, callbacks, meters
import logging
from functools import partial
from typing import Any, Callable, Dict, List, Optional

import torch
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset


class Callback:
    def on_epoch_end(self, trainer: "Trainer", logs: Dict[str, float]) -> None: ...


class History(Callback):
    def __init__(self) -> None:
        self.rows: List[Dict[str, float]] = []

    def on_epoch_end(self, trainer, logs):
        self.rows.append(logs)


class Accuracy(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("correct", torch.tensor(0.0))
        self.register_buffer("total", torch.tensor(0.0))

    @torch.no_grad()
    def update(self, preds: Tensor, target: Tensor) -> None:
        self.correct += (preds.argmax(-1) == target).sum()
        self.total += target.numel()

    def compute(self) -> Tensor:
        return self.correct / self.total

    def reset(self):
        self.correct.zero_()
        self.total.zero_()


class LitModel(nn.Module):
    def __init__(self, act: Callable[[], nn.Module] = partial(nn.LeakyReLU, 0.1)):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), act(), nn.Linear(8, 3))
        self.acc = Accuracy()
        for i, p in enumerate(self.parameters()):
            nn.init._no_grad_fill_(p, 0.05) if hasattr(nn.init, "_no_grad_fill_") else p.data.fill_(0.05)
            with torch.no_grad():
                p.add_(torch.cos(torch.arange(p.numel()) + i).view_as(p), alpha=0.3)

    def forward(self, x):
        return self.net(x)

    def step(self, batch):
        x, y = batch
        out = self(x)
        self.acc.update(out, y)
        return nn.functional.cross_entropy(out, y)

    def configure_optimizers(self):
        opt = optim.AdamW(self.parameters(), lr=0.02)
        return opt, optim.lr_scheduler.OneCycleLR(opt, max_lr=0.05, steps_per_epoch=3, epochs=3)


class Trainer:
    def __init__(self, epochs: int, callbacks: Optional[List[Callback]] = None, device: Any = "auto"):
        if device == "auto":
            device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
        self.epochs, self.callbacks, self.device = epochs, callbacks or [], torch.device(device)

    def fit(self, model, loader):
        model.to(self.device)
        opt, sched = model.configure_optimizers()
        for epoch in range(self.epochs):
            running = 0.0
            model.train()
            for batch in loader:
                batch = tuple(t.to(self.device) for t in batch)
                loss = model.step(batch)
                opt.zero_grad()
                loss.backward()
                opt.step()
                sched.step()
                running += loss.detach()
            logs = {"loss": (running / len(loader)).item(), "acc": model.acc.compute().item(), "lr": sched.get_last_lr()[0]}
            model.acc.reset()
            for cb in self.callbacks:
                cb.on_epoch_end(self, logs)


logging.getLogger("trainer").info("start")
x = torch.sin(torch.arange(96.0) * 0.77).view(24, 4)
ds = TensorDataset(x.cpu(), (x.sum(1) > 0).long().cpu() + (x[:, 0] > 0.5).long().cpu())
history = History()
Trainer(3, [history]).fit(LitModel(), DataLoader(ds, batch_size=8))
for row in history.rows:
    print({k: round(v, 4) for k, v in row.items()})
