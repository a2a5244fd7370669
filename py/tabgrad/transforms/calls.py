"""Calls that are one step for the transforms: a function with rules of its own, any number of outputs.

An op has one output and rules for all transforms. A call has several, and goes down the interpreter stack
the same way: the innermost interpreter that owns one of its arguments does its part, and applies the call,
or one made of it, to the values below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.errors import TransformError
from tabgrad.core.trace import MODE, Box, Mode, check_alive, descend, using, wrap
from tabgrad.transforms.autograd import Autograd
from tabgrad.transforms.jvp import Forward
from tabgrad.transforms.levels import Level
from tabgrad.transforms.vmap import Batch


class Call:
    """What is applied to a flat list of arguments, tensors and others, and gives a list of outputs.

    Subclasses say what happens at each kind of level. The methods run under the mode of that level and
    apply what they need below it with `lowered_call`.
    """

    name = "call"

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Return the outputs for arguments that no level owns."""
        raise NotImplementedError

    def at_autograd(self, level: Autograd, args: list[Any], mode: Mode) -> list[Any]:
        """Return the outputs, recorded at `level`."""
        raise TransformError(f"{self.name}: has no reverse derivative")

    def at_forward(self, level: Forward, args: list[Any], mode: Mode) -> list[Any]:
        """Return the outputs with their tangents."""
        raise TransformError(f"{self.name}: has no forward derivative")

    def at_batch(self, level: Batch, args: list[Any], mode: Mode) -> list[Any]:
        """Return the batched outputs."""
        raise TransformError(f"{self.name}: has no batching rule")

    def plain(self, args: list[Any]) -> list[Any]:
        """Return the outputs by ops alone, with nothing recorded of the call itself."""
        raise TransformError(f"{self.name}: can't be used here")

    def again(self) -> Call:
        """Return the call to apply another time."""
        return self

    def at_level(self, level: Any, args: list[Any], mode: Mode) -> list[Any]:
        """Return the outputs at a level of any other kind: one that traces records the call."""
        if hasattr(level, "call"):
            outs: list[Any] = level.call(self, args)
            return outs
        raise TransformError(f"{self.name}: can't be used inside {level.name}")


def top_level(name: str, args: Sequence[Any], mode: Mode) -> Any:
    """Return the innermost interpreter that owns one of `args`, None if none does."""
    top: Any = None
    for a in args:
        owner = a.owner if isinstance(a, Box) else None
        if owner is not None:
            owner = check_alive(a, mode, name)
            if owner is not None and (top is None or owner.level > top.level):
                top = owner
    return top


def apply(call: Call, args: list[Any]) -> list[Any]:
    """Apply `call` through the interpreter stack."""
    mode = MODE.get()
    top = top_level(call.name, args, mode)
    outs = _applied(call, args, top, descend(mode, 0) if top is None else top.entered(mode))
    if mode.levels:
        # what was made below is handed out here
        for y in outs:
            if isinstance(y, Box) and not any(y is a for a in args):
                y.born = mode.birth
    return outs


def _applied(call: Call, args: list[Any], top: Any, mode: Mode) -> list[Any]:
    with using(mode):
        if top is None:
            return call.at_base(args, mode)
        if isinstance(top, Autograd):
            return call.at_autograd(top, args, mode)
        if isinstance(top, Forward):
            return call.at_forward(top, args, mode)
        if isinstance(top, Batch):
            return call.at_batch(top, args, mode)
        return call.at_level(top, args, mode)


def lowered_call(call: Call, level: Level, args: Sequence[Any], mode: Mode) -> list[Any]:
    """Apply `call` to `args`, which are of the level below `level`."""
    with using(level.below(mode)):
        return apply(call, list(args))


def lift_outputs(level: Autograd, outputs: Sequence[Any]) -> list[Any]:
    """Return the tensors among `outputs` as tensors of `level`, not tied to anything yet."""
    return [wrap(y, y.spec, y.device, level) if isinstance(y, Box) else y for y in outputs]


def lower_all(level: Any, args: Sequence[Any]) -> list[Any]:
    """Return `args` with the tensors of `level` replaced by what they are below it."""
    return [level.lower(a) if isinstance(a, Box) else a for a in args]
