"""tabgrad: PyTorch's API with every derivative, on the GPU of a browser tab and natively.

The functions of tensors are listed where they are defined, in the topics of `tensor/` (`__all__`), all other
public names here. `import tabgrad` loads neither NumPy nor a host.
"""

# ruff: noqa: F403, I001 (the topics say what is public; and what is written with the names comes last)

import typing as _typing
from importlib import import_module as _import_module

# first: the function `tensor` then takes the place of the submodule's name
from tabgrad.tensor import Tensor as Tensor

from tabgrad.core.dtype import (
    DType as DType, bfloat16 as bfloat16, bool_ as _bool, complex64 as complex64,
    complex128 as complex128, float16 as float16, float32 as float32, float64 as float64,
    get_default_dtype as get_default_dtype, int8 as int8, int16 as int16, int32 as int32,
    int64 as int64, set_default_dtype as set_default_dtype, uint8 as uint8, uint16 as uint16,
    uint32 as uint32, uint64 as uint64,
)  # fmt: skip
from tabgrad.core.errors import (
    CaptureError as CaptureError, DeadlineError as DeadlineError, DeviceError as DeviceError,
    DeviceLostError as DeviceLostError, DTypeError as DTypeError,
    EscapedTensorError as EscapedTensorError, ExportError as ExportError,
    FileFormatError as FileFormatError, GradientError as GradientError,
    HostError as HostError, KernelError as KernelError,
    OutOfMemoryError as OutOfMemoryError, RegistryError as RegistryError,
    ShapeError as ShapeError, SparseError as SparseError, TabgradError as TabgradError,
    TransformError as TransformError, WouldBlockError as WouldBlockError,
)  # fmt: skip
from tabgrad.core.shape import Size as Size
from tabgrad.core.submodules import install as _install, missing_from as _missing_from
from tabgrad.tensor.arithmetic import *
from tabgrad.tensor.comparison import *
from tabgrad.tensor.conversion import *
from tabgrad.tensor.creation import *
from tabgrad.tensor.diagonals import *
from tabgrad.tensor.elementary import *
from tabgrad.tensor.generator import *
from tabgrad.tensor.joining import *
from tabgrad.tensor.layout import *
from tabgrad.tensor.linear import *
from tabgrad.tensor.nonzero import *
from tabgrad.tensor.norms import *
from tabgrad.tensor.ordering import *
from tabgrad.tensor.ranges import *
from tabgrad.tensor.rearranging import *
from tabgrad.tensor.reductions import *
from tabgrad.tensor.selecting import *
from tabgrad.tensor.settings import *
from tabgrad.tensor.shaping import *
from tabgrad.tensor.softmax import *
from tabgrad.tensor.ternary import *
from tabgrad.hosts.devices import (
    Device as Device, get_default_device as get_default_device,
    set_default_device as set_default_device,
)  # fmt: skip
from tabgrad.autograd.grad_mode import (
    enable_grad as enable_grad, inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled, is_inference_mode_enabled as is_inference_mode_enabled,
    no_grad as no_grad, set_grad_enabled as set_grad_enabled,
)  # fmt: skip
from tabgrad.compiler import (
    compile as compile,
)  # fmt: skip
from tabgrad.transforms.vmap import (
    vmap as vmap,
)  # fmt: skip

from tabgrad.tensor.late import FUNCTIONS as _FUNCTIONS
from tabgrad.tensor.public import publish as _publish

from math import e as e, inf as inf, nan as nan, pi as pi

newaxis = None
device = Device

_publish(globals())
_install()

# PyTorch's other names of dtypes
dtype = DType
bool = _bool
cdouble, cfloat = complex128, complex64
double, float, half = float64, float32, float16
long, int, short = int64, int32, int16

__version__ = "0.1.0"

