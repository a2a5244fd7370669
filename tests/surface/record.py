"""Write PyTorch's signatures and homes of the names that tabgrad has: `python -m tests.surface.record`.

Builtin functions have no signature that Python can see: those of `torch` and `Tensor` are read from the
stubs that PyTorch ships, those of `linalg` and `special` from its operator schemas, all others from Python.
Where a stub is not what PyTorch's parser takes, `PARSED` says it (tried in PyTorch 2.13).
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from tests.surface import names

PATH = pathlib.Path(__file__).with_name("signatures.txt")
HOMES = PATH.with_name("homes.txt")

CAST = ["self, memory_format=torch.preserve_format"]
PARSED: dict[str, list[str]] = {
    "tensor": ["data, *, dtype=None, device=None, requires_grad=False, pin_memory=False"],
    "asarray": ["obj, *, dtype=None, device=None, copy=None, requires_grad=False"],
    "flip": ["input, dims"],
    "linalg.matrix_exp": ["input"],
    **{f"fft.{name}": [
        "n, d=1.0, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False, out=None",
    ] for name in ("fftfreq", "rfftfreq")},
    **{f"fft.{name}fft2": ["input, s=None, dim=(-2, -1), norm=None, *, out=None"] for name in (
        "", "i", "r", "ir", "h", "ih",
    )},
    "result_type": [
        "tensor, other", "scalar, tensor", "scalar1, scalar2",
    ],
    **{f"{name}_window": [
        f"window_length{more}, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False"
        for more in forms
    ] for name, forms in {
        "hamming": ("", ", periodic", ", periodic, alpha", ", periodic, alpha, beta"),
        "kaiser": ("", ", periodic", ", periodic, beta"),
    }.items()},
    "Tensor.new_tensor": [
        "self, data, *, dtype=None, device=None, requires_grad=False, pin_memory=False",
    ],
    "Tensor.new_ones": [
        "self, size, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False",
        "self, *size, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False",
    ],
    "Tensor.requires_grad_": ["self, requires_grad=True"],
    **{f"Tensor.{name}": CAST for name in (
        "bfloat16", "bool", "byte", "char", "double", "float", "half", "int", "long", "short",
        "cdouble", "cfloat",
    )},
}  # fmt: skip


def stubs(path: pathlib.Path, inside: str = "") -> dict[str, list[str]]:
    """Return the signatures of the functions of a stub file, or of one class of it, by name."""
    body = ast.parse(path.read_text()).body
    if inside:
        body = next(n.body for n in body if isinstance(n, ast.ClassDef) and n.name == inside)
    found: dict[str, list[str]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef) and not _deprecated(node):
            found.setdefault(node.name, []).append(_bare(node.args, inside))
    return found


def _deprecated(node: ast.FunctionDef) -> bool:
    """Return whether an overload is an old order of arguments (a number before a tensor), or of named dims."""
    given = [a.arg for a in node.args.args]
    required = given[: len(given) - len(node.args.defaults)]
    text = " ".join(ast.unparse(a.annotation) for a in node.args.args if a.annotation)
    first = required[1:2] == ["value"] and "tensor1" in required
    # `names` are of named tensors, and no parser takes `steps=None`
    unparsed = "names" in [a.arg for a in node.args.kwonlyargs] or _default(node, "steps") == "None"
    old = "self" in given[1:] or bool({"alpha", "beta"} & set(required)) or first
    return old or unparsed or "EllipsisType" in text


def _default(node: ast.FunctionDef, name: str) -> str:
    """Return the text of the default of a parameter, an empty one where there is none."""
    with_default = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    pairs = zip(with_default, node.args.defaults, strict=True)
    return next((ast.unparse(v) for a, v in pairs if a.arg == name), "")


def _bare(given: ast.arguments, inside: str) -> str:
    """Return a list of parameters without annotations; `self` of a function, a number there, is its input."""
    for a in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if a is not None:
            a.annotation = None
            a.arg = "input" if a.arg == "self" and not inside else a.arg
    given.args = given.posonlyargs + given.args
    given.posonlyargs = []
    return ast.unparse(given)


def schema(name: str) -> list[str]:
    """Return the signatures of an operator by its schemas; those with `out` are told by the keyword."""
    import torch

    found = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    out = any(a.is_out for s in found for a in s.arguments)
    lines = []
    for s in found:
        if any(a.is_out for a in s.arguments):
            continue
        parts, star = [], False
        for a in s.arguments:
            if a.kwarg_only and not star:
                parts, star = [*parts, "*"], True
            named = "input" if a.name == "self" else a.name
            default = f"={a.default_value!r}" if a.has_default_value() else ""
            parts.append(named + default)
        if out:
            parts += ["out=None"] if star else ["*", "out=None"]
        lines.append(", ".join(parts))
    return lines


def python(thing: Any) -> list[str]:
    """Return the signature that Python sees of a function or a class, without annotations."""
    with contextlib.suppress(ValueError, TypeError):
        given = inspect.signature(thing)
        parts = [
            p.replace(annotation=p.empty, default=_plain(p.default))
            for p in given.parameters.values()
        ]
        text = str(given.replace(parameters=parts, return_annotation=given.empty))
        return [text[1:-1]]
    return []


class _Text:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _plain(default: Any) -> Any:
    """Return a default in the form that a signature is compared in."""
    return default if default is inspect.Parameter.empty else _Text(names.spelled(default))


def _without_out(signature: str) -> str:
    """Return the signature of a method, which takes no `out`, whatever its stub says."""
    return re.sub(r"(, \*)?, out=None$", "", signature)


def recorded() -> Iterator[tuple[str, str]]:
    """Yield each name and one of its signatures."""
    import torch

    root = pathlib.Path(torch.__file__).parent
    functions = stubs(root / "_C" / "_VariableFunctions.pyi")
    methods = stubs(root / "_C" / "__init__.pyi", "TensorBase")
    neural = stubs(root / "nn" / "functional.pyi")
    for place, name in names.public():
        module = importlib.import_module(f"torch.{place}" if place else "torch")
        thing = getattr(module, name, None)
        if thing is None or not callable(thing):
            continue
        full = f"{place}.{name}" if place else name
        seen = python(thing)
        if seen == ["*args, **kwargs"] or (not seen and place == "nn.functional"):
            seen = neural.get(name, [])
        if not seen:
            seen = functions.get(name, []) if not place else schema(f"{place}_{name}")
        # stubs and schemas say 1, a mean, but a call from Python without a reduction reduces nothing
        seen = [s.replace("reduction=1", "reduction=0") for s in seen]
        yield from ((full, s) for s in dict.fromkeys(seen))
    for place, kind, method in names.members():
        module = importlib.import_module(f"torch.{place}" if place else "torch")
        thing = getattr(getattr(module, kind, None), method, None)
        if thing is not None and callable(thing):
            full = ".".join(filter(None, (place, kind, method)))
            yield from ((full, s) for s in python(thing))
    for name in names.methods():
        thing = getattr(torch.Tensor, name, None)
        if thing is not None and callable(thing):
            seen = python(thing) or [_without_out(s) for s in methods.get(name, [])]
            yield from ((f"Tensor.{name}", s) for s in dict.fromkeys(seen))


def text() -> str:
    """Return the lines of `signatures.txt`."""
    found = dict.fromkeys((name, s) for name, sig in recorded() for s in PARSED.get(name, [sig]))
    return "".join(f"{name}({signature})\n" for name, signature in found)


def homes() -> str:
    """Return the lines of `homes.txt`: where PyTorch says that its classes and functions are from."""
    import torch  # noqa: F401

    found = []
    for place, name in names.placed():
        try:
            thing = getattr(importlib.import_module(f"torch.{place}".rstrip(".")), name, None)
        except ImportError:
            continue
        module, qualified = (getattr(thing, n, None) for n in ("__module__", "__qualname__"))
        if callable(thing) and module and qualified:
            is_class = inspect.isclass(thing)
            found.append(f"{place}:{name} {module} {qualified if is_class else '-'}\n")
    return "".join(found)


if __name__ == "__main__":
    PATH.write_text(text())
    HOMES.write_text(homes())
