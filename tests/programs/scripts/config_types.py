# a command line from the signature of a model, and modules made from a config by name
import inspect, typing, importlib, torch, torch.nn as nn, pickle, io


class Net(nn.Module):
    hidden: int

    def __init__(self, width: int, hidden: int = 4, act: str = "torch.nn.ReLU", bias: bool = True):
        super().__init__()
        self.hidden = hidden
        module, name = act.rsplit(".", 1)
        self.seq = nn.Sequential(
            nn.Linear(width, hidden, bias),
            getattr(importlib.import_module(module), name)(),
            nn.Linear(hidden, 1),
        )

    def forward(self, x):
        return self.seq(x)


hints = typing.get_type_hints(Net.__init__)
print(hints)
args = {
    k: hints[k](v)
    for k, v in {"width": "3", "hidden": "5", "act": "torch.nn.modules.activation.Tanh"}.items()
}
net = Net(**args)
print(net)
print(sorted(typing.get_type_hints(Net))[:4] and "hidden" in typing.get_type_hints(Net))
print(
    list(inspect.signature(nn.Linear).parameters),
    inspect.signature(nn.Linear).parameters["bias"].default,
)
print(
    {
        k: v
        for k, v in typing.get_type_hints(nn.Linear.__init__).items()
        if k != "return" and v in (int, bool)
    }
)
b = pickle.dumps(net.seq)
again = pickle.loads(b)
print(type(again), torch.equal(again[0].weight, net.seq[0].weight))
f = io.BytesIO()
torch.save(net.seq, f)
f.seek(0)
print(type(torch.load(f, weights_only=False)[1]))
registry = {}
for name, kind in vars(nn).items():
    if (
        isinstance(kind, type)
        and issubclass(kind, nn.Module)
        and kind.__module__ == "torch.nn.modules.pooling"
    ):
        registry[name] = kind
print(sorted(registry)[:5], len(registry) > 15)


def where(fn):
    return fn.__module__


print(
    where(nn.functional.softmax),
    where(nn.init.kaiming_uniform_),
    where(torch.nn.utils.clip_grad_norm_),
)
for kind in (nn.Linear, nn.Conv2d, torch.optim.Adam):
    print(inspect.getsource(kind).split("(")[0])
