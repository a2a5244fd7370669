"""Running cases on a device: pure Python, so that it runs where there is neither NumPy nor pytest.

A case is plain data (JSON): an op, its static parameters, the inputs, what to do (`check`), and the results
that `cpu` computed in float64. See `cases.py`, which makes them.
"""

from __future__ import annotations

import math
from typing import Any

import tabgrad as tg
from tabgrad import func
from tabgrad.core import dtype as dt
from tabgrad.core.op import REGISTRY
from tabgrad.transforms import backward

Case = dict[str, Any]


def frozen(value: Any) -> Any:
    """Return a parameter as it was before it became JSON: tuples for lists, dtypes for their names."""
    if isinstance(value, list):
        return tuple(frozen(v) for v in value)
    if isinstance(value, dict):
        return dt.by_name(value["dtype"])
    return value


def params_of(case: Case, device: str) -> dict[str, Any]:
    """Return the static parameters of a case, with the dtypes that the device has for them."""
    found = {k: frozen(v) for k, v in case["params"].items()}
    where = tg.device(device)
    return {k: where.canonical(v) if isinstance(v, dt.DType) else v for k, v in found.items()}


def _nested(data: list[Any], shape: list[int]) -> Any:
    for n in reversed(shape[1:]):
        data = [data[i : i + n] for i in range(0, len(data), n)]
    return data if shape else data[0]


def build(record: dict[str, Any], device: str, grad: bool = False) -> Any:
    """Return the tensor of a record: its numbers, then the views it is seen through."""
    dtype = dt.by_name(record["dtype"])
    shape = record["shape"]
    where = tg.device(device)
    kind = where.canonical(dtype)
    if 0 in shape:
        x = tg.zeros(*shape, dtype=kind, device=where)
    else:
        x = tg.tensor(_nested(record["data"], shape), dtype=kind, device=where)
    if grad:
        x.requires_grad = True
    return x


def seen(x: Any, record: dict[str, Any]) -> Any:
    """Return `x` through the views of its record."""
    for name, params in record.get("views", ()):
        x = REGISTRY[name].bind(x, **{k: frozen(v) for k, v in params.items()})
    return x


def application(case: Case, device: str) -> Any:
    """Return the function that applies the op of a case, through its public front where it says so."""
    op, params = REGISTRY[case["op"]], params_of(case, device)
    if "pairs" in case:
        return of_pairs(lambda *xs: op.bind(*xs, **params), case["pairs"])
    return (
        (lambda *xs: op(*xs, **params))
        if case.get("front")
        else (lambda *xs: op.bind(*xs, **params))
    )


def of_pairs(function: Any, pairs: list[int]) -> Any:
    """Return a function of complex numbers as one of pairs: the operands `pairs`, and the result if complex."""
    as_complex, as_real = REGISTRY["as_complex"].bind, REGISTRY["as_real"].bind

    def call(*xs: Any) -> Any:
        y = function(*(as_complex(x) if i in pairs else x for i, x in enumerate(xs)))
        return as_real(y) if y.dtype.is_complex else y

    return call


def run(case: Case, device: str) -> list[Any]:
    """Return the results of a case as tensors on `device`."""
    return CHECKS[case["check"]](case, device)


def forward(case: Case, device: str) -> list[Any]:
    """The value."""
    return [application(case, device)(*(seen(build(r, device), r) for r in case["inputs"]))]


def _doubled(case: Case, device: str) -> tuple[list[Any], list[Any], Any]:
    """Return leaves, the inputs 2 * leaf that the op gets, and its result: gradients must flow on."""
    leaves, inputs = [], []
    for r in case["inputs"]:
        smooth = r.get("differentiable")
        x = build(r, device, bool(smooth))
        if smooth:
            leaves.append(x)
            x = x * 2
        inputs.append(seen(x, r))
    return leaves, inputs, application(case, device)(*inputs)


def reverse(case: Case, device: str) -> list[Any]:
    """The gradients of the leaves for a given cotangent."""
    leaves, _, y = _doubled(case, device)
    ct = build(case["cotangent"], device)
    return list(backward.grad(y, leaves, ct, materialize_grads=True))


def second(case: Case, device: str) -> list[Any]:
    """The derivative, along a given direction, of the gradients."""
    leaves, _, y = _doubled(case, device)
    ct = build(case["cotangent"], device)
    found = backward.grad(y, leaves, ct, create_graph=True, materialize_grads=True)
    along = [build(r, device) for r in case["tangents"]]
    pairs = [(g, v) for g, v in zip(found, along, strict=True) if g.requires_grad]
    if not pairs:
        return [x * 0 for x in leaves]
    outputs, cts = zip(*pairs, strict=True)
    return list(backward.grad(outputs, leaves, cts, materialize_grads=True))


def jvp(case: Case, device: str) -> list[Any]:
    """The tangent of the result, forward."""
    fixed, at, function = _variables(case, device)
    tangents = tuple(build(r, device) for r in case["tangents"])
    return [func.jvp(function, tuple(fixed[i] for i in at), tangents)[1]]


def vmap(case: Case, device: str) -> list[Any]:
    """The results for a batch along the given axis of each input, None for none."""
    inputs = [seen(build(r, device), r) for r in case["inputs"]]
    dims = tuple(case["dims"])
    return [func.vmap(application(case, device), in_dims=dims)(*inputs)]


