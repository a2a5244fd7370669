"""What type checkers see of modules, losses, optimizers, loaders and compiled steps."""

from __future__ import annotations

from typing import assert_type

import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import Tensor, nn, optim
from tabgrad.utils.data import DataLoader, TensorDataset


class Model(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Linear(4, width)
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.norm(self.first(x))))


x, labels = tg.rand(6, 4), tg.zeros(6, dtype=tg.int64)
layer = nn.Linear(4, 3)
assert_type(layer(x), Tensor)
assert_type(layer.weight, nn.Parameter)
assert_type(nn.Conv2d(1, 2, 3)(x), Tensor)
assert_type(nn.ReLU()(x), Tensor)
assert_type(nn.BatchNorm1d(4)(x), Tensor)
assert_type(nn.Dropout(0.5)(x), Tensor)
assert_type(nn.Embedding(3, 4)(labels), Tensor)
assert_type(nn.CrossEntropyLoss(label_smoothing=0.1)(x, labels), Tensor)
assert_type(F.softmax(x, dim=1), Tensor)
assert_type(F.cross_entropy(x, labels), Tensor)
assert_type(F.linear(x, layer.weight, layer.bias), Tensor)
assert_type(F.normalize(x), Tensor)

model = Model()
assert_type(list(model.parameters()), list[nn.Parameter])
assert_type(model.train().eval(), Model)
assert_type(model.to("cpu"), Model)

optimizer = optim.Adam(model.parameters(), lr=1e-3, foreach=True, maximize=False)
schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2)
assert_type(optimizer.zero_grad(), None)


@tg.compile
def step(x: Tensor, labels: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), labels)
    loss.backward()
    optimizer.step()
    return loss.detach()


assert_type(step(x, labels), Tensor)
assert_type(tg.compile(model), Model)
assert_type(tg.compile(model, dynamic=True), Model)
assert_type(tg.compiler.explain(x + 1), tg.compiler.ValueExplanation)
assert_type(tg.compiler.explain(step, x), tg.compiler.Explanation)

data = TensorDataset(x, labels)
assert_type(data[0], tuple[Tensor, ...])
assert_type(len(data), int)
for batch, _ in DataLoader(data, batch_size=2, shuffle=True):
    step(batch, labels)

with tg.no_grad(), tg.device("cpu"):
    accuracy = (model(x).argmax(1) == labels).float().mean()


def refused() -> None:
    """What is not taken is told: an ignored error that is none is an error of mypy's."""
    nn.Linear("4", 3)  # type: ignore[arg-type]
    optim.SGD(model.parameters(), momentun=0.9)  # type: ignore[call-arg]
    tg.sum(x, axes=0)  # type: ignore[call-overload]
    x.exp(2)  # type: ignore[call-arg]
    x.shape.foo  # type: ignore[attr-defined] # noqa: B018
