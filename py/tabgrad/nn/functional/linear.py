"""Linear and bilinear maps with a bias."""

from __future__ import annotations

from typing import Any

from tabgrad.core.errors import DTypeError, ShapeError
from tabgrad.core.promotion import as_given_on_cpu, cast, refuse_bool, result_dtype
from tabgrad.core.shape import axis_of, needs_rank, size
from tabgrad.core.tensor_arguments import of_tensors
from tabgrad.core.trace import MODE
from tabgrad.ops.elementwise import add
from tabgrad.ops.linalg import matmul, transposed
from tabgrad.ops.view import permute, reshape
from tabgrad.tensor import Tensor
from tabgrad.tensor.chained import chained, composed
from tabgrad.tensor.public import takes_sparse


def one_dtype(name: str, *tensors: Any) -> list[Any]:
    """Cast the tensors to the dtype of autocast; without autocast their dtypes must agree already."""
    casting = MODE.get().autocast
    if casting is not None:
        tensors = casting.lowered(tensors)
    first = tensors[0].spec.dtype
    for t in tensors:
        if t is not None and t.spec.dtype is not first:
            break
    else:
        return list(tensors)
    if casting is None:
        raise DTypeError(
            f"{name}: expected input, weight and bias to have the same dtype, but got: "
            f"{' and '.join(repr(t.spec.dtype) for t in tensors if t is not None)}; cast them with .to(dtype)"
        )
    dtype = result_dtype(*(t for t in tensors if t is not None))
    return [None if t is None else cast(t, dtype) for t in tensors]


@takes_sparse
@composed
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute input @ weight.T + bias for an input [..., in] and a weight [out, in].

    >>> import tabgrad as tg
    >>> x, w = tg.ones(2, 3, device="cpu"), tg.ones(1, 3, device="cpu")
    >>> tg.nn.functional.linear(x, w)
    tensor([[3.],
            [3.]])
    """
    refuse_bool("linear", input)
    shape, wanted = input.spec.shape, weight.spec.shape
    if not shape or len(wanted) not in (1, 2) or shape[-1] != wanted[-1]:
        raise ShapeError(
            f"linear: mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, shape))} and "
            f"{'x'.join(map(str, wanted[::-1]))}): expected an input whose last size is that of the "
            f"weight {wanted}, got {shape}"
        )
    if bias is not None and bias.spec.shape not in ((), wanted[:-1]):
        raise ShapeError(f"linear: bias must have shape {wanted[:-1]}, got {bias.spec.shape}")
    input, weight, bias = one_dtype("linear", input, weight, bias)
    rows = input if len(shape) == 2 else reshape.bind(input, shape=(size(shape[:-1]), shape[-1]))
    w = weight if len(wanted) == 2 else reshape.bind(weight, shape=(1, wanted[0]))
    y = matmul.bind(rows, transposed(w))
    if bias is not None:
        y = add(y, bias)
    out = (*shape[:-1], *wanted[:-1])
    return y if y.spec.shape == out else reshape.bind(y, shape=out)


@as_given_on_cpu
@of_tensors
@chained
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute y[..., o] = input1[..., i] weight[o, i, j] input2[..., j] + bias[o]."""
    axis_of("bilinear", -1, input1.spec.shape)
    needs_rank("bilinear, whose weight is [o, i, j],", weight.spec.shape, 3)
    lead = input1.spec.shape[:-1]
    o, i, j = weight.spec.shape
    if input1.spec.shape[-1] != i or input2.spec.shape != (*lead, j):
        raise ShapeError(
            f"bilinear: expected inputs [..., {i}] and [..., {j}] for a weight {weight.spec.shape}, "
            f"got {input1.spec.shape} and {input2.spec.shape}"
        )
    n = size(lead)
    a, b = reshape.bind(input1, shape=(n, i)), reshape.bind(input2, shape=(n, j))
    left = matmul.bind(a, reshape.bind(permute.bind(weight, dims=(1, 0, 2)), shape=(i, o * j)))
    left = reshape.bind(left, shape=(n, o, j))
    y = reshape.bind(matmul.bind(left, reshape.bind(b, shape=(n, j, 1))), shape=(*lead, o))
    return y if bias is None else add(y, cast(bias, y.spec.dtype))


__all__ = ["bilinear", "linear"]