if _typing.TYPE_CHECKING:
    from tabgrad import (
        accelerator as accelerator, amp as amp, array_api as array_api, autograd as autograd,
        backends as backends,
        compiler as compiler, cpu as cpu, cuda as cuda, distributed as distributed,
        distributions as distributions, extend as extend, fft as fft, func as func,
        futures as futures, fx as fx, hub as hub, jit as jit, library as library,
        linalg as linalg, mps as mps, multiprocessing as multiprocessing, nn as nn, onnx as onnx,
        optim as optim, overrides as overrides, profiler as profiler, random as random,
        serialization as serialization, signal as signal, sparse as sparse,
        special as special, testing as testing, types as types, utils as utils, version as version,
        viz as viz, xpu as xpu,
    )  # fmt: skip
    from tabgrad.amp.autocast_mode import (
        autocast as autocast, get_autocast_dtype as get_autocast_dtype,
        is_autocast_enabled as is_autocast_enabled, set_autocast_dtype as set_autocast_dtype,
        set_autocast_enabled as set_autocast_enabled,
    )  # fmt: skip
    from tabgrad.amp.grad_scaler import GradScaler as GradScaler
    from tabgrad.amp.older import *
    from tabgrad.autograd.anomaly_mode import (
        is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled,
        is_anomaly_enabled as is_anomaly_enabled, set_anomaly_enabled as set_anomaly_enabled,
    )  # fmt: skip
    from tabgrad.cuda.streams import Event as Event, Stream as Stream
    from tabgrad.distributions.rooted import *
    from tabgrad.exporting import export as export
    from tabgrad.tensor.defaults import *
    from tabgrad.func.control import cond as cond
    from tabgrad.printing import (
        get_printoptions as get_printoptions, printoptions as printoptions,
        set_printoptions as set_printoptions,
    )  # fmt: skip
    from tabgrad.pytorch import as_torch as as_torch
    from tabgrad.fft.short_time import *
    from tabgrad.linalg.partial_spectra import *
    from tabgrad.linalg.rooted import *
    from tabgrad.serialization import load as load, save as save, save_async as save_async
    from tabgrad.nn.functional.rooted import *
    from tabgrad.nn.rooted import *
    from tabgrad.signal.rooted import *
    from tabgrad.sparse.rooted import *
    from tabgrad.special.rooted import *
    from tabgrad.tensor.asking import *
    from tabgrad.tensor.blocks import *
    from tabgrad.tensor.combining import *
    from tabgrad.tensor.complex_numbers import *
    from tabgrad.tensor.distinct import *
    from tabgrad.tensor.einsum import *
    from tabgrad.tensor.exchange import *
    from tabgrad.tensor.float_bits import *
    from tabgrad.tensor.memory import *
    from tabgrad.tensor.points import *
    from tabgrad.tensor.rare_creation import *
    from tabgrad.tensor.rooted import *
    from tabgrad.tensor.sampled import *
    from tabgrad.tensor.sampling import *
    from tabgrad.tensor.statistics import *
    from tabgrad.tensor.storage import *
    from tabgrad.tensor.type_info import *
    from tabgrad.core.narrow_floats import *
else:
    _ON_DEMAND = (
        "__config__", "_dynamo", "_higher_order_ops", "_utils", "accelerator", "amp", "array_api", "autograd",
        "backends", "cpu", "cuda", "distributed", "distributions", "extend", "fft", "func",
        "futures", "fx", "hub", "jit",
        "library", "linalg", "mps", "multiprocessing", "nn", "onnx", "optim", "overrides", "profiler", "random",
        "serialization", "signal", "sparse", "special", "testing", "types", "utils", "version", "viz", "xpu",
    )  # fmt: skip
    _HOMES = {name: home for home, names in _FUNCTIONS.items() for name in names.split()}

    def __getattr__(name: str) -> object:
        """Import a subpackage when it is first asked for: a page that needs no `nn` does not wait for it."""
        if name in _ON_DEMAND:
            return _import_module(f"tabgrad.{name}")
        if name in _HOMES:
            found = getattr(_import_module(f"tabgrad.{_HOMES[name]}"), name)
            return globals().setdefault(name, found)
        return _missing_from(__name__)(name)

    def __dir__() -> list[str]:
        """Return all names, those that are imported on demand too."""
        return sorted({*globals(), *_ON_DEMAND, *_HOMES})
