"""Fourier transforms of any length; PyTorch's `fft`.

On a GPU they are computed in float32 in the memory of workgroups. A line of up to 2,048 complex, or 4,096 real
numbers takes one dispatch, a longer one two or three, and one whose length has a prime factor above 13 three to
seven. The error, relative to the result as a whole, for random numbers:

| length | 64 | 1,000 | 1,021 | 1,024 | 65,537 | 2¹⁸ | 2²⁰ | 2²⁰ + 7 |
|---|---|---|---|---|---|---|---|---|
| `fft`, `rfft` | 1.0e-7 | 1.6e-7 | 2.9e-7 | 1.4e-7 | 3.0e-7 | 1.9e-7 | 2.0e-7 | 3.3e-7 |
| `irfft` | 1.4e-7 | 2.8e-7 | 2.8e-7 | 2.9e-7 | 1.8e-7 | 3.6e-7 | 3.8e-7 | 3.4e-7 |
"""

import typing as _typing

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.fft.frequencies import *  # noqa: F403 (they say which are public)
from tabgrad.fft.many import *  # noqa: F403
from tabgrad.fft.one import *  # noqa: F403
from tabgrad.tensor.public import publish as _publish

_publish(globals())

if not _typing.TYPE_CHECKING:
    __getattr__ = _missing_from(__name__)
