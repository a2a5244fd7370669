"""Transforms of functions, nested in any way; PyTorch's `func`."""

from tabgrad.func.control import (
    cond as cond,
    fori_loop as fori_loop,
    scan as scan,
    while_loop as while_loop,
)  # fmt: skip
from tabgrad.func.curvature import (
    directional_second_derivative as directional_second_derivative,
    empirical_fisher as empirical_fisher,
    empirical_fisher_product as empirical_fisher_product,
    gauss_newton_product as gauss_newton_product,
    hessian_diagonal as hessian_diagonal,
    laplacian as laplacian,
)  # fmt: skip
from tabgrad.func.functionalization import (
    debug_unwrap as debug_unwrap,
    functionalize as functionalize,
)  # fmt: skip
from tabgrad.func.implicit import (
    ConvergenceError as ConvergenceError,
    fixed_point as fixed_point,
    linear_solve as linear_solve,
    root as root,
)  # fmt: skip
from tabgrad.func.ode import odeint as odeint
from tabgrad.func.sparse_jacobian import (
    SparseMatrix as SparseMatrix,
    banded as banded,
    jacobian_sparsity as jacobian_sparsity,
    sparse_hessian as sparse_hessian,
    sparse_jacobian as sparse_jacobian,
)  # fmt: skip
from tabgrad.func.stateless import (
    functional_call as functional_call,
    replace_all_batch_norm_modules_ as replace_all_batch_norm_modules_,
    stack_module_state as stack_module_state,
)  # fmt: skip
from tabgrad.transforms.custom import custom_jvp as custom_jvp, custom_vjp as custom_vjp
from tabgrad.transforms.functional import (
    grad as grad,
    grad_and_value as grad_and_value,
    jvp as jvp,
    linearize as linearize,
    vjp as vjp,
)  # fmt: skip
from tabgrad.transforms.jacobian import (
    hessian as hessian,
    hvp as hvp,
    jacfwd as jacfwd,
    jacrev as jacrev,
)  # fmt: skip
from tabgrad.transforms.mixed import jacobian as jacobian
from tabgrad.transforms.vmap import vmap as vmap
