# Gaussian process regression with learned length scale, by Cholesky factors
import math, torch

torch.set_default_dtype(torch.float64)
torch.set_default_device("cpu")  # it needs float64
x = torch.linspace(0, 5, 12).unsqueeze(1)
y = torch.sin(x).squeeze(1) + 0.1 * torch.cos(7 * x).squeeze(1)
log_l, log_s, log_n = (torch.tensor(v, requires_grad=True) for v in (0.0, 0.0, -2.0))


def kernel(a, b):
    return (2 * log_s).exp() * torch.exp(-0.5 * torch.cdist(a, b) ** 2 / (2 * log_l).exp())


def nll():
    k = kernel(x, x) + ((2 * log_n).exp() + 1e-8) * torch.eye(len(x))
    c = torch.linalg.cholesky(k)
    a = torch.cholesky_solve(y.unsqueeze(1), c)
    return (
        0.5 * (y @ a.squeeze(1)) + c.diagonal().log().sum() + 0.5 * len(x) * math.log(2 * math.pi)
    )


opt = torch.optim.LBFGS([log_l, log_s, log_n], lr=0.5, max_iter=10, line_search_fn="strong_wolfe")
for step in range(3):

    def closure():
        opt.zero_grad()
        loss = nll()
        loss.backward()
        return loss

    print(step, f"{opt.step(closure).item():.6f}")
with torch.no_grad():
    t = torch.tensor([[0.3], [2.5], [6.0]])
    k = kernel(x, x) + (2 * log_n).exp() * torch.eye(len(x))
    c = torch.linalg.cholesky(k)
    ks = kernel(x, t)
    v = torch.linalg.solve_triangular(c, ks, upper=False)
    mean = ks.T @ torch.cholesky_solve(y.unsqueeze(1), c)
    var = kernel(t, t).diagonal() - (v**2).sum(0)
    print(
        [f"{m:.4f}" for m in mean.squeeze(1).tolist()],
        [f"{s:.4f}" for s in var.clamp_min(0).sqrt().tolist()],
    )
mvn = torch.distributions.MultivariateNormal(torch.zeros(12), covariance_matrix=k)
print(
    mvn,
    f"{mvn.log_prob(y).item():.5f}",
    f"{mvn.entropy().item():.5f}",
    mvn.batch_shape,
    mvn.event_shape,
)
H = torch.autograd.functional.hessian(lambda p: (p**4).sum() + p.prod(), torch.tensor([1.0, 2.0]))
print(H)
torch.set_default_dtype(torch.float32)
torch.set_default_device(None)
