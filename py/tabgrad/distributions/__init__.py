"""Laws of random tensors: samples, densities, divergences; PyTorch's `distributions`."""

import typing as _typing

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.distributions import (
    constraints as constraints,
    transforms as transforms,
    utils as utils,
)
from tabgrad.distributions.categorical import (
    Categorical as Categorical,
    Multinomial as Multinomial,
    OneHotCategorical as OneHotCategorical,
    OneHotCategoricalStraightThrough as OneHotCategoricalStraightThrough,
)  # fmt: skip
from tabgrad.distributions.continuous import (
    Cauchy as Cauchy,
    ContinuousBernoulli as ContinuousBernoulli,
    GeneralizedPareto as GeneralizedPareto,
    Laplace as Laplace,
    Normal as Normal,
    Uniform as Uniform,
    VonMises as VonMises,
)  # fmt: skip
from tabgrad.distributions.discrete import (
    Bernoulli as Bernoulli,
    Binomial as Binomial,
    Geometric as Geometric,
    NegativeBinomial as NegativeBinomial,
    Poisson as Poisson,
)  # fmt: skip
from tabgrad.distributions.distribution import (
    Distribution as Distribution,
    ExponentialFamily as ExponentialFamily,
)  # fmt: skip
from tabgrad.distributions.gammas import (
    Beta as Beta,
    Chi2 as Chi2,
    Dirichlet as Dirichlet,
    Exponential as Exponential,
    FisherSnedecor as FisherSnedecor,
    Gamma as Gamma,
    StudentT as StudentT,
)  # fmt: skip
from tabgrad.distributions.independent import Independent as Independent
from tabgrad.distributions.joined_transforms import (
    CatTransform as CatTransform,
    ComposeTransform as ComposeTransform,
    IndependentTransform as IndependentTransform,
    ReshapeTransform as ReshapeTransform,
    StackTransform as StackTransform,
    identity_transform as identity_transform,
)  # fmt: skip
from tabgrad.distributions.kl_pairs import (
    kl_divergence as kl_divergence,
    register_kl as register_kl,
)
from tabgrad.distributions.made import (
    Gumbel as Gumbel,
    HalfCauchy as HalfCauchy,
    HalfNormal as HalfNormal,
    InverseGamma as InverseGamma,
    Kumaraswamy as Kumaraswamy,
    LogisticNormal as LogisticNormal,
    LogNormal as LogNormal,
    Pareto as Pareto,
    Weibull as Weibull,
)  # fmt: skip
from tabgrad.distributions.matrices import (
    LKJCholesky as LKJCholesky,
    LowRankMultivariateNormal as LowRankMultivariateNormal,
    MultivariateNormal as MultivariateNormal,
    Wishart as Wishart,
)  # fmt: skip
from tabgrad.distributions.matrix_transforms import (
    CorrCholeskyTransform as CorrCholeskyTransform,
    LowerCholeskyTransform as LowerCholeskyTransform,
    PositiveDefiniteTransform as PositiveDefiniteTransform,
    SoftmaxTransform as SoftmaxTransform,
    StickBreakingTransform as StickBreakingTransform,
)  # fmt: skip
from tabgrad.distributions.mixtures import (
    MixtureSameFamily as MixtureSameFamily,
    RelaxedBernoulli as RelaxedBernoulli,
    RelaxedOneHotCategorical as RelaxedOneHotCategorical,
)  # fmt: skip
from tabgrad.distributions.registry import biject_to as biject_to, transform_to as transform_to
from tabgrad.distributions.transformed import TransformedDistribution as TransformedDistribution
from tabgrad.distributions.transforms import (
    AbsTransform as AbsTransform,
    AffineTransform as AffineTransform,
    CumulativeDistributionTransform as CumulativeDistributionTransform,
    ExpTransform as ExpTransform,
    PowerTransform as PowerTransform,
    SigmoidTransform as SigmoidTransform,
    SoftplusTransform as SoftplusTransform,
    TanhTransform as TanhTransform,
    Transform as Transform,
)  # fmt: skip

if not _typing.TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
