import torch
import torch.nn as nn
import torch.nn.functional as F


def make(sizes):
    layers = []
    for i in range(len(sizes) - 1):
        layers.append(nn.Linear(sizes[i], sizes[i + 1]))
        if i < len(sizes) - 2:
            layers.append(nn.ReLU())
    model = nn.Sequential(*layers)
    for k, p in enumerate(model.parameters()):
        p.data = torch.sin(torch.arange(p.numel()) * 0.7 + k).view(p.shape) * 0.6
    return model


teacher, student = make([5, 12, 12, 4]), make([5, 4, 4])
X = torch.cos(torch.arange(100) * 0.61).view(20, 5)
y = torch.arange(20) % 4
T, soft_target_loss_weight, ce_loss_weight = 2, 0.25, 0.75
ce_loss = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
teacher.eval()
student.train()
for epoch in range(6):
    optimizer.zero_grad()
    with torch.no_grad():
        teacher_logits = teacher(X)
    student_logits = student(X)
    soft_targets = nn.functional.softmax(teacher_logits / T, dim=-1)
    soft_prob = nn.functional.log_softmax(student_logits / T, dim=-1)
    soft_targets_loss = torch.sum(soft_targets * (soft_targets.log() - soft_prob)) / soft_prob.size()[0] * (T**2)
    kl = F.kl_div(soft_prob, soft_targets, reduction="batchmean") * T**2
    loss = soft_target_loss_weight * soft_targets_loss + ce_loss_weight * ce_loss(student_logits, y)
    loss.backward()
    optimizer.step()
    print(f"Epoch {epoch + 1}, Loss: {loss.item():.4f} {torch.isclose(kl, soft_targets_loss, atol=1e-5).item()}")
print((teacher(X).argmax(1) == student(X).argmax(1)).float().mean().item() >= 0)
hard = F.gumbel_softmax(torch.tensor([[0.0, 100.0, 0.0]]), tau=0.1, hard=True)
print(hard, F.hardswish(X[0]), F.one_hot(y[:3], 4).sum().item())
losses = {"huber": F.huber_loss(X, X.flip(0), delta=0.5), "l1": F.l1_loss(X, X.flip(0)), "poisson": F.poisson_nll_loss(X, X.abs()),
          "margin": F.multi_margin_loss(student(X), y), "soft": F.soft_margin_loss(X, X.sign()), "bce": F.binary_cross_entropy_with_logits(X, (X > 0).float(), pos_weight=torch.full((5,), 2.0))}
print({k: round(v.item(), 3) for k, v in losses.items()})
