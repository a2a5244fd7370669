"""What a sparse tensor is: its gradients, checks, text, copies, files, places in modules, transforms."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.serialization import safetensors


@pytest.fixture(autouse=True)
def on_the_cpu() -> Any:
    with tg.device("cpu"):
        yield


def matrix(values: Any = None, **options: Any) -> Any:
    if values is None:
        values = tg.tensor([3.0, 4.0, 5.0, 0.5], dtype=tg.float64)
    return tg.sparse_coo_tensor([[0, 1, 1, 0], [2, 0, 0, 1]], values, (2, 3), **options)


def test_text() -> None:
    x = matrix(tg.tensor([3.0, 4.0, 5.0, 0.5]))
    assert repr(x) == (
        "tensor(indices=tensor([[0, 1, 1, 0],\n"
        "                       [2, 0, 0, 1]]),\n"
        "       values=tensor([3.0000, 4.0000, 5.0000, 0.5000]),\n"
        "       size=(2, 3), nnz=4, layout=tabgrad.sparse_coo)"
    )
    assert repr(x.to_sparse_csr().requires_grad_()) == (
        "tensor(crow_indices=tensor([0, 2, 3]),\n"
        "       col_indices=tensor([1, 2, 0]),\n"
        "       values=tensor([0.5000, 3.0000, 9.0000]), size=(2, 3), nnz=3,\n"
        "       layout=tabgrad.sparse_csr, requires_grad=True)"
    )
    assert "dtype=tabgrad.float64, layout" in repr(x.double())
    assert "grad_fn=<" in f"{matrix(tg.ones(4, requires_grad=True)) * 2}"
    assert repr(tg.sparse_coo_tensor((2, 3))).startswith("tensor(indices=tensor([], size=(2, 0)),")


def test_gradients_of_leaves() -> None:
    x = matrix(requires_grad=True)
    d = tg.tensor([[1.0, 2.0], [0.5, -1.0], [2.0, 0.25]], dtype=tg.float64, requires_grad=True)
    assert x.is_leaf
    (x @ d).pow(2).sum().backward()
    dense = x.detach().to_dense().requires_grad_()
    other = d.detach().requires_grad_()
    (dense @ other).pow(2).sum().backward()
    assert x.grad.layout is tg.sparse_coo
    assert tg.allclose(x.grad._values(), dense.grad[[0, 1, 1, 0], [2, 0, 0, 1]])
    assert tg.allclose(d.grad, other.grad)
    (found,) = tg.autograd.grad(tg.sparse.sum(x * x).pow(2), x)
    assert found.layout is tg.sparse_coo
    x.grad = None
    assert x.grad is None
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.mul_(2)
    with tg.no_grad():
        x.mul_(2)
    assert x.requires_grad
    assert not x.detach().requires_grad


def test_second_derivatives() -> None:
    values = tg.tensor([3.0, 4.0, 5.0, 0.5], dtype=tg.float64, requires_grad=True)
    d = tg.tensor([[1.0, 2.0], [0.5, -1.0], [2.0, 0.25]], dtype=tg.float64, requires_grad=True)
    csr = [tg.tensor([0, 2, 4]), tg.tensor([1, 2, 0, 1])]
    forms = (
        lambda v, d: matrix(v) @ d, lambda v, d: matrix(v).coalesce().values() * d.sum(),
        lambda v, d: d.t() @ matrix(v).t(), lambda v, d: (matrix(v) * d.t()).to_dense(),
        lambda v, d: tg.sparse.softmax(matrix(v * d[0, 0]), 1).to_dense(),
        lambda v, d: tg.sparse.log_softmax(matrix(v * d[0, 0]), 0).to_dense(),
        lambda v, d: (matrix(v) @ matrix(v * d[0, 1]).t()).to_dense(),
        lambda v, d: (matrix(v) * matrix(v * d[0, 1])).to_dense(),
        lambda v, d: tg.sparse.sum(matrix(v).sin(), 0).to_dense() * d[1, 1],
        lambda v, d: tg.sparse_csr_tensor(*csr, v, (2, 3)) @ d,
        lambda v, d: tg.sparse.sampled_addmm(
            tg.sparse_csr_tensor(*csr, v, (2, 3)), d[:2], d.t(), beta=0.5
        ).values(),
        lambda v, d: tg.cat([matrix(v), d.t().to_sparse()]).transpose(0, 1).to_dense(),
        lambda v, d: matrix(v).index_select(1, tg.tensor([2, 0, 0])).to_dense() * d[0, 0],
        lambda v, d: matrix(v).to_sparse_bsr((1, 3)).to_dense() * d[0, 0],
    )  # fmt: skip
    for form in forms:
        assert tg.autograd.gradcheck(form, (values, d), fast_mode=True)
        assert tg.autograd.gradgradcheck(form, (values, d), fast_mode=True)


def test_transforms_of_values() -> None:
    d = tg.tensor([[1.0, 2.0], [0.5, -1.0], [2.0, 0.25]])
    values = tg.tensor([[3.0, 4.0, 5.0, 0.5], [1.0, -1.0, 2.0, 0.0]])

    def product(v: Any) -> Any:
        return tg.sparse.mm(matrix(v), d)

    mapped = tg.vmap(product)(values)
    assert tg.allclose(mapped, tg.stack([product(v) for v in values]))
    _, tangent = tg.func.jvp(product, (values[0],), (values[1],))
    assert tg.allclose(tangent, product(values[1]))
    gradient = tg.func.grad(lambda v: product(v).sum())(values[0])
    assert tg.allclose(gradient, d.sum(1)[[2, 0, 0, 1]])


def test_transforms_given_a_sparse_tensor_raise() -> None:
    x = matrix()
    for call in (
        lambda: tg.vmap(lambda y: y)(x), lambda: tg.func.grad(lambda y: y.sum())(x),
        lambda: tg.func.jvp(lambda y: y, (x,), (x,)), lambda: tg.func.vjp(lambda y: y * 2, x),
        lambda: tg.export(lambda y: y * 2, (x,)),
    ):  # fmt: skip
        with pytest.raises((RuntimeError, TypeError)):
            call()


def test_indices_are_checked() -> None:
    for at in ([[0, 2], [0, 0]], [[0, -1], [0, 0]], [[0, 0], [3, 0]]):
        with pytest.raises(IndexError, match="out of bounds for dimension"):
            tg.sparse_coo_tensor(at, [1.0, 2.0], (2, 3)).to_dense()
    rows = (
        ([0, 1], [0, 0], "size"), ([1, 1, 2], [0, 0], "begin with 0"), ([0, 2, 1], [0, 1], "not fall"),
        ([0, 1, 2], [0, 3], "out of bounds"), ([0, 2, 2], [1, 0], "ascend"), ([0, 2, 2], [1, 1], "ascend"),
    )  # fmt: skip
    for crow, col, words in rows:
        with pytest.raises((ValueError, IndexError), match=words):
            tg.sparse_csr_tensor(crow, col, [1.0, 2.0], (2, 3)).to_dense()
    for call, words in (
        (lambda: tg.sparse_coo_tensor([0, 1], [1.0, 2.0]), "sparse_dim x nnz"),
        (lambda: tg.sparse_coo_tensor([[0, 1]], [1.0]), "same nnz"),
        (lambda: tg.sparse_coo_tensor([[0.5, 1]], [1.0, 2.0]), "int tensor"),
        (lambda: tg.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (2, 2)), "number of dimensions"),
        (lambda: tg.sparse_coo_tensor([[-1, 1]], [1.0, 2.0]), "negative index"),
        (lambda: tg.ones(3, 3).to_sparse_bsr((2, 2)), "divisible"),
        (lambda: tg.sparse.mm(matrix(), tg.ones(2, 2, dtype=tg.float64)), "cannot be multiplied"),
        (lambda: tg.sparse.mm(matrix(), tg.ones(3, 2)), "same dtype"),
    ):
        with pytest.raises((ValueError, RuntimeError, TypeError), match=words):
            call()


def test_special_values() -> None:
    inf, nan = float("inf"), float("nan")
    x = tg.sparse_coo_tensor([[3, 0, 2]], [-0.0, nan, inf], (4,)).coalesce()
    assert repr(x.values()) == "tensor([nan, inf, -0.])"
    assert tg.tensor([0.0, nan, -0.0, inf]).to_sparse().indices().tolist() == [[1, 3]]
    half = tg.sparse_coo_tensor(
        [[0] * 4, [0, 1, 2, 3]], tg.tensor([2048.0, 1, 1, 1]).half(), (1, 4)
    )
    assert (half @ tg.ones(4, 1, dtype=tg.float16)).item() == 2052
    assert tg.sparse_coo_tensor([[0, 0]], [2**31 - 1, 1], (1,)).to_dense().item() == 2**31
    scalar = tg.tensor(3.0).to_sparse()
    assert (scalar.sparse_dim(), scalar._nnz(), scalar.to_dense().item()) == (0, 1, 3.0)
    empty = tg.zeros(0, 3).to_sparse()
    assert (empty @ tg.ones(3, 2)).shape == (0, 2)


def test_values_are_shared_and_written_to() -> None:
    v = tg.tensor([1.0, 2.0, 3.0, 4.0])
    x = matrix(v)
    v.mul_(2)
    assert x.to_dense().tolist() == [[0.0, 8.0, 2.0], [10.0, 0.0, 0.0]]
    x._values().zero_()
    assert v.tolist() == [0.0] * 4
    y = matrix(v + 1)
    z = y.clone()
    y += z
    assert y.to_dense().sum().item() == 8
    assert z.to_dense().sum().item() == 4


def test_other_sizes() -> None:
    x = matrix()
    x.sparse_resize_((3, 3), 2, 0)
    assert x.to_dense().tolist() == [[0.0, 0.5, 3.0], [9.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    for size, dims in (((2, 3), 2), ((3, 3, 2), 2), ((3, 3), 1)):
        with pytest.raises(tg.SparseError, match="may only grow"):
            x.sparse_resize_(size, dims, len(size) - dims)
    x.sparse_resize_and_clear_((4, 2), 1, 1)
    assert (x.shape, x.sparse_dim(), x._nnz()) == ((4, 2), 1, 0)
    with pytest.raises(RuntimeError, match="but got Strided"):
        tg.ones(2).sparse_resize_((3,), 1, 0)


def test_copies_and_files() -> None:
    for x in (
        matrix(), matrix(requires_grad=True), matrix().coalesce(), matrix().to_sparse_csr(),
        matrix().to_sparse_csc(), matrix().to_sparse_bsr((2, 1)), tg.sparse_coo_tensor((2, 3)),
    ):  # fmt: skip
        file = io.BytesIO()
        tg.save({"x": x, "n": tg.ones(2)}, file)
        loaded = tg.load(io.BytesIO(file.getvalue()))["x"]
        for y in (loaded, pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
            assert (y.layout, y.dtype, y.shape, y._nnz()) == (x.layout, x.dtype, x.shape, x._nnz())
            assert y.requires_grad == x.requires_grad
            assert tg.equal(y.to_dense(), x.to_dense())
            assert not y.is_sparse or y.is_coalesced() == x.is_coalesced()
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(matrix(requires_grad=True) * 2)


def test_broken_files() -> None:
    import json

    file = io.BytesIO()
    safetensors.save([matrix()], file)
    raw = file.getvalue()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    for old, new in (("sparse_coo", "sparse_csr"), ("[2, 3]", "[2, 2]"), ("[2, 3]", "7")):
        changed = json.loads(json.dumps(header))
        text = changed["__metadata__"]["tabgrad.tree"]
        assert old in text
        changed["__metadata__"]["tabgrad.tree"] = text.replace(old, new)
        head = json.dumps(changed).encode()
        data = len(head).to_bytes(8, "little") + head + raw[8 + size :]
        with pytest.raises(tg.FileFormatError):
            safetensors.load(io.BytesIO(data))[0].to_dense()


def test_a_buffer_of_a_module() -> None:
    class Graph(tg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = tg.nn.Linear(3, 2)
            self.register_buffer("A", matrix(tg.tensor([1.0, 2.0, 3.0, 4.0])).coalesce())

        def forward(self, x: Any) -> Any:
            return self.A @ self.linear(x)

    first, second = Graph(), Graph()
    second.A = second.A * 0
    file = io.BytesIO()
    tg.save(first.state_dict(), file)
    second.load_state_dict(tg.load(io.BytesIO(file.getvalue())))
    x = tg.ones(3, 3)
    assert tg.equal(first(x), second(x))
    first.double()
    assert first.A.dtype is tg.float64
    assert first(x.double()).shape == (2, 2)


def test_a_move() -> None:
    x = matrix()
    assert x.to("cpu") is x
    assert x.to(tg.float32).dtype is tg.float32
    assert x.to(x.float()).dtype is tg.float32
    assert x.cpu().device == tg.device("cpu")
    with pytest.raises(TypeError):
        x.numpy()
    with tg.sparse.check_sparse_tensor_invariants(False), warnings.catch_warnings():
        assert not tg.sparse.check_sparse_tensor_invariants.is_enabled()


@pytest.mark.every_host
def test_a_compiled_function_sees_every_change(device: str) -> None:
    def make(at: Any, values: list[float]) -> Any:
        return tg.sparse_coo_tensor(
            tg.tensor(at, device=device), tg.tensor(values, device=device), (2, 2)
        )

    x, y = make([[0, 1], [1, 0]], [1.0, 2.0]), make([[0], [0]], [5.0])
    d = tg.tensor([[1.0], [2.0]], device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        closed, given = tg.compile(lambda d: x @ d), tg.compile(lambda a, d: a @ d)
        for change in (
            lambda: None, lambda: None, lambda: x._values().mul_(2), lambda: x.mul_(3), lambda: x.add_(y),
            lambda: x.copy_(y), lambda: x.zero_(),
        ):  # fmt: skip
            change()
            wanted = (x.to_dense() @ d).tolist()
            assert closed(d).tolist() == given(x, d).tolist() == wanted


@pytest.mark.one_host("wgpu")
def test_products_on_a_lazy_device(device: str) -> None:
    x = matrix(tg.tensor([3.0, 4.0, 5.0, 0.5]))
    y = x.to(device)
    assert y.device.type == "webgpu"
    d = tg.ones(3, 2, device=device)
    assert (y @ d).tolist() == [[3.5, 3.5], [9.0, 9.0]]
    assert y.cpu().to_dense().tolist() == x.to_dense().tolist()
    assert (y @ y.t()).to_dense().tolist() == [[9.25, 0.0], [0.0, 81.0]]
    with pytest.raises(IndexError, match="index 7 is out of bounds"):
        tg.sparse_coo_tensor([[0, 7]], [1.0, 2.0], (3,), device=device).to_dense().tolist()


def test_old_constructors_make_tensors_of_their_dtype() -> None:
    at, values = tg.tensor([[0, 1], [2, 0]], device="cpu"), tg.tensor([3, 4], device="cpu")
    x = tg.sparse.FloatTensor(at, values, tg.Size([2, 3]))
    assert x.to_dense().tolist() == [[0, 0, 3], [4, 0, 0]]
    assert isinstance(x, tg.sparse.FloatTensor)
    assert not isinstance(x, tg.sparse.LongTensor)
    assert not isinstance(x.to_dense(), tg.sparse.FloatTensor)
    assert tg.sparse.LongTensor(at, values).dtype is tg.int64
    assert tg.sparse.FloatTensor(2, 3).shape == (2, 3)
