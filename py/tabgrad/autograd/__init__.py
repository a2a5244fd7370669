"""Derivatives of recorded computations; PyTorch's `autograd`.

`import tabgrad` needs the modes of this package; checks of derivatives, and other names that are rarely used,
are imported on first use.
"""

import typing as _typing
from importlib import import_module as _import_module

from tabgrad.autograd import graph as graph
from tabgrad.autograd.grad_mode import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled,
    is_inference_mode_enabled as is_inference_mode_enabled,
    is_multithreading_enabled as is_multithreading_enabled,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
    set_multithreading_enabled as set_multithreading_enabled,
)  # fmt: skip
from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.transforms.backward import backward as backward, grad as grad
from tabgrad.transforms.node import Node as Node

if _typing.TYPE_CHECKING:
    from tabgrad.autograd import (
        anomaly_mode as anomaly_mode,
        forward_ad as forward_ad,
        function as function,
        functional as functional,
        profiler as profiler,
    )
    from tabgrad.autograd.anomaly_mode import (
        AnomalyError as AnomalyError,
        detect_anomaly as detect_anomaly,
        is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled,
        is_anomaly_enabled as is_anomaly_enabled,
        set_detect_anomaly as set_detect_anomaly,
    )  # fmt: skip
    from tabgrad.autograd.checks import (
        GradcheckError as GradcheckError,
        gradcheck as gradcheck,
        gradgradcheck as gradgradcheck,
    )
    from tabgrad.autograd.function import (
        Function as Function,
        once_differentiable as once_differentiable,
    )
    from tabgrad.autograd.gradient_tape import GradientTape as GradientTape
    from tabgrad.autograd.variable import Variable as Variable
else:
    _ON_DEMAND = {
        "AnomalyError": "anomaly_mode", "detect_anomaly": "anomaly_mode",
        "is_anomaly_check_nan_enabled": "anomaly_mode", "is_anomaly_enabled": "anomaly_mode",
        "set_detect_anomaly": "anomaly_mode",
        "GradcheckError": "checks", "gradcheck": "checks", "gradgradcheck": "checks",
        "Function": "function", "once_differentiable": "function", "GradientTape": "gradient_tape",
        "Variable": "variable",
    }  # fmt: skip

    _MODULES = ("anomaly_mode", "forward_ad", "function", "functional", "profiler")

    def __getattr__(name: str) -> object:
        """Import a name on first use."""
        if name in _ON_DEMAND:
            return getattr(_import_module(f"tabgrad.autograd.{_ON_DEMAND[name]}"), name)
        if name in _MODULES:
            return _import_module(f"tabgrad.autograd.{name}")
        return _missing_from(__name__)(name)

    def __dir__() -> list[str]:
        """List all names, including those that are imported on first use."""
        return sorted({*globals(), *_ON_DEMAND, *_MODULES})
