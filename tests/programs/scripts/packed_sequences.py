import torch
import torch.nn as nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence


class Tagger(nn.Module):
    def __init__(self, vocab, tags):
        super().__init__()
        self.emb = nn.Embedding(vocab, 5, padding_idx=0)
        self.lstm = nn.LSTM(5, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.out = nn.Linear(8, tags)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.emb(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, (h, c) = self.lstm(packed)
        out, _ = pad_packed_sequence(out, batch_first=True)
        return self.out(out), h


sentences = [torch.tensor([1, 2, 3, 4]), torch.tensor([5, 6]), torch.tensor([7, 1, 2])]
lengths = torch.tensor([len(s) for s in sentences])
x = pad_sequence(sentences, batch_first=True)
model = Tagger(8, 3)
for i, p in enumerate(model.parameters()):
    p.data = torch.sin(torch.arange(p.numel()) * 0.5 + i).view(p.shape) * 0.4
logits, h = model(x, lengths)
print(logits.shape, h.shape, logits[1, 1], h[-1].sum().item())
mask = torch.arange(x.size(1))[None] < lengths[:, None]
targets = (x * 2) % 3
loss = nn.functional.cross_entropy(logits[mask], targets[mask])
loss.backward()
print(f"{loss.item():.4f}", model.emb.weight.grad.norm().item(), mask.sum().item())
packed = pack_sequence([s.float()[:, None] for s in sentences], enforce_sorted=False)
print([int(n) for n in packed.batch_sizes], packed.data.flatten(), [int(i) for i in packed.sorted_indices], isinstance(packed, PackedSequence))
gru = nn.GRU(1, 2)
for p in gru.parameters():
    p.data.fill_(0.1)
out, hn = gru(packed)
print(hn.shape, pad_packed_sequence(out)[0].shape, hn.sum().item())
scores = torch.sin(torch.arange(6 * 2 * 4.0)).view(6, 2, 4).requires_grad_()
log_probs = torch.log_softmax(scores, 2)
ctc = nn.CTCLoss(blank=0)(log_probs, torch.tensor([[1, 2, 3], [1, 1, 0]]), torch.tensor([6, 5]), torch.tensor([3, 2]))
ctc.backward()
print(f"{ctc.item():.4f}", scores.grad.abs().sum().item())
cell, hx = nn.GRUCell(3, 4), torch.zeros(2, 4)
for p in cell.parameters():
    p.data.fill_(0.2)
for t in range(3):
    hx = cell(torch.ones(2, 3) * t, hx)
print(hx)
