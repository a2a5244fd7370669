import time
from enum import Enum

import torch
import torch.backends.cudnn as cudnn
import torch.nn as nn
import torch.nn.parallel
import torch.optim
import torch.utils.data
import torch.utils.data.distributed


class Summary(Enum):
    NONE = 0
    AVERAGE = 1


class AverageMeter:
    def __init__(self, name, fmt=":f", summary_type=Summary.AVERAGE):
        self.name, self.fmt = name, fmt
        self.reset()

    def reset(self):
        self.val = self.avg = self.sum = self.count = 0

    def update(self, val, n=1):
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count

    def __str__(self):
        fmtstr = "{name} {val" + self.fmt + "} ({avg" + self.fmt + "})"
        return fmtstr.format(**self.__dict__)


def accuracy(output, target, topk=(1,)):
    with torch.no_grad():
        maxk = max(topk)
        batch_size = target.size(0)
        _, pred = output.topk(maxk, 1, True, True)
        pred = pred.t()
        correct = pred.eq(target.view(1, -1).expand_as(pred))
        return [
            correct[:k].reshape(-1).float().sum(0, keepdim=True).mul_(100.0 / batch_size)
            for k in topk
        ]


class BasicBlock(nn.Module):
    def __init__(self, inplanes, planes, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = nn.Sequential(
            nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
        )

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return self.relu(out)


cudnn.benchmark = True
ngpus_per_node = torch.cuda.device_count() if torch.cuda.is_available() else 1
distributed = False
model = nn.Sequential(
    BasicBlock(3, 4),
    BasicBlock(4, 8, 2),
    nn.AdaptiveAvgPool2d((1, 1)),
    nn.Flatten(),
    nn.Linear(8, 6),
)
for m in model.modules():
    if isinstance(m, nn.Conv2d):
        nn.init.constant_(m.weight, 0.05)
        m.weight.data += 0.1 * torch.cos(torch.arange(m.weight.numel()).float()).view_as(m.weight)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.ones_(m.weight)
        nn.init.zeros_(m.bias)
    elif isinstance(m, nn.Linear):
        m.weight.data = torch.linspace(-1, 1, m.weight.numel()).view_as(m.weight)
        m.bias.data.zero_()
if torch.cuda.is_available():
    device = torch.device("cuda")
elif torch.backends.mps.is_available():
    device = torch.device("mps")
else:
    device = torch.device("cpu")
model = torch.nn.DataParallel(model).to(device)
criterion = nn.CrossEntropyLoss().to(device)
optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
losses, top1, top5 = (
    AverageMeter("Loss", ":.4f"),
    AverageMeter("Acc@1", ":6.2f"),
    AverageMeter("Acc@5", ":6.2f"),
)
end = time.time()
for i in range(4):
    images = (
        torch.sin(torch.arange(6 * 3 * 36).float() * (i + 1))
        .view(6, 3, 6, 6)
        .to(device, non_blocking=True)
    )
    target = ((torch.arange(6) + i) % 6).to(device, non_blocking=True)
    output = model(images)
    loss = criterion(output, target)
    acc1, acc5 = accuracy(output, target, topk=(1, 5))
    losses.update(loss.item(), images.size(0))
    top1.update(acc1[0].item(), images.size(0))
    top5.update(acc5[0].item(), images.size(0))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(losses, top1, top5)
print(sorted(model.state_dict())[:2], time.time() > end)
