import random
from collections import deque, namedtuple

import torch
import torch.nn as nn
import torch.optim as optim

Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))
device = torch.device(
    "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
)


class ReplayMemory:
    def __init__(self, capacity):
        self.memory = deque(maxlen=capacity)

    def push(self, *args):
        self.memory.append(Transition(*args))

    def sample(self, batch_size):
        return random.sample(self.memory, batch_size)

    def __len__(self):
        return len(self.memory)


class DQN(nn.Module):
    def __init__(self, n_observations, n_actions):
        super().__init__()
        self.layer1 = nn.Linear(n_observations, 16)
        self.layer2 = nn.Linear(16, n_actions)

    def forward(self, x):
        return self.layer2(torch.relu(self.layer1(x)))


policy_net, target_net = DQN(3, 2).to(device), DQN(3, 2).to(device)
for i, p in enumerate(policy_net.parameters()):
    nn.init.constant_(p, 0.1)
    p.data += torch.sin(torch.arange(p.numel(), device=device) + i).view_as(p) * 0.3
target_net.load_state_dict(policy_net.state_dict())
optimizer = optim.AdamW(policy_net.parameters(), lr=1e-2, amsgrad=True)
memory = ReplayMemory(50)
random.seed(3)
for k in range(30):
    s = torch.tensor([[k % 3, k % 5, k % 7]], dtype=torch.float32, device=device) / 7
    n = None if k % 6 == 5 else s.roll(1, 1)
    memory.push(
        s, torch.tensor([[k % 2]], device=device), n, torch.tensor([float(k % 4)], device=device)
    )
TAU, GAMMA = 0.05, 0.9
for step in range(6):
    transitions = memory.sample(8)
    batch = Transition(*zip(*transitions))
    non_final_mask = torch.tensor(
        tuple(map(lambda s: s is not None, batch.next_state)), device=device, dtype=torch.bool
    )
    non_final_next_states = torch.cat([s for s in batch.next_state if s is not None])
    state_batch, action_batch = torch.cat(batch.state), torch.cat(batch.action)
    reward_batch = torch.cat(batch.reward)
    q = policy_net(state_batch).gather(1, action_batch)
    next_state_values = torch.zeros(8, device=device)
    with torch.no_grad():
        next_state_values[non_final_mask] = target_net(non_final_next_states).max(1).values
    expected = (next_state_values * GAMMA) + reward_batch
    loss = nn.SmoothL1Loss()(q, expected.unsqueeze(1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
    optimizer.step()
    target_net_state_dict = target_net.state_dict()
    policy_net_state_dict = policy_net.state_dict()
    for key in policy_net_state_dict:
        target_net_state_dict[key] = policy_net_state_dict[key] * TAU + target_net_state_dict[
            key
        ] * (1 - TAU)
    target_net.load_state_dict(target_net_state_dict)
    print(
        step,
        f"{loss.item():.4f}",
        f"{sum(p.abs().sum() for p in target_net.parameters()).item():.4f}",
    )
