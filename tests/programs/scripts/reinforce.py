from collections import deque

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical


class Corridor:
    """An environment of five cells: the right end pays."""

    def reset(self):
        self.at, self.t = 2, 0
        return self.state()

    def state(self):
        return F.one_hot(torch.tensor(self.at), 5).float()

    def step(self, action):
        self.at = max(0, min(4, self.at + (1 if action == 1 else -1)))
        self.t += 1
        return self.state(), float(self.at == 4), self.t >= 6


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(5, 8)
        self.affine2 = nn.Linear(8, 2)
        self.saved_log_probs, self.rewards = [], []

    def forward(self, x):
        return F.softmax(self.affine2(F.relu(self.affine1(x))), dim=1)


policy = Policy()
for i, p in enumerate(policy.parameters()):
    p.data = torch.sin(torch.arange(p.numel()) * 1.3 + i).reshape(p.shape) * 0.5
optimizer = optim.Adam(policy.parameters(), lr=3e-2)
eps = torch.finfo(torch.float32).eps
env = Corridor()
for i_episode in range(6):
    state, done, ep_reward = env.reset(), False, 0
    while not done:
        m = Categorical(policy(state.unsqueeze(0)))
        action = torch.tensor([(env.t + i_episode) % 3 > 0]).long()
        policy.saved_log_probs.append(m.log_prob(action))
        state, reward, done = env.step(action.item())
        policy.rewards.append(reward)
        ep_reward += reward
    R, returns, losses = 0, deque(), []
    for r in policy.rewards[::-1]:
        R = r + 0.99 * R
        returns.appendleft(R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + eps)
    for log_prob, R in zip(policy.saved_log_probs, returns):
        losses.append(-log_prob * R)
    optimizer.zero_grad()
    loss = torch.cat(losses).sum()
    loss.backward()
    optimizer.step()
    del policy.rewards[:]
    del policy.saved_log_probs[:]
    print(
        f"Episode {i_episode}\tReward: {ep_reward:.2f}\tLoss: {loss.item():.4f}\tEntropy {m.entropy().item():.4f}"
    )
