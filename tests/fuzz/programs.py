"""Random programs: each step takes tensors made before it and is carried out twice at once, by an oracle and by
what is under test. A side is a library with PyTorch's names and a device of it.

Floats only meet functions that are continuous, so that rounding can't send the two ways apart; integers
and bools are exact, and meet everything.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
SIZES = st.sampled_from([1, 2, 3, 4, 5, 7, 1, 2, 3, 0, 18, 33])
MOST = 3000
"""Elements of a tensor."""
LARGE = 30.0
"""Floats beyond this are brought back, so that rounding stays small."""


@dataclass
class Pair:
    """A value as the oracle has it, and as what is under test has it."""

    want: Any
    got: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.want.shape)

    @property
    def kind(self) -> str:
        if str(self.want.dtype).endswith("bool"):
            return "b"
        return "f" if self.want.is_floating_point() else "i"


@dataclass
class Step:
    """What makes the next value (or writes to one in place) of those at `at`."""

    function: Callable[..., Any]
    at: tuple[int, ...]
    writes: bool = False


@dataclass
class Machine:
    """A program as it is made."""

    draw: Draw
    sides: Sequence[tuple[Any, Any]]
    """The two libraries, the oracle first, each with its device."""
    floats: str = "float32"
    ints: str = "int32"
    most: int = MOST
    values: list[Pair] = field(default_factory=list)
    arrays: list[Any] = field(default_factory=list)
    leaves: list[Pair] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    quiet: bool = False
    """Whether a step hides something from derivatives."""

    def leaf(self, array: Any) -> None:
        """Add an input."""
        pair = Pair(*(t.tensor(array, device=device) for t, device in self.sides))
        if array.dtype.kind == "f":
            pair.want.requires_grad = pair.got.requires_grad = True
        self.text.append(f"v{len(self.values)} = {array.dtype.name}{list(array.shape)}")
        self.values.append(pair)
        self.arrays.append(array)
        self.leaves.append(pair)

    def pick(
        self, kinds: str = "fib", where: Callable[[Pair], bool] = lambda _: True
    ) -> int | None:
        """Return the number of a value of these kinds, a late one rather than an early one."""
        fitting = [i for i, v in enumerate(self.values) if v.kind in kinds and where(v)]
        return self.draw(st.sampled_from(fitting[::-1])) if fitting else None

    def apply(self, text: str, function: Callable[..., Any], *at: int) -> bool:
        """Carry out a step, `function` of a library and the values `at`; False where it is of no use."""
        (first, _), (second, _) = self.sides
        try:
            want = function(first, *(self.values[i].want for i in at))
        except (RuntimeError, ValueError, IndexError) as error:
            raise AssertionError(f"{text}: the oracle refuses {error}") from error
        if want.numel() > self.most or len(want.shape) > 5:
            return False
        self.text.append(f"v{len(self.values)} = {text.format(*(f'v{i}' for i in at))}")
        got = function(second, *(self.values[i].got for i in at))
        self.values.append(Pair(want, got))
        self.steps.append(Step(function, at))
        if want.is_floating_point() and want.numel() and float(want.detach().abs().max()) > LARGE:
            self.apply("tanh({})", lambda t, x: t.tanh(x), len(self.values) - 1)
        return True


def start(
    machine: Machine, sizes: st.SearchStrategy[int] = SIZES, axes: int = 4, rounded: bool = False
) -> Machine:
    """Give the machine a few inputs; with `rounded` some are of numbers that recur."""
    draw = machine.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    for kind in draw(st.lists(st.sampled_from("ffi"), min_size=1, max_size=3)):
        shape = tuple(draw(st.lists(sizes, max_size=axes)))
        while math.prod(shape) > machine.most:
            shape = shape[1:]
        if kind == "f":
            x = rng.uniform(-1, 1, shape)
            if rounded and draw(st.booleans()):
                x = np.round(4 * x) / 4
            machine.leaf(np.asarray(x).astype(machine.floats))
        else:
            machine.leaf(rng.integers(-9, 10, shape).astype(machine.ints))
    return machine


def step(machine: Machine) -> None:
    """Add one step."""
    STEPS[machine.draw(st.sampled_from(sorted(STEPS)))](machine)


# -- steps -----------------------------------------------------------------------------------------


def _unary(m: Machine) -> None:
    i = m.pick()
    if i is None:
        return
    names = {
        "f": ("neg", "abs", "tanh", "sin", "sigmoid", "square", "relu", "exp"),
        "i": ("neg", "abs", "square", "sign", "bitwise_not"),
        "b": ("logical_not",),
    }[m.values[i].kind]
    name = m.draw(st.sampled_from(names))
    if name == "exp":
        m.apply("exp(-abs({}))", lambda t, x: t.exp(-t.abs(x)), i)
    else:
        m.apply(f"{name}({{}})", lambda t, x: getattr(t, name)(x), i)


def _binary(m: Machine) -> None:
    i = m.pick()
    if i is None:
        return
    x = m.values[i]
    j = m.pick(x.kind, lambda y: fits(x.shape, y.shape))
    if j is None:
        return
    names = {
        "f": ("add", "sub", "mul", "maximum", "minimum"),
        "i": ("add", "sub", "mul", "maximum", "minimum", "eq", "lt", "ge", "bitwise_xor"),
        "b": ("logical_and", "logical_or", "logical_xor", "eq"),
    }[x.kind]
    name = m.draw(st.sampled_from(names))
    m.apply(f"{name}({{}}, {{}})", lambda t, x, y: getattr(t, name)(x, y), i, j)


def fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two shapes broadcast."""
    return all(x == y or 1 in (x, y) for x, y in zip(a[::-1], b[::-1], strict=False))


