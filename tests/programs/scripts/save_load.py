import os
import tempfile

import torch
import torch.nn as nn
import torch.optim as optim


class TheModelClass(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.bn = nn.BatchNorm2d(2)
        self.fc1 = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc1(torch.relu(self.bn(self.conv1(x))).flatten(1))


device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
model = TheModelClass()
for i, p in enumerate(model.parameters()):
    p.data = torch.sin(torch.arange(p.numel()) + i).view(p.shape) / 2 + 0.1
model.to(device)
optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
x = torch.linspace(-1, 1, 32).view(2, 1, 4, 4).to(device)
for _ in range(3):
    optimizer.zero_grad()
    loss = model(x).pow(2).mean()
    loss.backward()
    optimizer.step()
for param_tensor in model.state_dict():
    print(param_tensor, "\t", model.state_dict()[param_tensor].size())
for var_name in optimizer.state_dict():
    print(var_name, "\t", len(optimizer.state_dict()[var_name]))
with tempfile.TemporaryDirectory() as folder:
    PATH = os.path.join(folder, "checkpoint.pt")
    torch.save(
        {
            "epoch": 3,
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "loss": loss,
        },
        PATH,
    )
    checkpoint = torch.load(PATH, map_location=device, weights_only=True)
    again = TheModelClass().to(device)
    print(again.load_state_dict(checkpoint["model_state_dict"]))
    opt2 = optim.SGD(again.parameters(), lr=0.5, momentum=0.1)
    opt2.load_state_dict(checkpoint["optimizer_state_dict"])
    print(checkpoint["epoch"], checkpoint["loss"].item(), opt2.param_groups[0]["lr"])
    model.eval(), again.eval()
    print(torch.equal(model(x), again(x)))
    torch.save(model.state_dict(), PATH)
    cpu = torch.load(PATH, map_location=torch.device("cpu"))
    print(cpu["fc1.bias"].device, cpu["bn.num_batches_tracked"], cpu["conv1.weight"].sum().item())
    strict = TheModelClass()
    del cpu["fc1.bias"]
    cpu["extra"] = torch.zeros(1)
    print(strict.load_state_dict(cpu, strict=False))
    try:
        strict.load_state_dict(cpu)
    except RuntimeError as error:
        print(type(error).__name__, "fc1.bias" in str(error))
