"""Distributions and transforms as text for tabgrad and PyTorch: D is the module, T makes a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

V = "T([0.2, 1.5, 3.0])[:, None]"
REAL = "T([-2.5, -0.1, 0.4, 3.0])[:, None]"
UNIT = "T([0.05, 0.4, 0.9])[:, None]"
COUNT = "T([0.0, 1.0, 4.0])[:, None]"
SIMPLEX = "T([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])[:, None]"
PAIR = "T([0.7, 2.5])"
P = "T([0.2, 0.7])"
W = "T([[0.2, 0.3, 0.5], [0.1, 0.7, 0.2]])"
SPD = "T([[2.0, 0.5, 0.1], [0.5, 1.5, -0.3], [0.1, -0.3, 0.8]])"
LOC = "T([[0.1, -0.2, 0.3], [1.0, 0.0, 2.0]])"
VECTORS = "T([[[0.5, 0.1, -1.0]], [[0.0, 2.0, 1.0]]])"

CASES = {
    "Normal": (f"D.Normal(T([0.3, -1.0]), {PAIR})", REAL),
    "Normal numbers": ("D.Normal(0.5, 2.0)", REAL),
    "Laplace": (f"D.Laplace(T([0.3, -1.0]), {PAIR})", REAL),
    "Cauchy": (f"D.Cauchy(T([0.3, -1.0]), {PAIR})", REAL),
    "Uniform": (f"D.Uniform(T([-3.0, -4.0]), 4 + {PAIR})", REAL),
    "VonMises": (f"D.VonMises(T([0.3, -1.0]), {PAIR})", "T([-2.5, 0.4, 3.0])[:, None]"),
    "GeneralizedPareto": (
        "D.GeneralizedPareto(T([0.1, -1.0, 0.0]), T([0.7, 2.5, 1.0]), T([0.3, -0.2, 0.0]))", V,
    ),
    "ContinuousBernoulli": ("D.ContinuousBernoulli(T([0.2, 0.5, 0.7]))", UNIT),
    "ContinuousBernoulli logits": ("D.ContinuousBernoulli(logits=T([-3.0, 2.0]))", UNIT),
    "Exponential": (f"D.Exponential({PAIR})", V),
    "Gamma": (f"D.Gamma({PAIR}, T([1.5, 0.4]))", V),
    "Chi2": (f"D.Chi2({PAIR})", V),
    "Beta": (f"D.Beta({PAIR}, T([1.5, 3.0]))", UNIT),
    "Dirichlet": ("D.Dirichlet(T([[0.5, 1.5, 2.0], [3.0, 2.0, 1.1]]))", SIMPLEX),
    "StudentT": (f"D.StudentT(T([1.5, 4.0]), T([0.3, -1.0]), {PAIR})", REAL),
    "FisherSnedecor": ("D.FisherSnedecor(T([1.5, 4.0]), T([3.0, 7.0]))", V),
    "Bernoulli": (f"D.Bernoulli({P})", "T([0.0, 1.0])[:, None]"),
    "Bernoulli logits": ("D.Bernoulli(logits=T([-1.0, 30.0]))", "T([0.0, 1.0])[:, None]"),
    "Geometric": (f"D.Geometric({P})", COUNT),
    "Binomial": (f"D.Binomial(5, {P})", COUNT),
    "NegativeBinomial": (f"D.NegativeBinomial(T([3.0, 1.5]), {P})", COUNT),
    "Poisson": (f"D.Poisson({PAIR})", COUNT),
    "Categorical": (f"D.Categorical({W})", "T([0.0, 2.0])[:, None]"),
    "Categorical logits": (f"D.Categorical(logits={LOC})", "T([0.0, 2.0])[:, None]"),
    "OneHotCategorical": (f"D.OneHotCategorical({W})", "T([[0.0, 1.0, 0.0]])[:, None]"),
    "Multinomial": (f"D.Multinomial(4, {W})", "T([[1.0, 3.0, 0.0], [2.0, 1.0, 1.0]])[:, None]"),
    "LogNormal": (f"D.LogNormal(T([0.3, -1.0]), {PAIR})", V),
    "LogisticNormal": ("D.LogisticNormal(T([[0.3, -1.0]]), T([[0.7, 2.5]]))", SIMPLEX),
    "HalfNormal": (f"D.HalfNormal({PAIR})", V),
    "HalfCauchy": (f"D.HalfCauchy({PAIR})", V),
    "Gumbel": (f"D.Gumbel(T([0.3, -1.0]), {PAIR})", REAL),
    "Weibull": (f"D.Weibull({PAIR}, T([0.8, 2.0]))", V),
    "Pareto": ("D.Pareto(T([0.1, 0.2]), T([0.9, 3.0]))", V),
    "Kumaraswamy": (f"D.Kumaraswamy({PAIR}, T([1.5, 3.0]))", UNIT),
    "InverseGamma": (f"D.InverseGamma({PAIR}, T([1.5, 0.4]))", V),
    "RelaxedBernoulli": (f"D.RelaxedBernoulli(T(0.7), {P})", UNIT),
    "RelaxedOneHotCategorical": (f"D.RelaxedOneHotCategorical(T(0.7), {W})", SIMPLEX),
    "MultivariateNormal": (f"D.MultivariateNormal({LOC}, {SPD})", VECTORS),
    "MultivariateNormal precision": (f"D.MultivariateNormal({LOC}, precision_matrix={SPD})", VECTORS),
    "LowRankMultivariateNormal": (
        f"D.LowRankMultivariateNormal({LOC}, T([[1.0], [0.5], [-2.0]]), T([0.3, 1.0, 2.0]))", VECTORS,
    ),
    "Wishart": (f"D.Wishart(T([3.5, 6.0]), {SPD})", f"{SPD}[None, None] * 1.5"),
    "LKJCholesky": (
        "D.LKJCholesky(3, T([0.5, 2.0]))",
        "T([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.6, 0.8]])[None, None]",
    ),
    "Independent": (f"D.Independent(D.Normal({LOC}, T(0.7)), 1)", VECTORS),
    "MixtureSameFamily": (f"D.MixtureSameFamily(D.Categorical({W}), D.Normal({LOC}, T(0.7)))", REAL),
    "TransformedDistribution": (
        "D.TransformedDistribution("
        "D.Normal(T([0.3, -1.0]), 1.0), [D.AffineTransform(1.0, -2.0), D.ExpTransform()])", V,
    ),
    "TransformedDistribution vectors": (
        f"D.TransformedDistribution(D.Normal({LOC}[:, :2], 1.0), [D.StickBreakingTransform()])", SIMPLEX,
    ),
}  # fmt: skip
"""A distribution, and values at which it is asked."""

KL = {
    "Bernoulli": (f"D.Bernoulli({P})", "D.Bernoulli(T([0.5,0.1]))"),
    "Beta": (f"D.Beta({PAIR},{PAIR})", f"D.Beta(T([2.0,0.4]),{PAIR})"),
    "Binomial": (f"D.Binomial(5,{P})", "D.Binomial(5,T([0.5,0.1]))"),
    "Categorical": (f"D.Categorical({W})", "D.Categorical(T([[0.5,0.3,0.2]]))"),
    "Cauchy": (f"D.Cauchy(T([0.3,1.0]),{PAIR})", "D.Cauchy(T([0.0,1.0]),T([1.0,2.0]))"),
    "ContinuousBernoulli": (f"D.ContinuousBernoulli({P})", "D.ContinuousBernoulli(T([0.5,0.1]))"),
    "Dirichlet": (f"D.Dirichlet({W})", "D.Dirichlet(T([[0.5,3.0,2.0]]))"),
    "Exponential": (f"D.Exponential({PAIR})", "D.Exponential(T([1.0,0.3]))"),
    "Gamma": (f"D.Gamma({PAIR},{PAIR})", "D.Gamma(T([2.0,0.4]),T([1.0,0.3]))"),
    "Gumbel": (f"D.Gumbel({P},{PAIR})", "D.Gumbel(T([2.0,0.4]),T([1.0,1.3]))"),
    "Geometric": (f"D.Geometric({P})", "D.Geometric(T([0.5,0.1]))"),
    "HalfNormal": (f"D.HalfNormal({PAIR})", "D.HalfNormal(T([1.0,0.3]))"),
    "Laplace": (f"D.Laplace({P},{PAIR})", "D.Laplace(T([2.0,0.4]),T([1.0,1.3]))"),
    "Normal": (f"D.Normal({P},{PAIR})", "D.Normal(T([2.0,0.4]),T([1.0,1.3]))"),
    "MultivariateNormal": (
        f"D.MultivariateNormal({LOC},{SPD})",
        f"D.LowRankMultivariateNormal({LOC}.flip(0),T([[1.0],[0.5],[-2.0]]),T([0.3,1.0,2.0]))",
    ),
    "Pareto": (f"D.Pareto({PAIR},{PAIR})", "D.Pareto(T([0.4,3.0]),T([1.0,1.3]))"),
    "Poisson": (f"D.Poisson({PAIR})", "D.Poisson(T([1.0,0.3]))"),
    "Uniform": (f"D.Uniform({P},{PAIR}+1)", "D.Uniform(T([0.1,0.9]),T([3.0,9.0]))"),
    "LogNormal": (f"D.LogNormal({P},{PAIR})", "D.LogNormal(T([2.0,0.4]),T([1.0,1.3]))"),
    "Wishart": (
        f"D.Wishart(T(3.5),{SPD})",
        f"D.Wishart(T(4.0),{SPD}+T([[1.0,0.0,0.0],[0.0,1.0,0.0],[0.0,0.0,1.0]]))",
    ),
    "VonMises": (f"D.VonMises({P},{PAIR})", f"D.Normal({P},{PAIR})"),
    "Independent": (
        f"D.Independent(D.Normal({LOC},T(0.7)),1)",
        f"D.Independent(D.Normal({LOC}.flip(0),T(1.7)),1)",
    ),
    "OneHotCategorical": (f"D.OneHotCategorical({W})", "D.OneHotCategorical(T([[0.5,0.3,0.2]]))"),
}  # fmt: skip
"""Two distributions."""

LAWS = {
    "Bernoulli": f"D.Bernoulli({P})",
    "Beta": f"D.Beta({PAIR},T([1.5,3.0]))",
    "Binomial": f"D.Binomial(5,{P})",
    "ContinuousBernoulli": f"D.ContinuousBernoulli({P})",
    "Exponential": f"D.Exponential({PAIR})",
    "Gamma": f"D.Gamma({PAIR},T([1.5,0.4]))",
    "Gumbel": f"D.Gumbel({P},{PAIR})",
    "Laplace": f"D.Laplace({P},{PAIR})",
    "Normal": f"D.Normal({P},{PAIR})",
    "Pareto": "D.Pareto(T([0.1,0.2]),T([2.9,3.0]))",
    "Poisson": f"D.Poisson({PAIR})",
    "Uniform": "D.Uniform(T([0.25,0.1]),T([0.75,0.8]))",
}  # fmt: skip
"""Laws each of which is compared with each of the others."""

TRANSFORMS = {
    "Exp": ("D.ExpTransform()", REAL),
    "Power": ("D.PowerTransform(T(-1.5))", V),
    "Sigmoid": ("D.SigmoidTransform()", REAL),
    "Softplus": ("D.SoftplusTransform()", REAL),
    "Tanh": ("D.TanhTransform()", REAL),
    "Abs": ("D.AbsTransform()", REAL),
    "Softmax": ("D.SoftmaxTransform()", LOC),
    "Affine": ("D.AffineTransform(T([1.0, 2.0]), -3.0, event_dim=1)", f"{REAL}.expand(4, 2)"),
    "StickBreaking": ("D.StickBreakingTransform()", LOC),
    "LowerCholesky": ("D.LowerCholeskyTransform()", SPD),
    "PositiveDefinite": ("D.PositiveDefiniteTransform()", SPD),
    "CorrCholesky": ("D.CorrCholeskyTransform()", LOC),
    "CorrCholesky large": ("D.CorrCholeskyTransform()", "T([0.1, -0.2, 0.3, 1.0, 0.0, 2.0])"),
    "Cumulative": ("D.CumulativeDistributionTransform(D.Normal(T(0.5), T(2.0)))", REAL),
    "Compose": ("D.ComposeTransform([D.AffineTransform(1.0, 2.0), D.StickBreakingTransform()])", LOC),
    "Independent": ("D.IndependentTransform(D.ExpTransform(), 1)", LOC),
    "Reshape": ("D.ReshapeTransform((3,), (3, 1))", LOC),
    "Cat": ("D.CatTransform([D.ExpTransform(), D.TanhTransform()], dim=-1, lengths=[1, 2])", LOC),
    "Stack": ("D.StackTransform([D.ExpTransform(), D.TanhTransform()], dim=0)", LOC),
    "biject interval": ("D.biject_to(D.constraints.interval(-1.0, 3.0))", REAL),
    "biject simplex": ("D.biject_to(D.constraints.simplex)", LOC),
    "to above": ("D.transform_to(D.constraints.greater_than(2.0))", REAL),
    "to below": ("D.transform_to(D.constraints.less_than(2.0))", REAL),
    "to simplex": ("D.transform_to(D.constraints.simplex)", LOC),
    "to many": ("D.biject_to(D.constraints.independent(D.constraints.positive, 1))", LOC),
}  # fmt: skip
"""A transform, and arguments."""


def run(text: str, module: Any, make: Callable[..., Any]) -> Any:
    """Return the value of an expression."""
    return eval(text, {"D": module, "T": make})


def _asked(
    law: Any, value: Any, make: Callable[..., Any]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield "log_prob", lambda: law.log_prob(value)
    yield "cdf", lambda: law.cdf(value)
    yield "icdf", lambda: law.icdf(make([0.1, 0.6])[:, None])
    yield "entropy", law.entropy
    for name in ("mean", "mode", "variance", "stddev"):
        yield name, lambda name=name: getattr(law, name)
    yield "support", lambda: law.support.check(value)
    yield "enumerate", law.enumerate_support
    yield "shapes", lambda: make([float(n) for n in (*law.batch_shape, 7, *law.event_shape)])
    yield "wider", lambda: law.expand((4, *law.batch_shape)).log_prob(value[:1])
    yield (
        "sampled",
        lambda: make([float(n) for n in law.expand((4, *law.batch_shape)).sample((3,)).shape]),
    )


def _moved(move: Any, x: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    yield "value", lambda: move(x)
    yield "back", lambda: move.inv(move(x))
    yield "stretch", lambda: move.log_abs_det_jacobian(x, move(x))


def _values(calls: Iterator[tuple[str, Callable[[], Any]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, call in calls:
        try:
            found[name] = call().tolist()
        except (NotImplementedError, AttributeError):
            found[name] = None
    return found


def answers(module: Any, make: Callable[..., Any]) -> dict[str, Any]:
    """Return all that is asked."""
    found: dict[str, Any] = {}
    for name, (law, value) in CASES.items():
        made, at = run(law, module, make), run(value, module, make)
        found[name] = _values(_asked(made, at, make))
    for name, (move, value) in TRANSFORMS.items():
        made, at = run(move, module, make), run(value, module, make)
        found[f"transform {name}"] = _values(_moved(made, at))
    pairs = dict(KL)
    pairs |= {f"{a} {b}": (LAWS[a], LAWS[b]) for a in LAWS for b in LAWS if a != b}
    for name, (p, q) in pairs.items():
        first, second = run(p, module, make), run(q, module, make)
        found[f"kl {name}"] = _values(
            iter([("kl", lambda p=first, q=second: module.kl_divergence(p, q))])
        )
    return found
