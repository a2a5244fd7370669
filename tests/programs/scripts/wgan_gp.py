import torch
import torch.autograd as autograd
import torch.nn as nn
from torch.autograd import Variable

cuda = True if torch.cuda.is_available() else False
Tensor = torch.cuda.FloatTensor if cuda else torch.FloatTensor


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(2, 16), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16, 1, bias=False)
        )

    def forward(self, x):
        return self.model(x.view(x.shape[0], -1))


def compute_gradient_penalty(D, real_samples, fake_samples, alpha):
    interpolates = (alpha * real_samples + ((1 - alpha) * fake_samples)).requires_grad_(True)
    d_interpolates = D(interpolates)
    fake = Variable(torch.ones_like(d_interpolates), requires_grad=False)
    gradients = autograd.grad(
        outputs=d_interpolates,
        inputs=interpolates,
        grad_outputs=fake,
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    gradients = gradients.view(gradients.size(0), -1)
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean()


generator, critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2)), Critic()
for net in (generator, critic):
    if cuda:
        net.cuda()
    for i, p in enumerate(net.parameters()):
        p.data.copy_(torch.sin(torch.arange(p.numel()) * 1.9 + i).reshape(p.shape) * 0.4)
optimizer_G = torch.optim.Adam(generator.parameters(), lr=0.02, betas=(0.5, 0.9))
optimizer_D = torch.optim.SGD(critic.parameters(), lr=0.02, momentum=0.5)
device = next(critic.parameters()).device
for i in range(6):
    t = torch.arange(12.0, device=device) * 0.5
    real = torch.stack([t.cos(), t.sin()], 1)
    z = torch.stack([(t * (i + 1)).sin(), (t + i).cos()], 1)
    optimizer_D.zero_grad()
    fake = generator(z)
    alpha = torch.linspace(0, 1, 12, device=device).unsqueeze(1)
    gp = compute_gradient_penalty(critic, real.data, fake.data, alpha)
    d_loss = -torch.mean(critic(real)) + torch.mean(critic(fake.detach())) + 10 * gp
    d_loss.backward()
    optimizer_D.step()
    if i % 2 == 0:
        optimizer_G.zero_grad()
        g_loss = -torch.mean(critic(generator(z)))
        g_loss.backward()
        optimizer_G.step()
        print("[D loss: %.4f] [G loss: %.4f] [GP %.4f]" % (d_loss.item(), g_loss.item(), gp))
print(Tensor is not None)
