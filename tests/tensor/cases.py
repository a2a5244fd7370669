"""Programs whose results PyTorch has told: `record.py` asks it, `test_cases.py` asks tabgrad.

A case is a few lines of Python in which `t` is the library; the last line is the result. The tensors of
`inputs` are there by name, those in capitals wanting gradients: where the result is a floating-point tensor that
needs one, it is multiplied by fixed numbers and summed, and their gradients belong to the expectation.
"""

from __future__ import annotations

from typing import Any

INPUTS: dict[str, Any] = {
    # name: (dtype, nested numbers)
    "A": ("float32", [[0.5, -1.25, 2.0], [3.0, -0.75, 1.5]]),
    "B": ("float32", [[1.5, 2.25, -0.5], [-1.0, 0.25, 2.5]]),
    "P": ("float32", [[0.5, 1.25, 2.0], [3.0, 0.75, 1.5]]),
    "V": ("float32", [1.0, -2.0, 0.5]),
    "W": ("float32", [[1.0, 2.0, -1.0, 0.5], [0.25, -1.5, 2.0, 1.0], [-0.5, 1.0, 0.75, -2.0]]),
    "C": ("float32", [[[1.0, -2.0], [0.5, 3.0], [2.5, -1.5]], [[-0.25, 1.0], [2.0, 0.5], [1.5, -3.0]]]),
    "S": ("float32", 1.5),
    "a": ("float32", [[0.5, -1.25, 2.0], [3.0, -0.75, 1.5]]),
    "n": ("float32", [1.0, float("nan"), float("inf"), -float("inf"), 0.0]),
    "i": ("int64", [[3, -1, 2], [0, 5, -4]]),
    "j": ("int64", [2, 1, 3]),
    "k": ("int64", [[0, 1, 1], [1, 0, 0]]),
    "o": ("int64", [[2, 0, 1], [1, 2, 0]]),
    "u": ("uint8", [1, 200, 3]),
    "h": ("int32", [7, -7, 4]),
    "m": ("bool", [[True, False, True], [False, False, True]]),
    "r": ("bool", [True, False]),
    "z": ("int64", 2),
}

_UNARY = """abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2
expm1 floor frac lgamma log log10 log1p log2 neg rad2deg reciprocal relu round rsqrt sigmoid sign sin sinc
sinh sqrt square tan tanh trunc""".split()

ELEMENTWISE = [
    *[f"t.{name}(A * 0.3 if '{name}' in 'acos asin atanh erfinv' else P + 1 if '{name}' in 'acosh' else P)" for name in _UNARY],
    *[f"t.{name}(i)" for name in "abs neg sign square exp sqrt sin ceil floor round relu".split()],
    "A + B", "A - B", "A * B", "A / B", "A + V", "V + A", "A * S", "S - A", "A * 2", "2 - A", "1 / P", "A // 0.5",
    "A % 0.75", "-A % 2", "P ** 2", "P ** 0.5", "P ** -1", "P ** 3", "P ** 2.5", "2 ** A", "P ** B", "A ** 2", "A ** 3",
    "i + 1", "i + 1.5", "i * j", "i / 2", "i // 2", "i % 3", "i ** 2", "-i", "i + A", "m + i", "m * 2", "u + 100", "u * 2",
    "h + i", "h.div(2, rounding_mode='trunc')", "h.div(2, rounding_mode='floor')", "A.div(0.3, rounding_mode='trunc')",
    "A.div(0.3, rounding_mode='floor')", "7 // j", "7 % j", "1.5 + i", "i & 3", "i | 8", "i ^ 5", "~i", "~m", "m & r[:, None]", "m | r[:, None]",
    "m ^ r[:, None]", "j << 2", "i >> 1", "abs(A)", "+A", "-A",
    "t.add(A, B, alpha=2)", "t.sub(A, B, alpha=0.5)", "t.rsub(A, 3)", "A.mul(B)", "t.true_divide(i, 2)",
    "t.maximum(A, B)", "t.minimum(A, B)", "t.fmax(n, t.zeros(5))", "t.fmin(n, t.zeros(5))", "t.maximum(A, A)",
    "t.clamp(A, 0, 1)", "t.clamp(A, min=0)", "t.clamp(A, max=1.5)", "t.clip(i, 0, 2)", "t.clamp(A, V, V + 1)", "t.clamp(i, 0.5, 2.5)",
    "A.clamp_min(0.5)", "A.clamp_max(0.5)", "t.lerp(A, B, 0.25)", "t.lerp(A, B, t.sigmoid(V))",
    "t.addcmul(A, B, V, value=0.5)", "t.addcdiv(A, B, P, value=2)", "t.hypot(A, B)", "t.atan2(A, B)", "t.copysign(A, B)", "t.copysign(A, -1.0)",
    "t.fmod(A, 0.75)", "t.remainder(A, B)", "t.remainder(-A, 0.75)", "t.fmod(i, 3)", "t.remainder(i, 3)", "t.remainder(i, -3)",
    "t.logaddexp(A, B)", "t.logaddexp2(A, B)", "t.xlogy(P, P)", "t.float_power(P, 2).float()", "t.ldexp(A, t.tensor([1, 2, 3]))",
    "t.logit(P / 4)", "t.logit(P, eps=0.25)", "t.nan_to_num(n)", "t.nan_to_num(n, 1.0, 2.0, 3.0)", "t.isnan(n)", "t.isinf(n)", "t.isfinite(n)",
    "t.isposinf(n)", "t.isneginf(n)", "t.signbit(t.tensor([0.0, -0.0, 1.0, -1.0]))", "t.heaviside(t.tensor([-1.0, 0.0, 2.0]), t.tensor(0.5))",
    "t.round(t.tensor([0.5, 1.5, -2.5, 2.345]), decimals=2)", "t.round(t.tensor([125.0, 135.0]), decimals=-1)", "t.sgn(A)", "t.sign(m)", "t.positive(A)",
    "A == B", "A != A", "A < B", "A <= 0.5", "A > V", "A >= 2", "i == 2", "i < A", "m == r[:, None]", "t.eq(A, 0.5)", "t.ne(i, 2)", "t.gt(i, 0)",
    "t.logical_not(i)", "t.logical_and(i, k)", "t.logical_or(A, m)", "t.logical_xor(m, k)", "t.logical_not(A)",
    "t.where(m, A, B)", "t.where(A > 0, A, 0.0)", "t.where(m, 1.0, A)", "t.where(m, i, 0)", "t.where(m, A, V)", "t.where(m, 1, 0)", "t.where(m, 1.0, 0)", "A.where(m, B)",
    "t.isclose(A, A + 1e-9)", "t.isclose(n, n, equal_nan=True)", "t.isclose(n, n)", "t.allclose(A, A + 1e-9)", "t.allclose(A, B)", "t.equal(i, i)",
    "t.equal(A, B)", "t.equal(i, j)", "A.masked_fill(m, -1.0)", "A.masked_fill(r[:, None], S.detach())", "i.masked_fill(m, 9)", "V.masked_fill(m, 0.5)",
    "t.isin(i, t.tensor([2, 5]))", "t.isin(i, 2)", "t.isin(i, t.tensor([2, 5]), invert=True)", "t.bitwise_and(i, 6)", "t.bitwise_not(u)",
    "t.bitwise_left_shift(j, 1)", "A.add(1).mul(2).sub(3).div(4)", "A.softmax(-1)", "A.log_softmax(0)", "t.softmax(A, dim=1)", "t.log_softmax(C, 1)",
    "t.float_power(2, t.tensor([1.0, 2.0])).float()", "t.pow(2, t.tensor([1.0, 2.0]))", "t.pow(2, j)", "t.rsqrt(P)", "S + 1", "z * 2.5", "z + A", "t.tensor(2.5) * j",
    "t.tensor(3) + t.tensor([1.5], dtype=t.float16)", "t.tensor([1.0], dtype=t.float16) * 2.5", "t.tensor([1], dtype=t.int8) + 100", "t.tensor([True]) + True",
    "t.result_type(j, 1.5)", "t.result_type(V, j)", "t.promote_types(t.int8, t.uint8)", "t.promote_types(t.float16, t.bfloat16)", "t.can_cast(t.float32, t.int64)",
    "t.can_cast(t.int64, t.float32)",
]

