from collections import Counter

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

CONTEXT_SIZE = 2
raw_text = """We are about to study the idea of a computational process. Computational processes are abstract
beings that inhabit computers. As they evolve, processes manipulate other abstract things called data.""".lower().split()
vocab = sorted(set(raw_text))
word_to_ix = {word: i for i, word in enumerate(vocab)}
data = [
    ([raw_text[i + j] for j in (-2, -1, 1, 2)], raw_text[i]) for i in range(CONTEXT_SIZE, len(raw_text) - CONTEXT_SIZE)
]
print(data[0], len(vocab), Counter(raw_text).most_common(1))


class CBOW(nn.Module):
    def __init__(self, vocab_size, embedding_dim):
        super().__init__()
        self.embeddings = nn.Embedding(vocab_size, embedding_dim, max_norm=None)
        self.linear1 = nn.Linear(embedding_dim, vocab_size)

    def forward(self, inputs):
        embeds = self.embeddings(inputs).sum(dim=0).view(1, -1)
        return F.log_softmax(self.linear1(embeds), dim=1)


def make_context_vector(context, word_to_ix):
    return torch.tensor([word_to_ix[w] for w in context], dtype=torch.long)


model = CBOW(len(vocab), 6)
for i, p in enumerate(model.parameters()):
    p.data = torch.sin(torch.arange(p.numel()) * 1.2 + i).view(p.shape) * 0.5
optimizer = optim.SGD(model.parameters(), lr=0.05)
loss_function = nn.NLLLoss()
for epoch in range(2):
    total_loss = 0
    for context, target in data[:10]:
        model.zero_grad()
        log_probs = model(make_context_vector(context, word_to_ix))
        loss = loss_function(log_probs, torch.tensor([word_to_ix[target]], dtype=torch.long))
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    print(f"{total_loss:.3f}")
emb = F.normalize(model.embeddings.weight.detach(), dim=1)
sim = emb @ emb.T
sim.fill_diagonal_(-1)
print(f"{sim.max():.3f}", f"{F.cosine_similarity(emb[0], emb[1], dim=0):.3f}")
center, pos = emb[:3], emb[3:6]
neg = emb[6:15].view(3, 3, 6)
loss = -(F.logsigmoid((center * pos).sum(1)) + F.logsigmoid(-torch.bmm(neg, center.unsqueeze(2)).squeeze(2)).sum(1)).mean()
print(f"negative sampling {loss.item():.4f}")
