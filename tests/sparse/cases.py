"""Programs with sparse tensors: `record.py` asks PyTorch for the results, `test_cases.py` asks tabgrad.

In a program `t` is the library; `setting` makes the tensors it finds by name. The values of those in capitals
want gradients, which belong to the expectation where the result has a history.
"""

from __future__ import annotations

import re
from typing import Any

AT = [[0, 1, 1, 0, 1], [2, 0, 0, 1, 1]]
NUMBERS = [3.0, 4.0, 5.0, 0.5, -1.5]


def setting(t: Any, code: str, device: str) -> dict[str, Any]:
    """Return the names that a program uses."""

    def f(numbers: Any) -> Any:
        return t.tensor(numbers, dtype=t.float32, device=device)

    def n(numbers: Any) -> Any:
        return t.tensor(numbers, dtype=t.int64, device=device)

    def at(rows: Any, values: Any, size: Any) -> Any:
        return t.sparse_coo_tensor(n(rows), values, size)

    leaves = {
        "v": lambda: f(NUMBERS), "w": lambda: f([2.0, -1.0, 0.25]),
        "h": lambda: f([[1.0, -2.0], [0.5, 3.0], [2.5, -1.5]]),
        "D": lambda: f([[0.5, -1.0], [2.0, 1.5], [-0.75, 1.25]]),
        "E": lambda: f([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]]),
        "G": lambda: f([[1.0, -2.0], [0.5, 0.25]]), "V": lambda: f([1.0, -2.0, 0.5]),
    }  # fmt: skip
    two = [[0, 0, 1], [0, 2, 1]]
    sparse = {
        "A": lambda: at(AT, env["v"], (2, 3)), "B": lambda: at(two, env["w"], (2, 3)).coalesce(),
        "H": lambda: at([[3, 0, 3]], env["h"], (4, 2)), "a": lambda: at(AT, f(NUMBERS), (2, 3)),
        "b": lambda: at(two, f([2.0, -1.0, 0.25]), (2, 3)).coalesce(),
        "c": lambda: t.sparse_csr_tensor(n([0, 2, 3]), n([0, 2, 1]), f([2.0, -1.0, 0.25]), (2, 3)),
        "e": lambda: t.sparse_csc_tensor(n([0, 1, 2, 3]), n([0, 1, 0]), f([2.0, 0.25, -1.0]), (2, 3)),
        "i": lambda: at(AT, n([3, 4, 5, 1, -2]), (2, 3)), "o": lambda: at([[], []], f([]), (2, 3)),
        "s": lambda: t.sparse_bsr_tensor(
            n([0, 1, 2]), n([1, 0]), f([[[1.0, 2.0]], [[3.0, -4.0]]]), (2, 4)
        ),
        "u": lambda: at(AT, t.tensor([True] * 5, device=device), (2, 3)),
    }  # fmt: skip
    env: dict[str, Any] = {"t": t, "f": f, "n": n, "leaves": {}}
    words = set(re.findall(r"\b\w\b", code))
    words |= {leaf for name, leaf in {"A": "v", "B": "w", "H": "h"}.items() if name in words}
    for name, make in leaves.items():
        if name in words:
            env[name] = env["leaves"][name] = make().requires_grad_()
    env.update({name: make() for name, make in sparse.items() if name in words})
    return env


UNARY = (
    "abs arcsin arcsinh arctan arctanh asin asinh atan atanh ceil deg2rad erf erfinv expm1 floor frac isinf "
    "isnan isneginf isposinf log1p nan_to_num neg negative positive rad2deg relu round sgn sign signbit sin "
    "sinh sqrt square tan tanh trunc"
).split()