REDUCTIONS = [
    "A.sum()", "A.sum(0)", "A.sum(1, keepdim=True)", "A.sum((0, 1))", "C.sum((0, 2))", "C.sum(-1)", "i.sum()", "m.sum()", "m.sum(1)", "u.sum()", "A.sum(dim=[])",
    "A.sum(dtype=t.float32)", "S.sum()", "S.sum(0)", "t.zeros(0, 3).sum(0)", "A.mean()", "A.mean(0)", "A.mean((0, 1), keepdim=True)", "C.mean(1)", "t.mean(i, dtype=t.float32)",
    "t.zeros(0).mean()", "P.prod()", "P.prod(1)", "i.prod()", "A.prod(0, keepdim=True)", "t.tensor([[2.0, 0.0, 3.0]]).prod(1)", "A.amax(1)", "A.amin((0, 1))", "A.amax(dim=(0, 1), keepdim=True)",
    "A.max()", "A.min()", "i.max()", "A.max(1)", "A.min(0)", "A.max(1, keepdim=True)", "A.max(1).values", "t.max(A, 0).indices", "t.max(A, B)", "t.min(A, B)", "t.tensor([1.0, 1.0, 0.0]).max(0)",
    "A.argmax()", "A.argmax(1)", "A.argmin(0)", "A.argmax(1, keepdim=True)", "i.argmin()", "n.argmax()", "n.max()", "n[2:].min(0)", "t.aminmax(A, dim=1)", "t.aminmax(A)",
    "m.any()", "m.all()", "m.any(0)", "m.all(1)", "A.any()", "i.all(1)", "t.any(m, 1, keepdim=True)", "u.any()", "t.zeros(0).all()", "t.zeros(0).any()", "m.any((0, 1))",
    "A.var()", "A.var(1)", "A.var(0, correction=0)", "A.var(False)", "A.var(1, False)", "A.var(dim=1, unbiased=False, keepdim=True)", "A.std()", "A.std(1)", "A.std(0, keepdim=True)",
    "t.var_mean(A, 1)", "t.std_mean(A)", "t.std(A, dim=(0, 1))", "C.var((0, 2))", "t.ones(3).std()", "V.var(dim=0)", "A.norm()", "A.norm(1)", "A.norm(dim=1)", "A.norm(p=1, dim=0)", "A.norm(3)",
    "A.norm(float('inf'))", "A.norm(float('-inf'), dim=1)", "A.norm(0)", "t.norm(A, dim=(0, 1))", "A.norm(dim=1, keepdim=True)", "(A * 0).norm()", "A.logsumexp(1)", "A.logsumexp((0, 1))", "t.logsumexp(A, 0, keepdim=True)",
    "t.logsumexp(t.tensor([-float('inf'), -float('inf')]), 0)", "t.count_nonzero(i)", "t.count_nonzero(A, dim=1)", "t.dist(A, B)", "t.dist(A, B, 1)", "t.nansum(t.tensor([1.0, float('nan')]))",
    "t.nanmean(t.tensor([1.0, float('nan'), 3.0]))", "A.median()", "A.median(1)", "i.median()", "A.median(0, keepdim=True)", "t.nanmedian(n)", "A.cumsum(0)", "A.cumsum(1)", "i.cumsum(1)", "m.cumsum(1)", "P.cumprod(1)",
    "A.logcumsumexp(1)", "A.cummax(1)", "A.cummin(0)", "t.diff(A)", "t.diff(A, dim=0)", "t.diff(j, n=2)", "A.trace() if A.dim() == 2 else 0", "t.trace(W[:3, :3])", "A.quantile(0.5)",
    "A.quantile(0.3, dim=1)", "t.quantile(A, t.tensor([0.25, 0.75]), dim=1)", "A.quantile(0.4, interpolation='nearest')", "t.cov(A)", "t.corrcoef(A)", "i.mode(1)", "t.mode(t.tensor([1, 2, 2, 3, 3]))",
]

