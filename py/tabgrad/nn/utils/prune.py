"""Pruning: masks that set elements of parameters to zero, those of the least size or any.

A pruned parameter `weight` is kept whole as `weight_orig`, its mask as the buffer `weight_mask`, and `weight`
is their product, computed before each call.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import tabgrad as tg
from tabgrad.nn.module import Module

Tensor = tg.Tensor
M = TypeVar("M", bound=Module)
Amount = int | float
KINDS = ("unstructured", "structured", "global")


def _checked(amount: Any) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole = isinstance(amount, numbers.Integral)
    if float(amount) < 0 or (not whole and float(amount) > 1):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer"
        )


def _count(amount: Any, size: int) -> int:
    """Return how many of `size` things an amount is: that many, or a part of them."""
    if not isinstance(amount, numbers.Integral):
        return round(amount * size)
    if int(amount) > size:
        raise ValueError(
            f"amount={amount} should be smaller than the number of parameters to prune={size}"
        )
    return int(amount)


def _axis(t: Tensor, dim: int) -> None:
    if t.ndim <= 1:
        raise ValueError(
            "Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
            f"{t.shape} with {t.ndim} dims"
        )
    if not -t.ndim <= dim < t.ndim:
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")


def _found(module: Module, name: str) -> list[tuple[int, Any]]:
    """Return the hooks that prune a parameter, with their keys."""
    table = module._hooks.get("forward_pre", {})
    return [
        (key, hook.fn) for key, hook in table.items()
        if isinstance(hook.fn, BasePruningMethod) and hook.fn._tensor_name == name
    ]  # fmt: skip


class BasePruningMethod(ABC):
    """What says which elements of a parameter stay. A subclass sets PRUNING_TYPE and defines compute_mask.

    The kind is "unstructured" (single elements), "structured" (slices) or "global" (of several parameters).
    """

    _tensor_name: str
    PRUNING_TYPE: str = "unstructured"

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask for `t`, whose zeros include those of `default_mask`."""

    def apply_mask(self, module: Module) -> Tensor:
        """Return the product of the whole parameter and its mask."""
        mask = getattr(module, self._tensor_name + "_mask")
        whole = getattr(module, self._tensor_name + "_orig")
        return mask.to(dtype=whole.dtype) * whole

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prune a parameter, further if it is pruned already; return the method that does it."""
        before = _found(module, name)
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        whole = getattr(module, name)
        scores = whole if importance_scores is None else importance_scores
        if scores.shape != whole.shape:
            raise ValueError(
                f"importance_scores should have the same shape as parameter {name} of {module}"
            )
        if before:
            key, first = before[0]
            del module._hooks["forward_pre"][key]
            if not isinstance(first, PruningContainer):
                first = PruningContainer(first)
            first.add_pruning_method(method)
            mask = first.compute_mask(scores, getattr(module, name + "_mask").to(whole.dtype))
            method = first
        else:
            mask = method.compute_mask(scores, tg.ones_like(whole))
            parameter = module._parameters[name]
            del module._parameters[name]
            module.register_parameter(name + "_orig", parameter)
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(
        self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None
    ) -> Tensor:
        """Return `t` with the pruned elements set to zero."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise ValueError("importance_scores should have the same shape as tensor t")
        start = tg.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, start)

    def remove(self, module: Module) -> None:
        """Make the pruned parameter an ordinary one, whose pruned elements are zero."""
        name = self._tensor_name
        pruned = self.apply_mask(module)
        whole = module._parameters[name + "_orig"]
        if hasattr(module, name):
            delattr(module, name)
        assert whole is not None
        whole.data = pruned.detach()
        del module._parameters[name + "_orig"]
        del module._buffers[name + "_mask"]
        module.register_parameter(name, whole)


class PruningContainer(BasePruningMethod):
    """Several methods that prune one parameter, one after the other; each prunes what is left."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        given = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
        for i, method in enumerate(given):
            if i == 0 and isinstance(method, BasePruningMethod):
                self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Add a method for the same parameter."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        if method is not None:
            self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int) -> BasePruningMethod:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask of the last method on what the masks before it leave."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            left = mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = method.dim % t.ndim  # type: ignore[attr-defined]
            rest = [d for d in range(t.ndim) if d != dim]
            kept = mask.sum(dim=rest) != 0
            at: list[Any] = [slice(None)] * t.ndim
            at[dim] = kept
            part = method.compute_mask(t[tuple(at)], default_mask[tuple(at)])
            new = mask.clone()
            new[tuple(at)] = part.to(dtype=mask.dtype)
            return new
        elif method.PRUNING_TYPE == "global":
            return method.compute_mask(t, default_mask).to(dtype=mask.dtype)
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        new = mask.clone()
        new[left] = method.compute_mask(t[left], default_mask[left]).to(dtype=mask.dtype)
        return new


class Identity(BasePruningMethod):
    """Prunes nothing, but makes the parameter one that has a mask."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask as it is."""
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> Any:  # type: ignore[override]
        """Give a parameter a mask of ones."""
        return super().apply(module, name)


