"""Checks of users' indices, and of numbers that must keep a rule, where they are read.

On a device the kernel that reads them checks them (see `lower/checks.py`); the next read raises the error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tabgrad.core.errors import ArgumentError, LinAlgError, OutOfRangeError
from tabgrad.core.families import elementwise
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array, Operand

if TYPE_CHECKING:
    from tabgrad.tensor import Tensor


def complaint(found: int, size: int, what: str, dim: int, name: str) -> str:
    """Describe what is wrong with an index, in PyTorch's words where it has some.

    >>> complaint(70, 3, "index", 0, "gather")
    'index 70 is out of bounds for dimension 0 with size 3 in gather'
    """
    if what == "target":
        return f"Target {found} is out of bounds for the {size} classes of {name}"
    if what == "class":
        rule = "be smaller than num_classes" if found >= 0 else "be non-negative"
        return f"Class values must {rule}: got {found} with num_classes={size} in {name}"
    if what == "matrix":
        return name.format(element=found // dim, info=found % dim)
    return f"index {found} is out of bounds for dimension {dim} with size {size} in {name}"


def failure(what: str) -> type[LinAlgError | OutOfRangeError]:
    """Return the class of the error for such an index."""
    return LinAlgError if what == "matrix" else OutOfRangeError


def all_below(index: Array, size: int) -> bool:
    """Tell whether all elements of an array of integers are in [0, size)."""
    if index.size <= 16:
        # NumPy takes longer to find the extremes of so few
        few = index.ravel().tolist()
        return not few or (0 <= min(few) and max(few) < size)
    unsigned = _UNSIGNED.get(index.dtype.char)
    if unsigned is not None:
        # a negative number is a large one
        index = index.view(unsigned)
    return bool(np.maximum.reduce(index, None) < size)


_UNSIGNED = {"b": "B", "h": "H", "i": "I", "l": "L", "q": "Q"}
"""NumPy's characters of integers, and those of the unsigned ones as long."""


@elementwise(code="{index}", derivative=None, integers="same", kinds="iu", domain=(0, 10))
def checked(
    index: Operand, *, size: int, name: str, what: str, dim: int, wraps: bool, ignore: int | None
) -> Array:
    """Check that `index` is in [0, size); with `wraps` negative ones count from the end, as in Python.

    `ignore` passes as it is. Anything else raises OutOfRangeError, on a lazy device at the next read; `what`
    chooses the words of the error; `name` and `dim` say whose index it is. Of a "matrix" the index is what
    was found out about it, 0 if nothing is wrong; `name` is then the text of a LinAlgError.
    """
    if all_below(index, size):
        return index
    low = -size if wraps else 0
    if index.min() < low or index.max() >= size:
        bad = (index < low) | (index >= size)
        if ignore is not None:
            bad &= index != ignore
        if bad.any():
            raise failure(what)(complaint(int(index[bad].flat[0]), size, what, dim, name))
    return np.where(index < 0, index + size, index).astype(index.dtype) if wraps else index


Rule = Literal["from 0 to 1", "not negative", "positive", "finite and not negative"]
_RULES: dict[Rule, Any] = {
    "from 0 to 1": lambda x: (x >= 0) & (x <= 1), "not negative": lambda x: x >= 0,
    "positive": lambda x: x > 0, "finite and not negative": lambda x: (x >= 0) & np.isfinite(x),
}  # fmt: skip


@elementwise(
    code="{x}",
    along=lambda t, _x, _y, **_: t,
    integers="same",
    kinds="biuf",
    domain=(0.1, 0.9),
)
def confined(x: Operand, *, rule: Rule, message: str) -> Array:
    """Check that all elements of `x` keep `rule`; else ArgumentError is raised with `message`.

    A lazy device raises it at the next read, if the result of the check is used.
    """
    if not _RULES[rule](x).all():
        raise ArgumentError(message)
    return x


def within(
    name: str, index: Tensor, size: int, dim: int = 0, *, wraps: bool = False, what: str = "index",
    ignore: int | None = None,
) -> Tensor:  # fmt: skip
    """Check an index tensor against a dim of `size`; see `checked`."""
    found = checked.bind(
        index, size=size, name=name, what=what, dim=dim, wraps=wraps, ignore=ignore
    )
    # an inference tensor stays one after its check: it may not be saved for backward
    found.born |= index.born & 1
    return found


__all__ = ["checked", "complaint", "confined", "failure", "within"]