ORDER = [
    "A.sort(1)", "A.sort(0, descending=True)", "t.sort(i)", "A.argsort(1)", "i.argsort(descending=True)", "t.sort(t.tensor([3, 1, 2]))", "t.msort(i)", "A.topk(2)", "A.topk(2, dim=1, largest=False)",
    "A.topk(1, 0)", "A.kthvalue(2, 1)", "t.unique(t.tensor([3, 1, 3, 2]))", "t.unique(t.tensor([[3, 1], [3, 2]]), return_inverse=True, return_counts=True)", "t.unique(A.detach())",
    "t.unique_consecutive(t.tensor([1, 1, 2, 1]), return_inverse=True, return_counts=True)", "t.bincount(t.tensor([0, 1, 1, 4]))", "t.bincount(t.tensor([0, 1, 1]), minlength=5)",
    "t.bincount(t.tensor([0, 1, 1]), weights=t.tensor([0.5, 1.0, 2.0]))", "t.histc(a, bins=4, min=-2, max=3)", "t.histc(a, 3)", "t.histogram(a, bins=4, range=(-2.0, 3.0))", "t.histogram(a, 3)",
    "t.histogram(a, t.tensor([-2.0, 0.0, 1.0, 4.0]), density=True)", "t.searchsorted(t.tensor([1, 3, 5]), t.tensor([0, 3, 6]))", "t.searchsorted(t.tensor([1.0, 3.0, 5.0]), a)", "t.bucketize(a, t.tensor([0.0, 1.0]), right=True)",
    "t.searchsorted(t.tensor([1, 3, 5]), 3, right=True)", "t.nonzero(i)", "t.nonzero(m, as_tuple=True)", "t.nonzero(t.tensor(3.0))", "t.nonzero(t.zeros(2, 2))", "t.argwhere(m)", "t.where(m)", "t.masked_select(A, m)",
    "A[m]", "A[r]", "A.masked_select(r[:, None])", "t.zeros(0).nonzero()", "i[i > 0]", "t.tensor([5, 3]).argmin()",
]

SHAPES = [
    "A.reshape(3, 2)", "A.reshape(-1)", "A.reshape((1, -1, 2))", "A.view(6)", "A.view(3, -1)", "A.T.reshape(-1)", "A.T.contiguous().view(-1)", "C.transpose(0, 2).reshape(4, 3)", "A.flatten()", "C.flatten(1)", "C.flatten(0, 1)", "S.flatten()",
    "t.flatten(C, start_dim=1)", "A.unflatten(1, (1, 3))", "A.unflatten(-1, (3, -1))", "A.ravel()", "A.squeeze()", "A[None].squeeze(0)", "A[:, :1].squeeze(1)", "A.squeeze(0)", "A[None, :, None].squeeze((0, 2))",
    "A.unsqueeze(0)", "A.unsqueeze(-1)", "A.unsqueeze(1)", "S.unsqueeze(0)", "A.transpose(0, 1)", "C.transpose(-1, 0)", "A.swapaxes(0, 1)", "A.t()", "V.t()", "A.T", "C.mT", "C.permute(2, 0, 1)", "C.permute((1, 2, 0))", "t.permute(C, (0, 2, 1))",
    "C.movedim(0, -1)", "C.movedim((0, 1), (2, 0))", "t.moveaxis(C, 2, 0)", "V.expand(2, 3)", "V.expand(2, -1)", "A[:, :1].expand(-1, 4)", "V.expand_as(A)", "t.broadcast_to(V, (2, 3))", "t.broadcast_tensors(V, A)", "t.broadcast_shapes((3, 1), (2,))",
    "t.cat([A, B])", "t.cat((A, B), 1)", "t.cat([A, B], dim=-1)", "t.cat([i, k])", "t.cat([A, t.zeros(0)])", "t.cat([j, V])", "t.concat([A, B])", "t.stack([A, B])", "t.stack([A, B], dim=2)", "t.stack((V, V), -1)", "t.hstack([V, V])", "t.hstack([A, B])",
    "t.vstack([V, V])", "t.dstack([A, B])", "t.column_stack([V, V])", "A.split(2, 1)", "A.split([1, 2], dim=1)", "t.split(V, 2)", "A.chunk(2, 1)", "t.chunk(t.arange(7), 3)", "t.tensor_split(t.arange(7), 3)", "t.tensor_split(t.arange(7), (2, 5))",
    "A.unbind()", "A.unbind(1)", "A.narrow(1, 1, 2)", "A.narrow(1, -2, 1)", "A.select(1, 2)", "A.select(0, -1)", "A.flip(0)", "A.flip(0, 1)", "A.flip((1,))", "t.fliplr(A)", "t.flipud(A)", "A.roll(1)", "A.roll(1, 1)", "A.roll((1, -1), (0, 1))", "t.roll(V, -1)",
    "A.rot90()", "A.rot90(2)", "A.rot90(3, (0, 1))", "A.repeat(2, 2)", "V.repeat(2, 1)", "A.tile(2)", "A.tile((2, 1))", "V.repeat_interleave(2)", "A.repeat_interleave(2, dim=1)", "A.repeat_interleave(t.tensor([1, 2]), dim=0)", "t.repeat_interleave(t.tensor([1, 2]))",
    "t.diag(V)", "t.diag(V, 1)", "t.diag(V, -2)", "t.diag(A)", "t.diag(W, 1)", "t.diag(W, -1)", "A.diagonal()", "W.diagonal(2)", "W.diagonal(-1)", "C.diagonal(0, 0, 2)", "t.diagonal(C, 1, dim1=1, dim2=2)", "t.diag_embed(A)", "t.diag_embed(V, 1)", "t.diag_embed(A, 0, 0, 2)", "t.diag_embed(A, -1)", "t.diagflat(A)",
    "W.tril()", "W.triu()", "t.tril(W, 1)", "t.triu(W, -1)", "C.tril()", "i.triu()", "W.unfold(1, 2, 1)", "W.unfold(0, 2, 1)", "W.unfold(1, 3, 1)", "t.arange(7).unfold(0, 3, 2)", "t.atleast_1d(S)", "t.atleast_2d(V)", "t.atleast_3d(A)",
    "A.contiguous()", "A.clone()", "A.detach()", "A.view_as(B)", "A.reshape_as(B)", "t.kron(A[:, :2], V)", "t.outer(V, V)", "V.outer(V)", "t.meshgrid(t.arange(2), t.arange(3), indexing='ij')", "t.meshgrid(t.arange(2), t.arange(3), indexing='xy')",
    "A.T.is_contiguous()", "A.is_contiguous()", "A.stride()", "A.T.stride()", "A[:, ::2].stride()", "A.expand(4, 2, 3).stride()", "A[1:].storage_offset()", "A.T.contiguous().stride()", "C.permute(2, 0, 1).stride()", "C[:, 1:, ::2].stride(1)",
    "A.size()", "A.size(1)", "A.shape", "A.shape[0]", "A.dim()", "A.ndim", "A.numel()", "A.nelement()", "A.element_size()", "A.itemsize", "A.nbytes", "len(A)", "t.numel(A)", "A.is_floating_point()", "t.is_tensor(A)", "i.is_floating_point()",
    "[x.sum() for x in A]", "list(V)", "2.0 in A", "9 in i", "A.tolist()", "i.tolist()", "S.item()", "z.item()", "m.tolist()", "float(S)", "int(z)", "bool(z)", "A.tolist()[0]", "t.zeros(0).tolist()", "t.zeros(2, 0).tolist()", "'{:.2f}'.format(S.item())", "f'{z:03d}'", "f'{S:.1f}'",
    "t.unflatten(V, 0, (3, 1))", "t.hsplit(A, 3)", "t.vsplit(A, 2)", "A.adjoint()", "t.swapdims(A, 0, 1)", "t.row_stack([V, V])", "t.cartesian_prod(j, t.tensor([0, 1]))", "A.ndimension()", "t.squeeze(A[None])",
]

