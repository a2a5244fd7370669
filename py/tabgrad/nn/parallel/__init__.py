"""Modules on several devices, of which there is one here, and in several processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.nn.module import Module
from tabgrad.nn.parallel.distributed import DistributedDataParallel as DistributedDataParallel

Tensor = tg.Tensor


class DataParallel(Module):
    """Calls `module`, its inputs moved to where its parameters are; `state_dict` names it "module.".

    With one device PyTorch's does no more.

    >>> import tabgrad as tg
    >>> model = tg.nn.DataParallel(tg.nn.Linear(2, 1))
    >>> list(model.state_dict())
    ['module.weight', 'module.bias']
    """

    def __init__(
        self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None,
        dim: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        _one_device("DataParallel", device_ids)
        self.module = module
        self.device_ids = list(range(tg.cuda.device_count())) if _on_accelerator(module) else []
        self.output_device = output_device
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Call the module."""
        return _called(self.module, inputs, kwargs)


def data_parallel(
    module: Module, inputs: Any, device_ids: Sequence[Any] | None = None, output_device: Any = None,
    dim: int = 0, module_kwargs: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Call the module on the inputs, a tensor or a tuple, moved to where its parameters are.

    >>> import tabgrad as tg
    >>> tg.nn.parallel.data_parallel(tg.nn.ReLU(), tg.tensor([-1.0, 1.0], device="cpu"))
    tensor([0., 1.])
    """
    _one_device("data_parallel", device_ids)
    given = inputs if isinstance(inputs, tuple) else () if inputs is None else (inputs,)
    return _called(module, given, module_kwargs or {})


def replicate(network: Module, devices: Sequence[Any], detach: bool = False) -> list[Module]:
    """Return the module once for each of the devices, of which there is one."""
    _one_device("replicate", devices)
    return [network] * len(devices)


def scatter(inputs: Any, target_gpus: Sequence[Any], dim: int = 0) -> tuple[Any, ...]:
    """Return the inputs for each of the devices, of which there is one: a tuple with the inputs moved there.

    >>> import tabgrad as tg
    >>> tg.nn.parallel.scatter(tg.ones(2, device="cpu"), ["cpu"])
    (tensor([1., 1.]),)
    """
    _one_device("scatter", target_gpus)
    return tuple([_moved(inputs, tg.device(where)) for where in target_gpus])


def gather(outputs: Sequence[Any], target_device: Any, dim: int = 0) -> Any:
    """Return the outputs of each device, of which there is one, on the target device.

    >>> import tabgrad as tg
    >>> tg.nn.parallel.gather([tg.ones(2, device="cpu")], "cpu")
    tensor([1., 1.])
    """
    where = tg.device("cpu" if target_device == -1 else target_device)
    if len(outputs) == 1:
        return _moved(outputs[0], where)
    return tg.cat([_moved(out, where) for out in outputs], dim)


def parallel_apply(
    modules: Sequence[Module], inputs: Sequence[Any],
    kwargs_tup: Sequence[dict[str, Any]] | None = None, devices: Sequence[Any] | None = None,
) -> list[Any]:  # fmt: skip
    """Call each module on its inputs, one after the other."""
    rest = kwargs_tup or [{}] * len(modules)
    return [
        m(*(x if isinstance(x, list | tuple) else (x,)), **kwargs)
        for m, x, kwargs in zip(modules, inputs, rest, strict=True)
    ]


def _one_device(name: str, devices: Sequence[Any] | None) -> None:
    if devices is not None and len(devices) > 1:
        raise ValueError(f"{name}: there is one device, got {len(devices)}: {list(devices)}")


def _on_accelerator(module: Module) -> bool:
    return any(p.device.type != "cpu" for p in module.parameters())


def _called(module: Module, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    first = next(module.parameters(), None)
    if first is None or first.device.type == "cpu":
        return module(*inputs, **kwargs)
    inputs, kwargs = _moved((tuple(inputs), kwargs), first.device)
    return module(*inputs, **kwargs)


def _moved(what: Any, where: Any) -> Any:
    return tree.map(lambda x: x.to(where) if isinstance(x, Tensor) else x, what)


if not TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)

__all__ = [
    "DataParallel", "DistributedDataParallel", "data_parallel", "gather", "parallel_apply", "replicate",
    "scatter",
]  # fmt: skip
