"""A model that several processes train together, each with a part of every batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tabgrad as tg
import tabgrad.distributed as dist
from tabgrad.core import tree
from tabgrad.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from tabgrad.distributed.algorithms.join import Join, Joinable, JoinHook
from tabgrad.distributed.errors import NO_GROUP
from tabgrad.distributed.group import resolved
from tabgrad.nn.module import Module
from tabgrad.nn.parallel.reducer import Reducer, unreached

Tensor = tg.Tensor


class DistributedDataParallel(Module, Joinable):
    """Calls `module`; backward averages the gradients over the processes of the group.

    All processes start from the parameters and buffers of rank 0, and call forward and backward equally often
    (`join` where their numbers of batches differ). Gradients travel in buckets of `bucket_cap_mb` (25), while
    backward goes on; `register_comm_hook` compresses them. `find_unused_parameters` allows parameters that the
    outputs don't depend on. `gradient_as_bucket_view` lets gradients be parts of the buckets, which saves a
    copy. `broadcast_buffers` gives all the buffers of rank 0 before each forward. State dicts name `module.` in
    front; those without it are loaded too.

    ValueError where `init_process_group` was not called.
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0,
        broadcast_buffers: bool | None = None, init_sync: bool = True, process_group: Any = None,
        bucket_cap_mb: float | None = None, find_unused_parameters: bool = False,
        check_reduction: bool = False, gradient_as_bucket_view: bool = False, static_graph: bool = False,
        delay_all_reduce_named_params: Any = None, param_to_hook_all_reduce: Any = None,
        mixed_precision: Any = None, device_mesh: Any = None, skip_all_reduce_unused_params: bool = False,
        bucket_cap_mb_list: list[int] | None = None, batched_grad_copy: bool = False,
        forward_sync_buffers: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        Joinable.__init__(self)
        if not dist.is_initialized():
            raise ValueError(
                f"{NO_GROUP} DistributedDataParallel is for several processes; in one, call the module itself"
            )
        for name, given in (("mixed_precision", mixed_precision), ("device_mesh", device_mesh)):
            if given is not None:
                raise NotImplementedError(
                    f"DistributedDataParallel: {name} is not there; leave it out"
                )
        named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        if not named:
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter that requires "
                "a gradient."
            )
        self.module = module
        self.dim, self.device_ids, self.output_device = dim, device_ids, output_device
        sync = forward_sync_buffers if broadcast_buffers is None else broadcast_buffers
        self.broadcast_buffers = True if sync is None else sync
        self.process_group = resolved(process_group)
        self.find_unused_parameters = find_unused_parameters
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.static_graph = static_graph
        self.require_backward_grad_sync = True
        self.require_forward_param_sync = True
        self.iterations = 0
        self.rebuilt = find_unused_parameters or static_graph
        self.bucket_bytes_cap = int((25.0 if bucket_cap_mb is None else bucket_cap_mb) * (1 << 20))
        if init_sync:
            self._agree(named)
            self._sync([*[p for _, p in module.named_parameters()], *module.buffers()], 0)
        self._make_reducer(named)

    reducer: Reducer

    def _make_reducer(self, named: Sequence[tuple[str, Tensor]]) -> None:
        object.__setattr__(
            self, "reducer",
            Reducer(
                named, self.process_group, self.bucket_bytes_cap, self.find_unused_parameters,
                self.gradient_as_bucket_view, self.static_graph, allreduce_hook, self.process_group,
            ),
        )  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the group and what belongs to one backward."""
        state = super().__getstate__()
        return {k: v for k, v in state.items() if k not in ("process_group", "reducer")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.process_group = resolved(None)
        self.rebuilt = self.find_unused_parameters or self.static_graph
        self.iterations = 0
        self._make_reducer([(n, p) for n, p in self.module.named_parameters() if p.requires_grad])

    def _agree(self, named: Sequence[tuple[str, Tensor]]) -> None:
        """Raise unless the processes have the same parameters."""
        own = [(name, tuple(p.shape), str(p.dtype)) for name, p in named]
        everyone: list[Any] = [None] * self.process_group.size()
        dist.all_gather_object(everyone, own, self.process_group)
        for rank, theirs in enumerate(everyone):
            if theirs != everyone[0]:
                pairs = zip([*everyone[0], None], [*theirs, None], strict=False)
                here, there = next((a, b) for a, b in pairs if a != b)
                raise RuntimeError(
                    f"DistributedDataParallel: the parameters of the processes differ: rank 0 has {here}, rank "
                    f"{rank} has {there}"
                )

    def _sync(self, tensors: list[Tensor], source: int) -> None:
        """Give the tensors of all the values of those on one rank of the group."""
        kinds: dict[Any, list[Tensor]] = {}
        for x in tensors:
            kinds.setdefault((x.dtype, x.device), []).append(x)
        with tg.no_grad():
            for same in kinds.values():
                flat = tg.cat([x.detach().reshape(-1) for x in same])
                dist.broadcast(flat, group=self.process_group, group_src=source)
                if self.process_group.rank() != source:
                    for x, part in zip(same, flat.split([x.numel() for x in same]), strict=True):
                        x.detach().copy_(part.reshape(x.shape))

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Call the module."""
        syncs = tg.is_grad_enabled() and self.require_backward_grad_sync
        if syncs:
            Join.notify_join_context(self)
            self.reducer.divisor = self._divisor()
            self._before(True)
        elif self.will_sync_module_buffers() and not self._join_config.enable:
            self._sync(list(self.module.buffers()), 0)
        outputs = self.module(*inputs, **kwargs)
        self.require_forward_param_sync = syncs
        if syncs:
            unused: list[int] = []
            if self.find_unused_parameters and not self.static_graph:
                tensors = [x for x in tree.leaves(outputs) if isinstance(x, Tensor)]
                unused = unreached(tensors, self.reducer.parameters)
            self.reducer.expect(unused)
        elif tg.is_grad_enabled():
            self.reducer.expect_none()
        return outputs

    def _before(self, active: bool) -> None:
        """Do together what precedes a forward with averaged gradients; `active` if this process has one."""
        if self.iterations >= 1 and not self.rebuilt:
            self.rebuilt = True
            own: list[Any] = [self.reducer.order]
            dist.broadcast_object_list(own, group=self.process_group, group_src=0)
            if sorted(own[0]) == list(range(len(self.reducer.parameters))):
                self.reducer.arrange(own[0])
        self.iterations += 1
        if self.will_sync_module_buffers():
            self._sync(list(self.module.buffers()), self._source(active))

    def _source(self, active: bool) -> int:
        """Return the rank of the group that still has batches, the highest where there are several."""
        if not self._join_config.enable:
            return 0
        best = tg.tensor(
            [self.process_group.rank() if active else -1], dtype=tg.int32, device="cpu"
        )
        dist.all_reduce(best, dist.ReduceOp.MAX, group=self.process_group)
        return int(best.item())

    def _divisor(self) -> int:
        config = self._join_config
        size: int = self.process_group.size()
        return size if config.divide_by_initial_world_size or not config.active else config.active

    def will_sync_module_buffers(self) -> bool:
        """Whether a forward gives all the buffers of one process first.

        One does after a forward whose gradients are averaged, in evaluation too.
        """
        # within join those that have no more batches must know it without a forward of their own
        return (
            (self.require_forward_param_sync or self._join_config.enable)
            and self.broadcast_buffers
            and any(True for _ in self.module.buffers())
        )

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Add gradients up on each process; the first backward after the context averages them."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def _set_static_graph(self) -> None:
        """Do what `static_graph=True` does, before the first step."""
        if self.iterations:
            raise RuntimeError("_set_static_graph: call it before the first step")
        self.static_graph = self.rebuilt = True
        self.reducer.static = self.reducer.find_unused = True

    def register_comm_hook(self, state: object, hook: Callable[[Any, Any], Any]) -> None:
        """Let `hook(state, bucket)` average the gradients of each bucket; it returns a Future of the vector.

        The hooks of `distributed.algorithms.ddp_comm_hooks` compress it.
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        if self.reducer.hook is not allreduce_hook:
            raise RuntimeError("register_comm_hook can only be called once.")
        self.rebuilt = True  # what a hook remembers belongs to the buckets as they are
        self.reducer.hook, self.reducer.state = hook, state

    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True,
        throw_on_early_termination: bool = False,
    ) -> Join:  # fmt: skip
        """Return a context for training with different numbers of batches on the processes.

        One that has no more takes part with zeros until all have none; then all get the parameters of the one
        that trained longest. With `divide_by_initial_world_size=False` the average is over those that still
        have batches.
        """
        return Join(
            [self], enable, throw_on_early_termination,
            divide_by_initial_world_size=divide_by_initial_world_size,
        )  # fmt: skip

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """Return what a process that has no more batches does."""
        self._join_config.divide_by_initial_world_size = kwargs.get(
            "divide_by_initial_world_size", True
        )
        return _Joined(self)

    @property
    def join_device(self) -> Any:
        """The device of the parameters."""
        return self.reducer.parameters[0].device

    @property
    def join_process_group(self) -> Any:
        """The group."""
        return self.process_group

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load a state dict of this module, or of the module inside, whose names have no `module.` in front."""
        if state_dict and not any(str(k).startswith("module.") for k in state_dict):
            state_dict = {f"module.{k}": v for k, v in state_dict.items()}
        return super().load_state_dict(state_dict, strict, assign)


class _Joined(JoinHook):
    """What a process does that has no more batches, while others have."""

    def __init__(self, ddp: DistributedDataParallel) -> None:
        self.ddp = ddp

    def main_hook(self) -> None:
        """Take part in one step of the others."""
        self.ddp._before(False)
        self.ddp.reducer.send_zeros()

    def post_hook(self, is_last_joiner: bool) -> None:
        """Take the parameters of the process that trained longest."""
        ddp = self.ddp
        source = ddp._source(is_last_joiner)
        ddp._sync([*ddp.module.parameters(), *ddp.module.buffers()], source)


__all__ = ["DistributedDataParallel"]
