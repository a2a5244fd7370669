import torch, torch.nn as nn, copy
from collections import defaultdict, Counter

torch.manual_seed(0)
w = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
b = nn.Parameter(torch.zeros(1))


class Lookahead(torch.optim.Optimizer):
    def __init__(self, base, k=2, alpha=0.5):
        self.base, self.k, self.alpha = base, k, alpha
        self.param_groups = base.param_groups
        self.state = defaultdict(dict)
        self.defaults = base.defaults
        self.count = 0

    def step(self, closure=None):
        loss = self.base.step(closure)
        self.count += 1
        for g in self.param_groups:
            for p in g["params"]:
                s = self.state[p]
                if "slow" not in s:
                    s["slow"] = torch.zeros_like(p.data).copy_(p.data)
                if self.count % self.k == 0:
                    s["slow"].add_(p.data - s["slow"], alpha=self.alpha)
                    p.data.copy_(s["slow"])
        return loss

    def zero_grad(self):
        self.base.zero_grad()


opt = Lookahead(torch.optim.Adam([w, b], lr=0.1))
x = torch.linspace(-1, 1, 12).reshape(4, 3)
y = torch.tensor([0.0, 1.0, 2.0, 3.0])
for i in range(6):
    opt.zero_grad()
    loss = ((x @ w + b - y) ** 2).mean()
    loss.backward()
    opt.step()
    print(i, f"{loss.item():.5f}")
print(
    isinstance(opt.state, dict),
    len(opt.state),
    sorted(opt.base.state[w]),
    opt.base.state[w]["exp_avg"].shape,
)
for s in opt.base.state.values():
    for k, v in s.items():
        if torch.is_tensor(v) and v.dim():
            s[k] = torch.zeros_like(v)
opt.zero_grad()
loss = ((x @ w + b - y) ** 2).mean()
loss.backward()
opt.step()
print([f"{v:.4f}" for v in w.tolist()])
opt.base.state = defaultdict(dict)
opt.zero_grad()
((x @ w + b - y) ** 2).mean().backward()
opt.step()
print([f"{v:.4f}" for v in w.tolist()], len(opt.base.state))
sd = copy.deepcopy(opt.base.state_dict())
print(sd["state"][0]["step"], sorted(sd["state"][0]), sd["param_groups"][0]["params"])
print(Counter(type(v).__name__ for s in sd["state"].values() for v in s.values()))
