# counting and training a bigram model of names
import torch
import torch.nn.functional as F

words = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "amelia", "ella"]
chars = sorted(set("".join(words)))
stoi = {s: i + 1 for i, s in enumerate(chars)}
stoi["."] = 0
itos = {i: s for s, i in stoi.items()}
n = len(stoi)
N = torch.zeros((n, n), dtype=torch.int32)
xs, ys = [], []
for w in words:
    chs = ["."] + list(w) + ["."]
    for ch1, ch2 in zip(chs, chs[1:]):
        N[stoi[ch1], stoi[ch2]] += 1
        xs.append(stoi[ch1])
        ys.append(stoi[ch2])
print(N[0], N.sum().item())
P = (N + 1).float()
P /= P.sum(1, keepdim=True)
log_likelihood = sum(torch.log(P[a, b]) for a, b in zip(xs, ys))
print(f"{log_likelihood=:.4f}", f"nll {-log_likelihood / len(xs)}")

xs, ys = torch.tensor(xs), torch.tensor(ys)
W = torch.linspace(-1, 1, n * n).view(n, n).requires_grad_()
for k in range(20):
    xenc = F.one_hot(xs, num_classes=n).float()
    logits = xenc @ W
    counts = logits.exp()
    probs = counts / counts.sum(1, keepdims=True)
    loss = -probs[torch.arange(len(xs)), ys].log().mean() + 0.01 * (W**2).mean()
    W.grad = None
    loss.backward()
    W.data += -10 * W.grad
print(loss.item())
ix, out = 0, []
while len(out) < 6:
    ix = P[ix].argmax().item()
    out.append(itos[ix])
    if ix == 0:
        break
print("".join(out))
