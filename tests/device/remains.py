"""What programs do with tensors of a device that was lost; imported inside Pyodide too."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad import nn
from tests.device.losses import Training, check_raises, lose


class Old:
    """Tensors of a device, a graph, and what has captured them; all of it used once while it was there."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.t = t = Training(device)
        self.x = t.x
        self.w = t.last
        self.ids = tg.tensor([0, 2], device=device)
        self.seven = tg.full((), 7.0, device=device)
        self.unread = t.x * 2 + 1
        self.view = t.x[1:, ::2]
        self.closure = tg.compile(lambda a: (a * self.x).sum())
        self.argument = tg.compile(lambda a: (a * 2).sum())
        self.module = tg.compile(t.net)
        for _ in range(3):
            self.closure(self.new()).item()
            self.argument(self.x).item()
            self.module(self.new()).tolist()
            t.compiled().item()
        self.grads = [p.grad for p in t.net.parameters()]
        self.loss, self.read = ((t.net(t.x) ** 2).mean() for _ in range(2))
        self.read.item()

    def new(self, *shape: int) -> Any:
        return tg.ones(*(shape or (5, 8)), device=self.device)

    def with_grads(self) -> Any:
        for p, g in zip(self.t.net.parameters(), self.grads, strict=True):
            p.grad = g
        return self.t.opt


def print_it(o: Old) -> None:
    print(o.x, file=io.StringIO())


def set_item(o: Old) -> None:
    o.x[0] = 1.0


def set_item_of_new(o: Old) -> None:
    o.new()[0] = o.x[0]


def clip(o: Old) -> None:
    o.with_grads()
    nn.utils.clip_grad_norm_(o.t.net.parameters(), 1.0)


USES: dict[str, Callable[[Old], Any]] = {
    "unary op": lambda o: o.x.exp(),
    "op with a number": lambda o: o.x + 1,
    "op with a new one": lambda o: o.x * o.new(),
    "op of a new one": lambda o: o.new() * o.x,
    "matmul": lambda o: o.new(4, 5) @ o.x,
    "reduction": lambda o: o.x.sum(0),
    "op of a constant": lambda o: o.seven + 1,
    "op of a view": lambda o: o.view + 1,
    "op of what was not read": lambda o: o.unread + 1,
    "cat": lambda o: tg.cat([o.new(), o.x]),
    "where": lambda o: tg.where(o.new() > 0, o.new(), o.x),
    "in place": lambda o: o.x.add_(1),
    "in place of a view": lambda o: o.view.mul_(2),
    "in place by an old one": lambda o: o.new().add_(o.x),
    "setitem": set_item,
    "setitem of a new one": set_item_of_new,
    "copy_ from it": lambda o: o.new().copy_(o.x),
    "view": lambda o: o.x[0],
    "reshape": lambda o: o.x.reshape(-1),
    "transpose": lambda o: o.x.T,
    "iteration": lambda o: list(o.x),
    "item": lambda o: o.read.item(),
    "item of a constant": lambda o: o.seven.item(),
    "float": lambda o: float(o.read),
    "truth": lambda o: bool(o.read),
    "tolist": lambda o: o.x.tolist(),
    "tolist of a view": lambda o: o.view.tolist(),
    "tolist of what was not read": lambda o: o.unread.tolist(),
    "print": print_it,
    "repr": lambda o: repr(o.x),
    "repr of a parameter": lambda o: repr(o.w),
    "format": lambda o: f"{o.read:.3f}",
    "equal": lambda o: tg.equal(o.x, o.new()),
    "allclose": lambda o: tg.allclose(o.new(), o.x),
    "index of it": lambda o: o.x[tg.tensor([0, 1], device=o.device)],
    "index by it": lambda o: o.new()[o.ids],
    "mask by it": lambda o: o.new()[o.x > 0],
    "nonzero": lambda o: o.x.nonzero(),
    "unique": lambda o: o.x.unique(),
    "sort": lambda o: o.x.sort(),
    "clone": lambda o: o.x.clone(),
    "to another device": lambda o: o.x.to("cpu"),
    "to another dtype": lambda o: o.x.to(tg.int32),
    "cpu": lambda o: o.x.cpu(),
    "deepcopy": lambda o: copy.deepcopy(o.x),
    "deepcopy of a module": lambda o: copy.deepcopy(o.t.net),
    "pickle": lambda o: pickle.dumps(o.x),
    "save": lambda o: tg.save({"x": o.x}, io.BytesIO()),
    "save of a module": lambda o: tg.save(o.t.net.state_dict(), io.BytesIO()),
    "save of an optimizer": lambda o: tg.save(o.t.opt.state_dict(), io.BytesIO()),
    "snapshot": lambda o: tg.utils.recovery.Snapshot(o.t.net),
    "compiled, captured it": lambda o: o.closure(o.new()),
    "compiled, takes it": lambda o: o.argument(o.x),
    "compiled for the first time": lambda o: tg.compile(lambda a: a + 1)(o.x),
    "compiled module": lambda o: o.module(o.new()),
    "compiled step": lambda o: o.t.compiled(),
    "module": lambda o: o.t.net(o.new()),
    "module of an old input": lambda o: nn.Linear(8, 2, device=o.device)(o.x),
    "module to the cpu": lambda o: copy.copy(o.t.net).to("cpu"),
    "optimizer step": lambda o: o.with_grads().step(),
    "clip_grad_norm_": clip,
    "backward": lambda o: o.loss.backward(retain_graph=True),
    "autograd.grad": lambda o: tg.autograd.grad(o.loss, [o.w], retain_graph=True),
    "backward into an old parameter": lambda o: (o.w * 2).sum().backward(),
    "func.grad": lambda o: tg.func.grad(lambda a: (a**2).sum())(o.x),
    "func.grad of new ones with old": lambda o: tg.func.grad(lambda a: (a * o.x).sum())(o.new()),
    "func.functional_call": lambda o: tg.func.functional_call(
        o.t.net, dict(o.t.net.named_parameters()), (o.new(),)
    ),
    "jvp": lambda o: tg.func.jvp(tg.sin, (o.x,), (o.new(),)),
    "vmap": lambda o: tg.vmap(lambda a: a * 2)(o.x),
    "vmap beside it": lambda o: tg.vmap(lambda a: a * o.x)(o.new()),
    "checkpoint": lambda o: tg.utils.checkpoint.checkpoint(tg.sin, o.x, use_reentrant=False),
    "as tensor of another dtype": lambda o: tg.as_tensor(o.x, dtype=tg.int32),
    "tensor of it": lambda o: tg.tensor(o.x),
    "fill_ of a view": lambda o: o.view.fill_(0),
    "copy_ into a view": lambda o: o.view.copy_(o.new(4, 4)),
    "out of a view": lambda o: tg.add(o.new(4, 4), 1, out=o.view),
    "fill_ by it": lambda o: o.new().fill_(o.seven),
    "like it, then with it": lambda o: tg.zeros_like(o.x) + o.x,
    "module loads it": lambda o: nn.Linear(8, 4, device=o.device).load_state_dict(
        {"weight": o.w, "bias": o.t.net[-1].bias}
    ),
}

