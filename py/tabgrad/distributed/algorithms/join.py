"""Uneven inputs: a process that has no more takes part in what the others do together."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import tabgrad as tg
from tabgrad.distributed.collectives import all_reduce
from tabgrad.distributed.work import Work


class JoinHook:
    """What a process without inputs does in place of the calls it would have made."""

    def main_hook(self) -> None:
        """Do together what the others do in one step."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Do what is to be done once no process has inputs; `is_last_joiner` on those that had most."""


@dataclass
class _JoinConfig:
    """What a Join has said to a Joinable."""

    enable: bool = False
    throw: bool = False
    first: bool = False
    divide_by_initial_world_size: bool = True
    active: int = 0
    """How many processes had inputs in the last step."""


class Joinable:
    """The base of what calls collective functions in each step: it says what stands for them in `join_hook`."""

    def __init__(self) -> None:
        self._join_config = _JoinConfig()

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """Return what a process that has no more inputs does."""
        raise NotImplementedError(f"{type(self).__name__} defines no join_hook")

    @property
    def join_device(self) -> Any:
        """The device of the values."""
        raise NotImplementedError

    @property
    def join_process_group(self) -> Any:
        """The group of processes."""
        raise NotImplementedError


class Join:
    """A context in which the processes may have different numbers of inputs.

    At its end a process goes on with the hooks of the `joinables` until all have come. With
    `throw_on_early_termination` all raise RuntimeError as soon as one has no more.
    """

    def __init__(
        self, joinables: list[Joinable], enable: bool = True, throw_on_early_termination: bool = False,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        if not joinables:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables, self._enable, self._throw = joinables, enable, throw_on_early_termination
        self._hooks = [j.join_hook(**kwargs) for j in joinables]
        groups = {id(j.join_process_group) for j in joinables}
        if len(groups) > 1:
            raise ValueError("Using join context manager with multiple process groups")
        self._group = joinables[0].join_process_group
        for i, j in enumerate(joinables):
            config = j._join_config
            config.enable, config.throw, config.first = enable, throw_on_early_termination, i == 0

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Go on with the hooks until no process has inputs."""
        try:
            if self._enable and kind is None:
                self._go_on()
        finally:
            for j in self._joinables:
                divide = j._join_config.divide_by_initial_world_size
                j._join_config = _JoinConfig(divide_by_initial_world_size=divide)

    def _go_on(self) -> None:
        last = True
        while True:
            active = _count(self._group, 0)
            if active == 0:
                break
            if self._throw:
                raise RuntimeError(_EXHAUSTED)
            last = False
            for hook in self._hooks:
                hook.main_hook()
        for hook in self._hooks:
            hook.post_hook(last)

    @staticmethod
    def notify_join_context(joinable: Joinable) -> Work | None:
        """Say at the begin of a step that this process still has inputs; the first of the joinables says it."""
        config = joinable._join_config
        if not config.enable or not config.first:
            return None
        group = joinable.join_process_group
        config.active = _count(group, 1)
        if config.throw and config.active < group.size():
            raise RuntimeError(_EXHAUSTED)
        return None


_EXHAUSTED = "Detected at least one rank that exhausted inputs. Throwing across all ranks."


def _count(group: Any, own: int) -> int:
    """Return how many processes have inputs."""
    x = tg.tensor([own], dtype=tg.int32, device="cpu")
    all_reduce(x, group=group)
    return int(x.item())


__all__ = ["Join", "JoinHook", "Joinable"]
