"""Checks of derivatives against finite differences; PyTorch's `gradcheck` and `gradgradcheck`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import tabgrad as tg
from tabgrad.autograd.forward_ad import dual_level, make_dual, unpack_dual
from tabgrad.core.errors import GradientError, warn


class GradcheckError(GradientError):
    """Two ways of computing a derivative disagree."""


def gradcheck(
    func: Callable[..., Any], inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
    raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False, check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False, check_forward_ad: bool = False,
    check_backward_ad: bool = True, fast_mode: bool = False, masked: bool | None = None,
    method: str = "central",
) -> bool:  # fmt: skip
    """Check the derivatives of `func` against finite differences at `inputs`; return True if they agree.

    Every input that requires grad is checked, against every output; give float64 tensors. `fast_mode`
    compares one random projection of each Jacobian instead of the whole. `method` says how the differences
    are taken: "central", "richardson" (extrapolated from two steps, for larger `eps`) or "complex" (one
    complex step, exact to rounding, for functions that accept complex tensors and are analytic). Raises
    GradcheckError, or returns False unless `raise_exception`.

    >>> import tabgrad as tg
    >>> x = tg.rand(3, dtype=tg.float64, device="cpu", requires_grad=True)
    >>> tg.autograd.gradcheck(lambda x: x.sin() * x.sum(), (x,))
    True
    """
    check = _Check(func, inputs, eps, atol, rtol, method)
    try:
        if check_backward_ad:
            check.reverse(fast_mode)
            check.rerun(nondet_tol)
            if check_grad_dtypes:
                check.dtypes()
            if check_undefined_grad:
                check.undefined()
            if check_batched_grad:
                check.batched_reverse()
        if check_forward_ad:
            check.forward(fast_mode)
            if check_batched_forward_grad:
                check.batched_forward()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6,
    atol: float = 1e-5, rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False, check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True, fast_mode: bool = False,
    masked: bool = False, method: str = "central",
) -> bool:  # fmt: skip
    """Check the second derivatives of `func` against differences of its first ones; True if they agree.

    `grad_outputs` are the cotangents of the outputs, random ones unless given. See `gradcheck`.

    >>> import tabgrad as tg
    >>> x = tg.rand(3, dtype=tg.float64, device="cpu", requires_grad=True)
    >>> tg.autograd.gradgradcheck(lambda x: x.sin() * x.sum(), (x,))
    True
    """
    ins = _tuple(inputs)
    outputs = [y for y in _tuple(func(*ins)) if _differentiable(y)]
    if grad_outputs is None:
        generator = _numbers()
        cts = [_random_like(y, generator).requires_grad_() for y in outputs]
    else:
        cts = [ct.detach().requires_grad_() for ct in _tuple(grad_outputs)]
    n = len(ins)

    def first(*args: Any) -> Any:
        xs = [a for a in args[:n] if _checked(a)]
        ys = [y for y in _tuple(func(*args[:n])) if _differentiable(y)]
        return tg.autograd.grad(
            ys, xs, args[n:], create_graph=True, allow_unused=True, materialize_grads=True
        )

    return gradcheck(
        first, (*ins, *cts), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes, check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev, check_backward_ad=check_rev_over_rev,
        fast_mode=fast_mode, method=method,
    )  # fmt: skip


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _differentiable(x: Any) -> bool:
    return isinstance(x, tg.Tensor) and x.requires_grad


def _checked(x: Any) -> bool:
    return isinstance(x, tg.Tensor) and x.requires_grad


def _numbers() -> Any:
    """Yield a fixed sequence of numbers in [-1, 1], so that a check that fails once fails again."""
    state = 12345
    while True:
        state = (1103515245 * state + 12345) % 2**31
        yield state / 2**30 - 1.0


def _random_like(x: Any, numbers: Any) -> Any:
    values = list(itertools.islice(numbers, x.numel()))
    return tg.tensor(values, dtype=x.dtype, device=x.device).reshape(x.shape)


def _in_parts(func: Any, inputs: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Return `func` as a function of pairs of real numbers in the place of complex ones, and its inputs so."""
    paired = [isinstance(x, tg.Tensor) and x.is_complex() for x in inputs]

    def split(*given: Any) -> tuple[Any, ...]:
        joined = [tg.view_as_complex(x) if p else x for x, p in zip(given, paired, strict=True)]
        return tuple(
            tg.view_as_real(y) if isinstance(y, tg.Tensor) and y.is_complex() else y
            for y in _tuple(func(*joined))
        )

    parts = [
        tg.view_as_real(x.detach()).clone().requires_grad_(x.requires_grad) if p else x
        for x, p in zip(inputs, paired, strict=True)
    ]
    return split, tuple(parts)


