"""An optimizer whose state is divided among the processes: `torch.distributed.optim` has it.

Rajbhandari, Rasley, Ruwase, He: ZeRO: Memory Optimizations Toward Training Trillion Parameter Models (2020),
its first stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tabgrad as tg
import tabgrad.distributed as dist
from tabgrad.distributed.algorithms.join import Join, Joinable, JoinHook
from tabgrad.distributed.group import resolved
from tabgrad.optim.lbfgs import LBFGS
from tabgrad.optim.optimizer import Optimizer

Tensor = tg.Tensor


class ZeroRedundancyOptimizer(Optimizer, Joinable):
    """Steps the parameters that are this process's with an `optimizer_class`, and gets the others from theirs.

    Each process keeps the state of its parameters only. Gradients must be averaged before, as
    DistributedDataParallel does. `state_dict` gives the whole state on the process that
    `consolidate_state_dict` names; `distributed.checkpoint` saves each part where it is.
    """

    def __init__(
        self, params: Any, optimizer_class: type[Optimizer], process_group: Any = None,
        parameters_as_bucket_view: bool = False, overlap_with_ddp: bool = False, **defaults: Any,
    ) -> None:  # fmt: skip
        if overlap_with_ddp:
            raise NotImplementedError(
                "ZeroRedundancyOptimizer: overlap_with_ddp is not there; call step() after backward()"
            )
        if issubclass(optimizer_class, LBFGS):
            raise ValueError(
                "ZeroRedundancyOptimizer: LBFGS needs all parameters in each of its products, so its state "
                "can't be divided; use LBFGS itself"
            )
        Joinable.__init__(self)
        self.process_group = resolved(process_group)
        self.optimizer_class = optimizer_class
        self.parameters_as_bucket_view = parameters_as_bucket_view
        self._whole: dict[str, Any] | None = None
        self.optim: Optimizer | None = None
        super().__init__(params, defaults)
        self._divide()

    def _divide(self) -> None:
        """Give each parameter to a process, the largest first, so that all have about as much."""
        size = self.process_group.size()
        loads = [0] * size
        self.owner: dict[int, int] = {}
        for group in self.param_groups:
            for p in sorted(group["params"], key=lambda p: -p.numel()):
                rank = loads.index(min(loads))
                self.owner[id(p)] = rank
                loads[rank] += p.numel()
        own = self.process_group.rank()
        mine = [
            {**group, "params": [p for p in group["params"] if self.owner[id(p)] == own]}
            for group in self.param_groups
        ]
        self.optim = self.optimizer_class(mine, **self.defaults)
        for group, part in zip(self.param_groups, self.optim.param_groups, strict=True):
            for name, value in part.items():
                group.setdefault(name, value)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters; before the first step alone, because they are divided anew."""
        super().add_param_group(param_group)
        if self.optim is not None:
            if self.optim.state:
                raise RuntimeError(
                    "add_param_group: ZeroRedundancyOptimizer has made steps already"
                )
            self._divide()

    def _say(self) -> None:
        """Give the optimizer of the parts the options that are set here: a schedule changes those."""
        assert self.optim is not None
        for group, part in zip(self.param_groups, self.optim.param_groups, strict=True):
            part.update({k: v for k, v in group.items() if k != "params"})
        self.optim.found_inf = self.found_inf

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Change the parameters once, on all processes."""
        Join.notify_join_context(self)
        assert self.optim is not None
        self._whole = None
        self._say()
        loss = (
            self.optim.step(closure) if any(g["params"] for g in self.optim.param_groups) else None
        )
        if loss is None and closure is not None:
            with tg.enable_grad():
                loss = closure()
        self._exchange()
        return loss

    def _exchange(self) -> None:
        """Give all the parameters that each has changed."""
        works = []
        with tg.no_grad():
            for rank in range(self.process_group.size()):
                kinds: dict[Any, list[Tensor]] = {}
                for group in self.param_groups:
                    for p in group["params"]:
                        if self.owner[id(p)] == rank:
                            kinds.setdefault((p.dtype, p.device), []).append(p)
                for same in kinds.values():
                    flat = tg.cat([p.detach().reshape(-1) for p in same])
                    work = dist.broadcast(
                        flat, group=self.process_group, group_src=rank, async_op=True
                    )
                    works.append((work, flat, same, rank))
            for work, flat, same, rank in works:
                assert work is not None
                work.wait()
                if rank != self.process_group.rank():
                    for p, part in zip(same, flat.split([p.numel() for p in same]), strict=True):
                        p.detach().copy_(part.reshape(p.shape))

    def _numbers(self) -> dict[int, int]:
        """Return the number of each parameter among all, by its identity."""
        found: dict[int, int] = {}
        for group in self.param_groups:
            for p in group["params"]:
                found.setdefault(id(p), len(found))
        return found

    def sharded_state_dict(self) -> dict[str, Any]:
        """Return the state of the parameters of this process, by number among all, and all groups."""
        assert self.optim is not None
        self._say()
        numbers = self._numbers()
        own = [numbers[id(p)] for group in self.optim.param_groups for p in group["params"]]
        state = self.optim.state_dict()["state"]
        groups = [
            {**{k: v for k, v in group.items() if k != "params"},
             "params": [numbers[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]  # fmt: skip
        return {"state": {own[i]: s for i, s in state.items()}, "param_groups": groups}

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Collect the whole state on rank `to`, for `state_dict`; all processes call it."""
        here = self.process_group.rank() == to
        parts: list[Any] | None = [None] * self.process_group.size() if here else None
        own = self.sharded_state_dict()
        dist.gather_object(own["state"], parts, group=self.process_group, group_dst=to)
        self._whole = None
        if parts is not None:
            state = {i: s for part in parts for i, s in (part or {}).items()}
            self._whole = {
                "state": dict(sorted(state.items())),
                "param_groups": own["param_groups"],
            }

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state, which `consolidate_state_dict` has collected since the last step.

        RuntimeError where it has not, or on another process.
        """
        if self._whole is None:
            raise RuntimeError(
                "Optimizer state has not been consolidated on this rank. Please call "
                f"`consolidate_state_dict(to={self.process_group.rank()})` on all ranks beforehand if you "
                "meant to save the global state."
            )
        return self._whole

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over this process's part of a whole state, of any number of processes."""
        assert self.optim is not None
        self._whole = None
        numbers, given = self._numbers(), state_dict["state"]
        state: dict[int, Any] = {}
        count = 0
        groups = []
        for part, saved in zip(self.optim.param_groups, state_dict["param_groups"], strict=True):
            own = [numbers[id(p)] for p in part["params"]]
            groups.append({**saved, "params": list(range(count, count + len(own)))})
            state.update({count + k: given[i] for k, i in enumerate(own) if i in given})
            count += len(own)
        self.optim.load_state_dict({"state": state, "param_groups": groups})
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({k: v for k, v in saved.items() if k != "params"})

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """Return what a process that has no more inputs does: steps with the gradients that it has."""
        return _Joined(self)

    @property
    def join_device(self) -> Any:
        """The device of the parameters."""
        return self.param_groups[0]["params"][0].device

    @property
    def join_process_group(self) -> Any:
        """The group."""
        return self.process_group


class _Joined(JoinHook):
    def __init__(self, optimizer: ZeroRedundancyOptimizer) -> None:
        self.optimizer = optimizer

    def main_hook(self) -> None:
        """Make the others' step for the parameters of this process."""
        self.optimizer.step()


__all__ = ["ZeroRedundancyOptimizer"]
