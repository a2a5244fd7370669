"""SciPy's minimisers on functions of tensors: values, gradients and Hessian products from our derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
from tabgrad.core import tree

Tensor = tg.Tensor
WITH_PRODUCTS = ("newton-cg", "trust-ncg", "trust-krylov", "trust-constr")
"""The methods of `scipy.optimize.minimize` that take products with the Hessian."""
WITHOUT_GRADIENTS = ("nelder-mead", "powell", "cobyla", "cobyqa")
"""Those that take no gradient."""


class Objective:
    """A function of tensors as SciPy wants it: of one float64 vector.

    `start` is the vector of the arguments that are given. Calling it returns value and gradient; `hessp` is the
    product of the Hessian at a point and a vector.

    >>> import numpy as np, tabgrad as tg
    >>> from tabgrad.utils.scipy import Objective
    >>> f = Objective(lambda x: (x * x).sum(), tg.tensor([1.0, 2.0], device="cpu"))
    >>> float(f(f.start)[0]), f.hessp(f.start, np.ones(2)).tolist()
    (5.0, [2.0, 2.0])
    """

    def __init__(self, fn: Callable[[Any], Tensor], x0: Any) -> None:
        leaves, self.structure = tree.flatten(x0)
        for x in leaves:
            if not isinstance(x, Tensor) or not x.is_floating_point():
                raise TypeError(
                    "minimize: x0 must be a tensor of floats, or tuples, lists and dicts of such tensors"
                )
        self.leaves = [x.detach() for x in leaves]
        self.fn = fn

    @property
    def start(self) -> Any:
        """The vector of the arguments that were given."""
        return self._vector(self.leaves)

    def _vector(self, tensors: list[Tensor]) -> Any:
        row = tg.cat([x.detach().cpu().double().reshape(-1) for x in tensors])
        return row.numpy().copy()

    def tensors(self, vector: Any) -> list[Tensor]:
        """Return the parts of a vector in the shapes, dtypes and places of the arguments."""
        found, at = [], 0
        for x in self.leaves:
            part = vector[at : at + x.numel()].reshape(tuple(x.shape))
            found.append(tg.tensor(part.copy(), device="cpu").to(x.device, x.dtype))
            at += x.numel()
        return found

    def structured(self, vector: Any) -> Any:
        """Return a vector as the arguments are structured."""
        return tree.unflatten(self.structure, self.tensors(vector))

    def _value(self, *parts: Tensor) -> Tensor:
        y = self.fn(tree.unflatten(self.structure, list(parts)))
        if not isinstance(y, Tensor) or y.numel() != 1:
            raise TypeError("minimize: the function must return a tensor of one element")
        return y.reshape(())

    def value(self, vector: Any) -> float:
        """Return the value at a point."""
        with tg.no_grad():
            return float(self._value(*self.tensors(vector)))

    def __call__(self, vector: Any) -> tuple[float, Any]:
        """Return value and gradient at a point."""
        parts = [x.requires_grad_() for x in self.tensors(vector)]
        with tg.enable_grad():
            y = self._value(*parts)
            found = tg.autograd.grad(y, parts, allow_unused=True, materialize_grads=True)
        return float(y.detach()), self._vector(list(found))

    def hessp(self, vector: Any, p: Any) -> Any:
        """Return the product of the Hessian at a point and a vector."""
        parts, along = tuple(self.tensors(vector)), tuple(self.tensors(p))
        _, found = tg.func.hvp(self._value, parts, along)
        return self._vector(list(found) if isinstance(found, tuple) else [found])


def minimize(
    fn: Callable[[Any], Tensor], x0: Any, method: str | None = None, **options: Any
) -> Any:
    """Minimise a function of tensors with `scipy.optimize.minimize`; return its result.

    `x0` is a tensor, or tuples, lists and dicts of tensors, and so is `result.params`, where the least value
    was found; `result.x` is the same as one float64 vector. Gradients, and products with the Hessian for
    methods that take them, are computed by our derivatives; further `options` are SciPy's.
    """
    from scipy import optimize

    f = Objective(fn, x0)
    name = (method or "").lower()
    if name in WITHOUT_GRADIENTS:
        found = optimize.minimize(f.value, f.start, method=method, **options)
    else:
        if name in WITH_PRODUCTS:
            options.setdefault("hessp", f.hessp)
        found = optimize.minimize(f, f.start, jac=True, method=method, **options)
    found["params"] = f.structured(found.x)
    return found


__all__ = ["Objective", "minimize"]
