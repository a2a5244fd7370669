import math

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import Transformer
from torch.nn.utils.rnn import pad_sequence

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PAD_IDX, BOS_IDX, EOS_IDX = 1, 2, 3


class PositionalEncoding(nn.Module):
    def __init__(self, emb_size: int, dropout: float, maxlen: int = 50):
        super().__init__()
        den = torch.exp(-torch.arange(0, emb_size, 2) * math.log(10000) / emb_size)
        pos = torch.arange(0, maxlen).reshape(maxlen, 1)
        pos_embedding = torch.zeros((maxlen, emb_size))
        pos_embedding[:, 0::2] = torch.sin(pos * den)
        pos_embedding[:, 1::2] = torch.cos(pos * den)
        pos_embedding = pos_embedding.unsqueeze(-2)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("pos_embedding", pos_embedding)

    def forward(self, token_embedding: Tensor):
        return self.dropout(token_embedding + self.pos_embedding[: token_embedding.size(0), :])


class Seq2SeqTransformer(nn.Module):
    def __init__(self, emb, vocab):
        super().__init__()
        self.transformer = Transformer(emb, 2, 1, 1, 2 * emb, dropout=0.0)
        self.generator = nn.Linear(emb, vocab)
        self.tok = nn.Embedding(vocab, emb)
        self.positional_encoding = PositionalEncoding(emb, dropout=0.0)
        self.emb = emb

    def forward(self, src, trg, src_mask, tgt_mask, src_padding_mask, tgt_padding_mask):
        s = self.positional_encoding(self.tok(src.long()) * math.sqrt(self.emb))
        t = self.positional_encoding(self.tok(trg.long()) * math.sqrt(self.emb))
        outs = self.transformer(
            s, t, src_mask, tgt_mask, None, src_padding_mask, tgt_padding_mask, src_padding_mask
        )
        return self.generator(outs)


def generate_square_subsequent_mask(sz):
    mask = (torch.triu(torch.ones((sz, sz), device=DEVICE)) == 1).transpose(0, 1)
    return mask.float().masked_fill(mask == 0, float("-inf")).masked_fill(mask == 1, 0.0)


sentences = [[4, 5, 6, 7], [5, 9], [8, 4, 6]]
tensors = [
    torch.cat((torch.tensor([BOS_IDX]), torch.tensor(s), torch.tensor([EOS_IDX])))
    for s in sentences
]
src = pad_sequence(tensors, padding_value=PAD_IDX).to(DEVICE)
model = Seq2SeqTransformer(8, 10).to(DEVICE)
for i, p in enumerate(model.parameters()):
    if p.dim() > 1:
        p.data.copy_(torch.sin(torch.arange(p.numel()) * 0.83 + i).view_as(p) * 0.3)
    else:
        p.data.fill_(0.9)
loss_fn = torch.nn.CrossEntropyLoss(ignore_index=PAD_IDX)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, betas=(0.9, 0.98), eps=1e-9)
for epoch in range(4):
    tgt_input, tgt_out = src[:-1, :], src[1:, :]
    tgt_mask = generate_square_subsequent_mask(tgt_input.shape[0])
    src_mask = torch.zeros((src.shape[0], src.shape[0]), device=DEVICE).type(torch.bool).float()
    sp, tp = (
        (src == PAD_IDX).transpose(0, 1).float() * -1e9,
        (tgt_input == PAD_IDX).transpose(0, 1).float() * -1e9,
    )
    logits = model(src, tgt_input, src_mask, tgt_mask, sp, tp)
    optimizer.zero_grad()
    loss = loss_fn(logits.reshape(-1, logits.shape[-1]), tgt_out.reshape(-1))
    loss.backward()
    optimizer.step()
    print(f"Epoch: {epoch}, Train loss: {loss.item():.3f}")
