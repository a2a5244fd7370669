"""Where PyTorch has the classes and functions of a program: what their `__module__` says under the alias.

`print(type(x))`, and programs that ask whether a layer is one of `torch.nn`, then answer as with PyTorch.
What `core/paths.py` lists has its home there, what `ELSEWHERE` lists in a module that is a file here too; all
else keeps its path, below `torch`. Classes of packages that PyTorch has not stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, ForwardRef

import tabgrad
from tabgrad.core.naming import ROOT, Home, module_of
from tabgrad.core.places import Place, entries, parsed
from tabgrad.core.submodules import Finder, paths

OURS = frozenset(("core", "dispatch", "examples", "extend", "exporting", "hosts", "lower", "ops", "printing",
                  "pytorch", "tensor", "transforms"))  # fmt: skip
"""Packages of tabgrad that are not PyTorch's."""
ELSEWHERE = {
    "": (
        "tabgrad: Tensor tabgrad.core.dtype: dtype=DType tabgrad.core.errors: OutOfMemoryError "
        "tabgrad.hosts.devices: device=Device tabgrad.tensor.layout: layout memory_format "
        "tabgrad.tensor.type_info: finfo iinfo"
    ),
    "autograd.function": (
        "tabgrad.transforms.contexts: FunctionCtx tabgrad.transforms.function: Function"
    ),
    "autograd.graph": (
        "tabgrad.transforms.backward: GradientEdge tabgrad.transforms.hooks: saved_tensors_hooks "
        "tabgrad.transforms.node: Node"
    ),
    "autograd.profiler": "tabgrad.profiler.recording: record_function",
    "cuda": "tabgrad.cuda.streams: StreamContext",
    "distributed": (
        "tabgrad.distributed.errors: DistBackendError DistError DistNetworkError DistStoreError"
    ),
    "distributed.fsdp": "tabgrad.distributed.fsdp: FSDPModule",
    "distributed.optim.post_localSGD_optimizer": "tabgrad.optim.local_sgd: PostLocalSGDOptimizer",
    "distributed.optim.zero_redundancy_optimizer": "tabgrad.optim.zero: ZeroRedundancyOptimizer",
    "distributions.constraints": (
        "tabgrad.distributions.constraints: _IndependentConstraint=_Independent "
        "_DependentProperty=dependent_property"
    ),
    "distributions.transforms": (
        "tabgrad.distributions.joined_transforms: CatTransform ComposeTransform IndependentTransform "
        "ReshapeTransform StackTransform tabgrad.distributions.matrix_transforms: CorrCholeskyTransform "
        "LowerCholeskyTransform PositiveDefiniteTransform SoftmaxTransform StickBreakingTransform"
    ),
    "export": "tabgrad.exporting.program: ExportedProgram tabgrad.exporting.specs: Dim",
    "nn.attention": "tabgrad.nn.attention.multi_head: SDPBackend",
    "nn.modules.loss": "tabgrad.nn.classifying: LinearCrossEntropyLoss",
    "nn.modules.module": "tabgrad.nn.module: Module tabgrad.nn.state: _IncompatibleKeys=IncompatibleKeys",
    "nn.utils.prune": "tabgrad.nn.utils.prune: Identity",
    "optim": "tabgrad.optim.adafactor: Adafactor tabgrad.optim.muon: Muon",
    "sparse": "tabgrad.sparse.creation: check_sparse_tensor_invariants",
    "utils.checkpoint": (
        "tabgrad.utils.recompute: CheckpointError CheckpointPolicy SelectiveCheckpointContext"
    ),
    "utils.hooks": "tabgrad.transforms.node: RemovableHandle",
}  # fmt: skip
"""Classes whose home is a module that is a file here, by the module's path."""


_WRITTEN = {
    "nn.modules.activation": "tabgrad.nn.activation", "nn.modules.loss": "tabgrad.nn.loss",
    "nn.modules.rnn": "tabgrad.nn.rnn",
}  # fmt: skip
"""Which of several files has most of a module's classes: that is the module's file, where `inspect` reads."""


