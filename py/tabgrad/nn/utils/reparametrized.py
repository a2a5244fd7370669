"""Weights computed from other parameters before each call: `weight_norm` and `spectral_norm`."""

from __future__ import annotations

from typing import Any, TypeVar

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad.nn.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from tabgrad.nn.module import Module
from tabgrad.nn.parameter import Parameter, is_lazy

Tensor = tg.Tensor
M = TypeVar("M", bound=Module)


class _Computed:
    """A hook before each call that sets the attribute `name` of a module from other parameters."""

    kind = ""

    def __init__(self, name: str) -> None:
        self.name = name

    def compute(self, module: Module) -> Tensor:
        """Return the weight."""
        raise NotImplementedError

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute(module))

    @classmethod
    def weight_of(cls, module: Module, name: str) -> Parameter:
        """Return the parameter that the hook will take the place of, or raise."""
        if any(hook.name == name for hook, _ in cls.found(module)):
            raise RuntimeError(f"Cannot register two {cls.kind} hooks on the same parameter {name}")
        weight = module._parameters.get(name)
        if weight is None:
            raise ValueError(
                f"{cls.kind} cannot be applied: {type(module).__name__} has no parameter {name!r}"
            )
        if is_lazy(weight):
            raise ValueError(
                f"{cls.kind}: the module can't have uninitialized parameters; call it once with an input first"
            )
        return weight

    @classmethod
    def found(cls, module: Module) -> list[tuple[Any, int]]:
        """Return the hooks of this kind on a module, with their keys."""
        table = module._hooks.get("forward_pre", {})
        return [(hook.fn, key) for key, hook in table.items() if isinstance(hook.fn, cls)]

    @classmethod
    def remove(cls, module: Module, name: str, *others: str) -> None:
        """Make the computed weight a parameter again, and drop the hook and what it was computed from."""
        for hook, key in cls.found(module):
            if hook.name == name:
                with tg.no_grad():
                    weight = Parameter(hook.compute(module).detach())
                delattr(module, name)
                for other in others:
                    delattr(module, name + other)
                module.register_parameter(name, weight)
                del module._hooks["forward_pre"][key]
                return
        raise ValueError(f"{cls.kind} of '{name}' not found in {module}")


class _WeightNorm(_Computed):
    kind = "weight_norm"

    def __init__(self, name: str, dim: int) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module: Module) -> Tensor:
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return v * (g / self.norm(v))

    def norm(self, v: Tensor) -> Tensor:
        """Return the norms over all dims but one, to broadcast; over all for dim -1."""
        if self.dim == -1:
            return tg.norm(v)
        rows = v.movedim(self.dim, 0).reshape(v.shape[self.dim], -1)
        shape = [1] * v.ndim
        shape[self.dim] = v.shape[self.dim]
        return tg.norm(rows, dim=1).reshape(shape)


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Make a parameter the product of a length and a direction; return the module.

    It is g · v / ‖v‖, with the parameters g and v of its name and "_g" and "_v". There is a length for each
    index of `dim`, or one for None. The weight is computed before each call. (Salimans and Kingma 2016.)

    >>> import tabgrad as tg
    >>> layer = tg.nn.utils.weight_norm(tg.nn.Linear(20, 40, device="cpu"))
    >>> layer.weight_g.shape, layer.weight_v.shape
    (tabgrad.Size([40, 1]), tabgrad.Size([40, 20]))
    """
    weight = _WeightNorm.weight_of(module, name)
    hook = _WeightNorm(name, -1 if dim is None else dim)
    with tg.no_grad():
        length = Parameter(hook.norm(weight.detach()))
    delattr(module, name)
    module.register_parameter(f"{name}_g", length)
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    hook(module, ())
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the weight that `weight_norm` computes an ordinary parameter again; return the module."""
    _WeightNorm.remove(module, name, "_g", "_v")
    return module


class _SpectralNorm(_Computed):
    kind = "spectral_norm"

    def __init__(self, name: str, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__(name)
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.n_power_iterations = n_power_iterations
        self.dim = dim
        self.eps = eps

    def matrix(self, weight: Tensor) -> Tensor:
        """Return the weight as a matrix whose rows are those of `dim`."""
        return weight.movedim(self.dim, 0).reshape(weight.shape[self.dim], -1)

    def __call__(self, module: Module, inputs: Any) -> None:
        if module.training:
            self.iterate(module)
        super().__call__(module, inputs)

    def iterate(self, module: Module) -> None:
        """Bring the two vectors nearer to the first singular vectors."""
        u, v = getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")
        with tg.no_grad():
            rows = self.matrix(getattr(module, f"{self.name}_orig"))
            new_u = u
            for _ in range(self.n_power_iterations):
                new_v = F.normalize(rows.T @ new_u, dim=0, eps=self.eps)
                new_u = F.normalize(rows @ new_v, dim=0, eps=self.eps)
            v.copy_(new_v)
            u.copy_(new_u)

    def compute(self, module: Module) -> Tensor:
        weight = getattr(module, f"{self.name}_orig")
        # as they are now: a later call moves them, and this one's gradient needs these
        u, v = (getattr(module, f"{self.name}{end}").clone() for end in ("_u", "_v"))
        return weight / tg.dot(u, self.matrix(weight) @ v)


def spectral_norm(
    module: M, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> M:  # fmt: skip
    """Divide a parameter by its largest singular value before each call; return the module.

    The value is estimated by `n_power_iterations` steps of the power method at each call in training mode, from
    where the last call left them. `dim` says what the rows of the matrix are: 0, or 1 for transposed
    convolutions, if None. (Miyato et al. 2018.)

    >>> import tabgrad as tg
    >>> layer = tg.nn.utils.spectral_norm(tg.nn.Linear(20, 40, device="cpu"))
    >>> layer.weight_u.shape
    tabgrad.Size([40])
    """
    if dim is None:
        transposed = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
        dim = 1 if isinstance(module, transposed) else 0
    hook = _SpectralNorm(name, n_power_iterations, dim, eps)
    weight = _SpectralNorm.weight_of(module, name)
    with tg.no_grad():
        rows = hook.matrix(weight)
        vectors = [
            F.normalize(tg.empty_like(x).normal_(0, 1), dim=0, eps=eps)
            for x in (rows[:, 0], rows[0])
        ]
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    # some code expects a weight before the first call
    setattr(module, name, weight.detach())
    for end, x in zip(("_u", "_v"), vectors, strict=True):
        module.register_buffer(name + end, x)
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the weight that `spectral_norm` computes an ordinary parameter again; return the module."""
    _SpectralNorm.remove(module, name, "_u", "_v", "_orig")
    return module