LINEAR = [
    "A @ W", "V @ V", "A @ V", "V @ W", "C @ A[:, :2].T", "C @ t.ones(2)", "t.ones(3) @ C", "C @ C.transpose(1, 2)", "A @ C", "C[:, None] @ C.mT", "t.matmul(A, W)", "A.matmul(W)", "t.mm(A, W)", "t.mv(A, V)", "t.dot(V, V)", "t.vdot(V, V)", "j.dot(j)", "t.bmm(C, C.mT)",
    "t.inner(A, B)", "t.inner(A, V)", "t.inner(V, V)", "t.addmm(V[:2], A[:, :2], B[:, :2])", "t.addmm(A[:, :2], A, W[:, :2], beta=0.5, alpha=2)", "t.addmv(V[:2], A, V)", "t.baddbmm(t.ones(2, 3, 3), C, C.mT)", "t.addbmm(t.ones(3, 3), C, C.mT)", "t.addr(t.ones(3, 3), V, V)",
    "i @ j", "k @ i.T", "t.tensordot(A, W, dims=1)", "t.tensordot(C, A, dims=([0], [0]))", "t.tensordot(C, C, dims=([0, 1], [0, 1]))", "t.cross(A, B, dim=1)", "t.einsum('ij,jk->ik', A, W)", "t.einsum('ij,jk', A, W)", "t.einsum('ij->ji', A)", "t.einsum('ij->', A)", "t.einsum('ii->i', W[:, :3])", "t.einsum('ii', W[:, :3])",
    "t.einsum('i,j->ij', V, V)", "t.einsum('bij,bkj->bik', C, C)", "t.einsum('bij,bik,jl->bkl', C, C, t.ones(2, 3))", "t.einsum('...j,j->...', A, V)", "t.einsum('...ij,...jk->...ik', C, C.mT)", "t.einsum('ij,ij->i', A, B)", "t.einsum('i...->...', C)", "t.einsum('bi,ij,bj->b', A, W[:, :3], B)",
    "t.einsum(A, [0, 1], W, [1, 2], [0, 2])", "t.einsum('ij,kj', A, B)", "t.einsum('a,b,c->abc', V, V, V)", "t.einsum('ij, j', A, V)", "t.linspace(0, 1, 3) @ V", "t.chain_matmul(A, W, W.T)", "t.kron(t.eye(2), A)",
    "t.matmul(C, W[:2])", "t.einsum('bhid,bhjd->bhij', C[:, None], C[:, None])",
]