class _Amount(BasePruningMethod):
    """The base of methods that prune some number, or part, of what there is."""

    def __init__(self, amount: Amount) -> None:
        _checked(amount)
        self.amount = amount

    @classmethod
    def apply(cls, module: Module, name: str, amount: Amount, importance_scores: Any = None) -> Any:  # type: ignore[override]
        """Prune a parameter."""
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class RandomUnstructured(_Amount):
    """Prunes elements at random."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return a mask with that many further zeros."""
        n = _count(self.amount, t.numel())
        mask = default_mask.clone()
        if n:
            mask.view(-1)[tg.rand_like(t, dtype=tg.float32).view(-1).topk(n).indices] = 0
        return mask

    @classmethod
    def apply(cls, module: Module, name: str, amount: Amount) -> Any:  # type: ignore[override]
        """Prune a parameter."""
        return super().apply(module, name, amount)


class L1Unstructured(_Amount):
    """Prunes the elements of least size."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return a mask with zeros at the elements of least size."""
        n = _count(self.amount, t.numel())
        mask = default_mask.clone()
        if n:
            mask.view(-1)[t.abs().reshape(-1).topk(n, largest=False).indices] = 0
        return mask


class _Slices(BasePruningMethod):
    """The base of methods that prune whole slices along a dim."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Amount, dim: int = -1) -> None:
        _checked(amount)
        self.amount = amount
        self.dim = dim

    def _sizes(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return a mask with zeros in the slices of least size."""
        _axis(t, self.dim)
        count = t.shape[self.dim]
        n = _count(self.amount, count)
        mask = default_mask.clone()
        if n:
            kept = self._sizes(t).topk(count - n).indices
            left = tg.zeros(count, dtype=mask.dtype, device=mask.device)
            left[kept] = 1
            shape = [1] * t.ndim
            shape[self.dim] = count
            mask = mask * left.view(shape)
        return mask


class RandomStructured(_Slices):
    """Prunes slices at random."""

    def _sizes(self, t: Tensor) -> Tensor:
        return tg.rand(t.shape[self.dim], device=t.device)

    @classmethod
    def apply(cls, module: Module, name: str, amount: Amount, dim: int = -1) -> Any:  # type: ignore[override]
        """Prune a parameter."""
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Slices):
    """Prunes the slices of least Ln norm."""

    def __init__(self, amount: Amount, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _sizes(self, t: Tensor) -> Tensor:
        rest = [d for d in range(t.ndim) if d != self.dim % t.ndim]
        return tg.norm(t, p=self.n, dim=rest)

    @classmethod
    def apply(  # type: ignore[override]
        cls,
        module: Module,
        name: str,
        amount: Amount,
        n: Any,
        dim: int,
        importance_scores: Any = None,
    ) -> Any:
        """Prune a parameter."""
        return super().apply(
            module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores
        )


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask that is given."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the product of both masks."""
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, mask: Tensor) -> Any:  # type: ignore[override]
        """Prune a parameter."""
        return super().apply(module, name, mask=mask)


# -- functions -------------------------------------------------------------------------------------


def identity(module: M, name: str) -> M:
    """Give a parameter a mask of ones; return the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: M, name: str, amount: Amount) -> M:
    """Prune `amount` elements of a parameter at random, or that part of them; return the module."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: M, name: str, amount: Amount, importance_scores: Tensor | None = None
) -> M:
    """Prune the `amount` elements of least size, or that part of them; return the module.

    `importance_scores` take the place of the elements when their sizes are compared.

    >>> import tabgrad as tg
    >>> layer = tg.nn.utils.prune.l1_unstructured(tg.nn.Linear(3, 2, device="cpu"), "weight", 0.5)
    >>> layer.weight_mask.sum().item()
    3.0
    """
    L1Unstructured.apply(module, name, amount, importance_scores)
    return module


def random_structured(module: M, name: str, amount: Amount, dim: int) -> M:
    """Prune `amount` slices along `dim` at random, or that part of them; return the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: M, name: str, amount: Amount, n: Any, dim: int, importance_scores: Tensor | None = None
) -> M:
    """Prune the `amount` slices along `dim` of least Ln norm, or that part of them; return the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores)
    return module


def custom_from_mask(module: M, name: str, mask: Tensor) -> M:
    """Prune a parameter by a mask; return the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]], pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None, **kwargs: Any,
) -> None:  # fmt: skip
    """Prune elements of several parameters, (module, name) each, as if they were one."""
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    given = list(parameters)
    known = importance_scores or {}
    if not isinstance(known, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    tensors = [getattr(module, name) for module, name in given]
    scores = tg.nn.utils.parameters_to_vector(
        [known.get(at, t).reshape(t.shape) for at, t in zip(given, tensors, strict=True)]
    )
    masks = [
        getattr(m, name + "_mask", tg.ones_like(t))
        for (m, name), t in zip(given, tensors, strict=True)
    ]
    start = tg.nn.utils.parameters_to_vector(masks)
    container = PruningContainer.__new__(PruningContainer)
    container._pruning_methods = ()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container.add_pruning_method(method)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    final, at = container.compute_mask(scores, start), 0
    for (module, name), t in zip(given, tensors, strict=True):
        custom_from_mask(module, name, final[at : at + t.numel()].view_as(t))
        at += t.numel()


def remove(module: M, name: str) -> M:
    """Make a pruned parameter an ordinary one, whose pruned elements are zero; return the module."""
    for key, method in _found(module, name):
        method.remove(module)
        del module._hooks["forward_pre"][key]
        return module
    raise ValueError(
        f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
    )


def is_pruned(module: Module) -> bool:
    """Return whether a module or one of its submodules has a pruned parameter."""
    return any(
        isinstance(hook.fn, BasePruningMethod)
        for m in module.modules()
        for hook in m._hooks.get("forward_pre", {}).values()
    )
