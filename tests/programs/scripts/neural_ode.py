# a neural ODE by Runge-Kutta with the adjoint method, and a symplectic pendulum
import torch, torch.nn as nn


class F(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        with torch.no_grad():
            for i, p in enumerate(self.parameters()):
                p.copy_(torch.cos(torch.arange(p.numel()) * 1.3 + i).view_as(p) * 0.4)

    def forward(self, t, y):
        return self.net(y**3)


def rk4(f, y, t):
    out = [y]
    for a, b in zip(t[:-1], t[1:]):
        h = b - a
        k1 = f(a, y)
        k2 = f(a + h / 2, y + h / 2 * k1)
        k3 = f(a + h / 2, y + h / 2 * k2)
        k4 = f(b, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        out.append(y)
    return torch.stack(out)


class Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f, y0, t, *params):
        ctx.f, ctx.n = f, len(params)
        with torch.no_grad():
            ys = rk4(f, y0, t)
        ctx.save_for_backward(ys, t)
        return ys[-1]

    @staticmethod
    def backward(ctx, g):
        ys, t = ctx.saved_tensors
        f = ctx.f
        ps = list(f.parameters())
        grads = [torch.zeros_like(p) for p in ps]
        for i in range(len(t) - 1, 0, -1):
            with torch.enable_grad():
                y = ys[i - 1].detach().requires_grad_()
                nxt = rk4(f, y, t[i - 1 : i + 1])[-1]
                g, *gs = torch.autograd.grad(nxt, [y, *ps], g)
            grads = [a + b for a, b in zip(grads, gs)]
        return None, g, None, *grads


f = F()
t = torch.linspace(0, 1, 9)
y0 = torch.tensor([[2.0, 0.0], [1.0, -1.0]], requires_grad=True)
A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
true = rk4(lambda t, y: y @ A, y0.detach(), t)[-1]
opt = torch.optim.RMSprop(f.parameters(), lr=0.01)
for i in range(6):
    opt.zero_grad()
    out = Adjoint.apply(f, y0, t, *f.parameters())
    loss = (out - true).abs().mean()
    loss.backward()
    opt.step()
    print(i, f"{loss.item():.5f}")
direct = torch.autograd.grad((rk4(f, y0, t)[-1] - true).abs().mean(), list(f.parameters()))
f.zero_grad()
(Adjoint.apply(f, y0, t, *f.parameters()) - true).abs().mean().backward()
print(all(torch.allclose(a, p.grad, atol=1e-5) for a, p in zip(direct, f.parameters())))
q, p = torch.tensor(1.0), torch.tensor(0.0)
H = lambda q, p: p**2 / 2 - torch.cos(q)
for _ in range(200):
    q = q.detach().requires_grad_()
    p = p - 0.05 * torch.autograd.grad(H(q, p.detach()), q)[0]
    q = q.detach() + 0.05 * p
print(
    f"{q.item():.4f} {p.item():.4f} {H(q, p).item():.4f}",
    type(out.grad_fn).__name__,
    out.grad_fn.name(),
)