@cache
def _listed() -> dict[str, list[tuple[str, str, str]]]:
    """Return, by the name of a class here, the modules it may be from, with its path and name in PyTorch."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    table = [(path, entry) for path, text in ELSEWHERE.items() for entry in parsed(text)]
    table += [(p, e) for p in paths() if not paths()[p].startswith("=") for e in entries(p)]
    for path, (theirs, home, ours) in table:
        found.setdefault(ours, []).append((home, path, theirs))
    return found


def home_in_pytorch(module: str, name: str) -> tuple[str, str] | None:
    """Return module and name of a class in PyTorch by those it has here; None for what PyTorch has not.

    >>> home_in_pytorch("tabgrad.nn.linear", "Linear"), home_in_pytorch("tabgrad.core.dtype", "DType")
    (('torch.nn.modules.linear', 'Linear'), ('torch', 'dtype'))
    """
    for home, path, theirs in _listed().get(name, ()):
        if home == module or module.startswith(f"{home}."):
            return f"torch.{path}".rstrip("."), theirs
    inside = module.partition(".")[2]
    return None if inside.partition(".")[0] in OURS else (f"torch.{inside}".rstrip("."), name)


_MOVED: dict[type, dict[str, Any]] = {}
"""What was said of classes that have another home, before."""
_SAID = ("__module__", "__firstlineno__", "__name__", "__qualname__", "__annotations__")
"""What is said of a class; Python drops the first line where the module is set."""
FUNCTIONAL = "tabgrad.nn.functional"
"""The package whose files PyTorch has in one."""
_NAMED: list[tuple[dict[str, Any], list[str]]] = []
"""Names that modules were given for the annotations in them."""
_FUNCTIONS: list[FunctionType] = []
"""Functions with another home."""
_WAITING: dict[str, dict[str, Place]] = {}
"""Homes below packages that are not imported yet, which will show them."""


def move(module: ModuleType) -> None:
    """Give classes and functions that stand in a module of tabgrad the homes that PyTorch has them in."""
    name = module.__name__
    root = name == ROOT
    inner = name.split(".")[1:2]
    for below, place in _WAITING.pop(name, {}).items():
        vars(module).setdefault(below, place)
    values = list(vars(module).values())
    if "TYPE_CHECKING" in vars(module) or FunctionType in map(type, values):
        _name_types(vars(module))
    for value in values:
        if isinstance(value, type):
            _move_class(value)
        elif type(value) is FunctionType and (root or inner[0] not in OURS):
            _move_function(value, root)


@cache
def _types() -> dict[str, Any]:
    """Return what annotations name that files import for type checkers alone."""
    import collections.abc as abc
    import typing

    from tabgrad.tensor import types
    from tabgrad.transforms.node import Node

    found: dict[str, Any] = {n: getattr(types, n) for n in ("DeviceLike", "Dims", "Ints", "Number")}
    found |= {
        n: getattr(abc, n) for n in ("Callable", "Iterable", "Iterator", "Mapping", "Sequence")
    }
    found |= {n: getattr(tabgrad, n) for n in ("Generator", "Tensor")}
    found |= {
        "DType": tabgrad.dtype,
        "Device": tabgrad.device,
        "MemoryFormat": tabgrad.memory_format,
    }
    return found | {"Any": typing.Any, "Node": Node}


def _name_types(names: dict[str, Any]) -> None:
    """Let `typing.get_type_hints` find what annotations name."""
    added = [name for name in _types() if name not in names]
    names.update({name: _types()[name] for name in added})
    _NAMED.append((names, added))


def _move_class(what: type) -> None:
    own = what.__module__
    if type(own) is not str or own.partition(".")[0] != ROOT:
        return
    found = home_in_pytorch(own, what.__qualname__)
    if found is None:
        return
    names = what.__name__, what.__qualname__
    _MOVED[what] = {n: v for n in _SAID if (v := vars(what).get(n)) is not None}
    _MOVED[what] |= dict(zip(_SAID[2:4], names, strict=True))
    said = _MOVED[what] | {"__module__": _home(found[0], own, what.__qualname__)}
    if found[1] != what.__qualname__:
        said["__name__"] = said["__qualname__"] = found[1]
    if "__annotations__" in said:
        notes: dict[str, Any] = said["__annotations__"]
        said["__annotations__"] = {
            n: _note(t, own) if type(t) is str else t for n, t in notes.items()
        }
    if not _placed(found[0], sys.modules[own]):
        said.pop("__firstlineno__", None)  # it is a line of another file
    _say(what, said)


@cache
def _note(text: str, own: str) -> ForwardRef:
    """Return an annotation that `typing.get_type_hints` finds in the file where it is written."""
    return ForwardRef(text, module=own, is_class=True)


def _say(what: type, said: dict[str, Any]) -> None:
    for name in _SAID:
        if name in said and said[name] != getattr(what, name, None):
            type.__setattr__(what, name, said[name])


def _move_function(what: FunctionType, public: bool) -> None:
    own = what.__module__
    if type(own) is not str or own.partition(".")[0] != ROOT:
        return
    if public:
        home = "torch.functional" if what.__name__ in _functional() else "torch"
    elif own.startswith(FUNCTIONAL):
        home = f"torch{FUNCTIONAL.removeprefix(ROOT)}"
    else:
        home = f"torch{own.removeprefix(ROOT)}"
    what.__module__ = _home(home, own)
    _FUNCTIONS.append(what)


@cache
def _functional() -> frozenset[str]:
    return frozenset(name for name, *_ in entries("functional"))


@cache
def _home(path: str, own: str, name: str = "") -> Home:
    made = Home(path)
    made.own, made.name = own, name
    return made


def _placed(home: str, file: ModuleType) -> bool:
    """Let `sys.modules` have a home, as after PyTorch's import: pickles and `inspect` look there.

    Returns whether the file of the home is `file`, where the class is written.
    """
    path = home.removeprefix("torch").lstrip(".")
    if not path:
        return False  # the module `torch` is made where it is imported
    ours = f"{ROOT}.{path}"
    found = sys.modules.get(ours)
    above, _, name = ours.rpartition(".")
    if found is None and path in paths() and not paths()[path].startswith("="):
        spec = ModuleSpec(ours, Finder, is_package=True)  # type: ignore[arg-type]
        found = sys.modules[ours] = Finder.create_module(spec)
        found.__spec__ = spec
        if any(theirs == name for theirs, *_ in entries(path)):
            pass  # the package shows a function of this name, not the module
        elif above in sys.modules:
            vars(sys.modules[above]).setdefault(name, found)
        else:
            _WAITING.setdefault(above, {})[name] = found
    if found is None:
        return False
    sys.modules.setdefault(home, found)
    written = getattr(file, "__file__", None)
    if isinstance(found, Place):
        if _WRITTEN.get(path, file.__name__) == file.__name__:
            vars(found).setdefault("__file__", written)
    return vars(found).get("__file__") == written


def move_all() -> None:
    """Do so for all modules that are imported."""
    for module in _imported():
        move(module)


def _imported() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == ROOT and isinstance(module, ModuleType):
            yield module


def move_back() -> None:
    """Undo it: every class and function says again where it is from."""
    for kind, said in _MOVED.items():
        _say(kind, said)
    for function in _FUNCTIONS:
        function.__module__ = module_of(function)
    for names, added in _NAMED:
        for name in added:
            if names.get(name) is _types()[name]:
                del names[name]
    _NAMED.clear()
    _MOVED.clear()
    _FUNCTIONS.clear()


class Moving:
    """Loads a module of tabgrad as its own loader does; then what stands in it has PyTorch's homes."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> Any:
        """Make the module."""
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """Run the module's file."""
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        move(module)
