"""A loop as one op: a program of ops, repeated, whose state lives beside one workgroup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tabgrad.core import dtype as dt
from tabgrad.core.families import kernel
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import REGISTRY, Array, Op, Operand
from tabgrad.core.spec import Params, Spec, intern_params, spec
from tabgrad.core.trace import bind

if TYPE_CHECKING:
    from tabgrad.core.op import Operands
    from tabgrad.tensor import Tensor

INSIDE = ("elementwise", "view", "reduction")
KERNELS = ("gather", "cat", "counting", "matmul")
"""The ops that a body may hold besides the families INSIDE."""
DTYPES = (dt.float32, dt.float64, dt.int32, dt.int64, dt.uint32, dt.bool_)
MOST = 1 << 14
"""The most elements of an op in a body, since one workgroup computes them while others are idle."""

Place = tuple[int, int]
"""The place of an argument: the number of the flat operand, and its first element there."""


class Body:
    """A program of ops on numbered values: `inputs`, captured tensors, and `outputs`.

    A step is (op, params, numbers of its arguments, number of its result). The first `carries` inputs
    are the carry, the others are rows; the outputs are the next carry and values to stack. `places` says where
    in the flat operands each input (all its rows) and each captured tensor lies. Equal bodies are equal.
    """

    def __init__(
        self, specs: Sequence[Spec], steps: Sequence[tuple[Op, Params, tuple[int, ...], int]],
        inputs: Sequence[int], captured: Sequence[int], outputs: Sequence[int], carries: int,
        places: Sequence[Place],
    ) -> None:  # fmt: skip
        self.specs = tuple(specs)
        self.steps = tuple(steps)
        self.inputs, self.captured, self.outputs = tuple(inputs), tuple(captured), tuple(outputs)
        self.carries = carries
        self.places = tuple(places)
        self.key = (
            self.specs, self.steps, self.inputs, self.captured, self.outputs, carries, self.places
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Body) and other.key == self.key

    def __repr__(self) -> str:
        return f"<body of {len(self.steps)} steps>"

    def sizes(self) -> tuple[int, int]:
        """Count the elements of the carry and of the stacked outputs of one repetition."""
        each = [self.specs[o].size for o in self.outputs]
        return sum(each[: self.carries]), sum(each[self.carries :])

    def given(self, flats: Sequence[Any], length: int) -> list[Any]:
        """Cut the arrays of inputs (rows along the first axis) and captured tensors out of the operands."""
        found = []
        for k, n in enumerate((*self.inputs, *self.captured)):
            which, at = self.places[k]
            s = self.specs[n]
            rows = self.carries <= k < len(self.inputs)
            count = s.size * (length if rows else 1)
            shape = (length, *s.shape) if rows else s.shape
            found.append(flats[which][at : at + count].reshape(shape))
        return found


def fits(op: Op, params: Params, args: Sequence[Spec], out: Spec) -> bool:
    """Test whether a body may hold this application of an op."""
    if (op.family not in INSIDE and op.name not in KERNELS) or out.dtype not in DTYPES:
        return False
    return max([out.size, *[a.size for a in args]]) <= MOST


def _infer(*flats: Spec, body: Body, length: int, reverse: bool) -> Spec:
    carry, stacked = body.sizes()
    return spec((carry + length * stacked,), body.specs[body.outputs[0]].dtype)


def _each(n: int, args: Operands, dims: Sequence[int | None], **params: Any) -> Tensor:
    """Run one loop for each element of a batch; `func.vmap` batches the body and never calls this."""
    rows = []
    for i in range(n):
        picked = []
        for a, d in zip(args, dims, strict=True):
            if d is None:
                picked.append(a)
                continue
            (size,) = (m for k, m in enumerate(a.spec.shape) if k != d)
            bounds = [(0, m) if k != d else (i, i + 1) for k, m in enumerate(a.spec.shape)]
            one = REGISTRY["slice"].bind(
                a, starts=tuple(b for b, _ in bounds), stops=tuple(e for _, e in bounds),
                steps=(1, 1),
            )  # fmt: skip
            picked.append(REGISTRY["reshape"].bind(one, shape=(size,)))
        y = bind(loop, tuple(picked), intern_params(params))
        rows.append(REGISTRY["reshape"].bind(y, shape=(1, *y.spec.shape)))
    return REGISTRY["cat"].bind(*rows, axis=0)


def _samples() -> Iterator[Any]:
    # h = h * x + w, stacking 2 h
    s = spec((3,), dt.float32)
    mul, add = REGISTRY["mul"], REGISTRY["add"]
    none = intern_params({})
    steps = [(mul, none, (0, 1), 3), (add, none, (3, 2), 4), (add, none, (4, 4), 5)]
    body = Body([s] * 6, steps, (0, 1), (2,), (4, 5), 1, ((0, 0), (0, 3), (0, 15)))
    for reverse in (False, True):
        yield ((18,),), {"body": body, "length": 4, "reverse": reverse}


@kernel(infer=_infer, derivative=None, batching=_each, samples=_samples)
def loop(*flats: Operand, body: Body, length: int, reverse: bool) -> Array:
    """Repeat `body` `length` times; the result is the last carry and the stacked outputs, joined and flat.

    The operands are flat, one for each dtype; `body.places` says where inputs lie. With `reverse` the rows are
    taken, and the outputs stacked, from the last to the first.
    """
    given = body.given(flats, length)
    n = len(body.inputs)
    values: list[Any] = [None] * len(body.specs)
    for k, x in zip(body.captured, given[n:], strict=True):
        values[k] = x
    carry, rows = given[: body.carries], given[body.carries : n]
    made = [body.specs[o] for o in body.outputs[body.carries :]]
    stacks = [np.empty((length, *s.shape), s.dtype.name) for s in made]
    for t in range(length - 1, -1, -1) if reverse else range(length):
        for k, x in zip(body.inputs, (*carry, *[r[t] for r in rows]), strict=True):
            values[k] = x
        for op, params, refs, out in body.steps:
            want = body.specs[out]
            y = op.numpy([values[r] for r in refs], want, params)
            values[out] = (
                y
                if getattr(y, "dtype", None) == want.dtype.name
                else np.asarray(y, want.dtype.name)
            )
        outs = [values[o] for o in body.outputs]
        carry = outs[: body.carries]
        for stack, y in zip(stacks, outs[body.carries :], strict=True):
            stack[t] = y
    return np.concatenate([np.asarray(x).reshape(-1) for x in (*carry, *stacks)])


loop.whole = True  # type: ignore[attr-defined]
"""The op needs each operand in a buffer of its own."""