# -- derivatives of derivatives --------------------------------------------------------------------


def _variables(case: Case, device: str) -> tuple[list[Any], list[int], Any]:
    """Return the inputs, the numbers of the differentiable ones, and the op as a function of those alone."""
    fixed = [seen(build(r, device), r) for r in case["inputs"]]
    at = [i for i, r in enumerate(case["inputs"]) if r.get("differentiable")]
    apply = application(case, device)

    def function(*xs: Any) -> Any:
        args = list(fixed)
        for i, x in zip(at, xs, strict=True):
            args[i] = x
        return apply(*args)

    return fixed, at, function


def jvp_of_grad(case: Case, device: str) -> list[Any]:
    """The tangents of the gradients, forward mode over reverse."""
    fixed, at, function = _variables(case, device)
    ct = build(case["cotangent"], device)
    tangents = tuple(build(r, device) for r in case["tangents"])

    def gradient(*xs: Any) -> Any:
        return func.vjp(function, *xs)[1](ct)

    return list(func.jvp(gradient, tuple(fixed[i] for i in at), tangents)[1])


def vmap_of_grad(case: Case, device: str) -> list[Any]:
    """The gradients for a batch along the given axis of each differentiable input and of the cotangent."""
    fixed, at, function = _variables(case, device)
    ct = build(case["cotangent"], device)

    def gradient(ct: Any, *xs: Any) -> Any:
        return func.vjp(function, *xs)[1](ct)

    mapped = func.vmap(gradient, in_dims=tuple(case["dims"])) if case["dims"] else gradient
    return list(mapped(ct, *(fixed[i] for i in at)))


def _op_of_op(case: Case, device: str) -> tuple[list[Any], Any]:
    """Return leaves and the op applied to inputs that depend, a little, on what the op makes of them."""
    fixed, at, function = _variables(case, device)
    leaves = [fixed[i].detach().clone().requires_grad_() for i in at]
    ct = build(case["cotangent"], device)
    scale = 1 + 0.01 * (function(*leaves) * ct).sum().tanh()
    return leaves, function(*(x * scale for x in leaves))


def gradient_of_op_of_op(case: Case, device: str) -> list[Any]:
    """The gradients of op∘op."""
    leaves, y = _op_of_op(case, device)
    ct = build(case["cotangent"], device)
    return list(backward.grad(y, leaves, ct, materialize_grads=True))


def op_of_op(case: Case, device: str) -> list[Any]:
    """The derivative, along a given direction, of the gradients of op∘op."""
    leaves, y = _op_of_op(case, device)
    ct = build(case["cotangent"], device)
    found = backward.grad(y, leaves, ct, create_graph=True, materialize_grads=True)
    along = [build(r, device) for r in case["tangents"]]
    # that of an input which a result of several does not depend on is a constant zero
    pairs = [(one, a) for one, a in zip(found, along, strict=True) if one.requires_grad]
    made, along = [one for one, _ in pairs], [a for _, a in pairs]
    return list(backward.grad(made, leaves, along, materialize_grads=True))


CHECKS = {
    "forward": forward,
    "reverse": reverse,
    "second": second,
    "jvp": jvp,
    "vmap": vmap,
    "jvp of grad": jvp_of_grad,
    "vmap of grad": vmap_of_grad,
    "op of op": op_of_op,
    "gradient of op of op": gradient_of_op_of_op,
}


# -- comparing -------------------------------------------------------------------------------------


def flat(values: Any) -> list[Any]:
    """Return the numbers of a nested list, in order."""
    if not isinstance(values, list):
        return [values]
    return [v for inner in values for v in flat(inner)]


def close(got: Any, want: Any, rtol: float, atol: float) -> bool:
    """Whether two numbers agree; nan agrees with nan, an infinity with itself."""
    if isinstance(want, bool) or isinstance(want, int) or isinstance(got, bool):
        return bool(got == want)
    if math.isnan(want) or math.isnan(got):
        return math.isnan(want) and math.isnan(got)
    if math.isinf(want) or math.isinf(got):
        return bool(want == got)
    return abs(got - want) <= atol + rtol * abs(want)


def complaint(case: Case, results: list[tuple[tuple[int, ...], list[Any]]]) -> str:
    """Return what is wrong with the results (shape and numbers) of a case, "" if nothing is."""
    if len(results) != len(case["expected"]):
        return f"{len(results)} results for {len(case['expected'])} expected ones"
    for k, ((shape, numbers), want) in enumerate(zip(results, case["expected"], strict=True)):
        if list(shape) != want["shape"]:
            return f"result {k}: shape {tuple(shape)}, expected {tuple(want['shape'])}"
        for i, (g, w) in enumerate(zip(numbers, want["data"], strict=True)):
            if not close(g, w, case["rtol"], case["atol"]):
                both = f"\n  got  {numbers}\n  want {want['data']}"
                return f"result {k}, element {i}: {g!r}, expected {w!r}{both}"
    return ""


def check(case: Case, device: str) -> str:
    """Run a case and return what is wrong, "" if nothing is; waits for the device."""
    return complaint(case, [(y.shape, flat(y.tolist())) for y in run(case, device)])


async def check_async(case: Case, device: str) -> str:
    """Run a case where the program can't wait; what `check` does, with awaited reads."""
    return complaint(case, [(y.shape, flat(await y.tolist_async())) for y in run(case, device)])