PROGRAMS = [
    # made and turned
    "a.coalesce()", "A.coalesce().values()", "a.to_dense()", "A.to_dense()", "i.to_dense()", "u.to_dense()",
    "H.to_dense()", "H.coalesce()", "c.to_dense()", "e.to_dense()", "s.to_dense()", "o.to_dense()",
    "i.coalesce()", "u.coalesce()", "o.coalesce()", "o + o",
    "E.to_sparse()", "E.to_sparse(1)", "E.to_sparse_csr()", "E.to_sparse_csc()", "E.to_sparse_coo()",
    "t.eye(4).to_sparse_bsr((2, 2))", "t.eye(4).to_sparse_bsc((2, 2))", "A.to_sparse_csr()",
    "a.to_sparse_csc()", "c.to_sparse()", "e.to_sparse()", "s.to_sparse()", "c.to_sparse_csc()",
    "e.to_sparse_csr()", "E.to_sparse(layout=t.sparse_csr)", "t.sparse_coo_tensor((2, 3))",
    "t.sparse_coo_tensor(n([[0, 4], [1, 0]]), f([1., 2.]))", "t.sparse_coo_tensor([[1, 0]], [1., 2.])",
    "t.sparse_coo_tensor([[1, 0]], [[1., 2.], [3., 4.]], (3, 2))",
    "t.sparse_csr_tensor([0, 1, 2], [1, 0], [3., 4.])",
    "t.sparse_compressed_tensor([0, 1, 2], [1, 0], [3., 4.], (2, 2), layout=t.sparse_csc)",
    "t.sparse_bsc_tensor([0, 1], [1], [[[3., 4.]]], (2, 2))",
    "(a.is_sparse, c.is_sparse, c.is_sparse_csr, E.is_sparse, E.is_sparse_csr)",
    "(a.sparse_dim(), a.dense_dim(), H.sparse_dim(), H.dense_dim(), c.sparse_dim())",
    "(E.sparse_dim(), E.dense_dim())",
    "(a._nnz(), b._nnz(), c._nnz(), s._nnz(), a.coalesce()._nnz(), o._nnz())",
    "(a.is_coalesced(), b.is_coalesced(), len(a), a.numel(), a.dim(), list(a.shape), list(a.size()))",
    "(str(a.layout)[-3:], str(c.layout)[-3:], str(E.layout)[-7:], a.requires_grad, A.requires_grad, A.is_leaf)",
    "b.indices()", "b.values()", "c.crow_indices()", "c.col_indices()", "c.values()", "e.ccol_indices()",
    "e.row_indices()", "s.values()", "a._indices()", "a._values()", "E.to_dense()",
    "a.indices()", "a.values()", "c.indices()", "c.coalesce()", "E.indices()", "E.values()", "E.coalesce()",
    "E.crow_indices()", "E.col_indices()", "E.ccol_indices()", "E.row_indices()", "E.is_coalesced()",
    "a.crow_indices()", "c.ccol_indices()", "E.to_sparse_csr(3)", "V.to_sparse_csr()",
    # elements
    *[f"b.{name}()" for name in UNARY if name not in ("arctanh", "atanh", "asin", "arcsin", "erfinv", "sqrt")],
    *[f"(b / 4).{name}()" for name in ("atanh", "asin", "erfinv", "sqrt")],
    "a.abs()", "a.neg()", "A.sin()", "A.neg()", "A.tanh()", "t.sin(A)", "c.sin()", "t.sqrt(c)",
    "a + b", "a + a", "b + b", "A + B", "A - B", "t.add(a, b, alpha=2)", "a.sub(b)", "E + A", "t.add(E, A)",
    "E.add(A)", "A + E", "a + 1", "1 + a", "E - A", "t.sub(E, A)", "a - 1", "c + c", "t.add(c, c, alpha=2)",
    "a * 2", "2 * A", "a * b", "A * B", "A * E", "E * A", "E.mul(A)", "t.mul(A, E)", "a * V.detach()", "c * 2",
    "a / 2", "A / 4", "1 / a", "a / a", "a / E", "a // 2", "t.div(a, 2, rounding_mode='floor')", "a ** 2",
    "A.pow(2)", "a ** 0", "t.pow(b, 2.0)", "-a", "abs(a)", "a.exp()", "t.exp(a)", "t.cos(a)", "a == a",
    "a < b", "t.where(a > 0, a, b)", "t.maximum(a, b)", "a.clamp(min=0)", "i + i", "i * 2", "a * i", "o * 2",
    "t.relu(A)", "H * 2", "H + H", "H.sin()", "H * H",
    # products
    "A @ D", "t.mm(A, D)", "t.sparse.mm(A, D)", "t.matmul(A, D)", "t.spmm(A, D)", "A.mm(D)", "A.matmul(D)",
    "G @ A", "t.mm(G, A)", "G.mm(A)", "G.matmul(A)", "A @ V", "t.mv(A, V)", "A.mv(V)", "V @ A.t()",
    "c @ D", "c @ V", "e @ D", "G @ c", "o @ D", "i @ n([[1, 2], [0, 1], [3, 1]])", "a @ D.double()",
    "A @ B.t()", "t.sparse.mm(A, B.t())", "a @ a.t()", "c @ c.t()", "a @ E", "a @ f([1., 2.])",
    "t.addmm(G, A, D)", "t.addmm(G, A, D, beta=2, alpha=0.5)", "t.sparse.addmm(G, A, D)",
    "t.sparse.addmm(G, A, D, beta=0.5, alpha=3)", "G.addmm(A, D)", "t.smm(a, D.detach())",
    "t.hspmm(a, D.detach())", "t.sspaddmm(t.eye(2).to_sparse(), a, D.detach())",
    "t.sspaddmm(t.eye(2).to_sparse(), a, D.detach(), beta=2, alpha=3)",
    "t.sparse.sampled_addmm(c, G, t.ones(2, 3))", "t.sparse.sampled_addmm(c, G, E, beta=0.5, alpha=2)",
    "H @ D", "t.bmm(a, D)", "t.dot(a, a)", "t.einsum('ij,jk->ik', a, D)",
    # sums
    "t.sparse.sum(A)", "t.sparse.sum(A, 0)", "t.sparse.sum(A, 1)", "t.sparse.sum(A, (0, 1))",
    "t.sparse.sum(H, 0)", "t.sparse.sum(H, 1)", "t.sparse.sum(H)", "t.sparse.sum(a, 0, dtype=t.float64)",
    "t.sparse.sum(i)", "t.sparse.sum(i, 1)", "A.sum()", "t.sum(A)", "a.sum(0)", "c.sum()", "a.mean()",
    "a.max()", "a.prod()", "a.norm()", "t.norm(a)", "t.sparse.sum(o)", "t.sparse.sum(a, 2)",
    "t.sparse.softmax(A, 1)", "t.sparse.softmax(A, 0)", "t.sparse.log_softmax(A, 1)",
    "t.sparse.log_softmax(A, 0)", "t.sparse.softmax(H, 0)", "t.sparse.softmax(H, 1)", "t.sparse.softmax(o, 0)",
    "t.sparse.log_softmax(H, 0)", "t.softmax(a, 1)", "t.sparse.softmax(a, 0, dtype=t.float64)",
    # dims
    "a.t()", "A.t()", "a.transpose(0, 1)", "a.permute(1, 0)", "c.t()", "e.t()", "H.transpose(0, 1)",
    "a.unsqueeze(0)", "a.unsqueeze(2)", "a.unsqueeze(-2)", "H.unsqueeze(2)", "a.unsqueeze(0).squeeze(0)",
    "a[0]", "a[1, 0]", "A[0, 1]", "a[:, 1]", "a[None]", "a[-1]", "a[2]", "a[0:1]", "a[n([1, 0])]", "c[0]",
    "H[3]", "H[0, 1]", "a[..., 0]", "A.select(1, 0)", "a.index_select(1, n([2, 0, 0]))",
    "A.index_select(0, n([1]))", "H.index_select(1, n([1]))", "a.index_select(0, n([5]))",
    "a.narrow_copy(1, 0, 2)", "list(b)", "t.cat([a, b])", "t.cat([A, B], 1)", "t.stack([a, b])",
    "a.reshape(6)", "a.view(6)", "a.flatten()", "a.expand(2, 2, 3)", "t.zeros_like(a)", "t.empty_like(a)",
    "t.ones_like(a)", "t.rand_like(a)", "t.full_like(a, 2)", "E.sparse_mask(b)", "E.sparse_mask(A)",
    "a.sparse_mask(b)", "t.sparse.spdiags(f([[1., 2., 3.], [4., 5., 6.]]), n([0, -1]), (3, 3))",
    "t.sparse.spdiags(f([[1., 2., 3.]]), n([1]), (2, 4))", "t.triu(a)", "t.tril(a)", "t.diagonal(a)",
    # copies, casts, writing
    "a.clone()", "A.clone()", "a.detach()", "a.double()", "a.to(t.float64)", "a.int()", "c.double()",
    "a.cpu()", "a.numpy()", "a.tolist()", "bool(a)", "a.item()", "x = a.clone(); x.mul_(2); x",
    "x = a.clone(); x.add_(b); x", "x = a.clone(); x.zero_(); x", "x = a.clone(); x.copy_(b); x",
    "x = a.clone(); x += b; x", "x = a.clone(); x *= 3; x", "x = t.ones(2, 3); x.add_(a); x",
    "x = t.ones(2, 3); x += a; x", "x = t.ones(2, 3); x.sub_(a, alpha=2); x", "x = b.clone(); x.sin_(); x",
    "x = t.ones(2, 3); x.copy_(a); x", "x = a.clone(); x.copy_(E.detach()); x", "x = t.ones(2, 3); x[a]",
    "x = a.clone(); x.fill_(1); x", "x = a.clone(); x.div_(2); x", "x = a.clone(); x[0] = 1; x",
    "t.equal(a, a)", "t.allclose(a, a)", "a.is_floating_point()", "t.is_complex(a)", "t.result_type(a, 1.0)",
    "a.contiguous()", "t.argsort(a)", "t.nonzero(a)", "a.nonzero()", "t.nn.functional.linear(E, b)",
    "t.nn.functional.relu(a)", "t.isnan(a)", "t.nan_to_num(a)",
    # sizes alone, layers, batches
    "t.sparse_coo_tensor(size=(2, 3))", "t.sparse_coo_tensor(size=(2, 3), dtype=t.float64)",
    "t.sparse_coo_tensor((2, 3), dtype=t.int64)", "t.sparse_coo_tensor(n([[0], [1]]), size=(2, 3))",
    "t.sparse_coo_tensor()", "t.nn.functional.relu(A)", "t.nn.functional.relu(c)",
    "t.nn.functional.relu(a.clone(), inplace=True)", "x = a.clone(); x.relu_(); x",
    "t.nn.functional.linear(A, E)", "t.nn.functional.linear(A, E, V[:2])",
    "t.nn.functional.linear(E, A, V[1:])",
    "t.nn.functional.linear(t.ones(2, 2, 3), B)", "t.nn.functional.linear(c, E)",
    "t.nn.functional.linear(a, b)",
    "t.nn.functional.linear(a, E, E)", "t.nn.functional.linear(a, G)",
    "t.bmm(t.stack([G, 2 * G]).to_sparse(), t.stack([D[:2], D[1:]]))", "t.stack([G, G]).to_sparse().bmm(G)",
    "t.bmm(t.stack([G, G]), t.stack([G, G]).to_sparse())", "t.stack([G, G]).to_sparse(1).bmm(t.stack([G, G]))",
    "a.any()", "t.any(o)", "t.any(u)", "t.any(H)", "t.any(a, 0)", "c.any()",
    "t.stack([G, G]).to_sparse_csr()",
    "t.sparse_csr_tensor(n([[0, 1], [0, 1]]), n([[0], [1]]), f([[1.], [2.]]))",
]  # fmt: skip
