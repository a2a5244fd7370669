"""Derivatives of functions through the recorded graph; PyTorch's `autograd.functional`.

Every function takes `inputs`, a tensor or a tuple of them, and a `func` of that many arguments that returns a
tensor or a tuple. With `create_graph` the results can be differentiated, with respect to `inputs` that require
grad too. With `strict` an output that does not depend on an input raises instead of counting as zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import GradientError
from tabgrad.transforms.jacobian import check_real

Func = Callable[..., Any]


def _tuple(name: str, what: str, value: Any) -> tuple[bool, tuple[Any, ...]]:
    """Make `value` a tuple of tensors, and tell whether it was one."""
    many = isinstance(value, tuple | list)
    found = tuple(value) if many else (value,)
    for x in found:
        if not isinstance(x, tg.Tensor):
            raise TypeError(
                f"{name}: {what} must be a tensor or a tuple of tensors, got {type(x).__name__}"
            )
    return many, found


def _like(value: Sequence[Any], many: bool) -> Any:
    return tuple(value) if many else value[0]


def _tracked(inputs: Sequence[Any], graph: bool) -> tuple[Any, ...]:
    """Make tensors equal to `inputs` that require grad, as views of `inputs` if a graph is wanted."""
    return tuple(
        x.view_as(x) if graph and x.requires_grad else x.detach().requires_grad_() for x in inputs
    )


def _run(name: str, func: Func, inputs: Any, graph: bool) -> Any:
    many, found = _tuple(name, "the inputs", inputs)
    xs = _tracked(found, graph)
    with tg.enable_grad():
        out = func(*xs)
    many_out, ys = _tuple(name, "what the function returns", out)
    return many, xs, many_out, ys


def _finish(value: Any, graph: bool) -> Any:
    if isinstance(value, tuple):
        return tuple(_finish(v, graph) for v in value)
    return value if graph else value.detach()


def _check_strict(
    name: str, strict: bool, graph: bool, ys: Sequence[Any], xs: Sequence[Any], grads: Sequence[Any]
) -> None:
    if not strict:
        return
    for k, y in enumerate(ys):
        if not y.requires_grad:
            raise GradientError(
                f"{name}: output {k} does not depend on the inputs, which strict=True refuses"
            )
    for i, g in enumerate(grads):
        if g is None:
            raise GradientError(
                f"{name}: the outputs do not depend on input {i}, which strict=True refuses"
            )
        if graph and not g.requires_grad:
            raise GradientError(
                f"{name}: the derivative by input {i} does not depend on the inputs, which strict=True refuses"
            )


def _grads(ys: Sequence[Any], xs: Sequence[Any], cts: Any, graph: bool) -> list[Any]:
    """Compute the gradients, None where an input has no influence."""
    cts = [None] * len(ys) if cts is None else cts
    pairs = [(y, ct) for y, ct in zip(ys, cts, strict=True) if y.requires_grad]
    if not pairs:
        return [None] * len(xs)
    outs, given = zip(*pairs, strict=True)
    return list(
        tg.autograd.grad(outs, xs, given, create_graph=graph, retain_graph=True, allow_unused=True)
    )


def _filled(grads: Sequence[Any], like: Sequence[Any]) -> list[Any]:
    return [tg.zeros_like(x) if g is None else g for g, x in zip(grads, like, strict=True)]


def _vectors(name: str, v: Any, like: Sequence[Any], many: bool, of: str) -> tuple[Any, ...] | None:
    """Make `v` a tuple of tensors like `like`; None is allowed for a single scalar."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise GradientError(f"{name}: v can be left out only for a single scalar {of}")
        return None
    _, found = _tuple(name, "v", v)
    if len(found) != len(like):
        raise GradientError(f"{name}: v has {len(found)} tensors for {len(like)} {of}s")
    for a, b in zip(found, like, strict=True):
        if a.shape != b.shape:
            raise GradientError(
                f"{name}: v must have the shapes of the {of}s: expected {b.shape}, got {a.shape}"
            )
    return found


