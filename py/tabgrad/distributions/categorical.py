"""Laws of one of several categories, as an index, as a vector with one 1, and counts of them."""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad.distributions import constraints
from tabgrad.distributions.arguments import Sizes, cached_property, one_of, to_logits, to_probs
from tabgrad.distributions.discrete import Binomial
from tabgrad.distributions.distribution import Distribution

Tensor = tg.Tensor
Size = tg.Size
CHOICE = {"probs": constraints.simplex, "logits": constraints.real_vector}


class Categorical(Distribution):
    """An index from 0 to K - 1, with the probabilities in the last dim; they are divided by their sum.

    >>> import tabgrad as tg
    >>> tg.distributions.Categorical(tg.tensor([1.0, 3.0])).log_prob(tg.tensor(1)).exp()
    tensor(0.7500)
    """

    arg_constraints = CHOICE
    has_enumerate_support = True

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        name = one_of(probs, logits)
        given: Any = probs if logits is None else logits
        if given.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        if name == "probs":
            self.probs = given / given.sum(-1, keepdim=True)
        else:
            self.logits = given - given.logsumexp(-1, keepdim=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    @cached_property
    def probs(self) -> Tensor:
        """The probabilities."""
        return to_probs(self.logits)

    @cached_property
    def logits(self) -> Tensor:
        """The logarithms of the probabilities."""
        return to_logits(self.probs)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return (self.__dict__["probs"] if "probs" in self.__dict__ else self.logits).size()

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """From 0 to K - 1."""
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:
        """An index has no mean: nan."""
        return tg.full_like(self.probs[..., 0], math.nan)

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        """An index has no variance: nan."""
        return self.mean

    def _sample(self, shape: Sizes) -> Tensor:
        rows = self.probs.detach().reshape(-1, self._num_events)
        times = math.prod(shape[: len(shape) - len(self._batch_shape)])
        if not times * rows.shape[0]:
            return tg.zeros(tuple(shape), dtype=self.mode.dtype, device=rows.device)
        return tg.multinomial(rows, times, True).mT.reshape(*shape)

    def _log_prob(self, value: Tensor) -> Tensor:
        index = value.to(self.mode.dtype).unsqueeze(-1)
        index, logits = tg.broadcast_tensors(index, self.logits)
        return logits.gather(-1, index[..., :1]).squeeze(-1)

    def _enumerated(self) -> Tensor:
        index = self.mode
        return self._stacked(tg.arange(self._num_events, dtype=index.dtype, device=index.device))

    def _entropy(self) -> Tensor:
        lowest = tg.finfo(self.logits.dtype).min
        return -(self.logits.clamp(min=lowest) * self.probs).sum(-1)


class _Categories(Distribution):
    """The base of laws that are made of a categorical one."""

    arg_constraints = CHOICE
    _parts = ("_categorical",)
    _categorical: Categorical

    @property
    def probs(self) -> Tensor:
        """The probabilities."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """The logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._categorical.param_shape

    def _constraints(self) -> Any:
        return {}


class OneHotCategorical(_Categories):
    """A vector with a 1 at a random place and zeros.

    >>> import tabgrad as tg
    >>> tg.distributions.OneHotCategorical(tg.tensor([0.0, 1.0])).sample()
    tensor([0., 1.])
    """

    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def _hot(self, index: Tensor) -> Tensor:
        return tg.nn.functional.one_hot(index, self._event_shape[0]).to(self.probs.dtype)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return self._hot(self._categorical.mode)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _sample(self, shape: Sizes) -> Tensor:
        return self._hot(self._categorical._sample(shape[:-1]))

    def _log_prob(self, value: Tensor) -> Tensor:
        return self._categorical.log_prob(value.argmax(-1))

    def _enumerated(self) -> Tensor:
        n = self._event_shape[0]
        eye = tg.eye(n, dtype=self.probs.dtype, device=self.probs.device)
        return eye.reshape(n, *(1,) * len(self._batch_shape), n)

    def _entropy(self) -> Tensor:
        return self._categorical.entropy()


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """As `OneHotCategorical`; derivatives of `rsample` are those of the probabilities.

    >>> import tabgrad as tg
    >>> p = tg.tensor([0.0, 1.0], requires_grad=True)
    >>> tg.distributions.OneHotCategoricalStraightThrough(p).rsample().requires_grad
    True
    """

    has_rsample = True

    def _rsample(self, shape: Sizes) -> Tensor:
        probs = self.probs
        return self._sample(Size(shape)).detach() + (probs - probs.detach())


class Multinomial(_Categories):
    """How often each category comes in `total_count` tries.

    >>> import tabgrad as tg
    >>> tg.distributions.Multinomial(4, tg.tensor([0.25, 0.75])).mean
    tensor([1., 3.])
    """

    def __init__(
        self, total_count: int = 1, probs: Tensor | None = None, logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        """Counts of at most the total."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def _sample(self, shape: Sizes) -> Tensor:
        if not self.total_count:
            return tg.zeros(tuple(shape), dtype=self.probs.dtype, device=self.probs.device)
        index = self._categorical._sample((self.total_count, *shape[:-1])).movedim(0, -1)
        ones = tg.ones_like(index, dtype=self.probs.dtype)
        return tg.zeros(tuple(shape), dtype=ones.dtype, device=ones.device).scatter_add(
            -1, index, ones
        )

    def _log_prob(self, value: Tensor) -> Tensor:
        logits, value = tg.broadcast_tensors(self.logits, value)
        ways = (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1)
        return ways + tg.where((value == 0) & (logits == -math.inf), 0, value * logits).sum(-1)

    def _entropy(self) -> Tensor:
        n = self.total_count
        one = self.probs.new_tensor(float(n))
        law = Binomial(n, probs=self.probs, validate_args=False)
        counts = law.enumerate_support(False)[1:]
        each = law.log_prob(counts).exp() * (counts + 1).lgamma()
        return n * self._categorical.entropy() - (one + 1).lgamma() + each.sum((0, -1))
