# decoding: temperature, top-k, top-p, beams, repetition
import torch
import torch.nn.functional as F

logits = torch.tensor([2.0, 1.0, 0.5, -1.0, 3.0, 0.0])


def top_k_top_p_filtering(logits, top_k=0, top_p=0.0, filter_value=-float("Inf")):
    logits = logits.clone()
    if top_k > 0:
        indices_to_remove = logits < torch.topk(logits, top_k)[0][..., -1, None]
        logits[indices_to_remove] = filter_value
    if top_p > 0.0:
        sorted_logits, sorted_indices = torch.sort(logits, descending=True)
        cumulative_probs = torch.cumsum(F.softmax(sorted_logits, dim=-1), dim=-1)
        sorted_indices_to_remove = cumulative_probs > top_p
        sorted_indices_to_remove[..., 1:] = sorted_indices_to_remove[..., :-1].clone()
        sorted_indices_to_remove[..., 0] = 0
        logits[sorted_indices[sorted_indices_to_remove]] = filter_value
    return logits


print(top_k_top_p_filtering(logits, top_k=3), top_k_top_p_filtering(logits, top_p=0.8))
print(F.softmax(logits / 0.5, -1), F.softmax(logits / 2.0, dim=-1).max())
torch.manual_seed(1337)
draws = torch.multinomial(F.softmax(logits, -1), 2000, replacement=True)
freq = torch.bincount(draws, minlength=6) / 2000
print((freq - F.softmax(logits, -1)).abs().max() < 0.05, draws.shape, torch.multinomial(torch.tensor([0.0, 1.0]), 1))
W = torch.sin(torch.arange(36.0)).view(6, 6) * 2


def beam_search(start, steps, k):
    beams = [([start], 0.0)]
    for _ in range(steps):
        candidates = []
        for seq, score in beams:
            logp = F.log_softmax(W[seq[-1]], dim=-1)
            top = logp.topk(k)
            for lp, ix in zip(top.values.tolist(), top.indices.tolist()):
                candidates.append((seq + [ix], score + lp))
        beams = sorted(candidates, key=lambda c: -c[1])[:k]
    return beams


for seq, score in beam_search(0, 4, 2):
    print(seq, f"{score:.4f}")
seen = torch.tensor([4, 0])
score = torch.gather(logits, 0, seen)
score = torch.where(score < 0, score * 1.2, score / 1.2)
print(logits.scatter(0, seen, score), logits.index_fill(0, seen, 0.0))
g = torch.Generator().manual_seed(1)
a, b = torch.rand(3, generator=g), torch.rand(3, generator=g)
g.manual_seed(1)
print(torch.equal(a, torch.rand(3, generator=g)), not torch.equal(a, b), torch.randperm(5).sort().values, torch.randint(3, 4, (2,)))
state = torch.get_rng_state()
first = torch.randn(4)
torch.set_rng_state(state)
print(torch.equal(first, torch.randn(4)), torch.initial_seed(), torch.normal(0.0, 1.0, (3,)).shape, torch.bernoulli(torch.ones(2)))