def _scalar(m: Machine) -> None:
    i = m.pick("fi")
    if i is None:
        return
    number = (
        m.draw(st.integers(-3, 3))
        if m.values[i].kind == "i"
        else m.draw(st.sampled_from([0.5, -1.25, 2.0]))
    )
    name = m.draw(st.sampled_from(["add", "mul", "sub"]))
    m.apply(f"{name}({{}}, {number})", lambda t, x: getattr(t, name)(x, number), i)


def _cast(m: Machine) -> None:
    i = m.pick("ib")
    if i is None:
        return
    name, factor = m.draw(st.sampled_from([(m.floats, 0.125), (m.ints, 1)]))
    m.apply(f"{{}}.to({name}) * {factor}", lambda t, x: x.to(getattr(t, name)) * factor, i)


def _where(m: Machine) -> None:
    c = m.pick("b")
    i = m.pick("fi")
    if c is None or i is None:
        return
    x = m.values[i]
    j = m.pick(x.kind, lambda y: fits(x.shape, y.shape))
    if j is None:
        return
    shape = np.broadcast_shapes(x.shape, m.values[j].shape)
    if fits(m.values[c].shape, shape):
        m.apply("where({}, {}, {})", lambda t, c, x, y: t.where(c, x, y), c, i, j)


def _view(m: Machine) -> None:
    i = m.pick()
    if i is None:
        return
    shape = m.values[i].shape
    n = len(shape)
    name = m.draw(
        st.sampled_from(["reshape", "permute", "slice", "flip", "pad", "expand", "roll", "unfold"])
    )
    if name == "reshape":
        target = factors(m.draw, math.prod(shape))
        m.apply(f"{{}}.reshape{target}", lambda t, x: x.reshape(target), i)
    elif name == "expand":
        lead = m.draw(st.sampled_from([(), (2,), (3, 1), (0,)]))
        target = (*lead, *(m.draw(st.sampled_from([1, 2, 5])) if k == 1 else k for k in shape))
        m.apply(f"{{}}.expand{target}", lambda t, x: x.expand(target), i)
    elif n and name == "permute":
        dims = tuple(m.draw(st.permutations(range(n))))
        m.apply(f"{{}}.permute{dims}", lambda t, x: x.permute(dims), i)
    elif n and name == "slice":
        index = tuple(slice_of(m.draw, k) for k in shape)
        m.apply(f"{{}}[{index}]", lambda t, x: x[index], i)
    elif n and name == "flip":
        dims = tuple(sorted(m.draw(st.sets(st.integers(0, n - 1), min_size=1))))
        m.apply(f"{{}}.flip({dims})", lambda t, x: x.flip(dims), i)
    elif n and name == "pad":
        widths = [m.draw(st.integers(0, 2)) for _ in range(2 * min(n, 2))]
        if m.values[i].kind != "b":
            m.apply(f"pad({{}}, {widths})", lambda t, x: t.nn.functional.pad(x, widths), i)
    elif n and name == "roll":
        shift, dim = m.draw(st.integers(-3, 3)), m.draw(st.integers(0, n - 1))
        m.apply(f"{{}}.roll({shift}, {dim})", lambda t, x: x.roll(shift, dim), i)
    elif n and name == "unfold" and shape[-1]:
        size, by = m.draw(st.integers(1, min(3, shape[-1]))), m.draw(st.integers(1, 2))
        m.apply(f"{{}}.unfold(-1, {size}, {by})", lambda t, x: x.unfold(-1, size, by), i)