INDEXING = [
    "A[0]", "A[-1]", "A[0, 1]", "A[:, 1]", "A[..., -1]", "A[1:]", "A[:, ::2]", "A[:, 1:1]", "A[None]", "A[:, None, 1:]", "A[..., None]", "A[:10]", "A[-5:1]", "C[..., 0]", "C[1, :, 1]", "C[:, 1:, None, 0]", "S[None]", "S[...]", "A[()]", "A[True]", "A[False]", "A[0][1]",
    "A[t.tensor([1, 0, 1])]", "A[[1, 0]]", "A[[0, -1], [1, 2]]", "A[:, [2, 0]]", "A[:, t.tensor([[0, 1], [2, 2]])]", "C[[0, 1], :, [1, 0]]", "C[:, [0, 2], [1, 0]]", "C[[0, 1], [0, 2]]", "C[0, [0, 2]]", "C[:, None, [0, 1]]", "C[[0], :, [1]]", "C[..., [1, 0]]", "C[[1], ..., [0, 1]]",
    "A[t.tensor([[0], [1]]), t.tensor([0, 2])]", "A[k[:, 0]]", "W[j[:2] - 3]", "A[m]", "A[r]", "A[:, t.tensor([True, False, True])]", "C[r, :, 0]", "C[r][:, [0, 1]]", "A[m & (A > 1)]", "A[z - 1]", "V[z]", "A[t.tensor(1)]", "A[[True, False]]", "A[0, [True, False, True]]", "A[t.tensor([], dtype=t.int64)]",
    "A[slice(0, 1)]", "A[t.tensor([0, 1]), 1]", "A[1, t.tensor([0, 1])]", "C[:, t.tensor([0, 2])][:, :, 1]", "W[:, -1]", "C[t.tensor([0, 1]), 1, :]", "C[t.tensor([0, 1]), :, 1]", "C[0, :, t.tensor([1, 0])]",
    "t.gather(A, 1, k)", "A.gather(0, k)", "A.gather(1, k[:, :2])", "A.gather(1, k[:1])", "t.index_select(A, 1, t.tensor([2, 0]))", "A.index_select(0, t.tensor([1, 1]))", "t.take(A, t.tensor([0, 5, -1]))", "t.take_along_dim(A, A.argsort(1), dim=1)", "t.take_along_dim(A, t.tensor([[0]]), 1)",
    "A.scatter(1, o, B)", "A.scatter(0, k, 5.0)", "A.scatter(1, k[:, :1], B)", "t.zeros(2, 4).scatter(1, o, A)", "A.scatter_add(1, k, B)", "t.zeros(3, 4).scatter_add(0, k, A)", "A.scatter(1, k, B.detach(), reduce='add')", "t.scatter_reduce(V, 0, t.tensor([0, 1, 0]), V * 2, 'sum')",
    "V.scatter_reduce(0, t.tensor([0, 1, 0]), V * 2, 'amax')", "V.scatter_reduce(0, t.tensor([0, 1, 0]), V * 2, 'prod')", "V.scatter_reduce(0, t.tensor([0, 1, 0]), V * 2, 'mean', include_self=False)", "V.scatter_reduce(0, t.tensor([0, 1, 0]), V * 3, 'amin', include_self=False)",
    "A.index_add(1, t.tensor([0, 0, 2]), B, alpha=2)", "A.index_copy(0, t.tensor([1, 0]), B)", "A.index_fill(1, t.tensor([0, 2]), 9.0)", "A.index_put((t.tensor([0, 1]), t.tensor([2, 0])), t.tensor([7.0, 8.0]))", "A.index_put((t.tensor([0, 0]), t.tensor([2, 2])), V[:2], accumulate=True)", "A.masked_scatter(m, B)",
    "A.select_scatter(V, 0, 1)", "A.slice_scatter(B[:, :2], 1, 1)", "t.put(A, t.tensor([1, 4]), V[:2])", "i.gather(1, k)", "t.gather(V, 0, t.tensor([2, 2]))",
]

CREATION = [
    "t.tensor([1, 2])", "t.tensor([1.5, 2])", "t.tensor([[True], [False]])", "t.tensor(3)", "t.tensor(2.5)", "t.tensor([])", "t.tensor([[]])", "t.tensor([1, 2], dtype=t.float32)", "t.tensor([1.7, -1.7], dtype=t.int64)", "t.tensor([0, 2], dtype=t.bool)", "t.tensor([t.tensor(1.0), 2])", "t.tensor([1, True])", "t.tensor((1, 2))", "t.tensor(range(3))",
    "t.tensor(A.detach())", "t.as_tensor([1, 2])", "t.as_tensor(i)", "t.zeros(2, 3)", "t.zeros((2,))", "t.zeros(2, dtype=t.int64)", "t.ones([2])", "t.ones(())", "t.zeros(size=(2, 1))", "t.full((2,), 3)", "t.full((2,), 1.5)", "t.full((), True)", "t.full([2], 3, dtype=t.float32)", "t.empty(2, 3).shape", "t.zeros_like(i)", "t.ones_like(A)", "t.ones_like(i, dtype=t.float32)", "t.full_like(A, 2)", "t.empty_like(A).shape",
    "A.new_zeros(2)", "A.new_ones((2, 1))", "A.new_full((2,), 7)", "A.new_tensor([1, 2])", "i.new_empty(3).dtype", "t.arange(5)", "t.arange(1, 4)", "t.arange(1, 8, 3)", "t.arange(5, 0, -2)", "t.arange(0, 1, 0.25)", "t.arange(2.5)", "t.arange(3, dtype=t.float32)", "t.arange(0)", "t.arange(start=1, end=3)", "t.arange(1, 2, 0.3)", "t.linspace(0, 1, 5)", "t.linspace(-1, 2, 4)", "t.linspace(0, 10, 1)", "t.linspace(3, 3, 2)", "t.linspace(0, 5, 3, dtype=t.int64)",
    "t.logspace(0, 2, 3)", "t.logspace(0, 3, 4, base=2)", "t.eye(3)", "t.eye(2, 3)", "t.eye(2, dtype=t.int64)", "t.tril_indices(3, 3)", "t.triu_indices(3, 3, 1)", "t.vander(j)", "t.from_numpy(__import__('numpy').array([[1.0, 2.0]], dtype='float32'))", "t.tensor(__import__('numpy').arange(3))", "t.as_tensor(__import__('numpy').float32(2.5))", "t.tensor([__import__('numpy').float64(1.5), 2])",
    "t.frombuffer(b'abcd', dtype=t.uint8)", "t.Tensor([1, 2])", "t.Tensor(2, 3).shape", "t.asarray([1.0, 2.0])", "t.finfo(t.float32).max", "t.finfo(t.float32).eps", "t.finfo(t.float16).min", "t.iinfo(t.int8).min", "t.iinfo(t.int64).max", "t.finfo(t.float32).tiny",
    "A.float()", "A.long()", "A.int()", "i.float()", "i.bool()", "A.half()", "i.to(t.float32)", "A.to(t.int32)", "A.type(t.int64)", "A.type_as(i)", "A.to(i)", "m.int()", "u.to(t.int64)", "i.byte()", "A.short()", "i.char()", "A.to(A.dtype) is A", "A.float() is A", "A.to('cpu').shape", "n[:1].long()", "A.double().dtype", "A.to(dtype=t.float16).dtype",
]

