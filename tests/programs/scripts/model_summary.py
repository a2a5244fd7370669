# a model summary by hooks, as torchsummary does it
import torch, torch.nn as nn
from collections import OrderedDict


def summary(model, size):
    rows, hooks = OrderedDict(), []

    def register(module):
        def hook(m, i, o):
            name = str(m.__class__).split(".")[-1].split("'")[0]
            key = f"{name}-{len(rows) + 1}"
            n = sum(p.numel() for p in m.parameters(recurse=False))
            rows[key] = (list(o.size()), n, m.__class__.__module__)

        if not isinstance(module, (nn.Sequential, nn.ModuleList)) and module is not model:
            hooks.append(module.register_forward_hook(hook))

    model.apply(register)
    model(torch.rand(2, *size))
    for h in hooks:
        h.remove()
    for k, v in rows.items():
        print(f"{k:<16} {str(v[0]):<20} {v[1]:>8,} {v[2]}")
    print("total", sum(v[1] for v in rows.values()))


net = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1),
    nn.BatchNorm2d(8),
    nn.ReLU(inplace=True),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.1),
    nn.Linear(8 * 16, 10),
    nn.LogSoftmax(1),
)
summary(net.eval(), (3, 8, 8))
print(
    type(net),
    type(net[0].weight),
    type(torch.zeros(1)),
    type(net[0].weight.dtype),
    type(torch.Size([1])),
)
print([type(m).__module__ for m in net], nn.Module.__module__)
is_leaf = lambda m: m.__module__.startswith("torch.nn") and not isinstance(m, nn.Sequential)
print([is_leaf(m) for m in net], torch.typename(net[2]))
print(
    torch.optim.SGD,
    torch.optim.lr_scheduler.StepLR,
    torch.utils.data.DataLoader,
    torch.utils.data.TensorDataset,
    torch.distributions.Normal,
)
for k in (
    nn.CrossEntropyLoss,
    nn.LSTM,
    nn.MultiheadAttention,
    nn.Transformer,
    nn.Embedding,
    nn.GRUCell,
    nn.ModuleDict,
    nn.utils.parametrize.ParametrizationList,
):
    print(k)
