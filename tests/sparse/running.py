"""Running a program of `cases.py` with either library, and its result as plain data."""

from __future__ import annotations

import ast
import math
import warnings
from typing import Any

from tests.sparse.cases import setting


def execute(code: str, env: dict[str, Any]) -> Any:
    """Run the statements; return the value of the last one."""
    tree = ast.parse(code)
    last: Any = tree.body.pop()
    exec(compile(tree, "<case>", "exec"), env)
    return eval(compile(ast.Expression(last.value), "<case>", "eval"), env)


def is_sparse(x: Any) -> bool:
    """Return whether a tensor is sparse, in either library."""
    return "strided" not in str(x.layout)


def plain(t: Any, x: Any) -> Any:
    """Return a result as lists, numbers and strings; of a sparse tensor its coalesced elements."""
    if isinstance(x, t.Tensor):
        its: dict[str, Any] = {"shape": list(x.shape)}
        if is_sparse(x):
            its["layout"] = str(x.layout).rpartition(".")[2]
            coo = x.detach().to_sparse_coo() if its["layout"] != "sparse_coo" else x.detach()
            if "bs" not in its["layout"]:
                its["indices"] = coo.coalesce().indices().tolist()
            x = coo.to_dense()
        kind = str(x.dtype).rpartition(".")[2]
        its["kind"] = "float" if "float" in kind else "int" if "int" in kind else kind
        its["numbers"] = [_number(n) for n in x.detach().reshape(-1).tolist()]
        return its
    if isinstance(x, tuple | list):
        return [plain(t, part) for part in x]
    return x if isinstance(x, bool | int | float | str) else str(x).rpartition(".")[2]


def _number(n: Any) -> Any:
    return str(n) if isinstance(n, float) and not math.isfinite(n) else n


def outcome(t: Any, code: str, device: str) -> dict[str, Any]:
    """Return what the program gives: a result and gradients, or that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = setting(t, code, device)
        try:
            result = execute(code, env)
            shown = plain(t, result)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"[:160]}
        found: dict[str, Any] = {"result": shown}
        if isinstance(result, t.Tensor) and result.requires_grad:
            dense = result.to_dense() if is_sparse(result) else result
            numbers = [((7 * i) % 5 - 1.5) / 2 for i in range(dense.numel())]
            weights = t.tensor(numbers, dtype=dense.dtype, device=device).reshape(
                tuple(dense.shape)
            )
            try:
                (dense * weights).sum().backward()
            except Exception:
                # PyTorch lacks some derivatives
                return found
            found["grads"] = {
                name: None if x.grad is None else plain(t, x.grad.to_dense())
                for name, x in env["leaves"].items()
            }
        return found
