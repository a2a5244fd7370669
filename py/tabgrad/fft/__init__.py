"""Fourier transforms; PyTorch's `fft`."""

from tabgrad.fft.frequencies import *  # noqa: F403 (they say which are public)
from tabgrad.fft.many import *  # noqa: F403
from tabgrad.fft.one import *  # noqa: F403
from tabgrad.tensor.public import publish as _publish

_publish(globals())
