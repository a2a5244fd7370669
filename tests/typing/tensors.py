"""What type checkers see of functions of tensors, methods and operators."""

from __future__ import annotations

from typing import assert_type

import tabgrad as tg
from tabgrad import Tensor

x, y = tg.ones(2, 3), tg.zeros(2, 3)

# made
assert_type(x, Tensor)
assert_type(tg.tensor([1, 2], dtype=tg.float32, requires_grad=True), Tensor)
assert_type(tg.rand(2, 3, layout=tg.strided), Tensor)
assert_type(tg.arange(0, 3), Tensor)
assert_type(tg.zeros_like(x), Tensor)
assert_type(x.new_ones(2, 2), Tensor)

# what they are
assert_type(x.shape, tg.Size)
assert_type(x.size(), tg.Size)
assert_type(x.size(0), int)
assert_type(x.shape[0], int)
assert_type(x.ndim, int)
assert_type(x.numel(), int)
assert_type(x.dtype, tg.DType)
assert_type(x.device, tg.Device)
assert_type(x.requires_grad, bool)
assert_type(x.grad, Tensor | None)
assert_type(len(x), int)
assert_type(bool(x), bool)

# imported when they are first asked for
assert_type(tg.einsum("ij->j", x), Tensor)
assert_type(tg.i0(x, out=y), Tensor)
assert_type(x.i0_(), Tensor)
assert_type(x.polygamma(2), Tensor)

# functions, with and without `out`
assert_type(tg.add(x, y, alpha=2), Tensor)
assert_type(tg.add(x, y, out=y), Tensor)
assert_type(tg.exp(x), Tensor)
assert_type(tg.exp(x, out=y), Tensor)
assert_type(tg.sum(x, dim=0, keepdim=True), Tensor)
assert_type(tg.cat([x, y], dim=0), Tensor)
assert_type(tg.where(x > 0, x, 0.0), Tensor)
assert_type(tg.where(x > 0), tuple[Tensor, ...])
assert_type(tg.einsum("ij,kj->ik", x, y), Tensor)
assert_type(tg.linalg.norm(x), Tensor)
assert_type(tg.special.erf(x), Tensor)

# several results
assert_type(tg.max(x), Tensor)
assert_type(tg.max(x, y), Tensor)
assert_type(tg.max(x, dim=0).values, Tensor)
assert_type(tg.min(x, 0, keepdim=True).indices, Tensor)
assert_type(tg.median(x, dim=0).values, Tensor)
assert_type(tg.sort(x).indices, Tensor)
assert_type(tg.topk(x, 2).values, Tensor)
assert_type(tg.cummax(x, 0).values, Tensor)
assert_type(tg.aminmax(x).max, Tensor)
assert_type(tg.histogram(x, 3).bin_edges, Tensor)
assert_type(tg.split(x, 1), tuple[Tensor, ...])
values, indices = tg.max(x, dim=0)
assert_type(values, Tensor)

# methods and in-place twins
assert_type(x.sum(), Tensor)
assert_type(x.sum(0, keepdim=True), Tensor)
assert_type(x.exp(), Tensor)
assert_type(x.max(0).indices, Tensor)
assert_type(x.max(), Tensor)
assert_type(x.reshape(3, 2).T, Tensor)
assert_type(x.reshape((3, 2)).mT, Tensor)
assert_type(x.squeeze().unsqueeze(0), Tensor)
assert_type(x.split(1), tuple[Tensor, ...])
assert_type(x.float(), Tensor)
assert_type(x.to("cpu", tg.float64), Tensor)
assert_type(x.detach(), Tensor)
assert_type(x.requires_grad_(), Tensor)
assert_type(x.add_(y), Tensor)
assert_type(x.exp_(), Tensor)
assert_type(x.mul_(2).clamp_(0, 1), Tensor)
assert_type(x.squeeze_(), Tensor)
assert_type(x.copy_(y), Tensor)
assert_type(x.zero_(), Tensor)
assert_type(x.backward(), None)

# operators
assert_type(x + 1, Tensor)
assert_type(2 - x, Tensor)
assert_type(x @ y.T, Tensor)
assert_type(-x, Tensor)
assert_type(x == y, Tensor)
assert_type(x > 0, Tensor)
assert_type(x[0], Tensor)
assert_type(x[:, None, ...], Tensor)
x += 1
assert_type(x, Tensor)