@tg.enable_grad()
def vjp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Compute `func(*inputs)` and the product of `v` with its Jacobian.

    >>> import tabgrad as tg
    >>> tg.autograd.functional.vjp(lambda x: x * x, tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    many, xs, many_out, ys = _run("vjp", func, inputs, create_graph)
    cts = _vectors("vjp", v, ys, many_out, "output")
    grads = _grads(ys, xs, cts, create_graph)
    _check_strict("vjp", strict, create_graph, ys, xs, grads)
    found = _like(_filled(grads, xs), many)
    return _finish(_like(ys, many_out), create_graph), _finish(found, create_graph)


@tg.enable_grad()
def jvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Compute `func(*inputs)` and the product of its Jacobian with `v`.

    >>> import tabgrad as tg
    >>> tg.autograd.functional.jvp(lambda x: x * x, tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))
    (tensor([1., 4.]), tensor([2., 4.]))
    """
    many, found = _tuple("jvp", "the inputs", inputs)
    vs = _vectors("jvp", v, found, many, "input")
    ts = tuple(tg.ones_like(x) for x in found) if vs is None else vs
    xs = _tracked(found, True) if create_graph else tuple(x.detach() for x in found)
    with tg.set_grad_enabled(create_graph):
        out, tangent = tg.func.jvp(func, xs, ts, strict=strict)
    if strict and create_graph:
        for t in _tuple("jvp", "the tangents", tangent)[1]:
            if not t.requires_grad:
                raise GradientError(
                    "jvp: a derivative does not depend on the inputs, which strict=True refuses"
                )
    return _finish(out, create_graph), _finish(tangent, create_graph)


@tg.enable_grad()
def jacobian(
    func: Func, inputs: Any, create_graph: bool = False, strict: bool = False,
    vectorize: bool = False, strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """Compute the Jacobian: for an output (o...) and an input (i...) a tensor (o..., i...).

    The result is a tuple over outputs of tuples over inputs, where these are tuples. `vectorize` takes all rows
    at once; `strategy` "forward-mode", which needs `vectorize`, all columns.

    >>> import tabgrad as tg
    >>> tg.autograd.functional.jacobian(lambda x: x * x, tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(
            f"jacobian: strategy is 'reverse-mode' or 'forward-mode', not {strategy!r}"
        )
    if strategy == "forward-mode":
        return _jacobian_forward(func, inputs, create_graph, strict, vectorize)
    if strict and vectorize:
        raise GradientError("jacobian: strict=True needs vectorize=False")
    many, xs, many_out, ys = _run("jacobian", func, inputs, create_graph)
    found = []
    for k, y in enumerate(ys):
        rows = _rows(y, xs, create_graph, vectorize, strict, k)
        found.append(
            _like([r.reshape((*y.shape, *x.shape)) for r, x in zip(rows, xs, strict=True)], many)
        )
    return _finish(_like(found, many_out), create_graph)


def _rows(
    y: Any, xs: Sequence[Any], graph: bool, vectorize: bool, strict: bool, k: int
) -> list[Any]:
    """Compute the rows of the Jacobian of `y`, stacked, for each input."""
    check_real("jacobian", outputs=[y])
    n = y.numel()
    if not y.requires_grad or not n:
        _check_strict("jacobian", strict, graph, [y], xs, [])
        return [tg.zeros((n, *x.shape), dtype=x.dtype, device=x.device) for x in xs]
    units = tg.eye(n, dtype=y.dtype, device=y.device).reshape((n, *y.shape))
    if vectorize:
        grads = tg.autograd.grad(
            y,
            xs,
            units,
            create_graph=graph,
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=True,
        )
        return [
            tg.zeros((n, *x.shape), dtype=x.dtype, device=x.device) if g is None else g
            for g, x in zip(grads, xs, strict=True)
        ]
    rows: list[list[Any]] = [[] for _ in xs]
    for r in range(n):
        grads = _grads([y], xs, [units[r]], graph)
        _check_strict("jacobian", strict, graph, [y], xs, grads)
        for row, g in zip(rows, _filled(grads, xs), strict=True):
            row.append(g)
    return [tg.stack(row) for row in rows]


def _jacobian_forward(func: Func, inputs: Any, graph: bool, strict: bool, vectorize: bool) -> Any:
    if strict:
        raise GradientError("jacobian: strict=True needs strategy='reverse-mode'")
    if not vectorize:
        raise GradientError("jacobian: strategy='forward-mode' needs vectorize=True")
    many, found = _tuple("jacobian", "the inputs", inputs)
    xs = _tracked(found, True) if graph else tuple(x.detach() for x in found)
    with tg.set_grad_enabled(graph):
        result = tg.func.jacfwd(func, tuple(range(len(xs))))(*xs)
    if not many:
        result = tuple(r[0] for r in result) if isinstance(result[0], tuple) else result[0]
    return _finish(result, graph)


@tg.enable_grad()
def hessian(
    func: Func, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """Compute the Hessian of a scalar function: for inputs i and j a tensor (i..., j...).

    >>> import tabgrad as tg
    >>> tg.autograd.functional.hessian(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    many, _ = _tuple("hessian", "the inputs", inputs)
    forward = outer_jacobian_strategy == "forward-mode"

    def scalar(*xs: Any) -> Any:
        out = func(*xs)
        return _scalar("hessian", out)

    def gradient(*xs: Any) -> Any:
        if forward:
            found = tg.func.grad(scalar, tuple(range(len(xs))))(*xs)
        else:
            y = scalar(*xs)
            grads = _grads([y], xs, None, True)
            _check_strict("hessian", strict, True, [y], xs, grads)
            found = tuple(_filled(grads, xs))
        return _like(found, many)

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def _scalar(name: str, out: Any) -> Any:
    if not isinstance(out, tg.Tensor) or out.numel() != 1:
        got = tuple(out.shape) if isinstance(out, tg.Tensor) else type(out).__name__
        raise GradientError(
            f"{name}: the function must return one tensor with a single element, got {got}"
        )
    return out.reshape(())


@tg.enable_grad()
def vhp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Compute the scalar `func(*inputs)` and the product of `v` with its Hessian, by reverse mode twice.

    >>> import tabgrad as tg
    >>> tg.autograd.functional.vhp(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    many, xs, _, (out,) = _run("vhp", lambda *a: _scalar("vhp", func(*a)), inputs, create_graph)
    vs = _vectors("vhp", v, xs, many, "input")
    with tg.enable_grad():
        first = _grads([out], xs, None, True)
        _check_strict("vhp", strict, create_graph, [out], xs, first)
        second = _grads(_filled(first, xs), xs, vs, create_graph)
        _check_strict("vhp", strict, create_graph, [], xs, second)
    found = _like(_filled(second, xs), many)
    return _finish(out, create_graph), _finish(found, create_graph)


@tg.enable_grad()
def hvp(
    func: Func, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Compute the scalar `func(*inputs)` and the product of its Hessian with `v`, forward over reverse mode.

    >>> import tabgrad as tg
    >>> tg.autograd.functional.hvp(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]), tg.tensor([1.0, 1.0]))
    (tensor(9.), tensor([ 6., 12.]))
    """
    if strict:
        return vhp(func, inputs, v, create_graph, strict)
    many, found = _tuple("hvp", "the inputs", inputs)
    vs = _vectors("hvp", v, found, many, "input")
    ts = tuple(tg.ones_like(x) for x in found) if vs is None else vs
    xs = _tracked(found, True) if create_graph else tuple(x.detach() for x in found)
    with tg.set_grad_enabled(create_graph):
        out, product = tg.func.hvp(lambda *a: _scalar("hvp", func(*a)), xs, ts)
    return _finish(out, create_graph), _finish(_like(product, many), create_graph)
