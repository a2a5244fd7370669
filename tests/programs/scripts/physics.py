# a PINN, a neural ODE, optimisation through a simulation
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        layers = []
        for a, b in zip(sizes[:-1], sizes[1:]):
            layers += [nn.Linear(a, b), nn.Tanh()]
        self.net = nn.Sequential(*layers[:-1])
        for k, p in enumerate(self.parameters()):
            p.data = torch.sin(torch.arange(p.numel()) * 1.3 + k).view(p.shape) * 0.5

    def forward(self, *x):
        return self.net(torch.cat(x, dim=-1))


u = Net([2, 6, 6, 1])
x = torch.linspace(0, 1, 5).repeat(5).view(-1, 1).requires_grad_(True)
t = torch.linspace(0, 1, 5).repeat_interleave(5).view(-1, 1).requires_grad_(True)
opt = torch.optim.Adam(u.parameters(), lr=5e-3)
for it in range(6):
    opt.zero_grad()
    out = u(x, t)
    u_t = torch.autograd.grad(out, t, torch.ones_like(out), create_graph=True)[0]
    u_x = torch.autograd.grad(out, x, torch.ones_like(out), create_graph=True)[0]
    u_xx = torch.autograd.grad(u_x, x, torch.ones_like(u_x), create_graph=True)[0]
    residual = (u_t - 0.1 * u_xx).pow(2).mean()
    boundary = (u(x, torch.zeros_like(t)) - torch.sin(torch.pi * x)).pow(2).mean()
    loss = residual + boundary
    loss.backward()
    opt.step()
    if it % 5 == 0:
        print(f"{it} loss {loss:.4f} residual {residual:.5f}")


def rk4_step(f, y, dt):
    k1 = f(y)
    k2 = f(y + dt / 2 * k1)
    k3 = f(y + dt / 2 * k2)
    k4 = f(y + dt * k3)
    return y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


A = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]])
y = torch.tensor([[2.0, 0.0]])
trajectory = [y]
for _ in range(20):
    trajectory.append(rk4_step(lambda v: v**3 @ A, trajectory[-1], 0.05))
trajectory = torch.cat(trajectory)
print(trajectory[-1], torch.allclose(torch.matrix_exp(A * 0.1) @ torch.ones(2), torch.ones(2) + 0.1 * A @ torch.ones(2), atol=0.1))
func = Net([2, 5, 2])
opt = torch.optim.RMSprop(func.parameters(), lr=1e-2)
for it in range(4):
    pred = [y]
    for _ in range(8):
        pred.append(rk4_step(func, pred[-1], 0.05))
    loss = (torch.cat(pred) - trajectory[:9]).abs().mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
    print(f"Iter {it} | Total Loss {loss.item():.4f}")
angle = torch.tensor(0.4, requires_grad=True)
for _ in range(10):
    v = 12 * torch.stack([angle.cos(), angle.sin()])
    distance = v[0] * 2 * v[1] / 9.81
    (g,) = torch.autograd.grad(-distance, angle)
    angle = (angle - 0.01 * g).detach().requires_grad_()
print(angle, distance)
