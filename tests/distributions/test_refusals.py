"""What is refused, in PyTorch's words, and what happens where nothing can be checked."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

import tabgrad as tg
from tests.grouped import grouped

D = tg.distributions


def one(x: Any) -> Any:
    return tg.tensor(x, device="cpu")


def test_wrong_arguments_are_refused() -> None:
    text: Any = "a"
    law: Any = D.Normal(one([0.0, 1.0]), one(1.0))
    sure = D.MultivariateNormal(one([0.0, 1.0]), tg.eye(2, device="cpu"))
    wrong: list[tuple[Any, type[Exception], str]] = [
        (lambda: D.Normal(one(0.0), one(-1.0)), ValueError,
         "Expected parameter scale (Tensor of shape ()) of distribution Normal(loc: 0.0, scale: -1.0) to "
         "satisfy the constraint GreaterThan(lower_bound=0.0), but found invalid values:"),
        (lambda: D.Uniform(one(1.0), one(0.0)), ValueError, "to satisfy the constraint LessThan("),
        (lambda: D.Normal(text, 1.0), ValueError, "Input arguments must all be instances of Number"),
        (lambda: D.Bernoulli(), ValueError, "Either `probs` or `logits` must be specified, but not both."),
        (lambda: D.Bernoulli(one(1.5)), ValueError, "Interval(lower_bound=0.0, upper_bound=1.0)"),
        (lambda: D.Categorical(one(1.0)), ValueError, "must be at least one-dimensional"),
        (lambda: D.Geometric(one(0.0)), ValueError, "to be positive but found invalid values"),
        (lambda: law.log_prob(0.0), ValueError, "The value argument to log_prob must be a Tensor"),
        (lambda: law.log_prob(one([0.0] * 3)), ValueError,
         "Value is not broadcastable with batch_shape+event_shape"),
        (lambda: law.log_prob(one(math.nan)), ValueError,
         "to be within the support (Real()) of the distribution"),
        (lambda: sure.log_prob(one([0.0] * 3)), ValueError,
         "The right-most size of value must match event_shape"),
        (lambda: D.MultivariateNormal(one([0.0, 1.0]), -tg.eye(2, device="cpu")), ValueError,
         "PositiveDefinite()"),
        (lambda: D.Binomial(3, one(0.5)).rsample(), NotImplementedError, "Binomial has no rsample"),
        (lambda: D.kl_divergence(law, D.Cauchy(0.0, 1.0)), NotImplementedError,
         "No KL(p || q) is implemented for p type Normal and q type Cauchy"),
        (lambda: D.ExpTransform(cache_size=2), ValueError, "cache_size must be 0 or 1"),
        (lambda: D.LKJCholesky(1), ValueError, "Found dim=1."),
    ]  # fmt: skip
    for call, kind, message in wrong:
        with pytest.raises(kind, match=re.escape(message)):
            call()


def test_checks_can_be_left_out() -> None:
    law = D.Uniform(one(0.0), one(1.0), validate_args=False)
    assert law.log_prob(one(2.0)).item() == -math.inf
    assert math.isnan(D.Normal(one(0.0), one(-1.0), validate_args=False).log_prob(one(0.0)).item())


def test_a_cache_gives_the_very_argument_back() -> None:
    t, x = D.ExpTransform(cache_size=1), one([0.3])
    assert t.inv(t(x)) is x
    assert D.ExpTransform().inv(D.ExpTransform()(x)) is not x


def test_a_law_of_ones_own_and_its_divergence() -> None:
    class Shifted(D.Normal):
        pass

    @D.register_kl(Shifted, Shifted)
    def _(p: Any, q: Any) -> Any:
        return tg.full_like(p.loc, 7.0)

    p = Shifted(one(0.0), one(1.0))
    assert D.kl_divergence(p, p).item() == 7
    # the nearest classes above have a formula
    assert D.kl_divergence(p, D.Normal(one(1.0), one(1.0))).item() == 0.5


@grouped("diag", [-2, -1, 0, 1, 2])
def test_triangles_and_their_rows(diag: int) -> None:
    from tabgrad.distributions import utils

    m = tg.arange(1.0, 33.0, device="cpu").reshape(2, 4, 4)
    row = utils.tril_matrix_to_vec(m, diag)
    assert row.tolist() == [one[tg.ones(4, 4, device="cpu").tril(diag) > 0].tolist() for one in m]
    assert utils.vec_to_tril_matrix(row, diag).equal(m.tril(diag))
    if not diag:
        with pytest.raises(ValueError, match="no square matrix has 4 elements"):
            utils.vec_to_tril_matrix(row[:, :4])
        with pytest.raises(ValueError, match="expected diag from -4 to 3"):
            utils.tril_matrix_to_vec(m, 4)


def test_a_flat_dirichlet_has_no_mode() -> None:
    """As in PyTorch: nan where no point is the only highest one."""
    for given in ([1.0, 1.0, 1.0], [1.0, 0.5, 1.0]):
        law = tg.distributions.Dirichlet(tg.tensor(given, device="cpu"))
        assert law.mode.isnan().all()
    law = tg.distributions.Dirichlet(tg.tensor([[3.0, 2.0, 1.0], [1.0, 1.0, 1.0]], device="cpu"))
    assert law.mode[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert law.mode[1].isnan().all()
