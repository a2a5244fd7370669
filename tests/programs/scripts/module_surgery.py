import copy
import pickle
from collections import OrderedDict

import torch
import torch.nn as nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.utils import _pair


class Block(nn.Module):
    expansion: int = 2

    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c * self.expansion, 1)
        self.bn = nn.BatchNorm2d(c * self.expansion)
        self.register_buffer("steps", torch.tensor(0), persistent=False)
        self.register_parameter("unused", None)
        self.drop_path = nn.Identity()

    def forward(self, x):
        self.steps += 1
        return self.drop_path(self.bn(self.conv(x)))

    def extra_repr(self):
        return f"expansion={self.expansion}"


net = nn.Sequential(OrderedDict([("stem", nn.Conv2d(1, 2, _pair(3))), ("block", Block(2)), ("pool", nn.AdaptiveAvgPool2d(1))]))
net.add_module("head", nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
print(net)
print([n for n, _ in net.named_modules()], [n for n, _ in net.named_parameters(recurse=False)])
print([n for n, b in net.named_buffers()], len(list(net.children())), net.block.unused is None)
x = torch.linspace(0, 1, 50).view(2, 1, 5, 5)
for m in net.modules():
    if isinstance(m, _BatchNorm):
        m.eval()
        m.track_running_stats = True
        m.weight.requires_grad_(False)
for i, p in enumerate(net.parameters()):
    p.data.fill_(0.1 * (i + 1))
net(x)
print(net(x).detach(), net.block.steps.item(), "block.steps" in net.state_dict())
state = net.state_dict()
renamed = OrderedDict((k.replace("head.1", "fc"), v) for k, v in state.items())
print(list(renamed)[-2:], state["head.1.bias"].requires_grad, state._metadata["block.bn"])
net.head[1] = nn.Linear(4, 3)
del net.stem
try:
    net(x)
except Exception as error:
    print(isinstance(error, RuntimeError))
clone = copy.deepcopy(net)
clone.head[1].weight.data.zero_()
print(net.head[1].weight.abs().sum().item() > 0, clone.head[1].weight is not net.head[1].weight)
layer = pickle.loads(pickle.dumps(net.head[1]))
print(torch.equal(layer.weight, net.head[1].weight), layer)
tied = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
tied["b"].weight = tied["a"].weight
print(len(list(tied.parameters())), len(tied.state_dict()), net.get_submodule("head.1").out_features)
net.double()
print(next(net.parameters()).dtype, net.to(torch.float32).head[1].weight.dtype, sum(1 for _ in net.modules()))
plist = nn.ParameterList([nn.Parameter(torch.ones(i + 1)) for i in range(3)])
print(plist, nn.ParameterDict({"w": nn.Parameter(torch.zeros(2))}).keys())
for p in plist:
    p.my_flag = True
print(all(p.my_flag for p in plist), net.training, net.eval().training)
