"""Steps that write in place: to values, to views of them, to what may not be written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import assume, strategies as st

from tests.fuzz.functions import LINES, decided
from tests.fuzz.programs import Machine, Pair, Step, fits, slice_of

QUIET = ("detach", "data", "no_grad", "requires_grad")
"""What hides from derivatives: forward and reverse mode need not agree on it."""
ARBITRARY = (
    # a source in the memory of the target is a value like any other here
    "and the written-to tensor",
    # windows that overlap: what PyTorch then writes depends on its loops
    "more than one element of the written-to tensor",
    # a limit of PyTorch's bookkeeping
    "multiple views",
)
FAILURES = (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)


def write(m: Machine, text: str, *at: int) -> None:
    """Carry out the statement `text`; where one side refuses, both must."""
    hidden = m.draw(st.sampled_from([False, False, False, True]))
    names = [f"a{i}" for i in range(len(at))]
    line = text.format(*names)
    shown = f"with t.no_grad(): {text}" if hidden else text
    body = f"def step(t, {', '.join(names)}):\n  with t.set_grad_enabled({not hidden}):\n    {line}"
    space: dict[str, Any] = {}
    exec(body, space)
    step = space["step"]
    shown = shown.format(*(f"v{i}" for i in at))
    failures = []
    for (t, _), side in zip(m.sides, ("want", "got"), strict=True):
        try:
            step(t, *(getattr(m.values[i], side) for i in at))
        except FAILURES as error:
            failures.append(error)
        else:
            failures.append(None)
    want, got = failures
    assume(not any(text in str(error) for text in ARBITRARY for error in failures))
    m.text.append(f"{shown}  # {type(want).__name__}" if want else shown)
    assert isinstance(got, type(want)), f"oracle: {want!r}\ngot: {got!r}"
    if want is None:
        m.steps.append(Step(step, at, writes=True))
        m.quiet |= any(word in shown for word in QUIET)


def plain(m: Machine) -> None:
    """Write to one value, or to a view of it."""
    i = m.pick("f")
    if i is None:
        return
    x = m.values[i]
    axes = x.shape and 0 not in x.shape and m.draw(st.booleans())
    _write(m, m.draw(st.sampled_from(LINES["write along axes" if axes else "write"])), i)


def _write(m: Machine, text: str, *at: int) -> None:
    if any(word in text for word in (">", "clamp", "relu", "maximum")) and not all(
        decided(m.values[i], False) for i in at
    ):
        return
    if "cumsum" in text and not m.values[at[0]].shape:
        return
    write(m, text, *at)


def paired(m: Machine) -> None:
    """Write one value to another, mostly where it fits."""
    i = m.pick("f", lambda v: bool(v.shape) and 0 not in v.shape)
    if i is None:
        return
    x = m.values[i]

    def meets(y: Pair) -> bool:
        return fits(x.shape, y.shape) and len(y.shape) <= len(x.shape)

    j = m.pick("f", meets if m.draw(st.integers(0, 5)) else lambda _: True)
    if j is not None and 0 not in m.values[j].shape:
        memory = [m.values[k].want.untyped_storage().data_ptr() for k in (i, j)]
        # PyTorch's forward mode reads a tangent that it has just written where the two are one
        m.quiet |= memory[0] == memory[1]
        _write(m, m.draw(st.sampled_from(LINES["write a value to another"])), i, j)


def sliced(m: Machine) -> None:
    """Write to a slice of a value."""
    i = m.pick("f", lambda v: bool(v.shape))
    if i is None:
        return
    index = ", ".join(
        f"{s.start}:{s.stop}:{s.step}" for s in (slice_of(m.draw, n) for n in m.values[i].shape)
    )
    text = m.draw(
        st.sampled_from(
            ["[I] = 0.5", "[I] += 1", "[I] *= 0.5", "[I].tanh_()", "[I] = {0}[I] * 0.5"]
        )
    )
    write(m, "{0}" + text.replace("I", index), i)


def integers(m: Machine) -> None:
    """Write to an integer value."""
    i = m.pick("i")
    if i is not None:
        write(m, m.draw(st.sampled_from(LINES["write integers"])), i)


WRITES: dict[str, Callable[[Machine], Any]] = {
    "write": plain,
    "write a pair": paired,
    "write a slice": sliced,
    "write integers": integers,
}
