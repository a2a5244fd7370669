import torch
import torch.nn as nn
from torch.distributions import Categorical, Normal


def layer_init(layer, k, std=0.5, bias_const=0.0):
    w = torch.sin(torch.arange(layer.weight.numel(), dtype=torch.float32) * 0.9 + k)
    layer.weight.data = w.view_as(layer.weight) * std
    torch.nn.init.constant_(layer.bias, bias_const)
    return layer


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.critic = nn.Sequential(layer_init(nn.Linear(3, 8), 1), nn.Tanh(), layer_init(nn.Linear(8, 1), 2, std=1.0))
        self.actor = nn.Sequential(layer_init(nn.Linear(3, 8), 3), nn.Tanh(), layer_init(nn.Linear(8, 4), 4, std=0.1))
        self.actor_logstd = nn.Parameter(torch.zeros(1, 2))

    def get_action_and_value(self, x, action=None):
        probs = Categorical(logits=self.actor(x))
        if action is None:
            action = probs.sample()
        return action, probs.log_prob(action), probs.entropy(), self.critic(x)


agent = Agent()
optimizer = torch.optim.Adam(agent.parameters(), lr=2.5e-3, eps=1e-5)
num_steps, num_envs, gamma, gae_lambda, clip_coef = 6, 2, 0.99, 0.95, 0.2
obs = torch.sin(torch.arange(num_steps * num_envs * 3.0)).view(num_steps, num_envs, 3)
actions = (torch.arange(num_steps * num_envs) % 4).view(num_steps, num_envs)
rewards = torch.cos(torch.arange(num_steps * num_envs * 1.0)).view(num_steps, num_envs)
dones = torch.zeros((num_steps, num_envs))
dones[3, 1] = 1
with torch.no_grad():
    _, logprobs, _, values = agent.get_action_and_value(obs, actions)
    values = values.squeeze(-1)
    next_value = agent.critic(obs[0]).reshape(1, -1)
    advantages = torch.zeros_like(rewards)
    lastgaelam = 0
    for t in reversed(range(num_steps)):
        nextnonterminal = 1.0 - dones[t]
        nextvalues = next_value if t == num_steps - 1 else values[t + 1]
        delta = rewards[t] + gamma * nextvalues * nextnonterminal - values[t]
        advantages[t] = lastgaelam = delta + gamma * gae_lambda * nextnonterminal * lastgaelam
    returns = advantages + values
print(advantages)
b_obs, b_logprobs, b_actions = obs.reshape((-1, 3)), logprobs.reshape(-1), actions.reshape(-1)
b_advantages, b_returns, b_values = advantages.reshape(-1), returns.reshape(-1), values.reshape(-1)
for epoch in range(3):
    for start in range(0, 12, 6):
        mb = torch.arange(start, start + 6)
        _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[mb], b_actions.long()[mb])
        logratio = newlogprob - b_logprobs[mb]
        ratio = logratio.exp()
        with torch.no_grad():
            approx_kl = ((ratio - 1) - logratio).mean()
            clipfrac = ((ratio - 1.0).abs() > clip_coef).float().mean().item()
        adv = b_advantages[mb]
        adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        pg_loss = torch.max(-adv * ratio, -adv * torch.clamp(ratio, 1 - clip_coef, 1 + clip_coef)).mean()
        newvalue = newvalue.view(-1)
        v_clipped = b_values[mb] + torch.clamp(newvalue - b_values[mb], -clip_coef, clip_coef)
        v_loss = 0.5 * torch.max((newvalue - b_returns[mb]) ** 2, (v_clipped - b_returns[mb]) ** 2).mean()
        loss = pg_loss - 0.01 * entropy.mean() + v_loss * 0.5
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
        optimizer.step()
    print(f"{loss.item():.4f} {v_loss.item():.4f} {approx_kl.item():.5f} {clipfrac:.2f}")
mean = torch.tensor([[0.1, -0.2]])
dist = Normal(mean, agent.actor_logstd.expand_as(mean).exp())
print(dist.log_prob(torch.zeros(1, 2)).sum(1), dist.entropy().sum(), agent.actor_logstd.grad)
y_pred, y_true = b_values.cpu().numpy(), b_returns.cpu().numpy()
print(round(float(1 - (y_true - y_pred).var() / y_true.var()), 3))
