"""Real packages given tensors: pandas, matplotlib, tqdm, scikit-learn, opt_einsum, the array API's helpers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.grouped import grouped

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("pandas", reason="pandas is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")

X = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
LABELS = np.where(X[:, 0] > 0, "plus", "minus")


def net(features: int = 3, outputs: int = 2) -> tg.nn.Module:
    return tg.nn.Sequential(tg.nn.Linear(features, 8), tg.nn.Tanh(), tg.nn.Linear(8, outputs))


@pytest.mark.every_host
def test_opt_einsum_contracts_tensors(device: str) -> None:
    import opt_einsum

    a, b, c = (np.random.default_rng(i).normal(size=(3, 3)).astype(np.float32) for i in range(3))
    tensors = [tg.tensor(v, device=device, requires_grad=True) for v in (a, b, c)]
    for equation in ("ij,jk->ik", "ij,jk->ki", "ij,kj,kl->li", "ij,ij->", "ab,bc,cd->da", "ij->ji"):
        count = equation.count(",") + 1
        found = opt_einsum.contract(equation, *tensors[:count])
        wanted = np.einsum(equation, *(a, b, c)[:count])
        np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)
    opt_einsum.contract("ab,bc,cd->", *tensors).backward()
    wanted = np.einsum("bc,cd->b", b, c)
    assert tensors[0].grad is not None
    np.testing.assert_allclose(
        tensors[0].grad.numpy(), np.tile(wanted, (3, 1)), rtol=1e-4, atol=1e-5
    )


def test_transpose_takes_numpys_form_too() -> None:
    x = tg.zeros(2, 3, 4, device="cpu")
    assert tg.transpose(x, (2, 0, 1)).shape == (4, 2, 3)
    assert np.transpose(x, (2, 0, 1)).shape == (4, 2, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        tg.transpose(x, 0)
    with pytest.raises(TypeError):
        x[0, 0].transpose(0)


@grouped("which", range(2))
def test_pandas(which: int) -> None:
    import pandas as pd

    x = tg.tensor(X[:4], device="cpu")
    if which == 0:
        frame = pd.DataFrame(x.numpy(), columns=list("abc"))
        assert tg.tensor(frame.values, device="cpu").equal(x)
        assert tg.tensor(frame["b"].to_numpy(), device="cpu").equal(x[:, 1])
        assert tg.tensor(frame["b"], device="cpu").equal(x[:, 1])
        by_row = pd.DataFrame({"a": x[:, 0], "b": x[:, 1]})
        assert by_row.dtypes.tolist() == [np.float32, np.float32]
        return
    frame = pd.DataFrame({"value": X[:, 0], "label": LABELS})

    class Frame(tg.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(frame)

        def __getitem__(self, i: int) -> Any:
            row = frame.iloc[i]
            return row["value"], row["label"]

    values, labels = next(iter(tg.utils.data.DataLoader(Frame(), batch_size=5)))
    np.testing.assert_array_equal(values.numpy(), X[:5, 0])
    assert list(labels) == list(LABELS[:5])


def test_matplotlib_draws_tensors() -> None:
    from matplotlib.figure import Figure

    x = tg.tensor(X, device="cpu")
    axes = Figure().subplots()
    (line,) = axes.plot(x[:, 0], x[:, 1])
    np.testing.assert_array_equal(np.asarray(line.get_ydata()), X[:, 1])
    image = axes.imshow(x)
    np.testing.assert_array_equal(image.get_array(), X)
    counts, _, _ = axes.hist(x[:, 2], bins=7)
    assert counts.sum() == len(X)
    axes.scatter(x[:, 0], x[:, 1], c=x[:, 2], s=x[:, 0].abs())
    axes.bar(tg.arange(3, device="cpu"), x[0].abs())
    axes.fill_between(tg.arange(3, device="cpu"), x[0], x[1])
    axes.contourf(x)
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]


def test_tqdm_goes_through_a_tensor_and_a_loader(capsys: pytest.CaptureFixture[str]) -> None:
    from tqdm import tqdm

    x = tg.tensor(X[:6], device="cpu")
    assert tg.stack(list(tqdm(x))).equal(x)
    batches = list(tqdm(tg.utils.data.DataLoader(tg.utils.data.TensorDataset(x), batch_size=2)))
    assert len(batches) == 3
    shown = capsys.readouterr().err
    assert "6/6" in shown
    assert "3/3" in shown


def test_estimators_of_scikit_learn_take_tensors() -> None:
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    x, y = tg.tensor(X, device="cpu"), tg.tensor(X[:, 0] > 0, device="cpu").long()
    np.testing.assert_allclose(
        LinearRegression().fit(x, x[:, 0]).coef_, [1, 0, 0], rtol=1e-5, atol=1e-5
    )
    model = LogisticRegression().fit(x, y)
    assert model.score(x, y) == accuracy_score(y, model.predict(X)) > 0.9
    parts = train_test_split(x, y, random_state=0)
    assert [type(part) for part in parts] == [tg.Tensor] * 4
    assert isinstance(StandardScaler().fit_transform(x), np.ndarray)


DISPATCHED = """
import numpy as np
import tabgrad as tg
from sklearn import config_context, decomposition, linear_model, preprocessing