INPLACE = [
    "x = A.detach().clone()\nx.add_(1)\nx", "x = A * 1\nx.mul_(B)\nx", "x = A * 1\nx += B\nx *= 2\nx -= V\nx /= 4\nx", "x = A * 1\nx **= 2\nx", "x = i.clone()\nx += 1\nx //= 2\nx", "x = i.clone()\nx %= 3\nx &= 1\nx",
    "x = A * 1\nx[0] = 1\nx", "x = A * 1\nx[:, 1] = B[:, 0]\nx", "x = A * 1\nx[0, 1:] *= 2\nx", "x = A * 1\nx[1] += V\nx", "x = A * 1\nx[..., ::2] = 0\nx", "x = A * 1\nx[m] = 5.0\nx", "x = A * 1\nx[m] = B[m]\nx", "x = A * 1\nx[m] += 1\nx", "x = A * 1\nx[[0, 1], [2, 0]] = V[:2]\nx", "x = A * 1\nx[t.tensor([1, 1])] = B\nx[0]", "x = A * 1\nx[:, [0, 2]] = B[:, :2]\nx", "x = A * 1\nx[r] = 0\nx",
    "x = C * 1\nx[[0, 1], :, [1, 0]] = A\nx", "x = C * 1\nx[:, 1:, 0] = V[:2]\nx", "x = C * 1\nx[0, [0, 2]] = 7\nx", "x = i.clone()\nx[0] = 2.7\nx", "x = i.clone()\nx[i > 1] = 0\nx", "x = t.zeros(3)\nx[0] = S\nx", "x = t.zeros(2, 3)\nx[:] = V\nx", "x = t.zeros(2, 3)\nx[...] = 1.5\nx", "x = t.zeros(2, 2)\nx[0, 0] = True\nx", "x = A * 1\nx[None, 0] = 3\nx",
    "x = A * 1\ny = x[0]\ny.mul_(3)\nx", "x = A * 1\ny = x.T\ny[0] = V[:2]\nx", "x = A * 1\ny = x.view(-1)\ny[2] = S\nx", "x = A * 1\ny = x.view(-1)\nx.mul_(2)\ny", "x = A * 1\ny = x[0]\nz1 = x[:, 0]\ny += 1\nz1 * B[:, 0]", "x = A * 1\ny = x[:, 1:]\nz1 = y[0]\nz1.zero_()\nx + y.sum()", "x = A * 1\nx.T[1].fill_(4)\nx", "x = A * 1\nx.diagonal().zero_()\nx", "x = t.zeros(3, 3)\nx.fill_diagonal_(2)\nx", "x = A * 1\nx.t()[2, 0] = S\nx", "x = A * 1\nx.unsqueeze(0)[0, 1].neg_()\nx", "x = A * 1\nfor row in x:\n    x[row].div_(x[row].sum())\nx", "x = A * 1\ny = x.T.reshape(-1)\ny[0] = 9\nx", "x = A * 1\ny = x.reshape(-1)\ny[0] = 9\nx", "x = A * 1\ny = x.T.contiguous()\ny[0] = 9\nx",
    "x = A * 1\ny = x * x\nx.add_(1)\ny", "x = A * 1\nd = x.detach()\nd.zero_()\nx.sum()", "x = a.clone()\nx.data.mul_(2)\nx", "x = a.clone()\nx.data = t.ones(2)\nx", "x = a.clone()\ny = x.data\nx.add_(1)\ny", "x = t.ones(3, requires_grad=True)\nwith t.no_grad():\n    x.sub_(0.5)\nx.detach()", "x = t.ones(3, requires_grad=True)\nx.data -= 0.5\nx.requires_grad", "x = t.ones(2, requires_grad=True)\nx.data[0] = 5\nx.detach()",
    "x = A * 1\nx.copy_(B)\nx", "x = A * 1\nx.copy_(V)\nx", "x = i.clone()\nx.copy_(A)\nx", "x = A * 1\nx.fill_(2)\nx", "x = A * 1\nx.zero_()\nx", "x = A * 1\nx.fill_(S)\nx", "x = A * 1\nx.clamp_(0, 1)\nx", "x = A * 1\nx.masked_fill_(m, 0.5)\nx", "x = A * 1\nx.exp_()\nx", "x = A * 1\nx.scatter_(1, o, B)\nx", "x = A * 1\nx.scatter_add_(1, k, B)\nx", "x = A * 1\nx.index_add_(0, t.tensor([0, 0]), B)\nx", "x = A * 1\nx.index_fill_(1, t.tensor([1]), 3)\nx", "x = A * 1\nx.index_put_((t.tensor([0, 0]),), V, accumulate=True)\nx", "x = A * 1\nx.addcmul_(B, B, value=0.5)\nx", "x = A * 1\nx.lerp_(B, 0.5)\nx",
    "x = A * 1\nx.tril_()\nx", "x = A * 1\nx.unsqueeze_(0)\nx", "x = A * 1\nx.t_()\nx", "x = A * 1\nx.transpose_(0, 1)\nx.mul_(2)\nx", "x = A[None] * 1\nx.squeeze_()\nx", "x = a.clone()\ny = x[0]\ny.requires_grad_()\ny.is_leaf", "x = A * 1\nx._version", "x = A * 1\nx.add_(1)\nx[0] = 2\nx._version", "x = A * 1\ny = x[0]\ny.add_(1)\nx._version == y._version", "x = A * 1\nx[0]._base is x", "x = A * 1\nx[0]._is_view()", "x = t.zeros(2)\nw = t.ones(2, requires_grad=True)\nx += w\nx.requires_grad, x.is_leaf", "x = t.zeros(3)\nx[1] = A[0, 0]\nx.requires_grad", "x = m.clone()\nx[0] = False\nx", "x = m.clone()\nx |= True\nx", "x = u.clone()\nx += 100\nx", "x = A * 1\nx[0], x[1] = x[1].clone(), x[0].clone()\nx",
    "x = t.zeros(4, 4)\nx[1:3, 1:3] = t.ones(2, 2)\nx", "x = t.zeros(4, 4)\nx[::2, ::2] = 1\nx[1::2, 1::2] = 2\nx", "x = t.zeros(5)\nx[1:4] = t.arange(3)\nx", "x = t.arange(4)\nx[[0, 1]] = x[[1, 0]]\nx", "x = t.arange(6).view(2, 3)\nx[:, 0], x[0]", "x = t.arange(4.0)\ny = x[1:3]\nx[2] = 9\ny", "x = t.zeros(2, 2)\ny = x\ny += 1\nx", "x = A * 1\nx.abs_().sqrt_()\nx", "x = A * 1\nx.sub_(B, alpha=2)\nx", "x = A * 1\nx.pow_(2)\nx", "x = A * 1\nx.div_(2, rounding_mode='floor')\nx", "x = i.clone()\nx.bitwise_and_(3)\nx", "x = A * 1\nx.eq_(B)\nx", "x = A * 1\nx.cumsum_(1)\nx",
]

