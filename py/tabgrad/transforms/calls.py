"""Calls: functions with derivative rules of their own, which the transforms treat as one step.

An op has one output and rules for all transforms. A call has several, and goes down the interpreter stack
the same way: the innermost interpreter that owns one of its arguments does its part, then applies the call,
or one derived from it, to the values below. Nearly all calls are a `RuledCall`, which needs only the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabgrad.core.errors import TransformError
from tabgrad.core.trace import MODE, Box, Interpreter, Mode, check_alive, descend, using, wrap
from tabgrad.transforms.autograd import Autograd
from tabgrad.transforms.jvp import Forward
from tabgrad.transforms.levels import Level
from tabgrad.transforms.node import Node, port_of
from tabgrad.transforms.saving import frozen
from tabgrad.transforms.tape import record_call
from tabgrad.transforms.vmap import Batch


class LevelCall:
    """A function from a flat list of arguments (tensors and other values) to a list of outputs.

    Subclasses say what happens at each kind of level. The methods `at_...` run under the mode of that level and
    apply what they need below it with `lowered_call`; `push` and `batch`, rules on plain lists, run below.
    """

    name = "call"

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Compute the outputs of arguments that no level owns."""
        raise NotImplementedError

    def at_autograd(self, level: Autograd, args: list[Any], mode: Mode) -> list[Any]:
        """Compute the outputs, and record the call at `level`."""
        raise TransformError(f"{self.name}: has no reverse derivative")

    def at_forward(self, level: Forward, args: list[Any], mode: Mode) -> list[Any]:
        """Compute the outputs and their tangents: `push`, run below."""
        parts = [level.parts(a) if isinstance(a, Box) else (a, None) for a in args]
        with using(level.below(mode)):
            outs, tangents = self.push([p for p, _ in parts], [t for _, t in parts])
        return [
            y if t is None or not isinstance(y, Box) else level.lift(y, t)
            for y, t in zip(outs, tangents, strict=True)
        ]

    def at_batch(self, level: Batch, args: list[Any], mode: Mode) -> list[Any]:
        """Compute the batched outputs: `batch`, run below."""
        low, dims = batch_parts(level, args)
        with using(level.below(mode)):
            outs, axes = self.batch(level, low, dims)
        return [
            y if d is None or not isinstance(y, Box) else level.lift(y, d)
            for y, d in zip(outs, axes, strict=True)
        ]

    def push(self, primals: list[Any], tangents: list[Any]) -> tuple[list[Any], list[Any]]:
        """Compute the outputs and their tangents, None being zero."""
        raise TransformError(f"{self.name}: has no forward derivative")

    def batch(
        self, level: Batch, args: list[Any], dims: list[Any]
    ) -> tuple[list[Any], Sequence[int | None]]:
        """Compute the outputs for arguments with the batch axes `dims`, and the batch axes of the outputs."""
        raise TransformError(f"{self.name}: has no batching rule")

    def plain(self, args: list[Any]) -> list[Any]:
        """Compute the outputs by ops alone, with nothing recorded of the call itself."""
        raise TransformError(f"{self.name}: can't be used here")

    def again(self) -> LevelCall:
        """Make a call that can be applied another time."""
        return self

    def at_level(self, level: Level, args: list[Any], mode: Mode) -> list[Any]:
        """Apply the call at a level of any other kind: one that traces records it."""
        if hasattr(level, "call"):
            outs: list[Any] = level.call(self, args)
            return outs
        raise TransformError(f"{self.name}: can't be used inside {level.name}")


def top_level(name: str, args: Sequence[Any], mode: Mode) -> Any:
    """Find the innermost interpreter that owns one of `args`, None if none does."""
    top: Any = None
    for a in args:
        owner = a.owner if isinstance(a, Box) else None
        if owner is not None:
            owner = check_alive(a, mode, name)
            if owner is not None and (top is None or owner.level > top.level):
                top = owner
    return top


def apply(call: LevelCall, args: list[Any]) -> list[Any]:
    """Apply `call` through the interpreter stack."""
    mode = MODE.get()
    top = top_level(call.name, args, mode)
    outs = _applied(call, args, top, descend(mode, 0) if top is None else top.entered(mode))
    if mode.levels:
        # tensors made in a level below become results of this one
        for y in outs:
            if isinstance(y, Box) and not any(y is a for a in args):
                y.born = mode.birth
    return outs


def _applied(call: LevelCall, args: list[Any], top: Any, mode: Mode) -> list[Any]:
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


def lowered_call(call: LevelCall, level: Level, args: Sequence[Any], mode: Mode) -> list[Any]:
    """Apply `call` to `args`, which are of the level below `level`."""
    with using(level.below(mode)):
        return apply(call, list(args))


def lift_outputs(level: Autograd, outputs: Sequence[Any]) -> list[Any]:
    """Lift the tensors among `outputs` to `level`, without a place on the tape."""
    return [wrap(y, y.spec, y.device, level) if isinstance(y, Box) else y for y in outputs]


def lower_all(level: Autograd, args: Sequence[Any]) -> list[Any]:
    """Replace the tensors of `level` among `args` by their values below it."""
    return [level.lower(a) if isinstance(a, Box) else a for a in args]


# -- calls with rules of their own -----------------------------------------------------------------