def factors(draw: Draw, n: int) -> tuple[int, ...]:
    """Return a shape of `n` elements."""
    if n == 0:
        return draw(st.sampled_from([(0,), (0, 3), (2, 0, 1)]))
    out = []
    while n > 1:
        k = draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
        out.append(k)
        n //= k
        if len(out) == 3:
            break
    return (*out, n)


def slice_of(draw: Draw, n: int) -> slice:
    """Return a slice of an axis of `n`."""
    a = draw(st.integers(0, max(0, n - 1)))
    b = draw(st.integers(a, n))
    return slice(a, b, draw(st.integers(1, 3)))


def _join(m: Machine) -> None:
    i = m.pick(where=lambda v: bool(v.shape))
    if i is None:
        return
    x = m.values[i]
    dim = m.draw(st.integers(0, len(x.shape) - 1))

    def joins(y: Pair) -> bool:
        return len(y.shape) == len(x.shape) and all(
            a == b for k, (a, b) in enumerate(zip(x.shape, y.shape, strict=True)) if k != dim
        )

    others = [m.pick(x.kind, joins) for _ in range(m.draw(st.integers(1, 5)))]
    picked = [i, *(o for o in others if o is not None)]
    m.apply(
        f"cat([{', '.join('{}' for _ in picked)}], {dim})", lambda t, *xs: t.cat(xs, dim), *picked
    )


def _reduce(m: Machine) -> None:
    i = m.pick(where=lambda v: bool(v.shape))
    if i is None:
        return
    x = m.values[i]
    dims = tuple(sorted(m.draw(st.sets(st.integers(0, len(x.shape) - 1), min_size=1))))
    keep = m.draw(st.booleans())
    names = {
        "f": ("sum", "mean", "amax", "amin", "logsumexp"),
        "i": ("sum", "amax", "amin"),
        "b": ("any", "all"),
    }
    name = m.draw(st.sampled_from(names[x.kind]))
    if name not in ("sum", "any", "all") and any(x.shape[d] == 0 for d in dims):
        return
    m.apply(f"{name}({{}}, {dims}, {keep})", lambda t, x: getattr(t, name)(x, dims, keep), i)


