"""`_init_group`, by which PyTorch's steps collect what they need, and programs change which of it they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tabgrad as tg
from tabgrad.core.naming import is_own

if TYPE_CHECKING:
    from tabgrad.optim.optimizer import Group, Optimizer

Tensor = tg.Tensor

LISTS: dict[str, tuple[tuple[str, str], ...]] = {
    "SGD": (("momentum_buffer", "momentum"),),
    "Adam": (("exp_avg", ""), ("exp_avg_sq", ""), ("max_exp_avg_sq", "amsgrad"), ("step", "")),
    "NAdam": (("exp_avg", ""), ("exp_avg_sq", ""), ("mu_product", ""), ("step", "")),
    "RAdam": (("exp_avg", ""), ("exp_avg_sq", ""), ("step", "")),
    "Adamax": (("exp_avg", ""), ("exp_inf", ""), ("step", "")),
    "RMSprop": (("square_avg", ""), ("momentum_buffer", "momentum"), ("grad_avg", "centered"), ("step", "")),
    "Adagrad": (("sum", ""), ("step", "")),
    "Adadelta": (("square_avg", ""), ("acc_delta", ""), ("step", "")),
    "ASGD": (("mu", ""), ("ax", ""), ("eta", ""), ("step", "")),
    "Rprop": (("prev", ""), ("step_size", ""), ("step", "")),
}  # fmt: skip
"""The state that `_init_group` lists behind parameters and gradients, in PyTorch's order: names, and the
options without which a list stays empty."""
_NUMBERS = {"step": 0.0, "mu_product": 1.0, "mu": 1.0}


def _lists(optimizer: Optimizer) -> tuple[tuple[str, str], ...]:
    for kind in type(optimizer).__mro__:
        if kind.__name__ in LISTS and is_own(kind):
            return LISTS[kind.__name__]
    raise NotImplementedError(
        f"{type(optimizer).__name__}._init_group: only these optimizers have one: {', '.join(LISTS)}"
    )


def init_group(
    self: Any, group: Group, params: list[Any], grads: list[Any], *states: list[Any]
) -> Any:
    """Add the parameters of a group that have gradients to `params`, their gradients, and their state.

    A step of the user's own finds the state made, as PyTorch makes it: tensors, to be changed in place. A
    step of the library's asks which parameters it shall take; state that isn't there yet is then shown as it
    will begin. Returns whether a gradient is sparse, for Adam and its like whether a parameter is complex.
    """
    lists = _lists(self)
    if len(states) != len(lists):
        names = ", ".join(name for name, _ in lists)
        raise TypeError(
            f"{type(self).__name__}._init_group: expected lists of parameters, of gradients and of {names}, "
            f"got {2 + len(states)} lists"
        )
    sparse = has_complex = False
    for p in group["params"]:
        if p.grad is None:
            continue
        params.append(p)
        grads.append(p.grad)
        sparse, has_complex = sparse or p.grad.is_sparse, has_complex or p.is_complex()
        for (name, option), into in zip(lists, states, strict=True):
            if not option or group.get(option):
                into.append(_state(self, group, p, name))
    kind = lists[0][0]
    if kind == "sum":
        return sparse, has_complex
    return sparse if kind == "momentum_buffer" else has_complex


def _state(optimizer: Any, group: Group, p: Tensor, name: str) -> Any:
    """Return a part of the state of a parameter."""
    known = optimizer.state[p] if p in optimizer.state else {}
    found = known.get(name)
    if found is None and name == "momentum_buffer" and "centered" not in group:
        return None
    asked = vars(optimizer).get("_asked", False)
    if isinstance(found, Tensor) or (found is not None and not asked):
        return found
    if found is None:
        found = _beginning(group, p, name)
    elif not isinstance(found, Tensor):
        found = tg.tensor(float(found), device="cpu")
    if not asked:
        optimizer.state[p][name] = found
    return found


def _beginning(group: Group, p: Tensor, name: str) -> Tensor:
    if name in _NUMBERS or name == "eta":
        return tg.tensor(_NUMBERS[name] if name in _NUMBERS else float(group["lr"]), device="cpu")
    fill = {"step_size": "lr", "sum": "initial_accumulator_value"}.get(name)
    with tg.no_grad():
        return tg.full_like(p, float(group[fill]) if fill else 0.0)


def wanted(optimizer: Any, group: Group) -> list[Any]:
    """Return the parameters of a group that a step changes: those with gradients that a subclass takes.

    Raises NotImplementedError if it replaces gradients in the list, which the step would not see.
    """
    found = list(dict.fromkeys([p for p in group["params"] if p._grad is not None]))
    if type(optimizer)._init_group is init_group:
        return found
    lists: list[list[Any]] = [[] for _ in range(2 + len(_lists(optimizer)))]
    optimizer._asked = True
    try:
        optimizer._init_group(group, *lists)
    finally:
        del optimizer._asked
    chosen = list(dict.fromkeys(lists[0]))
    if not set(map(id, chosen)) <= set(map(id, found)):
        raise ValueError("_init_group: expected parameters of the group that have gradients")
    for p, g in zip(lists[0], lists[1], strict=True):
        if g is not p.grad:
            raise NotImplementedError(
                f"{type(optimizer).__name__}._init_group puts other gradients in its list, which a step does "
                "not see here; assign p.grad instead, or change it in place"
            )
    return chosen
