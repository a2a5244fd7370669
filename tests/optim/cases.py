"""Optimizers and schedules, as expressions of `optim`, and one small problem for all of them."""

from __future__ import annotations

import math
import warnings
from typing import Any

from tests.nn.cases import numbers

STEPS = 20

OPTIMIZERS = [
    "SGD(params, lr=0.1)",
    "SGD(params, lr=0.1, momentum=0.9)",
    "SGD(params, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)",
    "SGD(params, lr=0.05, momentum=0.9, dampening=0.3)",
    "SGD(params, lr=0.01, maximize=True)",
    "Adam(params, lr=0.05)",
    "Adam(params, lr=0.05, weight_decay=0.1, amsgrad=True)",
    "Adam(params, lr=0.05, betas=(0.5, 0.9), eps=1e-3)",
    "Adam(params, lr=0.05, maximize=True)",
    "AdamW(params, lr=0.05, weight_decay=0.2)",
    "NAdam(params, lr=0.05, weight_decay=0.1)",
    "NAdam(params, lr=0.05, weight_decay=0.1, decoupled_weight_decay=True)",
    "RAdam(params, lr=0.05, betas=(0.9, 0.99))",
    "RAdam(params, lr=0.05, weight_decay=0.1, decoupled_weight_decay=True)",
    "Adamax(params, lr=0.05, weight_decay=0.1)",
    "Adagrad(params, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.1)",
    "Adagrad(params, lr=0.1, weight_decay=0.1)",
    "Adadelta(params, lr=1.0, weight_decay=0.1)",
    "RMSprop(params, lr=0.02)",
    "RMSprop(params, lr=0.02, momentum=0.9, centered=True, weight_decay=0.1)",
    "Rprop(params, lr=0.02)",
    "ASGD(params, lr=0.1, lambd=0.01, t0=5, weight_decay=0.1)",
    "Adafactor(params, lr=0.1)",
    "Adafactor(params, lr=0.1, weight_decay=0.1, d=2.0, beta2_decay=-0.5)",
    "LBFGS(params, lr=0.3, max_iter=3)",
    "LBFGS(params, line_search_fn='strong_wolfe', max_iter=4, history_size=3)",
    "SGD([{'params': params[:1], 'lr': 0.1}, {'params': params[1:]}], lr=0.01, momentum=0.5)",
]

SCHEDULES = [
    "LambdaLR(optimizer, lambda epoch: 0.9 ** epoch)",
    "MultiplicativeLR(optimizer, lambda epoch: 0.95)",
    "StepLR(optimizer, 3, 0.5)",
    "MultiStepLR(optimizer, [2, 5, 5, 11], 0.5)",
    "ConstantLR(optimizer, 0.5, 4)",
    "LinearLR(optimizer, 0.2, 0.9, 7)",
    "ExponentialLR(optimizer, 0.9)",
    "PolynomialLR(optimizer, 12, 2.0)",
    "CosineAnnealingLR(optimizer, 6, 0.01)",
    "CosineAnnealingWarmRestarts(optimizer, 3, 2, 0.01)",
    "CosineAnnealingWarmRestarts(optimizer, 5)",
    "OneCycleLR(optimizer, 0.5, total_steps=20)",
    "OneCycleLR(optimizer, 0.5, epochs=5, steps_per_epoch=4, three_phase=True, anneal_strategy='linear')",
    "CyclicLR(optimizer, 0.01, 0.2, 3, 5)",
    "CyclicLR(optimizer, 0.01, 0.2, 3, mode='triangular2')",
    "CyclicLR(optimizer, 0.01, 0.2, 3, mode='exp_range', gamma=0.9, cycle_momentum=False)",
    "SequentialLR(optimizer, [s.ConstantLR(optimizer, 0.1, 3), s.ExponentialLR(optimizer, 0.9)], [4])",
    "SequentialLR(optimizer, [s.LinearLR(optimizer, 0.1, 1.0, 4), s.CosineAnnealingLR(optimizer, 9), "
    "s.StepLR(optimizer, 2)], [5, 12])",
    "ChainedScheduler([s.ConstantLR(optimizer, 0.1, 3), s.ExponentialLR(optimizer, 0.9)])",
    "ReduceLROnPlateau(optimizer, patience=1, cooldown=1, factor=0.5)",
    "ReduceLROnPlateau(optimizer, 'max', patience=0, threshold_mode='abs', threshold=0.3, min_lr=0.02)",
]

METRICS = [3, 2.5, 2.4, 2.6, 2.5, 2.45, 2.3, 2.3, 2.3, 2.3, 2.1, 2.2, 2.2, 2.2, 2.2, 1, 1, 1, 1, 1]


def drawn(lib: Any, name: str, shape: tuple[int, ...], device: Any, dtype: str) -> Any:
    flat = lib.tensor(numbers(name, math.prod(shape)), dtype=getattr(lib, dtype), device=device)
    return flat.reshape(shape).clone()


def parameters(lib: Any, device: Any = "cpu", dtype: str = "float32") -> list[Any]:
    shapes = {"a": (3, 4), "b": (3,)}
    return [drawn(lib, n, s, device, dtype).requires_grad_() for n, s in shapes.items()]


def loss_of(lib: Any, params: list[Any], device: Any = "cpu") -> Any:
    a, b = params
    dtype = repr(a.dtype).partition(".")[2]
    x, y = drawn(lib, "x", (5, 4), device, dtype), drawn(lib, "y", (5, 3), device, dtype)
    return (((x @ a.T + b).tanh() - y) ** 2).mean() + 0.1 * (a**4).sum() + 0.05 * (b * b).sum()