def _row(m: Machine) -> None:
    i = m.pick("fi", lambda v: bool(v.shape))
    if i is None:
        return
    x = m.values[i]
    dim = m.draw(st.integers(0, len(x.shape) - 1))
    if x.kind == "f":
        name = m.draw(
            st.sampled_from(["softmax", "log_softmax", "cumsum", "normalize", "standardise"])
        )
        keep = {"dim": dim, "keepdim": True}
        made = {
            "softmax": lambda t, x: t.softmax(x, dim),
            "log_softmax": lambda t, x: t.log_softmax(x, dim) * 0.25,
            "cumsum": lambda t, x: x.cumsum(dim),
            "normalize": lambda t, x: x / (1 + (x * x).sum(**keep)),
            "standardise": lambda t, x: (
                (x - x.mean(**keep)) * (0.1 + x.var(unbiased=False, **keep))
            ),
        }[name]
        if not x.shape[dim]:
            return
    else:
        name = m.draw(st.sampled_from(["cumsum", "argsort", "argmax", "argmin", "cummax"]))
        integer = operator.attrgetter(m.ints)
        made = {
            "cumsum": lambda t, x: x.cumsum(dim, dtype=integer(t)),
            "argsort": lambda t, x: x.argsort(dim=dim, stable=True).to(integer(t)),
            "argmax": lambda t, x: x.argmax(dim).to(integer(t)),
            "argmin": lambda t, x: x.argmin(dim).to(integer(t)),
            "cummax": lambda t, x: x.cummax(dim).indices.to(integer(t)),
        }[name]  # fmt: skip
        if not x.shape[dim]:
            return
    m.apply(f"{name}({{}}, {dim})", made, i)


def _product(m: Machine) -> None:
    i = m.pick("fi", lambda v: len(v.shape) >= 2)
    if i is None:
        return
    x = m.values[i]

    def meets(y: Pair) -> bool:
        return len(y.shape) >= 2 and x.shape[-1] == y.shape[-2] and fits(x.shape[:-2], y.shape[:-2])

    j = m.pick(x.kind, meets)
    if j is not None:
        m.apply("matmul({}, {})", lambda t, x, y: t.matmul(x, y), i, j)
    else:
        m.apply("matmul({}, {}.mT)", lambda t, a, b: a @ b.mT, i, i)


def _index(m: Machine) -> None:
    i = m.pick("fi", lambda v: bool(v.shape))
    j = m.pick("i", lambda v: len(v.shape) in (1, 2) and 0 not in v.shape)
    if i is None or j is None:
        return
    x = m.values[i]
    dim = m.draw(st.integers(0, len(x.shape) - 1))
    size = x.shape[dim]
    if not size:
        return
    index = "{1} % " + str(size)
    name = m.draw(st.sampled_from(["index_select", "take", "index_add"]))
    before = (slice(None),) * dim
    if name == "index_select":
        text = f"{{0}}.index_select({dim}, ({index}).reshape(-1))"
        m.apply(text, lambda t, x, k: x.index_select(dim, (k % size).reshape(-1)), i, j)
    elif name == "take":
        text = f"{{0}}[(slice(None),) * {dim} + ({index},)]"
        m.apply(text, lambda t, x, k: x[(*before, k % size)], i, j)
    else:
        count = m.values[j].want.numel()
        shape = tuple(count if k == dim else n for k, n in enumerate(x.shape))

        def add(t: Any, x: Any, k: Any) -> Any:
            ones = t.ones(shape, dtype=x.dtype, device=x.device)
            return x.index_add(dim, (k % size).reshape(-1), ones)

        m.apply(f"{{0}}.index_add({dim}, ({index}).reshape(-1), ones{shape})", add, i, j)


def _random(m: Machine) -> None:
    shape = tuple(m.draw(st.lists(st.sampled_from([1, 2, 5]), max_size=3)))
    seed = m.draw(st.integers(0, 9))
    devices = iter([device for _, device in m.sides])

    def drawn(t: Any) -> Any:
        t.manual_seed(seed)
        return t.rand(*shape, device=next(devices))

    m.apply(f"rand{shape} of seed {seed}", drawn)


STEPS: dict[str, Callable[[Machine], None]] = {
    "unary": _unary,
    "binary": _binary,
    "scalar": _scalar,
    "cast": _cast,
    "where": _where,
    "view": _view,
    "join": _join,
    "reduce": _reduce,
    "row": _row,
    "product": _product,
    "index": _index,
    "random": _random,
}