WRITES: dict[str, Callable[[Any], Any]] = {
    "fill_": lambda x: x.fill_(3),
    "copy_": lambda x: x.copy_(tg.full((5, 8), 3.0, device=x.device)),
    "out": lambda x: tg.add(tg.ones(5, 8, device=x.device), 2, out=x),
    "random numbers": lambda x: x.uniform_(3, 3),
}
"""What gives an old tensor a value that is there, whole: it can be used again, and so can its views."""

HARMLESS: dict[str, Callable[[Old], Any]] = {
    "shape": lambda o: (o.x.shape, o.x.dtype, o.x.device, o.x.numel(), o.x.requires_grad, len(o.x)),
    "like it": lambda o: tg.zeros_like(o.x).tolist(),
    "state_dict": lambda o: o.t.net.state_dict(),
    "zero_grad": lambda o: o.t.opt.zero_grad(),
    "train": lambda o: o.t.net.eval().train(),
    "compiled, of new ones": lambda o: o.argument(o.new()).item(),
    "repr of a module": lambda o: (repr(o.t.net), repr(o.t.opt)),
    "identity": lambda o: (o.x is o.t.x, hash(o.x), {o.x: 1}),
}


def check_write(device: str, write: Callable[[Any], Any]) -> None:
    """Lose a tensor and write to it: it has the values written, as have its views; nothing else is there."""
    x = tg.ones(5, 8, device=device)
    view, detached, other = x[1:, ::2], x.detach(), x * 2
    other.tolist()
    lose()
    check_raises(lambda: other.tolist())
    write(x)
    for seen in (x, view, detached):
        assert set(seen.flatten().tolist()) == {3.0}
    check_raises(lambda: other.tolist())