GRADIENTS = [
    "x = t.tensor([1.0, 2.0], requires_grad=True)\n(x * x).sum().backward()\nx.grad", "x = t.tensor([1.0, 2.0], requires_grad=True)\ny = x * 2\ny.backward(t.tensor([1.0, 3.0]))\nx.grad", "x = t.tensor(2.0, requires_grad=True)\ny = x ** 3\ny.backward(retain_graph=True)\ny.backward()\nx.grad", "x = t.tensor(2.0, requires_grad=True)\ny = x ** 3\ny.backward(create_graph=True)\ng = x.grad.clone()\nx.grad = None\ng.backward()\nx.grad", "x = t.tensor(2.0, requires_grad=True)\n(x * 3).backward()\nx.grad.zero_()\nx.grad",
    "x = t.tensor(2.0, requires_grad=True)\ny = x * 3\ny.retain_grad()\n(y * y).backward()\ny.grad", "x = t.tensor(2.0, requires_grad=True)\ny = x * 3\nh = y.register_hook(lambda g: g * 2)\n(y * y).backward()\nx.grad", "x = t.tensor(2.0, requires_grad=True)\nseen = []\nx.register_hook(lambda g: seen.append(g.item()))\n(x * x).backward()\nseen", "x = t.tensor(2.0, requires_grad=True)\nseen = []\nx.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.item()))\n(x * x).backward()\nseen",
    "x = t.ones(2)\nx.requires_grad, x.is_leaf, x.grad_fn is None, x.grad is None", "x = t.ones(2, requires_grad=True)\ny = x * 2\ny.requires_grad, y.is_leaf, y.grad_fn is None", "y = (t.ones(2, requires_grad=True) * 2).detach()\ny.requires_grad, y.is_leaf", "with t.no_grad():\n    y = t.ones(2, requires_grad=True) * 2\ny.requires_grad", "x = t.ones(2, requires_grad=True)\ny = x * 2\ny.detach_()\ny.requires_grad, y.is_leaf", "t.ones(2).requires_grad_().requires_grad", "t.ones(2, requires_grad=True).requires_grad_(False).requires_grad", "x = t.ones(2, requires_grad=True)\nx.grad = t.tensor([1.0, 2.0])\nx.grad", "x = t.tensor([2.0], requires_grad=True)\ny = t.tensor([3.0], requires_grad=True)\n(x * y).backward(inputs=[x])\nx.grad, y.grad is None",
    "x = t.tensor([1.0, 2.0, 3.0], requires_grad=True)\ny = x.clone()\ny[1] = 10\n(y * y).sum().backward()\nx.grad", "x = t.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)\nx[:, 0].sum().backward()\nx.grad", "x = t.ones(3, requires_grad=True)\ny = x * 2\ny.zero_()\ny.requires_grad", "w = t.zeros(2, requires_grad=True)\nfor _ in range(3):\n    loss = ((w - t.tensor([1.0, 2.0])) ** 2).sum()\n    loss.backward()\n    with t.no_grad():\n        w -= 0.25 * w.grad\n    w.grad.zero_()\nw.detach()", "w = t.zeros(2, requires_grad=True)\nfor _ in range(3):\n    loss = ((w - t.tensor([1.0, 2.0])) ** 2).sum()\n    loss.backward()\n    w.data -= 0.25 * w.grad.data\n    w.grad = None\nw.detach()",
]

