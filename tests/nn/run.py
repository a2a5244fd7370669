"""Run a case with tabgrad or PyTorch, whose names are the same, and sum up what comes out."""

from __future__ import annotations

import math
import warnings
from typing import Any

from tests.nn.cases import Case, integers, numbers, parsed, summary

PAIRS = ("Triplet", "CosineEmbedding", "MarginRanking")
"""Losses whose second input has a gradient."""


def fill(lib: Any, module: Any, device: Any) -> None:
    """Give parameters and buffers numbers drawn from their names."""
    state = {}
    for key, old in module.state_dict().items():
        values = numbers(key, math.prod(old.shape))
        if key.endswith("num_batches_tracked"):
            values = [3.0] * len(values)
        elif key.endswith("running_var"):
            values = [abs(v) + 0.5 for v in values]
        t = lib.tensor(values, dtype=old.dtype, device=device)
        state[key] = t.reshape(tuple(old.shape))
    module.load_state_dict(state)


def inputs(lib: Any, case: Case, device: Any) -> list[Any]:
    made = []
    for i, spec in enumerate(case.inputs):
        below, shape = parsed(spec)
        count = math.prod(shape)
        if below:
            x = lib.tensor(integers(f"input {i}", count, below), device=device).reshape(shape)
            if "GaussianNLL" in case.module or "MultiLabel" in case.module:
                x = x.to(lib.float32)
            elif "CosineEmbedding" in case.module:
                x = x * 2 - 1
        else:
            x = lib.tensor(numbers(f"input {i}", count), device=device).reshape(shape)
            if i == 1 and "BCE" in case.module:
                x = (x + 1) / 2
            elif i == 1 and "CrossEntropy" in case.module:
                x = (x + 1) / 8
            elif (i, case.module[3:9]) in ((2, "Margin"), (1, "HingeE")):
                x = lib.where(x > 0, 1.0, -1.0)
            elif i == 0 or "Loss" not in case.module or any(k in case.module for k in PAIRS):
                x.requires_grad_()
        made.append(x)
    return made


def plain(x: Any) -> tuple[list[Any], tuple[int, ...]]:
    return x.detach().reshape(-1).tolist(), tuple(x.shape)


def run(lib: Any, case: Case, device: Any = "cpu") -> dict[str, Any]:
    """Return the printed module, and summaries of output, gradients and changed buffers."""
    nn = lib.nn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = eval(case.module, {"nn": nn}).to(device)
        module.train(case.train)
        fill(lib, module, device)
        given = inputs(lib, case, device)
        fed = [x * 1 if "inplace" in case.module else x for x in given]
        if case.module.startswith("nn.Multihead") and case.inputs[1].startswith("5x2"):
            mask = lib.tensor([[False] * 4 + [True], [False] * 5], device=device)
            out = module(*fed, key_padding_mask=mask)
        else:
            out = module(*fed)
    y = out if case.pick is None else out[case.pick]
    results: dict[str, Any] = {"output": summary(*plain(y))}
    if case.repr:
        results["repr"] = repr(module)
    if y.requires_grad:
        flat = y.reshape(-1)
        weights = lib.tensor(numbers("cotangent", flat.shape[0]), device=device)
        (flat * weights).sum().backward()
        for i, x in enumerate(given):
            if x.grad is not None:
                results[f"grad of input {i}"] = summary(*plain(x.grad))
        for key, p in module.named_parameters():
            if p.grad is not None:
                results[f"grad of {key}"] = summary(*plain(p.grad))
    if case.train:
        for key, b in module.named_buffers():
            results[f"buffer {key}"] = summary(*plain(b))
    return results
