from collections import namedtuple

import torch
import torch.nn as nn
import torch.nn.functional as F

SavedAction = namedtuple("SavedAction", ["log_prob", "value"])


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(4, 10)
        self.action_head = nn.Linear(10, 2)
        self.value_head = nn.Linear(10, 1)

    def forward(self, x):
        x = F.relu(self.affine1(x))
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x)


def fill_(t, k):
    with torch.no_grad():
        return t.copy_(
            torch.cos(torch.arange(t.numel(), dtype=t.dtype) * 0.9 + k).reshape(t.size()) / 3
        )


model = Policy()
[fill_(p, k) for k, p in enumerate(model.parameters())]
optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
for episode in range(5):
    saved, rewards = [], []
    state = torch.tensor([0.1, -0.2, 0.05, 0.3])
    for t in range(7):
        probs, value = model(state)
        m = torch.distributions.Categorical(probs)
        action = torch.argmax(probs)
        saved.append(SavedAction(m.log_prob(action), value))
        state = torch.tanh(state * 1.1 + (0.2 if action.item() else -0.2))
        rewards.append(1.0 - state.abs().max().item())
    R, returns = 0, []
    for r in rewards[::-1]:
        R = r + 0.95 * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    policy_losses, value_losses = [], []
    for (log_prob, value), R in zip(saved, returns):
        advantage = R - value.item()
        policy_losses.append(-log_prob * advantage)
        value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
    optimizer.zero_grad()
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
    loss.backward()
    optimizer.step()
    print(f"Episode {episode}\tReward: {sum(rewards):.4f}\tLoss: {loss:.4f}")
