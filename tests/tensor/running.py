"""Running a program of `cases.py` with either library, and its result as plain data."""

from __future__ import annotations

import ast
import warnings
from typing import Any

import numpy as np

from tests.tensor.cases import INPUTS


def environment(t: Any, device: str) -> dict[str, Any]:
    """Return the names a program finds."""
    env: dict[str, Any] = {"t": t, "np": np}
    for name, (dtype, numbers) in INPUTS.items():
        x = t.tensor(numbers, dtype=getattr(t, dtype), device=device)
        env[name] = x.requires_grad_() if name.isupper() else x
    return env


def execute(code: str, env: dict[str, Any]) -> Any:
    """Run all lines; return the value of the last one where it is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<case>", "exec"), env)
    return eval(compile(ast.Expression(last.value), "<case>", "eval"), env) if last else None  # type: ignore[arg-type]


def weights(n: int) -> list[float]:
    """Return the numbers a result is multiplied by before its gradients are taken."""
    return [((7 * i) % 5 - 1.5) / 2 for i in range(n)]


def floats(result: Any) -> list[Any]:
    """Return the tensors in a result that have a history."""
    if isinstance(result, tuple | list):
        return [x for part in result for x in floats(part)]
    return [result] if getattr(result, "requires_grad", False) and not result.is_leaf else []


def outcome(t: Any, code: str, device: str) -> dict[str, Any]:
    """Return what the program gives: a result and gradients, or the kind of error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = environment(t, device)
        try:
            result = execute(code, env)
            shown = plain(t, result)
        except Exception as error:
            # what PyTorch adds about its own stack is not the message
            message = str(error).partition("\nException raised from")[0]
            return {"error": kinds(error), "message": message}
        found: dict[str, Any] = {"result": shown}
        total: Any = None
        for y in floats(result):
            w = t.tensor(weights(y.numel()), dtype=y.dtype, device=device).reshape(tuple(y.shape))
            term = (y * w).sum()
            total = term if total is None else total + term
        if total is not None and total.grad_fn is not None:
            # inputs that lead nowhere keep None; a case that ran backward itself starts afresh
            for name in INPUTS:
                env0 = env[name]
                if name.isupper():
                    env0.grad = None
            try:
                total.backward()
            except RuntimeError as error:
                return found | {"no_gradients": str(error)}
            found["gradients"] = {
                name: plain(t, env[name].grad)
                for name in INPUTS
                if name.isupper() and env[name].grad is not None
            }
    return found


def kinds(error: Exception) -> list[str]:
    """Return the names of the builtin classes that an error is one of."""
    return [
        k.__name__
        for k in type(error).__mro__
        if k.__module__ == "builtins" and k not in (object, BaseException, Exception)
    ]


def plain(t: Any, x: Any) -> Any:
    """Return a result as JSON has it."""
    if isinstance(x, t.Tensor):
        dtype = str(x.dtype).rpartition(".")[2]
        flat = x.detach().clone().reshape(-1)
        values = flat.float().tolist() if dtype in ("float16", "bfloat16") else flat.tolist()
        return {"dtype": dtype, "shape": list(x.shape), "values": [number(v) for v in values]}
    if isinstance(x, tuple | list):
        return [plain(t, part) for part in x]
    if isinstance(x, t.dtype):
        return str(x).rpartition(".")[2]
    return number(x)


def number(x: Any) -> Any:
    """Return a number as JSON has it: no nan, no infinity. In text the library has one name."""
    if isinstance(x, str):
        return x.replace("tabgrad.", "torch.")
    if isinstance(x, float) and (x != x or x in (float("inf"), float("-inf"))):
        return repr(x)
    return x if isinstance(x, bool | int | float | str) or x is None else repr(x)
