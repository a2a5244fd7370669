"""Functions with derivatives of the user's own; PyTorch's `autograd.Function`."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tabgrad.core.errors import GradientError, TransformError, warn
from tabgrad.core.trace import MODE, Box, Interpreter, Mode, filled, using, wrap, zeros_like
from tabgrad.transforms import rule_results
from tabgrad.transforms.autograd import Autograd
from tabgrad.transforms.calls import (
    LevelCall,
    apply,
    lift_outputs,
    lower_all,
    lowered_call,
    snapshot,
    wants,
)  # fmt: skip
from tabgrad.transforms.contexts import FunctionCtx, check_leaves, fresh, leaves_of, rebase
from tabgrad.transforms.jvp import Forward
from tabgrad.transforms.levels import Level, all_refreshed
from tabgrad.transforms.node import FREED, Node, freed_error, load, port_of
from tabgrad.transforms.saving import check_saved, frozen, pack
from tabgrad.transforms.tape import record_call
from tabgrad.transforms.vmap import Batch
from tabgrad.transforms.vmapped import VmappedRules


class Function:
    """A differentiable function with a derivative of its own. Subclass it; call it by `apply`.

    Define `forward(ctx, *args)`, or `forward(*args)` with `setup_context(ctx, inputs, output)`, which the
    transforms of `tabgrad.func` need. `backward(ctx, *grad_outputs)` returns one gradient (or None) for each
    argument of forward; `jvp(ctx, *tangents)` one tangent for each output. Under vmap, `vmap(info, in_dims,
    *args)` returns (output, out_dims), or `generate_vmap_rule = True` makes that from the others.

    >>> import tabgrad as tg
    >>> class Double(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         return grad * 2
    >>> x = tg.tensor(1.0, requires_grad=True)
    >>> Double.apply(x).backward()
    >>> x.grad
    tensor(2.)
    """

    generate_vmap_rule = False

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs: a tensor or a tuple."""
        raise NotImplementedError("a Function needs a forward static method")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save on `ctx` what backward needs."""
        raise NotImplementedError("setup_context is not implemented")

    @staticmethod
    def backward(*args: Any, **kwargs: Any) -> Any:
        """Return the gradients of the arguments."""
        raise NotImplementedError(
            "a Function needs a backward (or vjp) static method to be used with reverse mode"
        )

    @staticmethod
    def vjp(*args: Any, **kwargs: Any) -> Any:
        """Another name for backward."""
        raise NotImplementedError

    @staticmethod
    def jvp(*args: Any, **kwargs: Any) -> Any:
        """Return the tangents of the outputs."""
        raise NotImplementedError(
            "a Function needs a jvp static method to be used with forward mode"
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> Any:
        """Return the batched outputs and their batch dims."""
        raise NotImplementedError

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function: its forward now, its backward when gradients are asked for.

        Arguments given by name go to their places, and with `setup_context` defaults are filled in.
        """
        split = cls.setup_context is not Function.setup_context
        if kwargs or split:
            args = _positional(cls, args, kwargs, split)
        call = FunctionCall(ClassRules(cls))
        outputs = apply(call, list(args))
        return outputs[0] if call.single[0] else tuple(outputs)


def _positional(
    cls: type[Function], args: tuple[Any, ...], kwargs: dict[str, Any], split: bool
) -> tuple[Any, ...]:
    """Put all arguments of forward in their places."""
    signature = inspect.signature(cls.forward)
    # forward(ctx, ...) has one more argument; its defaults are left to the call itself
    bound = signature.bind(*args, **kwargs) if split else signature.bind(None, *args, **kwargs)
    if split:
        bound.apply_defaults()
    if any(name in bound.kwargs for name in kwargs):
        raise TypeError(
            f"{cls.__name__}: forward takes {', '.join(bound.kwargs)} by name only; the arguments of a "
            "Function are known by their places, as those of its backward are"
        )
    return bound.args if split else bound.args[1:]


class ClassRules:
    """The rules of a Function class, in the form that FunctionCall uses."""

    def __init__(self, cls: type[Function]) -> None:
        self.cls = cls
        self.name = cls.__name__
        self.split = cls.setup_context is not Function.setup_context
        self.backward: Any = cls.vjp if cls.vjp is not Function.vjp else cls.backward
        self.jvp: Any = cls.jvp

    def forward(self, ctx: FunctionCtx, args: Sequence[Any]) -> Any:
        """Run the class's forward, and set up `ctx`."""
        if not self.split:
            return self.cls.forward(ctx, *args)
        out = self.cls.forward(*args)
        self.cls.setup_context(ctx, tuple(args), out)
        return out

    def setup(self, ctx: FunctionCtx, args: Sequence[Any], out: Any, level: Level) -> None:
        """Set up `ctx` at a level above the one where forward ran."""
        if not self.split:
            raise TransformError(
                f"{self.name}: inside {level.name} a Function needs forward(*args) and "
                "setup_context(ctx, inputs, output) in place of forward(ctx, *args)"
            )
        self.cls.setup_context(ctx, tuple(args), out)

    def batched(self, level: Batch, dims: tuple[Any, ...], args: list[Any]) -> Any:
        """Run the class's vmap; None where it has none."""
        if self.cls.vmap is Function.vmap:
            return None
        if self.cls.generate_vmap_rule:
            raise TransformError(
                f"{self.name}: has a vmap static method and generate_vmap_rule = True; it must be one of them"
            )
        return self.cls.vmap(VmapInfo(level.size, level.randomness), dims, *args)

    def vmapped(self, level: Batch, dims: tuple[Any, ...]) -> Any:
        """Make the rules of the function applied to each element of a batch."""
        if not self.cls.generate_vmap_rule:
            raise TransformError(
                f"{self.name}: has no rule for vmap; define a vmap static method, or set "
                "generate_vmap_rule = True"
            )
        return VmappedRules(self, level.size, level.randomness, dims)


class VmapInfo(NamedTuple):
    """The `info` argument of a Function's vmap."""

    batch_size: int
    randomness: str


class FunctionCall(LevelCall):
    """One application of a Function. `single` holds True if its output is not a tuple, once that is known."""

    def __init__(self, rules: Any, single: list[bool] | None = None) -> None:
        self.rules = rules
        self.name = rules.name
        self.single: list[bool] = [] if single is None else single
        self.remembers = False
        """True if a level above reads `before`, the context as forward left it."""
        self.before = FunctionCtx()

    def outputs(self, out: Any) -> list[Any]:
        """Make a list of the outputs, and remember whether they were a tuple."""
        self.single[:] = [not isinstance(out, tuple)]
        return list(out) if isinstance(out, tuple) else [out]

    def packed(self, outputs: Sequence[Any]) -> Any:
        """Give the outputs the form in which forward gave them."""
        return outputs[0] if self.single[0] else tuple(outputs)

    def plain(self, args: list[Any]) -> list[Any]:
        """Run forward."""
        return self.outputs(self.rules.forward(FunctionCtx(), args))

    def again(self) -> FunctionCall:
        """Make another call of the same Function, with a context of its own."""
        return FunctionCall(self.rules)

    def at_base(self, args: list[Any], mode: Mode) -> list[Any]:
        """Run forward without recording, and record the call."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple([isinstance(a, Box) and a.tracked and mode.grad for a in args])
        before = leaves_of(args, args, None) if mode.grad else ()
        with using(mode.replace(grad=False)):
            outputs = self.outputs(self.rules.forward(ctx, args))
        self.check_dirty(ctx, args, outputs)
        check_leaves(ctx, before)
        if self.remembers:
            # recording hands the saved tensors to the tape
            self.before = copy.copy(ctx)
        return self.recorded(ctx, args, outputs, None, mode)

    def check_dirty(self, ctx: FunctionCtx, args: list[Any], outputs: list[Any]) -> None:
        """Raise GradientError unless each input that forward marked as dirty is among the outputs."""
        for x in ctx._dirty:
            if not any(x is y for y in outputs):
                raise GradientError(
                    "Some elements marked as dirty during the forward method were not returned as output. The "
                    f"inputs that are modified inplace must all be outputs of the Function ({self.name})"
                )
            if not any(x is a for a in args):
                warn(
                    f"{self.name}: mark_dirty was given a tensor that is no input; it need not be marked",
                )

    def at_autograd(self, level: Autograd, args: list[Any], mode: Mode) -> list[Any]:
        """Run forward below and set up a context of this level."""
        below = lower_all(level, args)
        before = leaves_of(args, below, level) if mode.grad else ()
        low = lowered_call(self, level, below, mode)
        # an argument that was changed in place is an output too
        same = [next((a for a, b in zip(args, below, strict=True) if b is y), None) for y in low]
        outputs = [
            x if isinstance(x, Box) and x.owner is level else y
            for x, y in zip(same, lift_outputs(level, low), strict=True)
        ]
        ctx = self.new_ctx(args, outputs, level, mode)
        check_leaves(ctx, before)
        return self.recorded(ctx, args, outputs, level, mode)

    def new_ctx(self, args: list[Any], outputs: list[Any], level: Level, mode: Mode) -> FunctionCtx:
        """Set up a context for `args` and `outputs` of this level."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple([isinstance(a, Box) and a.tracked and mode.grad for a in args])
        with using(mode.replace(grad=False)):
            self.rules.setup(ctx, args, self.packed(outputs), level)
        return ctx

    def recorded(
        self,
        ctx: FunctionCtx,
        args: list[Any],
        outputs: list[Any],
        owner: Interpreter | None,
        mode: Mode,
    ) -> list[Any]:
        """Tie the outputs to the tape where an argument wants gradients."""
        outputs = [fresh(y, args, ctx, mode) for y in outputs]
        dirty = [x for x in ctx._dirty if x.owner is owner]
        if not wants(args, owner, mode):
            if owner is not None:
                rebase(dirty)
            return outputs
        tied = [not any(y is c for c in ctx._constant) for y in outputs]
        check_saved(any(x is not None and x.born & 1 for x in ctx._to_save))
        slots = [_slot(x, args, outputs, owner) for x in ctx._to_save]
        kept = _packed(slots, owner, mode)
        ctx._to_save = ctx._for_forward = ctx._dirty = ctx._constant = ()
        record_call(FunctionRule(self.rules, ctx), args, outputs, owner, kept, tied)
        with using(mode):
            rebase(dirty)
        return outputs

    def at_forward(self, level: Forward, args: list[Any], mode: Mode) -> list[Any]:
        """Run forward below, and jvp beside it."""
        args = list(level.joined(args))
        parts = [level.parts(a) if isinstance(a, Box) else (a, None) for a in args]
        primals = [p for p, _ in parts]
        self.remembers = True
        low = lowered_call(self, level, primals, mode)
        with using(level.below(mode)) as below:
            split = getattr(self.rules, "split", True)
            ctx = self.new_ctx(primals, low, level, below) if split else self.before
            ctx._loaded = ctx._for_forward or ctx._to_save
            tangents = [
                zeros_like(p) if t is None and ctx._materialize and _is_float(p) else t
                for p, t in parts
            ]
            found = rule_results.tangents(self.name, self.rules.jvp(ctx, *tangents), low)
        recording = wants(args, level, mode)
        if recording and ctx._dirty:
            raise TransformError(
                f"{self.name}: inside {level.name} a Function can't change a tensor in place (mark_dirty) that "
                "requires grad; let it return a new one"
            )
        outs = [
            level.lift(y, t) if isinstance(y, Box) and (recording or t is not None) else y
            for y, t in zip(low, found, strict=True)
        ]
        for x in ctx._dirty:
            # an argument that was changed in place is the output, so it takes the tangent too
            for a, primal in zip(args, primals, strict=True):
                for k, y in enumerate(low):
                    if primal is x and y is x:
                        outs[k] = a.copy_(level.lift(frozen(y), found[k]))
        if not recording:
            return outs
        if split:
            ctx = self.new_ctx(args, outs, level, mode)
        else:
            ctx = self.raised(ctx, [*primals, *low], [*args, *outs], level)
        return self.recorded(ctx, args, outs, level, mode)

    def raised(
        self, ctx: FunctionCtx, below: list[Any], here: list[Any], level: Level
    ) -> FunctionCtx:
        """Turn a context for the tensors `below` into one for the same tensors `here`, at `level`."""
        found = copy.copy(ctx)
        found._loaded = None

        def place(x: Any) -> Any:
            for low, high in zip(below, here, strict=True):
                if low is x:
                    return high
            if _is_float(x):
                self.rules.setup(found, here, None, level)  # says that it can't be
            return x

        found._to_save = tuple([place(x) for x in ctx._to_save])
        found._constant = tuple([place(x) for x in ctx._constant])
        return found

    def batch(
        self, level: Batch, args: list[Any], dims: list[Any]
    ) -> tuple[list[Any], Sequence[int | None]]:
        """Apply the class's batching rule, or a call of the batched rules."""
        found = self.rules.batched(level, tuple(dims), args)
        if found is None:
            outputs = apply(FunctionCall(self.rules.vmapped(level, tuple(dims)), self.single), args)
            return outputs, [0] * len(outputs)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TransformError(f"{self.name}: vmap must return (output, out_dims)")
        outputs = self.outputs(found[0])
        axes = found[1] if isinstance(found[1], tuple | list) else [found[1]] * len(outputs)
        return outputs, [
            None if d is None else d % len(y.spec.shape) for y, d in zip(outputs, axes, strict=True)
        ]


def _is_float(x: Any) -> bool:
    return isinstance(x, Box) and x.spec.dtype.is_differentiable


def _slot(x: Any, args: list[Any], outputs: list[Any], owner: Interpreter | None) -> Any:
    """Make the record of a saved tensor: (its place, payload, Spec, device), or None.

    The place is its number among the inputs, ~number among the outputs, or None for another tensor.
    """
    if x is None:
        return None
    place = next((i for i, a in enumerate(args) if a is x), None)
    if place is None:
        place = next((~k for k, y in enumerate(outputs) if y is x), None)
    return place, snapshot(x, owner).value, x.spec, x.device


def _packed(slots: list[Any], owner: Interpreter | None, mode: Mode) -> Any:
    packing = mode.saved_tensors
    if packing is None:
        return slots or None
    found = []
    for slot in slots:
        if slot is not None:
            place, payload, spec, device = slot
            like = wrap(payload, spec, device, owner)
            payload = pack(packing, (payload,), None, (spec,), like, owner)[0][0]
            slot = place, payload, spec, device
        found.append(slot)
    return found or None


class FunctionRule:
    """The rule of a Function's node on the tape."""

    def __init__(self, rules: Any, ctx: FunctionCtx) -> None:
        self.rules = rules
        self.ctx = ctx
        self.node_name = rules.name + "Backward"

    def attribute(self, node: Node, name: str) -> Any:
        """Give an attribute of the context, or the saved tensors, as an attribute of `node`."""
        if name != "saved_tensors":
            return getattr(self.ctx, name)
        if node.kept is FREED:
            raise freed_error(node)
        return tuple([_loaded(slot, node, False, True) for slot in node.kept or ()])

    def apply(
        self, node: Node, cts: list[Any], needs: tuple[bool, ...], lowered: bool, graph: bool
    ) -> list[Any]:
        """Run backward on the cotangents `cts`, and check what it returns."""
        ctx = self.ctx
        ctx.needs_input_grad = needs
        if ctx._materialize:
            cts = [
                filled(0, s, node.out_device) if ct is None and s is not None else ct
                for ct, s in zip(cts, node.out_spec, strict=True)
            ]
        ctx._loaded = tuple([_loaded(slot, node, lowered, graph) for slot in node.kept or ()])
        try:
            found = self.rules.backward(ctx, *cts)
        finally:
            ctx._loaded = None
        return rule_results.gradients(self.node_name, found, node.in_specs, needs)


def _loaded(slot: Any, node: Node, lowered: bool, graph: bool) -> Any:
    if slot is None:
        return None
    place, payload, spec, device = slot
    x = load(payload, spec, device, node.owner, lowered)
    if graph and place is not None:
        source = node.edges[place] if place >= 0 else port_of(node, ~place)
        if source is not None:
            x.node, x.tracked = source, True
    return x


class _Once:
    """The rule of gradients that a once-differentiable backward returned."""

    def __init__(self, name: str) -> None:
        self.node_name = name

    def apply(
        self, node: Node, cts: list[Any], needs: Sequence[bool], lowered: bool, graph: bool
    ) -> Any:
        raise GradientError(
            f"{self.node_name}: its backward is marked once_differentiable, so it has no second derivative"
        )


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a Function's backward as one that can't be differentiated again; a second derivative raises."""

    @functools.wraps(fn)
    def call(ctx: FunctionCtx, *args: Any) -> Any:
        mode = MODE.get()
        with using(mode.replace(grad=False)):
            found = all_refreshed(fn(ctx, *args))
        if not mode.grad:
            return found
        sources = [
            a for a in (*args, *(ctx.saved_tensors or ())) if isinstance(a, Box) and a.tracked
        ]
        if not sources:
            return found
        outputs = list(found) if isinstance(found, tuple | list) else [found]
        outputs = [
            wrap(y.value, y.spec, y.device, y.owner) if isinstance(y, Box) else y for y in outputs
        ]
        record_call(_Once(fn.__qualname__), sources, outputs, sources[0].owner)
        return tuple(outputs) if isinstance(found, tuple | list) else outputs[0]

    return call
