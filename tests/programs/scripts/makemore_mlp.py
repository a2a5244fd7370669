# backpropagation by hand through batch norm, compared with autograd
import torch
import torch.nn.functional as F

n, d, h, v = 16, 4, 10, 6
C = torch.sin(torch.arange(v * d).float()).view(v, d)
W1 = torch.cos(torch.arange(3 * d * h) * 0.7).view(3 * d, h) * 0.3
W2 = torch.sin(torch.arange(h * v) * 1.3).view(h, v) * 0.2
b2 = torch.linspace(-0.1, 0.1, v)
bngain, bnbias = torch.ones((1, h)) * 1.1, torch.ones((1, h)) * 0.05
parameters = [C, W1, W2, b2, bngain, bnbias]
for p in parameters:
    p.requires_grad = True
Xb = torch.arange(n * 3).view(n, 3) * 5 % v
Yb = torch.arange(n) * 7 % v


def cmp(s, dt, t):
    app = torch.allclose(dt, t.grad, atol=1e-5)
    maxdiff = (dt - t.grad).abs().max().item()
    print(f"{s:15s} | approximate: {app!s:5s} | small: {maxdiff < 1e-5}")


emb = C[Xb]
embcat = emb.view(emb.shape[0], -1)
hprebn = embcat @ W1
bnmeani = 1 / n * hprebn.sum(0, keepdim=True)
bndiff = hprebn - bnmeani
bnvar = 1 / (n - 1) * (bndiff**2).sum(0, keepdim=True)
bnvar_inv = (bnvar + 1e-5) ** -0.5
bnraw = bndiff * bnvar_inv
hpreact = bngain * bnraw + bnbias
hid = torch.tanh(hpreact)
logits = hid @ W2 + b2
loss = F.cross_entropy(logits, Yb)
for t in [logits, hid, hpreact, bnraw, hprebn, emb]:
    t.retain_grad()
loss.backward()
print(loss)

dlogits = F.softmax(logits, 1)
dlogits[range(n), Yb] -= 1
dlogits /= n
dh = dlogits @ W2.T
dhpreact = (1.0 - hid**2) * dh
dbnraw = bngain * dhpreact
dhprebn = (
    bngain
    * bnvar_inv
    / n
    * (n * dhpreact - dhpreact.sum(0) - n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0))
)
demb = (dhprebn @ W1.T).view(emb.shape)
dC = torch.zeros_like(C)
for k in range(Xb.shape[0]):
    for j in range(Xb.shape[1]):
        dC[Xb[k, j]] += demb[k, j]
cmp("logits", dlogits, logits)
cmp("h", dh, hid)
cmp("hpreact", dhpreact, hpreact)
cmp("hprebn", dhprebn, hprebn)
cmp("emb", demb, emb)
cmp("C", dC, C)
cmp("W2", hid.T @ dlogits, W2)
cmp("b2", dlogits.sum(0), b2)
print(C.grad[:2])
