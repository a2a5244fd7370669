"""What programs do with a device, in small: a model in training, and much beside that."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

import tabgrad as tg
from tabgrad import nn


class Workload:
    """A model in training, eager and compiled, and what programs do beside that."""

    def __init__(self, device: str) -> None:
        self.device = device
        rng = np.random.default_rng(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).to(device)
        self.start = [rng.standard_normal(p.shape).astype("float32") for p in self.net.parameters()]
        self.opt = tg.optim.SGD(self.net.parameters(), lr=0.1)
        self.x = tg.tensor(rng.standard_normal((5, 8)).astype("float32"), device=device)
        self.y = tg.tensor(rng.standard_normal((5, 4)).astype("float32"), device=device)
        self.compiled_step = tg.compile(self.step)
        self.n = 0
        self.sum = self.x.sum().item()
        self.want = [self.after(self.eager), self.after(self.compiled)]

    def step(self) -> Any:
        self.opt.zero_grad()
        loss = ((self.net(self.x) - self.y) ** 2).mean()
        loss.backward()
        self.opt.step()
        return loss.detach()

    def eager(self) -> None:
        self.step().item()

    def compiled(self) -> None:
        self.compiled_step().item()

    def ahead(self) -> None:
        for _ in range(5):
            self.compiled_step()

    def habit(self) -> None:
        for _ in range(4):
            self.compiled_step().item()
        self.compiled_step()
        self.sum = self.x.sum().item()

    def compiling(self) -> None:
        self.n += 1
        n = self.n
        f = tg.compile(lambda a: (a * n).sin().sum() + (a @ a.T).max())
        f(tg.ones(3 + n % 50, 4, device=self.device)).item()

    def new_shape(self) -> None:
        self.n += 1
        x = tg.ones(3 + self.n, 4, device=self.device)
        (x.cumsum(0) * self.n).softmax(1).sum().item()

    def reading(self) -> None:
        self.x.tolist()
        (self.x + 1).numpy()
        tg.tensor(np.ones(10_000, "float32"), device=self.device).sum().item()

    def indexing(self) -> None:
        self.x[tg.tensor([0, 2], device=self.device)].sum().item()
        self.x[1:3, ::2].clone().tolist()

    def dropping(self) -> None:
        made = [tg.compile(lambda a, k=k: a * k) for k in range(5)]
        for f in made:
            f(self.x)
        del made  # weak references are called back

    def saving(self) -> None:
        tg.save(self.net.state_dict(), os.devnull)

    @property
    def all(self) -> list[Callable[[], None]]:
        return [self.eager, self.compiled, self.ahead, self.habit, self.compiling, self.new_shape, self.reading,
                self.indexing, self.dropping, self.saving]  # fmt: skip

    def state(self) -> list[Any]:
        return [p.detach().numpy() for p in self.net.parameters()]

    def after(self, step: Callable[[], None]) -> list[Any]:
        """The parameters after one step from the start."""
        with tg.no_grad():
            for p, value in zip(self.net.parameters(), self.start, strict=True):
                p.copy_(tg.tensor(value, device=self.device))
        step()
        return self.state()

    def check(self) -> None:
        """Everything goes on, to the same bits."""
        assert all(np.isfinite(p).all() for p in self.state())
        a = tg.arange(6.0, device=self.device).reshape(2, 3)
        assert ((a @ a.T) + 1).tolist() == [[6.0, 15.0], [15.0, 51.0]]
        assert self.x.sum().item() == self.sum
        self.new_shape()
        for step, want in zip((self.eager, self.compiled), self.want, strict=True):
            for got, p in zip(self.after(step), want, strict=True):
                assert (got == p).all()