a = np.random.default_rng(0).normal(size=(40, 3))
x = tg.tensor(a, device="cpu")
scalers = [preprocessing.StandardScaler(), preprocessing.MinMaxScaler(), preprocessing.MaxAbsScaler()]
for model in [*scalers, decomposition.PCA(2, svd_solver="full"), linear_model.Ridge(solver="svd")]:
    found = []
    for data, dispatch in ((x, True), (a, False)):
        with config_context(array_api_dispatch=dispatch):
            model.fit(data, data[:, 0] * 2)
            found.append((model.transform if hasattr(model, "transform") else model.predict)(data))
    assert type(found[0]) is tg.Tensor, model
    np.testing.assert_allclose(found[0].numpy(), found[1], rtol=1e-6, atol=1e-8)
print("tensors")
"""


def test_scikit_learn_computes_with_tensors_where_it_dispatches() -> None:
    """SciPy reads the switch when it is imported, hence a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", DISPATCHED],
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "tensors\n", done.stderr


def test_a_module_is_a_classifier_in_a_pipeline_and_a_search() -> None:
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tabgrad.utils.sklearn import NeuralClassifier

    model = NeuralClassifier(
        net, lr=0.05, max_epochs=8, batch_size=20, device="cpu", random_state=0
    )
    with pytest.raises(NotFittedError):
        model.predict(X)
    pipeline = make_pipeline(StandardScaler(), clone(model)).fit(X, LABELS)
    assert pipeline.score(X, LABELS) > 0.9
    assert set(pipeline.predict(X)) == {"plus", "minus"}
    chances = pipeline.predict_proba(X)
    assert chances.shape == (80, 2)
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-5)
    again = model.fit(X, LABELS).history_
    assert model.fit(X, LABELS).history_ == again  # the seed says all
    search = GridSearchCV(model, {"lr": [1e-6, 0.05], "module_params": [{}]}, cv=2).fit(X, LABELS)
    assert search.best_params_["lr"] == 0.05
    with pytest.raises(ValueError, match="3 features"):
        model.predict(X[:, :2])


@grouped("shape", [(80,), (80, 2)])
def test_a_module_is_a_regressor(shape: tuple[int, ...]) -> None:
    from tabgrad.utils.sklearn import NeuralRegressor

    y = X[:, 0] * 2 if len(shape) == 1 else X[:, :2] * 2
    params = {"outputs": 1 if len(shape) == 1 else 2}
    model = NeuralRegressor(
        net, module_params=params, lr=0.05, max_epochs=30, batch_size=20, device="cpu"
    )
    assert model.set_params(random_state=1).fit(X, y).score(X, y) > 0.9
    assert model.predict(X).shape == shape


@grouped(
    "name", ["atleast_nd", "cov", "kron", "nunique", "one_hot", "pad", "setdiff1d", "at", "sinc"]
)
def test_helpers_of_the_array_api(name: str) -> None:
    import array_api_compat as compat
    import array_api_extra as extra

    a = X[:3, :3].astype(np.float64)
    x = tg.tensor(a, device="cpu")
    assert compat.is_array_api_obj(x)
    assert compat.array_namespace(x) is tg.array_api
    assert (compat.device(x).type, compat.size(x)) == ("cpu", 9)
    calls: dict[str, Any] = {
        "atleast_nd": lambda v, i: extra.atleast_nd(v, ndim=3),
        "cov": lambda v, i: extra.cov(v),
        "kron": lambda v, i: extra.kron(v, v),
        "nunique": lambda v, i: extra.nunique(i),
        "one_hot": lambda v, i: extra.one_hot(i, 5),
        "pad": lambda v, i: extra.pad(v, 1),
        "setdiff1d": lambda v, i: extra.setdiff1d(i, i[:1]),
        "at": lambda v, i: extra.at(v)[0, 0].add(5.0, copy=True),
        "sinc": lambda v, i: extra.sinc(v),
    }
    codes = np.array([3, 1, 3])
    found = calls[name](x, tg.tensor(codes, device="cpu"))
    np.testing.assert_allclose(np.asarray(found), calls[name](a, codes), rtol=1e-12)