class _Check:
    """One function at one point, with finite differences to compare its derivatives with."""

    def __init__(
        self, func: Any, inputs: Any, eps: float, atol: float, rtol: float, method: str
    ) -> None:
        if method not in ("central", "richardson", "complex"):
            raise ValueError(
                f"gradcheck: method is 'central', 'richardson' or 'complex', not {method!r}"
            )
        self.func, self.inputs = func, _tuple(inputs)
        if method != "complex":
            self.func, self.inputs = _in_parts(func, self.inputs)
        self.eps, self.atol, self.rtol, self.method = eps, atol, rtol, method
        self.at = [i for i, x in enumerate(self.inputs) if _checked(x)]
        if not self.at:
            raise ValueError(
                "gradcheck: at least one input must be a tensor that requires grad; set requires_grad=True"
            )
        for i in self.at:
            if self.inputs[i].dtype is not tg.float64:
                warn(
                    f"gradcheck: input {i} is {self.inputs[i].dtype}; differences will likely be too coarse, "
                    "give float64 or complex128",
                )
        outputs = _tuple(self.func(*self.inputs))
        self.which = [
            k
            for k, y in enumerate(outputs)
            if isinstance(y, tg.Tensor) and y.dtype.is_floating_point
        ]
        self.numbers = _numbers()

    def outputs(self, inputs: Sequence[Any]) -> list[Any]:
        """Compute the floating-point outputs."""
        found = _tuple(self.func(*inputs))
        return [found[k] for k in self.which]

    def moved(self, i: int, step: Any) -> list[Any]:
        """Compute the outputs with input `i` moved by the tensor `step`, with no graph."""
        inputs = list(self.inputs)
        inputs[i] = (self.inputs[i].detach() + step).requires_grad_(self.inputs[i].requires_grad)
        return [y.detach() for y in self.outputs(inputs)]

    def differences(self, i: int, direction: Any) -> list[Any]:
        """Compute the derivative of each output along `direction` of input `i` by differences."""
        if self.method == "complex":
            return self._complex_step(i, direction)
        central = self._central(i, direction, self.eps)
        if self.method == "central":
            return central
        coarse = self._central(i, direction, 2 * self.eps)
        return [(4 * a - b) / 3 for a, b in zip(central, coarse, strict=True)]

    def _central(self, i: int, direction: Any, eps: float) -> list[Any]:
        high, low = self.moved(i, direction * eps), self.moved(i, direction * -eps)
        return [(a - b) / (2 * eps) for a, b in zip(high, low, strict=True)]

    def _complex_step(self, i: int, direction: Any) -> list[Any]:
        h = 1e-30
        inputs = list(self.inputs)
        x = self.inputs[i].detach()
        inputs[i] = x + direction * h * 1j
        with tg.no_grad():
            # a cast to a real dtype takes the real part
            return [(y * -1j).to(x.dtype) / h for y in self.outputs(inputs)]

    def basis(self, x: Any) -> list[Any]:
        """Make the unit vectors of the shape of `x`."""
        flat = tg.eye(max(x.numel(), 1), dtype=x.dtype, device=x.device)
        return [flat[k].reshape(x.shape) for k in range(x.numel())]

    def pulled(self, cts: Sequence[Any], graph: bool = False) -> list[Any]:
        """Compute the gradients of the checked inputs."""
        outputs = self.outputs(self.inputs)
        pairs = [(y, ct) for y, ct in zip(outputs, cts, strict=True) if y.requires_grad]
        xs = [self.inputs[i] for i in self.at]
        if not pairs:
            return [tg.zeros_like(x) for x in xs]
        ys, given = zip(*pairs, strict=True)
        return list(
            tg.autograd.grad(
                ys, xs, given, create_graph=graph, allow_unused=True, materialize_grads=True
            )
        )

    def reverse(self, fast: bool) -> None:
        """Compare reverse mode with differences."""
        outputs = self.outputs(self.inputs)
        if fast:
            cts = [_random_like(y, self.numbers) for y in outputs]
            grads = self.pulled(cts)
            for i, g in zip(self.at, grads, strict=True):
                v = _random_like(self.inputs[i], self.numbers)
                moved = self.differences(i, v)
                total = sum(float((ct * d).sum()) for ct, d in zip(cts, moved, strict=True))
                numeric = tg.tensor(total, dtype=g.dtype)
                self.compare(numeric, (g * v).sum().cpu(), i, None, "reverse mode")
            return
        for i in self.at:
            columns = [self.differences(i, e) for e in self.basis(self.inputs[i])]
            for k, y in enumerate(outputs):
                rows = [self._row(k, e, i) for e in self.basis(y)]
                if not rows or not columns:
                    continue
                numeric = tg.stack([column[k].reshape(-1) for column in columns], dim=1)
                self.compare(numeric, tg.stack(rows), i, k, "reverse mode")

    def _row(self, k: int, unit: Any, i: int) -> Any:
        outputs = self.outputs(self.inputs)
        cts = [unit if j == k else tg.zeros_like(y) for j, y in enumerate(outputs)]
        return self.pulled(cts)[self.at.index(i)].reshape(-1)

    def forward(self, fast: bool) -> None:
        """Compare forward mode with differences."""
        for i in self.at:
            x = self.inputs[i]
            directions = [_random_like(x, self.numbers)] if fast else self.basis(x)
            for v in directions:
                numeric = self.differences(i, v)
                for k, (a, b) in enumerate(zip(numeric, self.pushed(i, v), strict=True)):
                    self.compare(a, b, i, k, "forward mode")

    def pushed(self, i: int, v: Any) -> list[Any]:
        """Compute the tangent of each output for the tangent `v` of input `i`."""

        inputs = list(self.inputs)
        with dual_level():
            inputs[i] = make_dual(self.inputs[i], v)
            parts = [unpack_dual(y) for y in self.outputs(inputs)]
        return [tg.zeros_like(y) if t is None else t for y, t in parts]

    def rerun(self, tolerance: float) -> None:
        """Compare two runs of reverse mode with each other."""
        cts = [_random_like(y, self.numbers) for y in self.outputs(self.inputs)]
        for i, a, b in zip(self.at, self.pulled(cts), self.pulled(cts), strict=True):
            apart = float((a - b).abs().max()) if a.numel() else 0.0
            if apart > tolerance:
                raise GradcheckError(
                    f"gradcheck: two backward passes give gradients of input {i} that differ by {apart}; "
                    "set nondet_tol if that is expected"
                )

    def dtypes(self) -> None:
        """Check that gradients have the dtype of their input."""
        cts = [_random_like(y, self.numbers) for y in self.outputs(self.inputs)]
        for i, g in zip(self.at, self.pulled(cts), strict=True):
            if g.dtype != self.inputs[i].dtype:
                raise GradcheckError(
                    f"gradcheck: the gradient of input {i} is {g.dtype}, the input {self.inputs[i].dtype}"
                )

    def undefined(self) -> None:
        """Check that an output without a cotangent counts as one with zeros."""
        outputs = self.outputs(self.inputs)
        if len(outputs) < 2:
            return
        for k, y in enumerate(outputs):
            if not y.requires_grad:
                continue
            ct = _random_like(y, self.numbers)
            xs = [self.inputs[i] for i in self.at]
            alone = tg.autograd.grad(
                y, xs, ct, allow_unused=True, materialize_grads=True, retain_graph=True
            )
            others = self.pulled(
                [ct if j == k else tg.zeros_like(z) for j, z in enumerate(outputs)]
            )
            for i, a, b in zip(self.at, alone, others, strict=True):
                self.compare(a, b, i, k, "reverse mode with the other outputs left out")

    def batched_reverse(self) -> None:
        """Compare batched cotangents with cotangents one at a time."""
        for k, y in enumerate(self.outputs(self.inputs)):
            if not y.requires_grad:
                continue
            cts = tg.stack([_random_like(y, self.numbers) for _ in range(2)])
            xs = [self.inputs[i] for i in self.at]
            found = tg.autograd.grad(
                y,
                xs,
                cts,
                is_grads_batched=True,
                allow_unused=True,
                materialize_grads=True,
                retain_graph=True,
            )
            for row in range(2):
                each = tg.autograd.grad(
                    y, xs, cts[row], allow_unused=True, materialize_grads=True, retain_graph=True
                )
                for i, a, b in zip(self.at, each, found, strict=True):
                    batch = b[row] if b.ndim > a.ndim else b
                    self.compare(a, batch, i, k, "batched reverse mode")

    def batched_forward(self) -> None:
        """Compare batched tangents with tangents one at a time."""
        for i in self.at:
            vs = [_random_like(self.inputs[i], self.numbers) for _ in range(2)]
            together = tg.func.vmap(lambda v, i=i: tuple(self.pushed(i, v)))(tg.stack(vs))
            for row, v in enumerate(vs):
                for k, (a, b) in enumerate(zip(self.pushed(i, v), together, strict=True)):
                    self.compare(a, b[row], i, k, "batched forward mode")

    def compare(self, numeric: Any, found: Any, i: int, k: int | None, what: str) -> None:
        """Raise GradcheckError unless the two agree."""
        a, b = numeric.detach(), found.detach()
        worst = (a - b).abs()
        allowed = self.atol + self.rtol * a.abs()
        if bool((worst <= allowed).all()):
            return
        of = "" if k is None else f" of output {k}"
        raise GradcheckError(
            f"gradcheck: {what} disagrees with differences for the derivative{of} with respect to input {i}:\n"
            f"differences: {a}\n{what}: {b}"
        )
