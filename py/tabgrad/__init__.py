"""tabgrad: PyTorch's API with every derivative, on the GPU of a browser tab and natively."""

# first: the function `tensor` then takes the place of the submodule's name
from tabgrad.tensor import Tensor as Tensor  # isort: split

from tabgrad.core.dtype import (
    bfloat16 as bfloat16, bool_ as bool, complex64 as complex64, complex128 as complex128,
    float16 as float16, float32 as float32, float64 as float64, get_default_dtype as get_default_dtype,
    int8 as int8, int16 as int16, int32 as int32, int64 as int64,
    set_default_dtype as set_default_dtype, uint8 as uint8, uint16 as uint16, uint32 as uint32,
    uint64 as uint64,
)  # fmt: skip
from tabgrad.functions.creation import full as full, ones as ones, tensor as tensor, zeros as zeros
from tabgrad.hosts.devices import (
    device as device, get_default_device as get_default_device,
    set_default_device as set_default_device,
)  # fmt: skip

__version__ = "0.1.0"
