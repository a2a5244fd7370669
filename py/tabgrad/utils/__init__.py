"""What programs around a training loop need."""

from tabgrad.utils.accumulation import GradientAccumulator as GradientAccumulator
