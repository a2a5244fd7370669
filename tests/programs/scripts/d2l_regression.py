# a book's classes: data module, module, trainer
import collections
import inspect

import torch
from torch import nn


def add_to_class(Class):
    def wrapper(obj):
        setattr(Class, obj.__name__, obj)

    return wrapper


class HyperParameters:
    def save_hyperparameters(self, ignore=[]):
        frame = inspect.currentframe().f_back
        _, _, _, local_vars = inspect.getargvalues(frame)
        self.hparams = {
            k: v
            for k, v in local_vars.items()
            if k not in set(ignore + ["self"]) and not k.startswith("_")
        }
        for k, v in self.hparams.items():
            setattr(self, k, v)


class Module(nn.Module, HyperParameters):
    def forward(self, X):
        assert hasattr(self, "net"), "Neural network is defined"
        return self.net(X)

    def training_step(self, batch):
        return self.loss(self(*batch[:-1]), batch[-1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class SyntheticRegressionData(HyperParameters):
    def __init__(self, w, b, n=32, batch_size=8):
        self.save_hyperparameters()
        self.X = torch.sin(torch.arange(n * len(w)) * 1.7).reshape(n, len(w))
        self.y = torch.matmul(self.X, w.reshape((-1, 1))) + b

    def get_dataloader(self, train):
        tensors = (self.X, self.y)
        dataset = torch.utils.data.TensorDataset(*tensors)
        return torch.utils.data.DataLoader(dataset, self.batch_size, shuffle=False)


class LinearRegression(Module):
    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.LazyLinear(1)

    @property
    def w(self):
        return self.net.weight

    def loss(self, y_hat, y):
        return nn.functional.mse_loss(y_hat, y)


@add_to_class(LinearRegression)
def get_w_b(self):
    return (self.net.weight.data, self.net.bias.data)


data = SyntheticRegressionData(w=torch.tensor([2, -3.4]), b=4.2)
model = LinearRegression(lr=0.2)
print(model.net)
loader = data.get_dataloader(True)
model(next(iter(loader))[0])
model.net.weight.data.fill_(0.01)
model.net.bias.data.fill_(0)
optim = model.configure_optimizers()
history = collections.OrderedDict()
for epoch in range(6):
    for batch in loader:
        loss = model.training_step(batch)
        optim.zero_grad()
        with torch.no_grad():
            loss.backward()
            optim.step()
    history[epoch] = float(loss)
print({k: round(v, 4) for k, v in history.items()})
w, b = model.get_w_b()
print(f"error in estimating w: {data.w - w.reshape(data.w.shape)}")
print(f"error in estimating b: {data.b - b}", model.hparams)
