"""Forms of a convolution without gaps: which product it is, or which sum.

All are implicit: what they read are windows of the input, read in place. With outputs o, inputs c, taps t,
images n and places q, each group is, in the form

- `columns`: a product W[o, c t] X[c t, n q]; its tiles run along the places of all images.
- `taps first`: the same with the inner axis t c, which is how an input lies whose channels are last.
- `rows`: X[n q, c t] W[c t, o]; its tiles are high where the other ones are wide.
- `images`: a product for each image, W[o, c t] X[c t, q], whose indices need no division by q.
- `sums`: no product, but a sum over c and t for each output, one thread for each.
- `lines`: where an output has a group of its own, a product of one row, several places a thread.

`columns` is the fixed one; where a product has but one row, column or step it is `sums`, on software adapters
`lines` where that may be taken (a third to a half of the time in Chromium). The others have other orders of
sums at most. Which is the fastest is measured on the adapter, see `variants.py`.
"""

from __future__ import annotations

import math
from typing import Any

from tabgrad.core.dtype import HALVES, float32
from tabgrad.core.op import REGISTRY
from tabgrad.core.spec import NO_PARAMS
from tabgrad.lower.ir import PERMUTE, RESHAPE, Node, Program
from tabgrad.lower.simplify import apply
from tabgrad.lower.variants import size_class

Facts = dict[str, Any]
LONGEST_SUM = 1024
"""The most terms of the sums of one thread."""

MANY = 1 << 20
"""The least elements of windows for which one more kernel, which stores the input, is worth its cost."""
MOST_BEFORE = 16
"""The most nodes before a convolution that are looked at."""


def convolved(p: Program, x: Node, w: Node, facts: Facts) -> Node:
    """Replace a convolution without gaps by a product or a sum over windows that are read in place."""
    c = Convolution(p, x, w, facts)
    form = p.decide("form of a convolution", c.chosen)
    return c.written(form if form in c.forms() else c.fixed())