def make(lib: Any, case: str, params: list[Any]) -> Any:
    return eval(f"optim.{case}", {"optim": lib.optim, "params": params})


def trajectory(lib: Any, case: str, device: Any = "cpu", dtype: str = "float64") -> dict[str, Any]:
    """Return the losses of 20 steps, the parameters at the end, and the optimizer's state."""
    params = parameters(lib, device, dtype)
    optimizer = make(lib, case, params)
    losses = []
    for _ in range(STEPS):

        def closure() -> Any:
            optimizer.zero_grad()
            loss = loss_of(lib, params, device)
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).item())
    return {
        "losses": [round(x, 7) for x in losses],
        "params": [rounded(p) for p in params],
        "state": shown(optimizer.state_dict()["state"]) if "LBFGS" not in case else {},
    }


def rounded(t: Any) -> list[float]:
    return [round(float(x), 7) for x in t.detach().reshape(-1).tolist()]


def shown(state: Any) -> dict[str, Any]:
    """Return tensors and numbers of a state alike, by parameter number."""
    out: dict[str, Any] = {}
    for i, own in state.items():
        out[str(i)] = {
            k: rounded(v) if hasattr(v, "reshape") else [round(float(v), 7)]
            for k, v in own.items()
            if v is not None
        }
    return out


def rates(lib: Any, case: str, device: Any = "cpu") -> list[list[float]]:
    """Return learning rates and momentums of two groups under a schedule."""
    params = parameters(lib, device)
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.3}]
    optimizer = lib.optim.SGD(groups, lr=0.1, momentum=0.7)
    s = lib.optim.lr_scheduler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = eval(f"s.{case}", {"s": s, "optimizer": optimizer})
        seen = []
        for metric in METRICS:
            row = [g[k] for g in optimizer.param_groups for k in ("lr", "momentum")]
            seen.append([round(float(x), 9) for x in row])
            optimizer.step()
            scheduler.step(metric) if "Plateau" in case else scheduler.step()
    return seen


# -- states ----------------------------------------------------------------------------------------


def told(x: Any) -> Any:
    """Return a part of a state dict as JSON has it, tensors with their shape and dtype."""
    if hasattr(x, "detach"):
        dtype = repr(x.dtype).partition(".")[2]
        numbers = [float(f"{v:.9g}") for v in x.detach().reshape(-1).tolist()]
        return {"tensor": numbers, "shape": list(x.shape), "dtype": dtype}
    if isinstance(x, dict):
        return {"dict": [[k, told(v)] for k, v in x.items()]}
    if isinstance(x, list | tuple):
        return {type(x).__name__: [told(v) for v in x]}
    return x


def untold(lib: Any, x: Any, device: Any) -> Any:
    """Return what `told` was given, its tensors as those of `lib`; numbers of no shape lie on the CPU."""
    if not isinstance(x, dict):
        return x
    if "tensor" in x:
        where = device if x["shape"] else "cpu"
        flat = lib.tensor(x["tensor"], dtype=getattr(lib, x["dtype"]), device=where)
        return flat.reshape(x["shape"])
    if "dict" in x:
        return {k: untold(lib, v, device) for k, v in x["dict"]}
    ((kind, items),) = x.items()
    found = [untold(lib, v, device) for v in items]
    return tuple(found) if kind == "tuple" else found


def steps(lib: Any, params: list[Any], optimizer: Any, count: int, device: Any = "cpu") -> None:
    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(lib, params, device)
        loss.backward()
        return loss

    for _ in range(count):
        optimizer.step(closure)


def history(lib: Any, case: str) -> dict[str, Any]:
    """Return what an optimizer's state dict is at first and after 3 steps, and where 5 more lead."""
    params = parameters(lib)
    optimizer = make(lib, case, params)
    out = {"first": told(optimizer.state_dict())}
    steps(lib, params, optimizer, 3)
    out["then"] = told(optimizer.state_dict())
    out["there"] = [told(p) for p in params]
    steps(lib, params, optimizer, 5)
    out["last"] = [told(p) for p in params]
    return out


def schedule(lib: Any, case: str, kind: str) -> tuple[Any, Any]:
    """Return an optimizer of two groups, and a schedule of it."""
    params = parameters(lib)
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.3}]
    options = {"momentum": 0.7} if kind == "SGD" else {}
    optimizer = getattr(lib.optim, kind)(groups, lr=0.1, **options)
    s = lib.optim.lr_scheduler
    return optimizer, eval(f"s.{case}", {"s": s, "optimizer": optimizer})


def follow(optimizer: Any, scheduler: Any, case: str, metrics: list[float]) -> list[Any]:
    """Return rates and momentums after each of some steps of a schedule."""
    seen = []
    for metric in metrics:
        optimizer.step()
        scheduler.step(metric) if "Plateau" in case else scheduler.step()
        row = [[g["lr"], *g.get("betas", (g.get("momentum"),))] for g in optimizer.param_groups]
        seen.append([row, scheduler.get_last_lr()])
    return seen


def plan(lib: Any, case: str, kind: str) -> dict[str, Any]:
    """Return a schedule's state dict at first and after 9 steps, the groups then, the rates of all steps."""
    optimizer, scheduler = schedule(lib, case, kind)
    out = {"first": told(scheduler.state_dict())}
    rows = follow(optimizer, scheduler, case, METRICS[:9])
    out["then"] = told(scheduler.state_dict())
    out["groups"] = told(optimizer.state_dict()["param_groups"])
    out["rows"] = rows + follow(optimizer, scheduler, case, METRICS[9:])
    return out
