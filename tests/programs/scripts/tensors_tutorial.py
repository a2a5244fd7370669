# a tour of tensors
import numpy as np
import torch

data = [[1, 2], [3, 4]]
x_data = torch.tensor(data)
x_np = torch.from_numpy(np.array(data))
print(x_data, x_np.dtype, torch.ones_like(x_data), torch.zeros((2, 3)).shape)
t = torch.arange(16).reshape(4, 4)
print(f"First row: {t[0]}", f"First column: {t[:, 0]}", f"Last column: {t[..., -1]}")
t[:, 1] = 0
print(t, t.sum(), t.float().mean().item(), t.T[0])
t1 = torch.cat([t, t, t], dim=1)
print(t1.shape, torch.stack((t, t)).shape, t.matmul(t.T)[0], (t * t)[1])
a = torch.tensor([0.1, 2.5, -3.7])
print(a.add_(5), a, torch.round(a), a.int(), a > 5, a.tolist()[1])
n = np.ones(3)
s = torch.from_numpy(n)
print(s * 2, torch.ones(2, 3).numpy().shape, torch.tensor(3.14).item(), s.dtype)
b = torch.tensor([[3, 1, 2], [9, 7, 8]])
values, indices = b.sort(dim=1, descending=True)
print(values, indices, b.max(dim=0), b.argmax(), b.unique(), b.flip(1), b.roll(1, 0))
print(torch.where(b > 2, b, torch.tensor(0)), b[b > 2], b.nonzero().shape, torch.masked_select(b, b.ge(8)))
print(b.permute(1, 0).contiguous().view(-1), b.unsqueeze(0).squeeze().size(), b.stride(), b.is_contiguous(), b.t().is_contiguous())
print(torch.linspace(0, 1, 5), torch.logspace(0, 2, 3), torch.eye(2), torch.full((2,), 7), torch.triu(torch.ones(3, 3)))
print(torch.einsum("ij,jk->ik", b.float(), b.T.float()), torch.tensordot(b, b, dims=([1], [1])), torch.outer(a, a)[0])
print(b.float().std(dim=1), b.float().var(unbiased=False), b.float().norm(), b.prod(), b.cumsum(1), b.float().median())
print(torch.chunk(torch.arange(5), 2), torch.split(torch.arange(5), [1, 4]), b.repeat(1, 2).shape, b.expand(2, 2, 3).shape)
print(torch.gather(b, 1, torch.tensor([[0, 2], [1, 0]])), b.scatter(1, torch.tensor([[0], [1]]), 5), b.take(torch.tensor([0, 5])))
print(torch.allclose(a, a + 1e-9), torch.equal(b, b.clone()), b.new_zeros(2), b.type(torch.float16).dtype, b.float().element_size())
print(torch.tensor([1.0, float("nan"), float("inf")]), torch.isnan(torch.tensor([1.0, float("nan")])), 7 // torch.tensor(2), -7 % torch.tensor(3))
print(torch.tensor([True, False]).any(), torch.tensor([1, 0]).bool().all(), ~torch.tensor([True]), torch.tensor(5) & 3, bool(torch.tensor(1)))
print(torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")[1], torch.cartesian_prod(torch.arange(2), torch.arange(2)))
print(torch.bucketize(a, torch.tensor([0.0, 5.0])), torch.histc(a, 3, 0, 8), torch.clamp(a, 2, 6), torch.lerp(a, a * 2, 0.5))
