"""Selective checkpointing: a policy decides for each op whether its result is kept or computed again."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core.errors import GradientError
from tabgrad.core.op import Op
from tabgrad.core.trace import MODE, Mode, wrap
from tabgrad.transforms.tape import record

if TYPE_CHECKING:
    from tabgrad.core.spec import Params
    from tabgrad.tensor import Tensor


class CheckpointError(GradientError):
    """A function that was run again did something else than before."""


class CheckpointPolicy(enum.Enum):
    """The decisions of a policy on an op's result; PREFER is treated as MUST."""

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3


SAVED = (CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE)


class SelectiveCheckpointContext:
    """The first argument of a policy: it says whether the function is being run again."""

    def __init__(self, *, is_recompute: bool, op_output: Any = None) -> None:
        self.is_recompute = is_recompute
        self.op_output = op_output


class _Around:
    """A context whose call surrounds every op of the base."""

    def __init__(self, policy: Callable[..., CheckpointPolicy], kept: list[Any]) -> None:
        self.policy = policy
        self.kept = kept
        self.outer: list[Any] = []

    def __enter__(self) -> None:
        mode = MODE.get()
        self.outer.append(mode.around)
        MODE.set(mode.replace(around=self))

    def __exit__(self, *exc: object) -> None:
        MODE.set(MODE.get().replace(around=self.outer.pop()))

    def plain(
        self, run: Callable[..., Tensor], op: Op, args: tuple[Tensor, ...], params: Params,
        mode: Mode,
    ) -> Tensor:  # fmt: skip
        """Apply `op` as it would be outside of this context."""
        outer = self.outer[-1]
        return run(op, args, params, mode) if outer is None else outer(run, op, args, params, mode)

    def saves(self, op: Op, args: tuple[Tensor, ...], params: Params, again: bool) -> bool:
        """Ask the policy whether to keep the result of `op`."""
        told = SelectiveCheckpointContext(is_recompute=again)
        return self.policy(told, op, *args, **params) in SAVED


class _Keeping(_Around):
    """The context of the first run, which keeps the results that the policy wants."""

    def __call__(
        self, run: Callable[..., Tensor], op: Op, args: tuple[Tensor, ...], params: Params,
        mode: Mode,
    ) -> Tensor:  # fmt: skip
        y = self.plain(run, op, args, params, mode)
        if self.saves(op, args, params, False):
            self.kept.append((op, y.value, y.spec))
        return y


class _Using(_Around):
    """The context of a later run, which takes the kept results and computes the others."""

    def __enter__(self) -> None:
        super().__enter__()
        self.next = 0

    def __call__(
        self, run: Callable[..., Tensor], op: Op, args: tuple[Tensor, ...], params: Params,
        mode: Mode,
    ) -> Tensor:  # fmt: skip
        if not self.saves(op, args, params, True):
            return self.plain(run, op, args, params, mode)
        expected, value, spec = self.kept[self.next]
        self.next += 1
        if expected is not op:
            raise CheckpointError(
                f"checkpoint: {expected.name} was kept in this place, but {op.name} came when the function was "
                "run again; it must do the same both times"
            )
        y = wrap(value, spec, args[0].device)
        if mode.grad:
            values = tuple([a.value for a in args])
            record(op, params, args, values, tuple([a.spec for a in args]), y, None, mode)
        return y


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Callable[..., CheckpointPolicy] | Sequence[Any],
    allow_cache_entry_mutation: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Make the pair of contexts for `checkpoint(..., context_fn=...)` that keeps the results of some ops.

    A policy is called with a SelectiveCheckpointContext, the op (its `name` tells which), and the op's
    arguments and parameters. A list names the ops whose results are kept: names, or functions of that name.

    >>> import functools
    >>> import tabgrad as tg
    >>> from tabgrad.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
    >>> keep = functools.partial(create_selective_checkpoint_contexts, ["matmul"])
    >>> w = tg.ones(2, 2, requires_grad=True)
    >>> checkpoint(lambda w: (w @ w).exp().sum(), w, context_fn=keep).backward()
    >>> w.grad.shape
    tabgrad.Size([2, 2])
    """
    if callable(policy_fn_or_list):
        policy = policy_fn_or_list
    else:
        names = {
            x if isinstance(x, str) else getattr(x, "name", None) or x.__name__
            for x in policy_fn_or_list
        }

        def policy(
            ctx: SelectiveCheckpointContext, op: Op, *args: Any, **params: Any
        ) -> CheckpointPolicy:
            return (
                CheckpointPolicy.MUST_SAVE
                if op.name in names
                else CheckpointPolicy.PREFER_RECOMPUTE
            )

    kept: list[Any] = []
    return _Keeping(policy, kept), _Using(policy, kept)