ERRORS = [
    "A @ V[:2]", "A + t.zeros(4)", "A.reshape(4)", "A.view(-1, -1)", "A[2]", "A[0, 3]", "A[0, 0, 0]", "A[::-1]", "A[[2]]", "A.sum(2)", "A.sum((0, 0))", "i.mean()", "t.tensor([[1], [1, 2]])", "t.tensor('a')", "t.tensor([1, 'a'])", "float(A)", "bool(A)", "int(V)", "A.item()", "len(S)", "iter(S)", "A.squeeze(5)", "A.unsqueeze(5)", "A.permute(0)", "A.permute(0, 0)", "A.expand(4, 3)", "A.expand(3)", "t.cat([A, W])", "t.cat([])", "t.cat([S, S])", "t.stack([A, V])", "A.split([1, 1], 1)", "A.narrow(1, 2, 3)", "A.backward()", "a.backward()", "a.sum().backward()",
    "x = A\nx.add_(1)", "x = t.ones(2, requires_grad=True)\nx += 1", "x = t.ones(2, requires_grad=True)\nx[0] = 1", "x = t.ones(2, requires_grad=True)\nx.view(2).mul_(2)", "x = i.clone()\nx += 1.5", "x = i.clone()\nx /= 2", "x = V.detach().clone()\nx += A.detach()", "V.expand(2, 3).add_(1)", "x = t.zeros(2)\nx[0] = t.ones(2)", "x = t.zeros(2, 3)\nx[:, 0] = t.ones(3)", "x = t.zeros(2)\nx[5] = 1", "A.numpy()", "i.requires_grad_()", "t.ones(2, dtype=t.int64, requires_grad=True)", "(A * 1).requires_grad_(False)", "x = t.tensor(1.0, requires_grad=True)\ny = x * x\ny.backward()\ny.backward()", "x = t.ones(2, requires_grad=True)\nx.grad = t.ones(3)", "x = t.ones(2, requires_grad=True)\nx.grad = t.ones(2, dtype=t.float64)", "x = t.ones(2, requires_grad=True)\nx.grad = 1",
    "t.arange(1, 0)", "t.arange(0, 1, 0)", "t.zeros(-1)", "t.full((2,), 300, dtype=t.uint8) if False else t.zeros(2)[3]", "t.where(i, A, B)", "A.masked_fill(k, 1.0)", "A.gather(1, A)", "A.gather(2, k)", "t.mm(A, B)", "t.dot(V, V[:2])", "t.bmm(A, A)", "A @ W.double()", "t.einsum('ij,jk->ik', A, A)", "t.einsum('ij->ik', A)", "A.max(3)", "t.max(t.zeros(0))", "t.zeros(0).argmax()", "A.topk(5)", "A.clamp()", "A.chunk(0)", "A.flatten(1, 0)", "i ** -1", "A.norm('x')", "t.multinomial(V.detach().abs(), 5)", "t.randint(5, 5, (2,))", "t.meshgrid(A, A, indexing='ij')", "A.T.T.T.t().unsqueeze(0).t()", "A.fill_(V)", "m - m", "V.item()", "t.ones(2).index_select(0, t.tensor([3]))", "x = A * 1\nx[0].detach_()", "hash(A) == hash(A) and {A: 1}[A] and A.no_such_method()",
]

PRINTING = [
    "repr(a)", "repr(A)", "repr(V * 2).split('grad_fn')[0]", "repr(i)", "repr(m)", "repr(z)", "repr(n)", "repr(t.tensor(2.5))", "repr(t.tensor(True))", "repr(t.zeros(3))", "repr(t.zeros(2, 3, 2))", "repr(t.tensor([]))", "repr(t.zeros(2, 0))", "repr(t.tensor([], dtype=t.int64))",
    "repr(t.arange(2000))", "repr(t.arange(1001.0))", "repr(t.arange(30))", "repr(t.arange(60.0) * 1.5)", "repr(t.arange(2400).reshape(40, 60))", "repr(t.arange(3000.0).reshape(10, 10, 30))", "repr(t.tensor([1e-5, 1.0]))", "repr(t.tensor([1e9, 1.0]))", "repr(t.tensor([1e10, 2e10]))", "repr(t.tensor([1.5, 20000.0]))", "repr(t.tensor([0.0001, 0.05]))", "repr(t.tensor([1.0, 2.0, 1000000.0]))",
    "repr(t.tensor([-1.5, 2.25]))", "repr(t.tensor([float('inf'), 1.5]))", "repr(t.tensor([float('nan'), 2.0]))", "repr(u)", "repr(h)", "repr(t.tensor([1.5], dtype=t.float16))", "repr(t.tensor([123456, -7]))", "repr(t.tensor([[True], [False]]))", "repr(t.eye(3))", "repr(t.tensor([1e-8]))", "repr(t.tensor([1.0]))", "repr(t.tensor([100.0, 0.5]))", "repr(t.tensor([99999.0, 0.5]))",
    "repr(a[None, :, None])", "repr(t.arange(100.0).reshape(2, 50))", "str(t.tensor(3))", "f'{a}'", "repr(a.shape)", "str(t.float32)", "repr(A.max(1).indices)",
    "t.set_printoptions(precision=2)\nx = repr(a * 1.234)\nt.set_printoptions(profile='default')\nx", "t.set_printoptions(sci_mode=True)\nx = repr(a)\nt.set_printoptions(profile='default')\nx", "t.set_printoptions(threshold=5, edgeitems=1)\nx = repr(t.arange(12).reshape(3, 4))\nt.set_printoptions(profile='default')\nx", "t.set_printoptions(linewidth=30)\nx = repr(t.arange(30.0))\nt.set_printoptions(profile='default')\nx",
]

TOPICS = {
    "elementwise": ELEMENTWISE, "reductions": REDUCTIONS, "order": ORDER, "shapes": SHAPES, "linear": LINEAR, "indexing": INDEXING,
    "creation": CREATION, "inplace": INPLACE, "gradients": GRADIENTS,
    "printing": PRINTING, "errors": ERRORS,
}  # fmt: skip
