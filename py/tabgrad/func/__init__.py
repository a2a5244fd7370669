"""Transforms of functions, nested in any way; PyTorch's `func`."""

from tabgrad.func.stateless import (
    functional_call as functional_call, stack_module_state as stack_module_state,
)  # fmt: skip
from tabgrad.transforms.custom import custom_jvp as custom_jvp, custom_vjp as custom_vjp
from tabgrad.transforms.functional import (
    grad as grad, grad_and_value as grad_and_value, jvp as jvp, linearize as linearize, vjp as vjp,
)  # fmt: skip
from tabgrad.transforms.jacobian import (
    hessian as hessian, hvp as hvp, jacfwd as jacfwd, jacrev as jacrev,
)  # fmt: skip
from tabgrad.transforms.mixed import jacobian as jacobian
from tabgrad.transforms.vmap import vmap as vmap
