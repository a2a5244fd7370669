"""Modules as estimators of scikit-learn: for pipelines, cross-validation and searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

import tabgrad as tg

Tensor = tg.Tensor


class _NeuralEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: parameters as scikit-learn wants them, and training."""

    def __init__(
        self,
        module: Callable[..., tg.nn.Module],
        *,
        module_params: dict[str, Any] | None = None,
        criterion: Callable[[Tensor, Tensor], Tensor] | None = None,
        optimizer: Callable[..., tg.optim.Optimizer] = tg.optim.Adam,
        lr: float = 1e-3,
        max_epochs: int = 20,
        batch_size: int = 128,
        device: Any = None,
        random_state: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.module = module
        self.module_params = module_params
        self.criterion = criterion
        self.optimizer = optimizer
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _train(self, X: Any, y: Any, criterion: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Fit a new module to arrays; sets `module_` and `history_`, the mean loss of each epoch."""
        if self.random_state is not None:
            tg.manual_seed(self.random_state)
        device = (
            tg.device(self.device).place if self.device is not None else tg.get_default_device()
        )
        with device:
            module = self.module(**(self.module_params or {}))
        self.module_ = module.to(device)
        self.device_ = device
        optimizer = self.optimizer(self.module_.parameters(), lr=self.lr)
        inputs, targets = tg.tensor(X, device=device), tg.tensor(y, device=device)

        @tg.compile
        def step(x: Tensor, target: Tensor) -> Tensor:
            optimizer.zero_grad()
            loss = criterion(self.module_(x), target)
            loss.backward()
            optimizer.step()
            return loss.detach()

        self.history_: list[float] = []
        self.module_.train()
        for epoch in range(self.max_epochs):
            order = tg.randperm(len(inputs), device=device).split(self.batch_size)
            losses = [step(inputs[rows], targets[rows]) * len(rows) for rows in order]
            self.history_.append(tg.stack(losses).sum().item() / len(inputs))
            if self.verbose:
                print(f"epoch {epoch + 1}/{self.max_epochs}: loss {self.history_[-1]:.4f}")

    def _outputs(self, X: Any) -> Tensor:
        """Return what the module computes for rows of X, on the CPU."""
        check_is_fitted(self, "module_")
        X = validate_data(self, X, reset=False, dtype=np.float32, allow_nd=True)
        self.module_.eval()
        with tg.no_grad():
            parts = tg.tensor(X, device=self.device_).split(max(self.batch_size, 1))
            return tg.cat([self.module_(part) for part in parts]).cpu()


class NeuralClassifier(ClassifierMixin, _NeuralEstimator):  # type: ignore[misc]
    """A module as a classifier of scikit-learn.

    `module(**module_params)` makes a module from rows of features, float32 of shape (n, ...), to logits, of
    shape (n, classes). `fit` makes a new one and minimises `criterion` (by default cross-entropy) with
    `optimizer` for `max_epochs` passes over shuffled batches. Then `predict`, `predict_proba`, `score` answer,
    `classes_` are the labels, `history_` is the mean loss of each epoch, and `module_` the trained module.
    `random_state` seeds tabgrad's generator before the parameters are drawn; `device` is where it is trained.

    >>> import numpy as np, tabgrad as tg
    >>> from tabgrad.utils.sklearn import NeuralClassifier
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
    >>> net = lambda: tg.nn.Sequential(tg.nn.Linear(2, 16), tg.nn.Tanh(), tg.nn.Linear(16, 2))
    >>> model = NeuralClassifier(net, lr=0.02, max_epochs=40, batch_size=32, device="cpu", random_state=0)
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    """

    def fit(self, X: Any, y: Any) -> NeuralClassifier:
        """Train on rows of X with labels y, of any dtype; return self."""
        X, y = validate_data(self, X, y, dtype=np.float32, allow_nd=True)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._train(X, codes.astype(np.int64), self.criterion or tg.nn.functional.cross_entropy)
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class for each row, float32 of shape (n, classes)."""
        return self._outputs(X).softmax(1).numpy()

    def predict(self, X: Any) -> Any:
        """Return the most probable label of each row."""
        codes = self._outputs(X).argmax(1).numpy()
        return self.classes_[codes]


class NeuralRegressor(RegressorMixin, _NeuralEstimator):  # type: ignore[misc]
    """A module as a regressor of scikit-learn: as `NeuralClassifier`, with numbers in the place of classes.

    The module returns shape (n,), (n, 1) or (n, targets); `criterion` is by default the mean squared error.

    >>> import numpy as np, tabgrad as tg
    >>> from tabgrad.utils.sklearn import NeuralRegressor
    >>> X = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]
    >>> net = lambda: tg.nn.Sequential(tg.nn.Linear(1, 16), tg.nn.Tanh(), tg.nn.Linear(16, 1))
    >>> model = NeuralRegressor(net, lr=0.02, max_epochs=60, batch_size=25, device="cpu", random_state=0)
    >>> bool(model.fit(X, np.sin(3 * X[:, 0])).score(X, np.sin(3 * X[:, 0])) > 0.95)
    True
    """

    def fit(self, X: Any, y: Any) -> NeuralRegressor:
        """Train on rows of X with numbers y, of shape (n,) or (n, targets); return self."""
        X, y = validate_data(self, X, y, dtype=np.float32, allow_nd=True, multi_output=True)
        self._flat = np.ndim(y) == 1
        criterion = self.criterion or tg.nn.functional.mse_loss

        def loss(found: Tensor, target: Tensor) -> Tensor:
            return criterion(found.reshape(target.shape), target)

        self._train(X, np.asarray(y, np.float32), loss)
        return self

    def predict(self, X: Any) -> Any:
        """Return the numbers for each row, float32 in the shape of the y that was fitted."""
        found = self._outputs(X)
        return (found.reshape(-1) if self._flat else found).numpy()


__all__ = ["NeuralClassifier", "NeuralRegressor"]
