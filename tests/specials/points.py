"""Which calls are made at special values: generated from the signatures of tabgrad's public functions.

A call is an expression in which `t` is the library. `x` is a line of special values, `p` and `q` are all pairs
of them, `rows` is a matrix whose rows meet them, `none` has no elements, `flat` is 2 rows of none, `one` has no
dims. Each call is made with every dtype of DTYPES.
"""

from __future__ import annotations

import inspect
import math
import pathlib
from typing import Any

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
)  # fmt: skip
LARGEST = {"float16": 65504.0, "bfloat16": 2.0**127 * (2 - 2.0**-7), "float32": 2.0**127 * (2 - 2.0**-23),
           "float64": 2.0**1023 * (2 - 2.0**-52)}  # fmt: skip
SUBNORMAL = {
    "float16": 2.0**-20,
    "bfloat16": 2.0**-130,
    "float32": 2.0**-140,
    "float64": 2.0**-1060,
}
INF, NAN = math.inf, math.nan
EXTRA = pathlib.Path(__file__).with_name("calls.txt")

TENSORS = {"input", "x", "self", "A", "input1", "x1", "elements", "tensor", "a", "anchor"}
OTHERS = {
    "other",
    "y",
    "exponent",
    "end",
    "values",
    "target",
    "x2",
    "q",
    "vec2",
    "min",
    "max",
    "test_elements",
}
NUMBERS_DRAWN = {
    "bernoulli", "multinomial", "normal", "poisson", "rand_like", "randn_like", "randint_like", "empty_like",
    "gumbel_softmax", "rrelu", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
    "feature_alpha_dropout",
}  # fmt: skip
# PyTorch's ends the process where the least integer is divided by -1
FATAL = {"lcm"}
NO_NUMBERS = {
    "numel",
    "to_dlpack",
    "clone",
    "is_complex",
    "is_signed",
    "is_inference",
    "is_nonzero",
    "is_floating_point",
    "get_device",
}


def values(dtype: str) -> list[Any]:
    """Return the special values of a dtype."""
    if dtype == "bool":
        return [False, True]
    if dtype in LARGEST:
        top, tiny = LARGEST[dtype], SUBNORMAL[dtype]
        return [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            -0.5,
            2.5,
            -3.0,
            INF,
            -INF,
            NAN,
            tiny,
            -tiny,
            top,
            -top,
            30.0,
            2.0**-8,
        ]
    low, high = limits(dtype)
    return [0, 1, 2, 3, 7, high, high - 1, *([-1, -2, -3, low, low + 1] if low else [high // 2])]


def limits(dtype: str) -> tuple[int, int]:
    """Return the least and the greatest integer."""
    bits = int(dtype.lstrip("uint"))
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def paired(dtype: str) -> list[Any]:
    """Return the values that meet each other in pairs."""
    if dtype in LARGEST:
        top, tiny = LARGEST[dtype], SUBNORMAL[dtype]
        return [0.0, -0.0, 1.0, -1.0, 0.5, -3.0, INF, -INF, NAN, tiny, top]
    return values(dtype)


def rows(dtype: str) -> list[list[Any]]:
    """Return rows of four in which special values meet each other and plain ones."""
    if dtype not in LARGEST:
        line = values(dtype)
        return [[line[(i + k * k) % len(line)] for k in range(4)] for i in range(len(line))] + [
            [line[0]] * 4
        ]
    top, tiny = LARGEST[dtype], SUBNORMAL[dtype]
    return [
        [1.0, 2.0, -3.0, 0.5], [0.0, -0.0, 0.0, -0.0], [-0.0] * 4, [1.0, NAN, 2.0, 3.0], [NAN] * 4,
        [INF, 1.0, -2.0, 0.0], [-INF, 1.0, -2.0, 0.0], [INF, -INF, 1.0, 2.0], [INF] * 4, [-INF] * 4,
        [NAN, INF, -INF, 0.0], [top, 1.0, 0.0, -1.0], [tiny, 0.0, -0.0, tiny], [2.0] * 4,
    ]  # fmt: skip


def environment(t: Any, dtype: str, device: str, grad: bool) -> dict[str, Any]:
    """Return the tensors that a call names."""
    line = paired(dtype)
    data = {
        "x": values(dtype), "p": [a for a in line for _ in line], "q": line * len(line), "rows": rows(dtype),
        "one": values(dtype)[2 % len(values(dtype))], "none": [], "flat": [[], []],
    }  # fmt: skip
    kind = getattr(t, dtype)
    found = {name: t.tensor(v, dtype=kind, device=device) for name, v in data.items()}
    if grad:
        for x in found.values():
            x.requires_grad_()
    return {"t": t, **found}


def late_names() -> list[tuple[str, str]]:
    """Return (file, name) of the functions at the root that are imported when they are asked for."""
    from tabgrad.tensor.late import FUNCTIONS

    return [(home, name) for home, names in FUNCTIONS.items() for name in names.split()]


def functions(tg: Any) -> dict[str, Any]:
    """Return tabgrad's functions by name; of one under several names the first."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    # those of other late rooms are at the root only once something has asked for them
    elsewhere = {n for home, n in late_names() if not home.startswith("tensor.")}
    for prefix, module in (
        ("", tg), ("special.", tg.special), ("linalg.", tg.linalg), ("nn.functional.", tg.nn.functional),
    ):  # fmt: skip
        late = (n for home, n in late_names() if module is tg and home.startswith("tensor."))
        for name in sorted({*vars(module), *late} - (elsewhere if module is tg else set())):
            fn = getattr(module, name)
            its = id(inspect.unwrap(fn)) if callable(fn) else 0
            # what ends with an underscore does in place what another function does
            hidden = name.startswith("_") or name.endswith("_")
            if hidden or not its or inspect.isclass(fn) or its in seen:
                continue
            if name not in NUMBERS_DRAWN | NO_NUMBERS | FATAL:
                seen.add(its)
                found[prefix + name] = fn
    return found


def calls_of(name: str, fn: Any) -> list[str]:
    """Return the calls that a signature allows: of one tensor, of two, along a dim, with each reduction."""
    parameters = inspect.signature(fn).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind <= 1]
    optional = {p.name for p in parameters if p.default is not p.empty}
    f = f"t.{name}"
    if not needed or needed[0] not in TENSORS:
        return []
    if needed[1:] == ["dim"]:
        return [f"{f}(rows, 1)", f"{f}(rows, 0)", f"{f}(none, 0)", f"{f}(flat, 1)", f"{f}(one, 0)"]
    if len(needed) == 1:
        found = [f"{f}(x)", f"{f}(none)", f"{f}(one)"]
        if "dim" in optional:
            found += [f"{f}(rows, dim=1)", f"{f}(rows, dim=0)", f"{f}(flat, dim=1)"]
        return found
    if len(needed) == 2 and needed[1] in OTHERS:
        if "reduction" in optional:
            return [f"{f}(p, q, reduction={r!r})" for r in ("none", "mean")] + [f"{f}(none, none)"]
        if "dim" in optional:
            return [f"{f}(rows, rows.flip(0))"]
        return [f"{f}(p, q)", f"{f}(none, none)", f"{f}(one, one)"]
    return []


def calls(tg: Any) -> list[str]:
    """Return every call, those of `calls.txt` last."""
    found = [call for name, fn in functions(tg).items() for call in calls_of(name, fn)]
    more = [line for line in EXTRA.read_text().splitlines() if line and not line.startswith("#")]
    return list(dict.fromkeys(found + more))