class Convolution:
    """A convolution that is rewritten: `windows` are [N, groups, C / groups, *places, *kernel]."""

    def __init__(self, p: Program, x: Node, w: Node, facts: Facts) -> None:
        self.p, self.x, self.w = p, x, w
        self.facts = facts
        self.groups, self.kernel, self.rank = facts["groups"], w.shape[2:], len(w.shape) - 2
        self.outs, self.channels = w.shape[0] // self.groups, x.shape[1] // self.groups
        self.inner = self.channels * math.prod(self.kernel)
        self.windows = self._windows()
        self.images, self.places = x.shape[0], self.windows.shape[3 : 3 + self.rank]

    def _windows(self) -> Node:
        p, x, facts, d = self.p, self.x, self.facts, self.rank
        n, c = x.shape[:2]
        low = (0, 0, *(a for a, _ in facts["padding"]))
        high = (0, 0, *(b for _, b in facts["padding"]))
        padded = apply(p, "pad", x, low=low, high=high, interior=(0,) * (2 + d))
        size = padded.shape[2:]
        wide = apply(p, "reshape", padded, shape=(n, c, *size, *(1,) * d))
        wide = apply(p, "expand", wide, shape=(n, c, *size, *self.kernel))
        windows = apply(
            p, "rewindow", wide, sizes=self.kernel, strides=facts["strides"],
            dilations=facts["dilations"],
        )  # fmt: skip
        places = windows.shape[2 : 2 + d]
        shape = (n, self.groups, c // self.groups, *places, *self.kernel)
        return apply(p, "reshape", windows, shape=shape)

    # -- the choice --------------------------------------------------------------------------------

    def forms(self) -> list[str]:
        """List the forms that give this convolution, the fixed one first."""
        first = self.fixed()
        if not self.x.spec.dtype.is_floating_point or not self.windows.spec.size:
            return [first]
        weights = self.is_gradient_of_weights()
        if first == "sums":
            alone = self.outs == 1 and 1 < self.inner <= LONGEST_SUM and self.images > 0
            alone = alone and not weights and (self.many() or not has_prologue(self.x))
            return [first, "lines"] if alone and math.prod(self.places) > 1 else [first]
        if weights:
            return [first, "rows"]
        more = ["rows"]
        more += ["taps first"] if self.channels > 1 and math.prod(self.kernel) > 1 else []
        more += ["images"] if self.images > 1 and math.prod(self.places) > 1 else []
        more += ["sums"] if self.inner <= LONGEST_SUM else []
        return [first, *more]

    def is_gradient_of_weights(self) -> bool:
        """Whether few windows are summed over images and places, of which products over many steps are joined
        (`sums.py`), those of `columns` and `rows` alone."""
        few = math.prod(self.kernel) > math.prod(self.places)
        return few or (exchanged(self.x) and exchanged(self.w))

    def many(self) -> bool:
        """Whether so much is read that what comes before the convolution is better stored: a sum would compute
        it for each tap again."""
        return self.windows.spec.size >= MANY

    def fixed(self) -> str:
        """Name the form that nothing needs to be measured for."""
        least = min(self.outs, self.inner, self.images * math.prod(self.places))
        return "columns" if least > 1 else "sums"

    def chosen(self) -> str:
        """Choose a form: as measured on the adapter, else the fixed one."""
        forms = self.forms()
        if len(forms) == 1:
            return forms[0]
        fixed = "lines" if self.p.software and "lines" in forms else forms[0]
        found: str = self.p.pick(self.question(), self.p.origin, lambda: forms, lambda: fixed)
        return found

    def question(self) -> str:
        """Name the class of this convolution: its sizes and steps, and how its operands lie."""
        sizes = (self.images, self.groups, self.channels, self.outs, *self.places)
        steps = (self.kernel, self.facts["strides"], self.facts["dilations"])
        texts = [
            " ".join(str(size_class(n)) for n in sizes),
            *("x".join(map(str, s)) for s in steps),
        ]
        texts += [lies(n) for n in (self.x, self.w)]
        return f"form of a convolution {self.x.spec.dtype.name} {' '.join(texts)}"

    # -- the forms ---------------------------------------------------------------------------------

    def written(self, form: str) -> Node:
        """Write the convolution in a form."""
        return {
            "columns": self.columns, "taps first": self.taps_first, "rows": self.as_rows,
            "images": self.each_image, "sums": self.sums, "lines": self.lines,
        }[form]()  # fmt: skip

    def columns(self, taps_first: bool = False) -> Node:
        """Write [outs, inner] times [inner, images and places], whose inner axis begins with the channels."""
        p, d = self.p, self.rank
        taps, places = range(3 + d, 3 + 2 * d), range(3, 3 + d)
        inner = (*taps, 2) if taps_first else (2, *taps)
        columns = self.matrix((1, *inner, 0, *places), (self.groups, self.inner, -1))
        y = apply(p, "matmul", self.weights(taps_first), columns)
        y = apply(p, "reshape", y, shape=(self.groups, self.outs, self.images, *self.places))
        y = apply(p, "permute", y, dims=(2, 0, 1, *places))
        return self.result(y)

    def taps_first(self) -> Node:
        """Write the same with an inner axis that begins with the taps."""
        return self.columns(True)

    def as_rows(self) -> Node:
        """Write [images and places, inner] times [inner, outs]."""
        p, d = self.p, self.rank
        taps, places = range(3 + d, 3 + 2 * d), range(3, 3 + d)
        rows = self.matrix((1, 0, *places, 2, *taps), (self.groups, -1, self.inner))
        weights = apply(p, "permute", self.weights(), dims=(0, 2, 1))
        y = apply(p, "matmul", rows, weights)
        y = apply(p, "reshape", y, shape=(self.groups, self.images, *self.places, self.outs))
        return self.result(apply(p, "permute", y, dims=(1, 0, 2 + d, *range(2, 2 + d))))

    def each_image(self) -> Node:
        """Write a product of [outs, inner] and [inner, places] for each image and group."""
        p = self.p
        shape = (self.images, self.groups, self.outs, self.inner)
        weights = apply(p, "reshape", self.weights(), shape=(1, *shape[1:]))
        weights = apply(p, "expand", weights, shape=shape)
        return self.result(apply(p, "matmul", weights, self.image_columns()))

    def lines(self) -> Node:
        """Write the same where a group has one output."""
        shape = (self.images, self.groups, 1, self.inner)
        weights = apply(self.p, "reshape", self.weights(), shape=(1, *shape[1:]))
        weights = apply(self.p, "expand", weights, shape=shape)
        # not by the rule, which makes a sum of a product of one row
        y = self.p.add(REGISTRY["matmul"], NO_PARAMS, (weights, self.image_columns()))
        return self.result(y)

    def sums(self) -> Node:
        """Write a sum over channels and taps for each output."""
        p, d = self.p, self.rank
        if self.fixed() == "sums":
            # the rule of products makes it
            return self.columns()
        shape = (self.images, self.groups, self.outs, *self.places, self.channels, *self.kernel)
        order = (0, 1, *range(3, 3 + d), 2, *range(3 + d, 3 + 2 * d))
        x = apply(p, "permute", self.windows, dims=order)
        w = apply(p, "reshape", self.w, shape=(self.groups, self.outs, self.channels, *self.kernel))
        if self.x.spec.dtype in HALVES:
            x, w = (apply(p, "cast", n, dtype=float32) for n in (x, w))
        x = apply(p, "spread", x, shape=shape, axes=(2,))
        w = apply(p, "spread", w, shape=shape, axes=(0, *range(3, 3 + d)))
        y = apply(p, "mul", w, x)
        y = apply(p, "reduce_sum", y, axes=tuple(range(3 + d, len(shape))))
        if self.x.spec.dtype in HALVES:
            y = apply(p, "cast", y, dtype=self.x.spec.dtype)
        return self.result(y)

    def matrix(self, order: tuple[int, ...], shape: tuple[int, ...]) -> Node:
        """Lay the windows out as matrices, one size of which is -1 for all images and places."""
        size = self.images * math.prod(self.places)
        turned = apply(self.p, "permute", self.windows, dims=order)
        return apply(self.p, "reshape", turned, shape=tuple(size if n < 0 else n for n in shape))

    def image_columns(self) -> Node:
        """Lay the windows out as [images, groups, inner, places]."""
        d = self.rank
        order = (0, 1, 2, *range(3 + d, 3 + 2 * d), *range(3, 3 + d))
        turned = apply(self.p, "permute", self.windows, dims=order)
        shape = (self.images, self.groups, self.inner, math.prod(self.places))
        return apply(self.p, "reshape", turned, shape=shape)

    def weights(self, taps_first: bool = False) -> Node:
        """Lay the weights out as [groups, outs, inner]."""
        p, w, d = self.p, self.w, self.rank
        if taps_first:
            w = apply(p, "permute", w, dims=(0, *range(2, 2 + d), 1))
        return apply(p, "reshape", w, shape=(self.groups, self.outs, self.inner))

    def result(self, y: Node) -> Node:
        """Give a result of [images, groups, outs, places] the shape that it has."""
        shape = (self.images, self.groups * self.outs, *self.places)
        return apply(self.p, "reshape", y, shape=shape)


def exchanged(n: Node) -> bool:
    """Whether another axis takes the place of the first one, as in the convolution of a gradient."""
    while n.op is RESHAPE:
        n = n.srcs[0]
    dims: Any = n.params["dims"] if n.op is PERMUTE else (0,)
    return bool(dims[0] != 0)


def has_prologue(n: Node) -> bool:
    """Whether a value is computed from inputs and reductions, in kernels that sum it, but not in those of
    products; what follows a product is stored by its own kernel."""
    found, stack = set[str](), [n]
    for _ in range(MOST_BEFORE):
        if not stack:
            break
        n = stack.pop()
        if n.family in ("view", "elementwise"):
            stack.extend(n.srcs)
            found |= {n.family} & {"elementwise"}
        elif n.family != "constant":
            found.add(n.family)
    return bool(stack) or ("elementwise" in found and (found - {"elementwise"}) != {"bilinear"})


def lies(n: Node) -> str:
    """Say in which order the axes of an operand lie, if that is not their own."""
    dims: Any = n.params["dims"] if n.op is PERMUTE else ()
    return "".join(map(str, dims)) or "-"


__all__ = ["convolved"]
