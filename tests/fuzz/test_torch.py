"""Random programs beside PyTorch: values, gradients, second derivatives, forward mode, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, note, settings, strategies as st

import tabgrad as tg
from tests.fuzz.functions import FUNCTIONS
from tests.fuzz.programs import STEPS, Machine, start
from tests.fuzz.writes import WRITES

torch = pytest.importorskip(
    "torch", reason="PyTorch, the oracle of these programs, is not installed"
)

# PyTorch's, about itself and about the oddities of random programs
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
DEPTH = 12
SIZES = st.sampled_from([2, 3, 1, 4, 2, 3, 5, 0])
MOST = 400
# the numbers a library draws are its own; what `programs.py` indexes with may be drawn too
SHARED = {name: make for name, make in STEPS.items() if name != "random"}
PURE = {**SHARED, **FUNCTIONS}
EVERY = {**PURE, **WRITES, **{f"{name} again": make for name, make in WRITES.items()}}
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


class Beside(Machine):
    """A program of PyTorch and tabgrad, whose tensors must be alike in more than their values."""

    def apply(self, text: str, function: Callable[..., Any], *at: int) -> bool:
        """Carry out a step. What is no view gets plain strides: PyTorch keeps the order of axes in memory."""
        views: list[bool] = []

        def settled(t: Any, *xs: Any) -> Any:
            y = function(t, *xs)
            if t is torch and not views:
                views.append(shared(y, xs, lambda x: x.untyped_storage().data_ptr()))
            return y if views[0] else y.contiguous()

        if not super().apply(text, settled, *at):
            return False
        y, xs = self.values[-1].got, [self.values[i].got for i in at]
        if len(views) and 0 not in y.shape and self.steps[-1].at == at:
            seen = shared(y, xs, root)
            assert seen == views[0], f"{text}: PyTorch's result is {'a' if views[0] else 'no'} view"
        self.alike(len(self.values) - 1)
        return True

    def alike(self, i: int) -> None:
        """Compare what is no number."""
        want, got = (
            {
                "shape": tuple(x.shape),
                "dtype": str(x.dtype).rpartition(".")[2],
                "requires_grad": x.requires_grad,
                "leaf": x.is_leaf,
                "contiguous": x.is_contiguous(),
            }
            for x in (self.values[i].want, self.values[i].got)
        )
        assert got == want, f"v{i}: {got}, expected {want}"

    def replayed(self, side: int, floats: list[Any]) -> list[Any]:
        """Return the values of the program for other float inputs, of one library."""
        t, device = self.sides[side]
        given = iter(floats)
        values = [
            next(given) if array.dtype.kind == "f" else t.tensor(array, device=device)
            for array in self.arrays
        ]
        for step in self.steps:
            y = step.function(t, *(values[i] for i in step.at))
            if not step.writes:
                values.append(y)
        return values


def root(x: Any) -> int:
    """Return what tells a tensor of tabgrad, its views and what was detached from it from others."""
    while hasattr(x.alias, "base"):
        x = x.alias.base
    return id(x if x.alias is None else x.alias)


def shared(y: Any, xs: tuple[Any, ...], memory: Callable[[Any], int]) -> bool:
    """Whether `y` lies in the memory of one of `xs`."""
    return any(memory(y) == memory(x) for x in xs)


def numbers(x: Any) -> Any:
    # PyTorch has gradients that are zero and nothing else
    return x.detach().numpy(force=True)


def close(got: Any, want: Any, what: str, tolerance: float = 1e-9) -> None:
    """Compare two results, of which nothing is None and a gradient of nothing."""
    if want is None or got is None:
        assert (got is None) == (want is None), f"{what}: {got}, expected {want}"
        return
    got, want = numbers(got), numbers(want)
    assert got.shape == want.shape, what
    finite = np.abs(want[np.isfinite(want)])
    scale = max(1.0, finite.max()) if finite.size else 1.0
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def outputs_of(machine: Machine) -> list[int]:
    """Return the numbers of some float values, of which the last."""
    floats = [i for i, v in enumerate(machine.values) if v.kind == "f" and v.want.requires_grad]
    if not floats:
        return []
    more = machine.draw(st.sets(st.sampled_from(floats), max_size=3))
    return sorted({*more, floats[-1]})


def loss(t: Any, outputs: list[Any], cts: list[Any]) -> Any:
    return sum((y * t.tensor(ct)).sum() for y, ct in zip(outputs, cts, strict=True))


def gradients(machine: Machine, at: list[int], cts: list[Any]) -> None:
    """Compare `.grad` of all inputs."""
    for (t, _), side in zip(machine.sides, ("want", "got"), strict=True):
        loss(t, [getattr(machine.values[i], side) for i in at], cts).backward()
    for i, pair in enumerate(machine.leaves):
        zeros = pair.want.grad is not None and not numbers(pair.want.grad).any()
        if pair.got.grad is None and zeros and any(s.writes for s in machine.steps):
            # a write through a view that shows all of its base: PyTorch gives what was there zeros
            continue
        close(pair.got.grad, pair.want.grad, f"gradient of v{i}")


def twice(machine: Machine, side: int, at: list[int], cts: list[Any], vs: list[Any]) -> list[Any]:
    """Return the gradient of ⟨gradient, v⟩ in one library."""
    t, device = machine.sides[side]
    floats = [a for a in machine.arrays if a.dtype.kind == "f"]
    leaves = [t.tensor(a, device=device, requires_grad=True) for a in floats]
    values = machine.replayed(side, leaves)
    # a leaf that was detached in place is none any more
    along = [t.tensor(v) for x, v in zip(leaves, vs, strict=True) if x.requires_grad]
    leaves = [x for x in leaves if x.requires_grad]
    options = {"allow_unused": True, "materialize_grads": True}
    total = loss(t, [values[i] for i in at], cts)
    if not leaves:
        return []
    grads = t.autograd.grad(total, leaves, create_graph=True, **options)
    inner = sum((g * v).sum() for g, v in zip(grads, along, strict=True))
    if not inner.requires_grad:
        return [t.zeros_like(x) for x in leaves]
    return t.autograd.grad(inner, leaves, **options)


def second_order(machine: Machine, at: list[int], cts: list[Any], vs: list[Any]) -> None:
    """Compare the gradient of ⟨gradient, v⟩, where PyTorch has one."""
    try:
        wanted = twice(machine, 0, at, cts, vs)
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        event(f"no second order in PyTorch: {str(error)[:60]}")
        return
    found = twice(machine, 1, at, cts, vs)
    for i, (want, got) in enumerate(zip(wanted, found, strict=True)):
        close(got, want, f"second derivative {i}", 1e-7)


def forward_mode(machine: Machine, at: list[int], vs: list[Any]) -> None:
    """Compare the tangents of the outputs."""
    found = []
    for side, (t, device) in enumerate(machine.sides):
        primals = [t.tensor(a, device=device) for a in machine.arrays if a.dtype.kind == "f"]
        tangents = [t.tensor(v, device=device) for v in vs]

        def program(*xs: Any, side: int = side) -> Any:
            values = machine.replayed(side, [x.clone() for x in xs])
            return tuple(values[i] for i in at)

        try:
            found.append(t.func.jvp(program, tuple(primals), tuple(tangents)))
        except NotImplementedError as error:
            if t is torch:
                event(f"no forward mode in PyTorch: {str(error)[:60]}")
                return
            raise
    (_, want), (_, got) = found
    for i, w, g in zip(at, want, got, strict=True):
        close(g, w, f"tangent of v{i}", 1e-8)


def compare(draw: Any, steps: dict[str, Callable[[Machine], Any]]) -> None:
    """Make a program, run it in both libraries, and compare whatever can be asked of it."""
    machine = Beside(draw, ((torch, "cpu"), (tg, "cpu")), "float64", "int64", MOST)
    try:
        # what was saved and then written to is kept as it was, as tabgrad always keeps it
        with torch.autograd.graph.saved_tensors_hooks(lambda x: x.detach().clone(), lambda x: x):
            start(machine, SIZES, 4, rounded=True)
            for _ in range(draw(st.integers(1, DEPTH))):
                steps[draw(st.sampled_from(sorted(steps)))](machine)
            for i, pair in enumerate(machine.values):
                machine.alike(i)
                close(pair.got, pair.want, f"v{i}")
            at = outputs_of(machine)
            if not at:
                return
            rng = np.random.default_rng(draw(st.integers(0, 99)))
            cts = [rng.uniform(-1, 1, machine.values[i].shape) for i in at]
            vs = [rng.uniform(-1, 1, a.shape) for a in machine.arrays if a.dtype.kind == "f"]
            machine.text.append(f"outputs {at}")
            gradients(machine, at, cts)
            second_order(machine, at, cts, vs)
        # inside of jvp what was detached shares nothing, and refuses to be written to
        detached = any(s.writes for s in machine.steps) and "detach" in "".join(machine.text)
        if not machine.quiet and not detached:
            forward_mode(machine, at, vs)
    finally:
        note("\n".join(machine.text))


@settings(deadline=None, suppress_health_check=CHECKS)
@given(data=st.data())
def test_functions_agree_with_pytorch(data: Any) -> None:
    compare(data.draw, PURE)


@settings(deadline=None, suppress_health_check=CHECKS)
@given(data=st.data())
def test_writes_in_place_agree_with_pytorch(data: Any) -> None:
    compare(data.draw, EVERY)
