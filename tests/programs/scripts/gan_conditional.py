import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable


class Generator(nn.Module):
    def __init__(self, n_classes=3, latent=4, out=6):
        super(Generator, self).__init__()
        self.label_emb = nn.Embedding(n_classes, n_classes)

        def block(in_feat, out_feat, normalize=True):
            layers = [nn.Linear(in_feat, out_feat)]
            if normalize:
                layers.append(nn.BatchNorm1d(out_feat, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(*block(latent + n_classes, 8, normalize=False), *block(8, 8), nn.Linear(8, out), nn.Tanh())

    def forward(self, noise, labels):
        return self.model(torch.cat((self.label_emb(labels), noise), -1))


class Discriminator(nn.Module):
    def __init__(self, n_classes=3, d=6):
        super(Discriminator, self).__init__()
        self.label_embedding = nn.Embedding(n_classes, n_classes)
        self.model = nn.Sequential(nn.Linear(n_classes + d, 8), nn.LeakyReLU(0.2), nn.Dropout(0.0), nn.Linear(8, 1))

    def forward(self, x, labels):
        return self.model(torch.cat((x, self.label_embedding(labels)), -1))


adversarial_loss = torch.nn.MSELoss()
G, D = Generator(), Discriminator()
if torch.cuda.is_available():
    G.cuda()
    D.cuda()
    adversarial_loss.cuda()
device = next(G.parameters()).device
for net in (G, D):
    for i, p in enumerate(net.parameters()):
        p.data.copy_((torch.sin(torch.arange(p.numel(), dtype=torch.float) * 0.9 + i) * 0.4).view_as(p))
oG = torch.optim.SGD(itertools.chain(G.parameters()), lr=0.05)
oD = torch.optim.SGD(D.parameters(), lr=0.05)
for i in range(4):
    labels = (torch.arange(9, device=device) + i) % 3
    real = torch.cos(torch.arange(54.0, device=device) * (i + 1)).view(9, 6)
    z = torch.sin(torch.arange(36.0, device=device) * (i + 2)).view(9, 4)
    valid = Variable(torch.ones(9, 1, device=device), requires_grad=False)
    fake = Variable(torch.zeros(9, 1, device=device), requires_grad=False)
    oG.zero_grad()
    gen = G(z, labels)
    g_loss = adversarial_loss(D(gen, labels), valid)
    g_loss.backward()
    oG.step()
    oD.zero_grad()
    d_loss = (adversarial_loss(D(real, labels), valid) + adversarial_loss(D(gen.detach(), labels), fake)) / 2
    d_loss.backward()
    oD.step()
    print("[Batch %d] [D loss: %f] [G loss: %f]" % (i, d_loss.item(), g_loss.item()))
G.eval()
print(G(z, labels).mean(0).cpu().detach())
