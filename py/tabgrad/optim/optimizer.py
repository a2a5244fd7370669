"""The base of optimizers: parameter groups, state, hooks, and the step over whole groups."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import tabgrad as tg
from tabgrad.core.capture import (
    capturing,
    depend,
    guard,
    look_at_grads,
    on_failure,
    on_replay,
    refuse,
)
from tabgrad.core.errors import DTypeError, warn
from tabgrad.core.interrupts import uninterruptible
from tabgrad.core.naming import is_own
from tabgrad.core.shown import shown_by
from tabgrad.core.trace import MODE
from tabgrad.core.undoing import Before
from tabgrad.optim.counters import LOOSE, Given, Undo, as_number, moved
from tabgrad.optim.flat import Flat, State, States, check_sparse
from tabgrad.optim.groups import init_group, wanted
from tabgrad.optim.stepping import *  # noqa: F403 (programs import them from here)
from tabgrad.optim.stepping import EVERYWHERE, after_step, before_step
from tabgrad.tensor.aliasing import refreshed, replace, root_of
from tabgrad.tensor.placing import place_together
from tabgrad.tensor.writing import reset_grads
from tabgrad.utils.hooks import RemovableHandle, add

Tensor = tg.Tensor
Group = dict[str, Any]
Closure = Callable[[], Any]
Params = Iterable[Any]

LIVE = frozenset(("params", "param_names", "lr", "initial_lr", "weight_decay", "momentum", "betas"))
"""Options of a group that a step reads as live numbers, and what is no option at all."""


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required: Any = _Required()
"""Stands in `defaults` for an option that each group must give."""


def flags(**chosen: bool | None) -> dict[str, Any]:
    """Return the options that choose an implementation, in PyTorch's order.

    They are in the groups so that state dicts are PyTorch's. Only "maximize" and "differentiable" have an
    effect here.
    """
    if chosen.get("fused"):
        if chosen["differentiable"]:
            raise RuntimeError("`fused` does not support `differentiable`")
        if chosen["foreach"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
    return chosen


def check_lr(lr: float | Tensor, options: dict[str, Any], foreach: bool = True) -> None:
    """Raise ValueError unless `lr` is a number from 0 on, or a tensor of one element where PyTorch accepts it.

    `foreach` says whether a tensor is accepted with the option `foreach` on and `capturable` off.
    """
    if not isinstance(lr, Tensor):
        nonnegative(lr=lr)
        return
    if lr.numel() != 1:
        raise ValueError(f"Tensor lr must be 1-element, got shape {tuple(lr.shape)}")
    if not foreach and options.get("foreach") and not options.get("capturable"):
        raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")


def number_of(lr: float | Tensor) -> float:
    """Return an option as a number; a tensor is read each time. Use Flat.rate where the formula is linear."""
    if not isinstance(lr, Tensor):
        return float(lr)
    if MODE.get().grad and lr.requires_grad:
        raise ValueError(
            "differentiable=True: this optimizer reads its learning rate as a number, so a tensor lr that "
            "requires grad would get no gradient; use SGD or one of Adam's kind"
        )
    if lr.device.type != "cpu":
        refuse("reads an option of an optimizer, a tensor, as a number")
    return float(as_number("lr", lr))


def nonnegative(**options: float | Tensor) -> None:
    """Raise ValueError for an option below zero."""
    for name, value in options.items():
        if isinstance(value, Tensor):
            raise TypeError(
                f"{name}: expected a number, got a tensor; numbers may change between steps here, "
                "compiled ones too: assign optimizer.param_groups[i][...]"
            )
        if not value >= 0:
            what = "learning rate" if name == "lr" else f"{name} value"
            raise ValueError(f"Invalid {what}: {value}")


def fractions(name: str, values: tuple[Any, ...]) -> None:
    """Raise ValueError unless all `values` are in [0, 1)."""
    for i, value in enumerate(as_number(name, v) for v in values):
        if not 0 <= value < 1:
            raise ValueError(f"Invalid {name} parameter at index {i}: {value}")


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if vars(self).get("_stepping", True):  # absent from one that only passes calls on
            return step(self, *args, **kwargs)
        self._depend()
        given, kwargs = before_step(self, args, kwargs)
        before, undo = self._remember()
        try:
            self._stepping = True
            result = step(*given, **kwargs)
            self._opt_called = True
            on_replay(self._follow, follows=True)
        except BaseException:
            _give_back(self, before, undo)
            raise
        self._stepping = False
        after_step(self, given, kwargs)
        if capturing() is None:
            self._flush()
        return result

    return hooked


@uninterruptible
def _give_back(optimizer: Optimizer, before: Before, undo: Callable[[], None]) -> None:
    before.give_back()
    optimizer._take_back(undo)
    optimizer._stepping = False


def _undone(ref: weakref.ref[Optimizer]) -> None:
    optimizer = ref()
    if optimizer is not None and optimizer._undo.kept is not None:
        optimizer._take_back(optimizer._undo.kept)


class Optimizer:
    """Changes parameters by their gradients.

    `params` is an iterable of tensors, of (name, tensor) pairs, or of dicts that each hold "params" and
    options of their own; `defaults` the options of groups that do not say otherwise. A subclass defines
    `update`, or `step` itself. `state` holds counters (`state[p]["step"]`) as Python numbers; in state dicts
    they are tensors, as in PyTorch.
    """

    GUARDED: ClassVar = ()
    """A compiled call depends on those attributes that a user's code names; see `_depend`."""
    state = State()
    param_groups: list[Group]
    complex_too: ClassVar = False
    """Whether parameters may be complex: its formula must be right for them."""
    found_inf: Tensor | None = None
    """Set by a GradScaler: if this 0-d tensor is true the step changes nothing."""
    _sparse: ClassVar[bool] = False
    """Whether sparse gradients are taken."""
    _counters: ClassVar[tuple[str, ...]] = ()
    """Names of the numbers in the state that are tensors in state dicts."""
    _kinds: ClassVar = (
        "step_pre", "step_post", "state_dict_pre", "state_dict_post", "load_pre", "load_post",
    )  # fmt: skip

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state = States(self._counters)
        self.param_groups = []
        self._flats: dict[int, tuple[list[Tensor], list[Flat]]] = {}
        self._hooks: dict[str, dict[int, Any]] = {kind: {} for kind in self._kinds}
        self._stepping = False
        self._opt_called = False
        self._given = Given()
        self._undo = Undo()
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}"
            )
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def __init_subclass__(cls) -> None:
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def add_param_group(self, param_group: Group) -> None:
        """Add parameters with options of their own, for example layers that are unfrozen later."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        group = dict(param_group)
        given = group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of "
                "tensors in sets will change between runs; use a list instead"
            )
        given = [given] if isinstance(given, Tensor) else list(given)
        if given and isinstance(given[0], tuple):
            group["param_names"] = [name for name, _ in given]
            given = [p for _, p in given]
        group["params"] = given
        self._check_params(given)
        for name, value in self.defaults.items():
            if value is required and name not in group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter {name}"
                )
            group.setdefault(name, value)
        self.param_groups.append(group)
        place_together(given)

    def _check_params(self, given: list[Any]) -> None:
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in given:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one is {type(p).__name__}"
                )
            if p.spec.dtype.is_complex and not self.complex_too:
                raise DTypeError(
                    f"{type(self).__name__} does not support complex parameters; keep pairs of real numbers as "
                    "the parameter, and compute with view_as_complex(parameter)"
                )
            if not (p.is_leaf or p.retains_grad or self.defaults.get("differentiable")):
                raise ValueError("can't optimize a non-leaf Tensor")
            if id(p) in known:
                raise ValueError("some parameters appear in more than one parameter group")
        if len({id(p) for p in given}) != len(given):
            warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this will cause an "
                "error. Each is updated once in a step",
                UserWarning,
            )

    def _depend(self) -> None:
        """Make a compiled step trace again when groups, parameters or hooks are replaced."""
        groups = self.param_groups
        guard(lambda: [*map(id, groups)])
        depend(*[group["params"] for group in groups], on="the optimizer's parameters")
        depend(
            *(t[k] for t in (self._hooks, EVERYWHERE) for k in ("step_pre", "step_post")),
            on="the optimizer's hooks",
        )
        if not is_own(type(self)):
            depend(self.state.loose, on="the optimizer's state")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or make them zero."""
        reset_grads([p for group in self.param_groups for p in group["params"]], set_to_none)

    @_with_hooks
    def step(self, closure: Closure | None = None) -> Any:
        """Change the parameters once; return what `closure`, which computes the loss anew, returned."""
        loss = None
        if closure is not None:
            with tg.enable_grad():
                loss = closure()
        with tg.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            for i, group in enumerate(self.param_groups):
                guard(functools.partial(self._static, group))
                for flat in self._arrange(i, group):
                    flat.guard()
                    w, g = flat.values(), flat.gradients()
                    before = flat.kept() if self.found_inf is not None else {}
                    new = self.update(w, -g if group.get("maximize") else g, flat, group)
                    if self.found_inf is not None:
                        new = tg.where(self.found_inf, w, new)
                        flat.restore(self.found_inf, before)
                    flat.write(new)
        return loss

    def _arrange(self, i: int, group: Group) -> list[Flat]:
        """Return the Flats of the parameters that have gradients, those of the last step if they still fit."""
        look_at_grads(group["params"])
        active = wanted(self, group)
        if any([p._grad._parts is not None for p in active]):
            check_sparse(type(self).__name__, self._sparse, group)
        known = self._flats.get(i)
        if known is not None and len(known[0]) == len(active):
            if all([a is b for a, b in zip(known[0], active, strict=True)]) and not any(
                [flat.retired for flat in known[1]]
            ):
                return known[1]
        flats = self.state.gather(active)
        self._flats[i] = (active, flats)
        return flats

    _init_group = init_group

    def _static(self, group: Group) -> tuple[Any, ...]:
        """Return those options of a group that the formula depends on other than as live numbers."""
        betas = group.get("betas")
        lr = group["lr"]
        return (
            id(lr) if isinstance(lr, Tensor) else None,
            bool(group.get("weight_decay")), bool(group.get("momentum")),
            betas and (_told_apart(betas[0]) if isinstance(betas[0], Tensor) else 0, _told_apart(betas[1])),
            *[_told_apart(v) for k, v in group.items() if k not in LIVE],
        )  # fmt: skip

    def update(self, w: Tensor, g: Tensor, flat: Flat, group: Group) -> Tensor:
        """Return the new parameters for the old ones `w` and the gradients `g`, all vectors; change the state
        in place."""
        raise NotImplementedError(f"{type(self).__name__} defines neither update nor step")

    def _remember(self) -> tuple[Before, Callable[[], None]]:
        """Return what undoes the step on the device's side and on Python's.

        The devices keep it too, in case the step finds no memory; a capture does this for a captured step.
        """
        self._undo.kept = back = self.state.kept()
        given = [x for group in self.param_groups for x in group["params"]]
        tensors = [refreshed(root_of(x)) for x in (*given, *self.state.tensors())]
        before = Before(tensors)
        if capturing() is not None:
            on_failure(functools.partial(_undone, weakref.ref(self)))
            return before, back
        undo = functools.partial(self._take_back, back)
        for device in {x.device: None for x in tensors}:
            # under a transform the values are tensors of the level below
            ours = [x for x in tensors if x.device is device and x.owner is None]
            device.backend.remember(ours, replace, self, undo)
        return before, back

    def _take_back(self, undo: Callable[[], None]) -> None:
        undo()
        self._follow()

    def _follow(self) -> None:
        self._given.follow(self.state)

    def _flush(self) -> None:
        seen = set()
        for group in self.param_groups:
            if group["params"]:
                device = group["params"][0].device
                if device not in seen:
                    seen.add(device)
                    device.backend.advance()

    # State dicts

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over attributes, as copying and loading do; a subclass adds the options of newer versions."""
        self.__dict__.update({k: v for k, v in state.items() if k != "state"})
        self.state = state.get("state", self.__dict__.get("state", {}))

    def state_dict(self) -> dict[str, Any]:
        """Return the state by parameter number, and the groups with numbers in place of parameters.

        Nothing is copied: what the dict holds follows the optimizer, as PyTorch's does; keep a
        `copy.deepcopy` of it, or save it.
        """
        for hook in list(self._hooks["state_dict_pre"].values()):
            hook(self)
        number: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [number.setdefault(id(p), len(number)) for p in group["params"]]
            groups.append(packed)
        group_of = {id(p): group for group in self.param_groups for p in group["params"]}
        by_number = {
            number[id(p)]: self._shown(p, group_of[id(p)])
            for p in sorted(self.state, key=lambda p: number.get(id(p), -1))
            if id(p) in number and self.state[p]
        }
        packed_all: dict[str, Any] = {"state": by_number, "param_groups": groups}
        for hook in list(self._hooks["state_dict_post"].values()):
            changed = hook(self, packed_all)
            packed_all = packed_all if changed is None else changed
        return packed_all

    def _shown(self, p: Tensor, group: Group) -> dict[str, Any]:
        """Return the state of a parameter for a state dict; its tensors are those of the optimizer."""
        loose = self.state.loose.get(p)
        if loose is not None and "_step" not in loose and not set(self._counters) & set(loose):
            return loose
        place = LOOSE if loose is not None else self.state.home[p][0]
        shown = {}
        for name, value in self.state[p].items():
            if isinstance(value, Tensor):
                shown[name] = self._given.tensor(p, name, value, group, place)
            elif name in self._counters and isinstance(value, int | float):
                shown[name] = self._given.tensor(p, name, value, group, None)
            elif name != "_step":
                shown[name] = value
        return shown

    def _taken(self, p: Tensor, own: dict[str, Any]) -> dict[str, Any]:
        """Turn the state of a parameter from a state dict into what `state` holds."""
        out: dict[str, Any] = {}
        for name, value in own.items():
            if name in self._counters:
                out[name] = as_number(name, value)
            elif value is not None:
                out[name] = value if name == "step" else moved(value, p)
        return out

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state dict; tensors are copied to the dtype and device of their parameters."""
        given = dict(state_dict)
        for hook in list(self._hooks["load_pre"].values()):
            changed = hook(self, given)
            given = given if changed is None else changed
        theirs, ours = given["param_groups"], self.param_groups
        if len(theirs) != len(ours):
            raise ValueError(
                "loaded state dict has a different number of parameter groups: "
                f"{len(theirs)}, here are {len(ours)}"
            )
        params: dict[int, Tensor] = {}
        for i, (new, old) in enumerate(zip(theirs, ours, strict=True)):
            if len(new["params"]) != len(old["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group {i}: {len(new['params'])}, here are {len(old['params'])}"
                )
            params.update(zip(new["params"], old["params"], strict=True))
        self.state.load(
            {params[k]: self._taken(params[k], own) for k, own in given["state"].items()}
        )
        self._given.follow(self.state, loaded=True)
        for new, old in zip(theirs, ours, strict=True):
            old.update({k: v for k, v in new.items() if k != "params"})
        self.__setstate__({"state": self.state, "param_groups": ours})
        for hook in list(self._hooks["load_post"].values()):
            hook(self)

    # Hooks

    def _hook(self, kind: str, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        return add(self._hooks[kind], hook, prepend)

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, (optimizer, *args), kwargs)` before each step; it may return new ones."""
        return self._hook("step_pre", hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, (optimizer, *args), kwargs)` after each step."""
        return self._hook("step_post", hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` before a state dict is made."""
        return self._hook("state_dict_pre", hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` on each state dict; it may return another."""
        return self._hook("state_dict_post", hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading; it may return another."""
        return self._hook("load_pre", hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` after loading."""
        return self._hook("load_post", hook, prepend)

    _repr_html_ = shown_by("optimizer")

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"\nParameter Group {i}\n")
            lines += [f"    {k}: {group[k]}\n" for k in sorted(group) if k != "params"]
        return f"{type(self).__name__} ({''.join(lines)})"


def _told_apart(value: Any) -> Any:
    """Return the identity of an option that is a tensor, whose number a step reads, and others as they are."""
    return id(value) if isinstance(value, Tensor) else value