def snapshot(x: Any, owner: Interpreter | None) -> Any:
    """Copy the present value of `x` to a tensor of the level `owner` that has no place on the tape."""
    if not isinstance(x, Box):
        return x
    if isinstance(owner, Forward):
        return owner.lift(*owner.parts(x))
    return wrap(x.value if x.owner is owner else frozen(x), x.spec, x.device, owner)


def tied(saved: Sequence[Any], node: Node, graph: bool) -> list[Any]:
    """Load the saved inputs of `node` as new tensors; with `graph` they are part of the graph of the inputs."""
    found = []
    for x, source in zip(saved, node.edges, strict=True):
        y = snapshot(x, node.owner)
        if graph and source is not None:
            y.node, y.tracked = source, True
        found.append(y)
    return found


def wants(args: Sequence[Any], owner: Interpreter | None, mode: Mode) -> bool:
    """Test whether a call with `args` must be recorded at the level `owner`."""
    return mode.grad and any(isinstance(a, Box) and a.tracked and a.owner is owner for a in args)


def batch_parts(level: Batch, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Split `args` into the tensors below `level` and their batch axes, None where there is none."""
    pairs = [a.value if isinstance(a, Box) and a.owner is level else (a, None) for a in args]
    return [p[0] for p in pairs], [p[1] for p in pairs]


class RuledCall(LevelCall):
    """A call that subclasses define by rules on plain lists; this class applies and records it at each level.

    Each rule runs at the level below the one that applies it. On the tape the call is one node, which keeps
    the arguments and what `forward` gives it to keep.
    """

    node_name = "CallBackward"
    keeps_outputs = False
    """True if `pull` reads the outputs as well as the arguments, and nothing else."""

    def run(self, args: list[Any]) -> list[Any]:
        """Compute the outputs of arguments that no level owns, with nothing recorded of the call itself."""
        raise NotImplementedError

    def forward(self, args: list[Any]) -> tuple[list[Any], list[Any]]:
        """Compute the outputs, and the values that `pull` reads besides the arguments."""
        outs = apply(self, args)
        return outs, outs if self.keeps_outputs else []

    def pull(
        self, args: list[Any], kept: list[Any], cts: list[Any], needs: Sequence[bool]
    ) -> list[Any]:
        """Map cotangents of the outputs to those of the arguments, None being zero."""
        raise TransformError(f"{self.name}: has no reverse derivative")

    def retied(self, node: Node, args: list[Any], kept: list[Any]) -> list[Any]:
        """Tie what `forward` kept to the graph: outputs by `node` itself, all else is computed again."""
        if not self.keeps_outputs:
            return self.forward(args)[1]
        found = [snapshot(x, node.owner) for x in kept]
        for k, x in enumerate(found):
            if x.spec.dtype.is_differentiable:
                x.node, x.tracked = port_of(node, k), True
        return found

    def recorded_at(self, args: list[Any], owner: Interpreter | None, mode: Mode) -> bool:
        """Test whether the call must be recorded at the level `owner`."""
        return wants(args, owner, mode)

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Run, and record the call where an argument wants gradients."""
        if not self.recorded_at(args, None, mode):
            return self.run(args)
        with using(mode.replace(grad=False)):
            outs, kept = self.forward(args)
            kept = [frozen(x) if isinstance(x, Box) else x for x in kept]
        return self.recorded(args, outs, kept, None)

    def at_autograd(self, level: Autograd, args: list[Any], mode: Mode) -> list[Any]:
        """Run below, and record the call here."""
        low = lower_all(level, args)
        if not self.recorded_at(args, level, mode):
            return lowered_call(self, level, low, mode)
        with using(level.below(mode)):
            outs, kept = self.forward(low)
            kept = [frozen(x) if isinstance(x, Box) else x for x in kept]
        return self.recorded(args, lift_outputs(level, outs), lift_outputs(level, kept), level)

    def at_forward(self, level: Forward, args: list[Any], mode: Mode) -> list[Any]:
        """Compute the outputs and their tangents below; record the call here if an argument is tracked here."""
        args = list(level.joined(args))
        outs = super().at_forward(level, args, mode)
        if not self.recorded_at(args, level, mode):
            return outs
        outs = [
            level.lift(y, None) if isinstance(y, Box) and y.owner is not level else y for y in outs
        ]
        kept = [snapshot(y, level) for y in outs] if self.keeps_outputs else None
        return self.recorded(args, outs, kept, level)

    def recorded(
        self, args: list[Any], outs: list[Any], kept: list[Any] | None, owner: Interpreter | None
    ) -> list[Any]:
        """Tie the outputs to one node of the tape; `outs` and `kept` are of the level `owner`.

        Where `kept` is None a backward computes it, by `forward`.
        """
        outs = [snapshot(y, owner) for y in outs]
        record_call(self, args, outs, owner, ([snapshot(a, owner) for a in args], kept))
        return outs

    def apply(
        self, node: Node, cts: list[Any], needs: Sequence[bool], lowered: bool, graph: bool
    ) -> list[Any]:
        """Run the rule of `node`; with `graph` its results depend on the arguments through a graph."""
        saved, kept = node.kept
        args = tied(saved, node, graph)
        if lowered:
            args, kept = (
                [x.value if isinstance(x, Box) else x for x in part] for part in (args, kept)
            )
        elif kept is None:
            kept = self.forward(args)[1]
        elif graph and kept:
            kept = self.retied(node, args, kept)
        return self.pull(args, kept, cts, needs)
