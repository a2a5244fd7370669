import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim

SOS_token, EOS_token, MAX_LENGTH = 0, 1, 6
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class EncoderRNN(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.embedding = nn.Embedding(input_size, hidden_size)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)

    def forward(self, input):
        return self.gru(self.embedding(input))


class BahdanauAttention(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.Wa = nn.Linear(hidden_size, hidden_size)
        self.Ua = nn.Linear(hidden_size, hidden_size)
        self.Va = nn.Linear(hidden_size, 1)

    def forward(self, query, keys):
        scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys)))
        scores = scores.squeeze(2).unsqueeze(1)
        weights = F.softmax(scores, dim=-1)
        return torch.bmm(weights, keys), weights


class AttnDecoderRNN(nn.Module):
    def __init__(self, hidden_size, output_size):
        super().__init__()
        self.embedding = nn.Embedding(output_size, hidden_size)
        self.attention = BahdanauAttention(hidden_size)
        self.gru = nn.GRU(2 * hidden_size, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, output_size)

    def forward(self, encoder_outputs, encoder_hidden, target_tensor=None):
        batch_size = encoder_outputs.size(0)
        decoder_input = torch.empty(batch_size, 1, dtype=torch.long, device=device).fill_(SOS_token)
        decoder_hidden = encoder_hidden
        outputs, attentions = [], []
        for i in range(MAX_LENGTH):
            embedded = self.embedding(decoder_input)
            query = decoder_hidden.permute(1, 0, 2)
            context, attn_weights = self.attention(query, encoder_outputs)
            out, decoder_hidden = self.gru(torch.cat((embedded, context), dim=2), decoder_hidden)
            out = self.out(out)
            outputs.append(out)
            attentions.append(attn_weights)
            if target_tensor is not None:
                decoder_input = target_tensor[:, i].unsqueeze(1)
            else:
                _, topi = out.topk(1)
                decoder_input = topi.squeeze(-1).detach()
        return (
            F.log_softmax(torch.cat(outputs, dim=1), dim=-1),
            decoder_hidden,
            torch.cat(attentions, dim=1),
        )


encoder, decoder = EncoderRNN(9, 6).to(device), AttnDecoderRNN(6, 9).to(device)
for net in (encoder, decoder):
    for i, p in enumerate(net.parameters()):
        p.data = (torch.sin(torch.arange(p.numel()) * 0.6 + i) * 0.3).view(p.size()).to(device)
eo, do = optim.Adam(encoder.parameters(), lr=0.01), optim.Adam(decoder.parameters(), lr=0.01)
src = (torch.arange(4 * MAX_LENGTH).view(4, -1) * 5 % 7 + 2).to(device)
tgt = src.flip(1)
criterion = nn.NLLLoss()
for epoch in range(6):
    eo.zero_grad()
    do.zero_grad()
    enc_out, enc_hid = encoder(src)
    dec_out, _, attn = decoder(enc_out, enc_hid, tgt)
    loss = criterion(dec_out.view(-1, dec_out.size(-1)), tgt.view(-1))
    loss.backward()
    eo.step()
    do.step()
    print(f"{epoch} {loss.item():.4f}")
print(attn.shape, attn[0].sum(-1).mean().item())
