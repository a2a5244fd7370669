"""Functions without writes in place, and the values under the tensors inside a transform."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tabgrad.core.trace import Box


def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """Make a function that computes the same as `func` without writing to memory in place.

    In PyTorch this hides in-place ops, and with `remove="mutations_and_views"` views, from a tracer.
    Here that holds for every function: values never change, an in-place method gives its tensor a new
    value, and a view is computed like any other op. So the returned function just calls `func`; what it
    writes to its arguments is written to the caller's tensors, as in PyTorch.

    >>> import tabgrad as tg
    >>> def doubled(x):
    ...     y = x.clone()
    ...     y.mul_(2)
    ...     return y
    >>> tg.func.functionalize(doubled)(tg.tensor([1.0, 2.0]))
    tensor([2., 4.])
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            "functionalize(f, remove=...): remove is 'mutations' or 'mutations_and_views', "
            f"not {remove!r}"
        )

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return call


def debug_unwrap(tensor: Any, *, recurse: bool = True) -> Any:
    """Show the tensor that a transform works on below `tensor`, for a look while debugging.

    Inside `vmap` it is the whole batch, inside `grad` the value without its history, inside `jvp` the primal.
    `recurse` goes down all levels of nested transforms, otherwise only the innermost. Results computed from it
    are not those of the transform.

    >>> import tabgrad as tg
    >>> def f(row):
    ...     print(tg.func.debug_unwrap(row).shape)
    ...     return row.sum()
    >>> y = tg.func.vmap(f)(tg.ones(3, 2))
    tabgrad.Size([3, 2])
    """
    if not isinstance(tensor, Box):
        raise TypeError(f"debug_unwrap: expected a tensor, got {type(tensor).__name__}")
    x: Any = tensor
    while x.owner is not None:
        below = x.value[0] if isinstance(x.value, tuple) else x.value
        if not isinstance(below, Box):
            # a tracer stands for a value that is not computed yet
            return x
        x = below
        if not recurse:
            break
    return x
