"""Modules as functions of their parameters and buffers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tabgrad as tg

State = Mapping[str, Any]


def functional_call(
    module: Any, parameter_and_buffer_dicts: State | Sequence[State], args: Any = None,
    kwargs: dict[str, Any] | None = None, *, tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """Call `module(*args, **kwargs)` with the tensors of the dicts in place of its parameters and buffers.

    Keys are the dotted names of `named_parameters()` and `named_buffers()`. A tensor that the module holds
    under several names is replaced under all of them if `tie_weights`. With `strict` every name must be
    given. The module is as before afterwards.

    >>> import tabgrad as tg
    >>> layer = tg.nn.Linear(2, 1)
    >>> x = tg.ones(2)
    >>> zeros = {name: tg.zeros_like(p) for name, p in layer.named_parameters()}
    >>> tg.func.functional_call(layer, zeros, (x,)).tolist()
    [0.0]
    """
    given = _merged(parameter_and_buffer_dicts)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, given, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def _merged(dicts: State | Sequence[State]) -> dict[str, Any]:
    if isinstance(dicts, Mapping):
        return dict(dicts)
    if not isinstance(dicts, Sequence) or not all(isinstance(d, Mapping) for d in dicts):
        raise ValueError(
            f"functional_call: expected a dict or a sequence of dicts of tensors, got {type(dicts).__name__}"
        )
    merged: dict[str, Any] = {}
    for d in dicts:
        for name, value in d.items():
            if name in merged:
                raise ValueError(f"functional_call: {name!r} is in more than one of the dicts")
            merged[name] = value
    return merged


def _slots(module: Any) -> dict[str, tuple[dict[str, Any], str]]:
    """Map each dotted name to the table of the submodule that holds it, and its name in that table."""
    found = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for name in table:
                found[f"{prefix}.{name}" if prefix else name] = (table, name)
    return found


@contextlib.contextmanager
def _replaced(module: Any, given: dict[str, Any], tie: bool, strict: bool) -> Iterator[None]:
    slots = _slots(module)
    unknown = sorted(set(given) - set(slots))
    if unknown and strict:
        raise RuntimeError(f"functional_call: {type(module).__name__} has no {', '.join(unknown)}")
    wanted = {name: value for name, value in given.items() if name in slots}
    if tie:
        wanted |= _tied(slots, wanted)
    missing = [n for n, (table, key) in slots.items() if n not in wanted and table[key] is not None]
    if strict and missing:
        raise RuntimeError(
            f"functional_call: with strict=True the dicts must hold {', '.join(missing)} too"
        )
    before = [(*slots[name], slots[name][0][slots[name][1]]) for name in wanted]
    try:
        for name, value in wanted.items():
            table, key = slots[name]
            table[key] = value
        yield
    finally:
        for table, key, value in before:
            table[key] = value


def _tied(slots: dict[str, tuple[dict[str, Any], str]], given: dict[str, Any]) -> dict[str, Any]:
    """Extend `given` to the other names of the tensors that it replaces."""
    by_tensor: dict[int, Any] = {}
    for name, value in given.items():
        table, key = slots[name]
        old = table[key]
        if old is None:
            continue
        if by_tensor.setdefault(id(old), value) is not value:
            raise ValueError(
                f"functional_call: {name!r} and another name share one tensor but are given different ones; "
                "give one of them, or pass tie_weights=False"
            )
    found = {}
    for name, (table, key) in slots.items():
        if name not in given and table[key] is not None and id(table[key]) in by_tensor:
            found[name] = by_tensor[id(table[key])]
    return found


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Stack the parameters and the buffers of models of one architecture along a new first axis.

    With `vmap` over `functional_call` the models run as one. Stacked parameters are leaves that require grad
    where the models' do.

    >>> import tabgrad as tg
    >>> models = [tg.nn.Linear(3, 2) for _ in range(4)]
    >>> params, buffers = tg.func.stack_module_state(models)
    >>> run = lambda p, b, x: tg.func.functional_call(models[0], (p, b), (x,))
    >>> tg.vmap(run, in_dims=(0, 0, None))(params, buffers, tg.ones(3)).shape
    tabgrad.Size([4, 2])
    """
    if not models:
        raise RuntimeError("stack_module_state: expected at least one model")
    if len({type(m) for m in models}) > 1 or len({m.training for m in models}) > 1:
        raise RuntimeError(
            "stack_module_state: expected models of one class, all in training mode or none"
        )
    params = {
        name: _stacked(name, [dict(m.named_parameters())[name] for m in models])
        for name, _ in models[0].named_parameters()
    }
    buffers = {
        name: _stacked(name, [dict(m.named_buffers())[name] for m in models])
        for name, _ in models[0].named_buffers()
    }
    return params, buffers


def _stacked(name: str, tensors: Sequence[Any]) -> Any:
    if len({x.requires_grad for x in tensors}) > 1:
        raise RuntimeError(
            f"stack_module_state: {name} requires grad in some of the models and not in others"
        )
    with tg.no_grad():
        out = tg.stack([x.detach() for x in tensors])
    return out.requires_grad_(tensors[0].requires_grad)


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Let each batch normalisation in `root`, and `root` itself, keep no running statistics; return it.

    Inside vmap each element of the batch would write its own statistics to the same tensor of the module.

    >>> import tabgrad as tg
    >>> net = tg.func.replace_all_batch_norm_modules_(tg.nn.Sequential(tg.nn.BatchNorm1d(2)))
    >>> tg.func.vmap(net)(tg.zeros(3, 4, 2)).shape
    tabgrad.Size([3, 4, 2])
    """
    kinds = (tg.nn.BatchNorm1d, tg.nn.BatchNorm2d, tg.nn.BatchNorm3d)
    for module in root.modules():
        if isinstance(module, kinds):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


__all__ = ["functional_call", "replace_all_batch_norm_modules_", "stack_module_state"]
