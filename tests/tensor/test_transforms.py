"""Every program of `cases.py` as a function: under vmap, and its forward derivative beside its reverse one."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import tabgrad as tg
from tabgrad.core.errors import TransformError
from tests.grouped import grouped
from tests.tensor import cases, running

NAMES = [name for name in cases.INPUTS if name.isupper()]
TOPICS = (
    "elementwise",
    "reductions",
    "order",
    "shapes",
    "linear",
    "matrices",
    "indexing",
    "inplace",
)
CASES = [(topic, code) for topic in TOPICS for code in cases.TOPICS[topic]]
READS = {
    "t.unique(A.detach())": "how many there are is read back",
    "A[m & (A > 1)]": "how many there are is read back",
    "x = A * 1\nd = x.detach()\nd.zero_()\nx.sum()": "inside a transform a detached tensor shares nothing",
}


def tensors(result: Any) -> list[Any]:
    """Return the floating-point tensors in a result."""
    if isinstance(result, tuple | list):
        return [x for part in result for x in tensors(part)]
    return [result] if tg.is_tensor(result) and result.dtype.is_floating_point else []


class Program:
    """A program as a function of the inputs that want gradients; None where it has no tensor to give."""

    def __init__(self, code: str, device: str) -> None:
        self.code = code
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.env = running.environment(tg, device)
        self.inputs = [self.env[name].detach() for name in NAMES]

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = running.execute(
                self.code, {**self.env, **dict(zip(NAMES, inputs, strict=True))}
            )
        return tuple(tensors(result))


def programs() -> list[str]:
    """Return the programs that give tensors, by PyTorch's word for it."""
    found = []
    for topic, code in CASES:
        wanted = str(EXPECTED[topic][code])
        if '"float' in wanted.replace("'", '"'):
            found.append(code)
    return found


def expected() -> Any:
    import json

    from tests.tensor.record import PATH

    return json.loads(PATH.read_text())


EXPECTED = expected()


def made(xs: Any) -> list[Any]:
    """Return tensors that are computed, so that no program has kernels in which they are computed too."""
    xs = list(xs)
    xs[0].tolist()  # a read computes all that is recorded
    return xs


def near(a: Any, b: Any) -> bool:
    """Compare on the CPU, which spares a device the kernels of the comparison."""
    return a.shape == b.shape and tg.allclose(
        a.cpu().float(), b.cpu().float(), rtol=1e-4, atol=1e-5, equal_nan=True
    )


def dot(a: Any, b: Any) -> float:
    """Return the sum of products, on the CPU."""
    return float((a.cpu() * b.cpu()).sum().item())


@pytest.mark.every_host
@grouped("code", programs(), ids=lambda code: code.replace("\n", ";"), sampled=2)
def test_vmap_is_a_loop(code: str, device: str) -> None:
    program = Program(code, device)
    rows = [program.inputs, made(x * 0.5 + 0.25 for x in program.inputs)]
    stacked = made(tg.stack(pair) for pair in zip(*rows, strict=True))
    if code in READS:
        with pytest.raises(TransformError):
            tg.func.vmap(program)(*stacked)
        return
    found = tg.func.vmap(program)(*stacked)
    each = [program(*row) for row in rows]
    whole = [x.cpu() for x in found]
    for k, alone in enumerate(each):
        for a, b in zip(whole, alone, strict=True):
            assert near(a[k], b)


@pytest.mark.every_host
@grouped("code", programs(), ids=lambda code: code.replace("\n", ";"), sampled=4)
def test_forward_and_reverse_derivatives_agree(code: str, device: str) -> None:
    program = Program(code, device)
    if code in READS:
        return
    tangents = made(x * 0.1 + 0.5 for x in program.inputs)
    _, dy = tg.func.jvp(program, tuple(program.inputs), tuple(tangents))
    y, pull = tg.func.vjp(program, *program.inputs)
    cts = tuple(tg.tensor(running.weights(o.numel()), dtype=o.dtype).reshape(o.shape) for o in y)
    grads = pull(cts)
    left = sum(dot(ct, d) for ct, d in zip(cts, dy, strict=True))
    right = sum(dot(g, d) for g, d in zip(grads, tangents, strict=True))
    assert left == pytest.approx(right, rel=1e-3, abs=1e-3, nan_ok=True)
