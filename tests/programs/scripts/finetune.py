# freezing, parameter groups, accumulation, early stopping, the best weights
import copy

import torch
import torch.nn as nn


class EarlyStopping:
    def __init__(self, patience=2, min_delta=0.0):
        self.patience, self.min_delta, self.counter = patience, min_delta, 0
        self.best_loss, self.best_weights = None, None

    def __call__(self, model, val_loss):
        if self.best_loss is None or self.best_loss - val_loss >= self.min_delta:
            self.best_loss, self.counter = val_loss, 0
            self.best_weights = copy.deepcopy(model.state_dict())
            return False
        self.counter += 1
        return self.counter >= self.patience


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.backbone(x))


model = Net()
for i, p in enumerate(model.parameters()):
    p.data = torch.cos(torch.arange(p.numel()) * 0.6 + i).view(p.shape) * 0.4
for param in model.backbone.parameters():
    param.requires_grad = False
model.head = nn.Linear(model.head.in_features, 4)
nn.init.constant_(model.head.weight, 0.05)
nn.init.zeros_(model.head.bias)
print(
    sum(p.numel() for p in model.parameters()),
    sum(p.numel() for p in model.parameters() if p.requires_grad),
)
for param in model.backbone[2].parameters():
    param.requires_grad = True
optimizer = torch.optim.Adam(
    [{"params": model.backbone[2].parameters(), "lr": 1e-3}, {"params": model.head.parameters()}],
    lr=5e-2,
)
X = torch.sin(torch.arange(120.0) * 0.37).view(24, 5)
y = torch.arange(24) % 4
criterion = nn.CrossEntropyLoss(label_smoothing=0.05, weight=torch.tensor([1.0, 2.0, 1.0, 0.5]))
accumulation_steps, stopper = 3, EarlyStopping()
for epoch in range(10):
    model.train()
    optimizer.zero_grad()
    for i, (inputs, labels) in enumerate(zip(X.split(4), y.split(4))):
        loss = criterion(model(inputs), labels) / accumulation_steps
        loss.backward()
        if (i + 1) % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()
    model.eval()
    with torch.inference_mode():
        val = criterion(model(X), y).item() + (0.5 if epoch > 4 else 0)
    if stopper(model, val):
        print(f"stopped at {epoch}")
        break
model.load_state_dict(stopper.best_weights)
print(
    f"{stopper.best_loss:.4f}",
    [g["lr"] for g in optimizer.param_groups],
    model.backbone[0].weight.grad,
)
print(model)
