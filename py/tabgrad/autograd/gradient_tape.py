"""TensorFlow's interface to gradients: a tape that watches tensors."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.core import tree
from tabgrad.core.errors import GradientError
from tabgrad.core.trace import MODE

UNCONNECTED = ("none", "zero")


class GradientTape:
    """Watches tensors, and computes derivatives of results computed from them inside its context.

    Tensors that require grad are watched by themselves, unless `watch_accessed_variables` is False; others
    by `watch`, which makes them require grad until the tape is gone. A tape that is not `persistent`
    answers one call. Tapes nest: an outer tape records what an inner tape computes inside it.

    >>> import tabgrad as tg
    >>> x = tg.tensor(3.0)
    >>> with tg.autograd.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = x * x
    >>> tape.gradient(y, x)
    tensor(6.)
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self.persistent = persistent
        self.watch_accessed_variables = watch_accessed_variables
        self._watched: list[Any] = []
        self._made: list[Any] = []
        self._before: Any = None
        self._used = False
        self._recording = False

    def __enter__(self) -> GradientTape:
        if self._recording:
            raise GradientError("GradientTape: this tape is recording already")
        if self._used:
            raise GradientError(
                "GradientTape: this tape has answered its one call; make another one"
            )
        self._before = MODE.get()
        MODE.set(self._before.replace(grad=True, tapes=self._before.tapes + 1))
        self._recording = True
        return self

    def __exit__(self, *exc: object) -> None:
        if self._recording:
            self._stop()

    def _stop(self) -> None:
        MODE.set(MODE.get().replace(grad=self._before.grad, tapes=self._before.tapes))
        self._recording = False

    def __del__(self) -> None:
        for x in self._made:
            if x.is_leaf:
                x.requires_grad = False

    def watch(self, tensor: Any) -> None:
        """Watch a tensor, or all tensors of a tree."""
        if not self._recording:
            raise GradientError(
                "GradientTape.watch: the tape is not recording; call it inside the context"
            )
        for x in tree.leaves(tensor):
            if not isinstance(x, tg.Tensor):
                raise TypeError(f"GradientTape.watch: expected tensors, got {type(x).__name__}")
            if not x.requires_grad:
                x.requires_grad_()
                self._made.append(x)
            self._watched.append(x)

    def watched_variables(self) -> tuple[Any, ...]:
        """The tensors that were given to `watch`."""
        return tuple(self._watched)

    def reset(self) -> None:
        """Forget the watched tensors."""
        self._watched.clear()
        self._used = False

    def stop_recording(self) -> Any:
        """Make a context in which nothing is recorded."""
        return tg.no_grad()

    def _sees(self, x: Any) -> bool:
        if self.watch_accessed_variables:
            return bool(x.requires_grad)
        return any(x is w for w in self._watched)

    def _begin(self, name: str, unconnected_gradients: str) -> bool:
        """Check that the tape may be asked; tell whether its gradients must be recorded themselves."""
        if unconnected_gradients not in UNCONNECTED:
            raise ValueError(
                f"GradientTape.{name}: unconnected_gradients is 'none' or 'zero', not {unconnected_gradients!r}"
            )
        if self._used and not self.persistent:
            raise GradientError(
                f"GradientTape.{name}: a tape answers one call; make it with persistent=True for more"
            )
        self._used = True
        if self._recording and not self.persistent:
            self._stop()
        return MODE.get().tapes > 0

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: str = "none",
    ) -> Any:
        """Compute the gradients of `target`, summed over its elements, in the structure of `sources`.

        A source without influence gets None, or zeros with `unconnected_gradients="zero"`.
        """
        graph = self._begin("gradient", unconnected_gradients)
        targets = tree.leaves(target)
        cts = [None] * len(targets) if output_gradients is None else tree.leaves(output_gradients)
        if len(cts) != len(targets):
            raise GradientError(
                f"GradientTape.gradient: got {len(targets)} targets and {len(cts)} output gradients"
            )
        pairs = [(y, ct) for y, ct in zip(targets, cts, strict=True) if y.requires_grad]
        xs, structure = tree.flatten(sources)
        found = self._gradients(pairs, xs, graph)
        if unconnected_gradients == "zero":
            found = [tg.zeros_like(x) if g is None else g for g, x in zip(found, xs, strict=True)]
        return tree.unflatten(structure, found)

    def _gradients(self, pairs: Any, xs: Any, graph: bool) -> list[Any]:
        seen = [x for x in xs if self._sees(x)]
        if not pairs or not seen:
            return [None] * len(xs)
        given = [tg.ones_like(y) if ct is None else ct for y, ct in pairs]
        grads = tg.autograd.grad(
            [y for y, _ in pairs],
            seen,
            given,
            allow_unused=True,
            create_graph=graph,
            retain_graph=self.persistent or graph,
        )
        rest = iter(grads)
        return [next(rest) if self._sees(x) else None for x in xs]

    def jacobian(self, target: Any, sources: Any, unconnected_gradients: str = "none") -> Any:
        """Compute the Jacobian of the tensor `target`: (target..., source...) for each source."""
        graph = self._begin("jacobian", unconnected_gradients)
        xs, structure = tree.flatten(sources)
        return tree.unflatten(structure, self._rows(target, xs, graph, unconnected_gradients))

    def _rows(self, target: Any, xs: list[Any], graph: bool, unconnected: str) -> list[Any]:
        n = target.numel()
        seen = [x for x in xs if self._sees(x)]
        grads: Any = [None] * len(seen)
        if target.requires_grad and seen:
            units = tg.eye(n, dtype=target.dtype, device=target.device).reshape((n, *target.shape))
            grads = tg.autograd.grad(
                target,
                seen,
                units,
                allow_unused=True,
                is_grads_batched=True,
                create_graph=graph,
                retain_graph=True,
            )
        rest = iter(grads)
        found: list[Any] = []
        for x in xs:
            g = next(rest) if self._sees(x) else None
            shape = (*target.shape, *x.shape)
            if g is None and unconnected == "zero":
                found.append(tg.zeros(shape, dtype=x.dtype, device=x.device))
            else:
                found.append(None if g is None else g.reshape(shape))
        return found

    def batch_jacobian(self, target: Any, source: Any, unconnected_gradients: str = "none") -> Any:
        """Compute the Jacobian of each row of `target` by the same row of `source`.

        Its shape is (batch, target..., source...). Each row of `target` must depend on one row only. It takes
        one pass for each element of a row, not of the whole tensor.
        """
        graph = self._begin("batch_jacobian", unconnected_gradients)
        if not target.shape or not source.shape or target.shape[0] != source.shape[0]:
            raise GradientError(
                f"GradientTape.batch_jacobian: target {tuple(target.shape)} and source {tuple(source.shape)} "
                "need the same first dimension"
            )
        batch, rest = target.shape[0], target.shape[1:]
        n = target.numel() // batch if batch else 0
        flat = target.reshape((batch, n))
        units = tg.eye(n, dtype=target.dtype, device=target.device)[:, None, :].expand(n, batch, n)
        found = None
        if flat.requires_grad and self._sees(source):
            (found,) = tg.autograd.grad(
                flat,
                (source,),
                units,
                allow_unused=True,
                is_grads_batched=True,
                create_graph=graph,
                retain_graph=True,
            )
        shape = (batch, *rest, *source.shape[1:])
        if found is None:
            if unconnected_gradients == "none":
                return None
            return tg.zeros(shape, dtype=source.dtype, device=source.device)
        return found.movedim(0, 1).reshape(shape)
