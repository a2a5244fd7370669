import torch
from torch import nn, optim


def rosenbrock(tensor):
    x, y = tensor
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def execute_steps(optimizer_class, lr, num_iter=30, **kwargs):
    x = nn.Parameter(torch.tensor([-1.5, 1.2]))
    optimizer = optimizer_class([x], lr=lr, **kwargs)
    for _ in range(num_iter):
        optimizer.zero_grad()
        f = rosenbrock(x)
        f.backward(retain_graph=True)
        torch.nn.utils.clip_grad_norm_(x, 1.0)
        optimizer.step()
    return x.detach(), rosenbrock(x).item(), optimizer


for cls, lr, kw in [
    (optim.SGD, 1e-2, {}),
    (optim.SGD, 1e-2, dict(momentum=0.9, nesterov=True)),
    (optim.Adam, 5e-2, {}),
    (optim.Adam, 5e-2, dict(amsgrad=True, weight_decay=1e-2)),
    (optim.AdamW, 5e-2, {}),
    (optim.NAdam, 5e-2, {}),
    (optim.RAdam, 5e-2, {}),
    (optim.Adamax, 5e-2, {}),
    (optim.Adagrad, 0.3, {}),
    (optim.Adadelta, 1.0, {}),
    (optim.RMSprop, 1e-2, dict(centered=True, momentum=0.5)),
    (optim.Rprop, 1e-2, {}),
    (optim.ASGD, 1e-2, {}),
    (optim.Adafactor, 5e-2, {}),
]:
    x, f, opt = execute_steps(cls, lr, **kw)
    print(
        f"{cls.__name__:10s} {f:9.4f} {x[0]:8.4f} {x[1]:8.4f}",
        sorted(opt.state_dict()["state"][0])[:2] if opt.state else [],
    )


class Lion(optim.Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        if not 0.0 <= lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.data.mul_(1 - group["lr"] * group["weight_decay"])
                state = self.state[p]
                if len(state) == 0:
                    state["exp_avg"] = torch.zeros_like(p)
                exp_avg = state["exp_avg"]
                beta1, beta2 = group["betas"]
                update = exp_avg * beta1 + p.grad * (1 - beta1)
                p.add_(update.sign_(), alpha=-group["lr"])
                exp_avg.mul_(beta2).add_(p.grad, alpha=1 - beta2)
        return loss


x, f, opt = execute_steps(Lion, 1e-2, weight_decay=0.1)
print("Lion", f, x, opt)
