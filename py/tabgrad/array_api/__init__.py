"""The array API standard, 2025.12: its names, argument names and rules, on tensors.

https://data-apis.org/array-api/2025.12/. Dtypes that the standard leaves open follow PyTorch: the default one
is float32, and integers mixed with floats become floats.

>>> import tabgrad.array_api as xp
>>> xp.cumulative_sum(xp.asarray([1, 2, 3], device="cpu"), include_initial=True)
tensor([0, 1, 3, 6])
"""

# ruff: noqa: F403, I001 (the modules say what is public)

from math import e as e, inf as inf, nan as nan, pi as pi

from tabgrad.array_api import fft as fft, linalg as linalg
from tabgrad.array_api.arranging import *
from tabgrad.array_api.creation import *
from tabgrad.array_api.dtypes import *
from tabgrad.array_api.elements import *
from tabgrad.array_api.info import *
from tabgrad.array_api.reductions import *
from tabgrad.array_api.searching import *
from tabgrad.core.dtype import (
    bool_ as _bool,
    complex64 as complex64, complex128 as complex128, float32 as float32,
    float64 as float64, int8 as int8, int16 as int16, int32 as int32, int64 as int64, uint8 as uint8,
    uint16 as uint16, uint32 as uint32, uint64 as uint64,
)  # fmt: skip
from tabgrad.array_api.info import __array_namespace_info__ as __array_namespace_info__

bool = _bool
__array_api_version__ = "2025.12"
newaxis = None
