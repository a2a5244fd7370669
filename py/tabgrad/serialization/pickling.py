"""Pickles objects as PyTorch does: under its names, with the bytes of tensors beside the pickle."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any, ClassVar

import tabgrad as tg
from tabgrad.core.naming import Home, Package, module_of, name_of
from tabgrad.nn import hooks
from tabgrad.serialization.names import OTHER, in_files
from tabgrad.serialization.storages import NAMES
from tabgrad.tensor.aliasing import View, conjugated, refreshed, root_of


class _Global:
    """A name in a pickle that stands for something of PyTorch's."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self) -> None:
        """Only a function can be called in a pickle, and this stands for one."""


_KNOWN: dict[tuple[str, str], _Global] = {}


def _global(module: str, name: str) -> _Global:
    """Return the one object for a name, so that the pickle has the name once."""
    return _KNOWN.setdefault((module, name), _Global(module, name))


class _Record:
    """A storage in the archive that is written: its number, the tensor with its bytes, and its dtype."""

    def __init__(self, key: str, root: Any, dtype: tg.DType) -> None:
        self.key, self.root, self.dtype = key, root, dtype

    def told(self) -> tuple[Any, ...]:
        """Return what the pickle says of it."""
        name = NAMES.get(self.dtype)
        kind = _global("torch", name) if name else _global("torch.storage", "UntypedStorage")
        n = self.root.nbytes
        return "storage", kind, self.key, "cpu", n // self.dtype.itemsize if name else n


_Base: Any = pickle._Pickler
"""The pickler that is written in Python: the other one finds each name by importing its module."""


class Pickler(_Base):  # type: ignore[misc]
    """Writes one object; `records` then has the storages of its tensors, in order."""

    def __init__(self, protocol: int) -> None:
        self.file = io.BytesIO()
        super().__init__(self.file, protocol=protocol)
        self.records: dict[int, _Record] = {}

    def persistent_id(self, obj: Any) -> Any:
        """Say where the bytes of a storage are."""
        return obj.told() if type(obj) is _Record else None

    def reducer_override(self, obj: Any) -> Any:
        """Describe what PyTorch describes in its own way."""
        kind = type(obj)
        if kind is _Global:
            return obj.name
        if isinstance(obj, tg.Tensor):
            return _told(self, obj)
        if isinstance(obj, tg.DType):
            return self._plain(_global("torch", obj.name), obj)
        if kind is tg.Device:
            name, _, index = str(obj).partition(":")
            if name == "webgpu":  # PyTorch knows no such device, and would refuse the file
                name = "cuda" if Package.name == "torch" else OTHER
            return _global("torch", "device"), (name, int(index)) if index else (name,)
        if kind is tg.Size:
            return _global("torch", "Size"), (tuple(obj),)
        if isinstance(obj, tg.nn.Module):
            return _module(obj)
        if isinstance(obj, tg.optim.Optimizer | tg.optim.lr_scheduler.LRScheduler):
            raise TypeError(f"save: save a {kind.__name__} by its state_dict()")
        if isinstance(obj, tg.layout):
            return _global("torch.serialization", "_get_layout"), (f"torch.{obj.name}",)
        return NotImplemented

    def _plain(self, name: _Global, obj: Any) -> str:
        """Return the name of an object that a module holds, which `save_global` then writes."""
        self.named = name
        return name.name

    named: _Global | None = None

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Write a name: PyTorch's for what is PyTorch's, as it is for anything else."""
        told, self.named = self.named, None
        if type(obj) is _Global:
            told = obj
        if told is None:
            found = in_files(obj)
            if found is None and type(getattr(obj, "__module__", None)) is Home:
                found = module_of(obj), name_of(obj)
            if found is None:
                super().save_global(obj, name)
                return
            told = _global(*found)
        self.write(f"c{told.module}\n{told.name}\n".encode())
        self.memoize(obj)

    dispatch: ClassVar[dict[Any, Any]] = {**_Base.dispatch}
    for _kind in (type(lambda: 0), type):
        dispatch[_kind] = save_global
    del _kind

    def record(self, x: tg.Tensor) -> _Record:
        """Return the record of the storage behind `x`."""
        root = root_of(refreshed(x))
        key = id(root.alias) if root.alias is not None else id(root)
        found = self.records.get(key)
        if found is None:
            found = self.records[key] = _Record(str(len(self.records)), root, x.dtype)
        elif found.dtype is not x.dtype:
            raise RuntimeError(
                "save: Cannot save multiple tensors or storages that view the same data as different types: "
                f"{found.dtype} and {x.dtype}"
            )
        return found


def _told(pickler: Pickler, x: Any) -> tuple[Any, ...]:
    """Describe a tensor."""
    kind, state = type(x), dict(x.__dict__)
    if x.layout is not tg.strided:
        return _global("torch._utils", "_rebuild_sparse_tensor"), _sparse(x)
    if kind is tg.nn.Parameter:
        plain = x.detach()
        if not state:
            return _global("torch._utils", "_rebuild_parameter"), (
                plain,
                x.requires_grad,
                OrderedDict(),
            )
        name = "_rebuild_parameter_with_state"
        return _global("torch._utils", name), (plain, x.requires_grad, OrderedDict(), state)
    if kind is tg.nn.Buffer:
        state.pop("persistent", None)
        kind = tg.Tensor
    make, args = _parts(pickler, x)
    if kind is tg.Tensor and not state:
        return make, args
    what = _global("torch", "Tensor") if kind is tg.Tensor else kind
    return _global("torch._tensor", "_rebuild_from_type_v2"), (make, what, args, state)


def _parts(pickler: Pickler, x: Any) -> tuple[_Global, tuple[Any, ...]]:
    tracked = bool(x.requires_grad)
    if any(conjugated(x)):
        # the memory behind it has other values
        x = x.detach().clone()
    hooks: OrderedDict[Any, Any] = OrderedDict()
    if x.device.type == "meta":
        name = "_rebuild_meta_tensor_no_storage"
        return _global("torch._utils", name), (x.dtype, tuple(x.shape), x.stride(), tracked)
    if x.owner is not None or (x.alias.__class__ is not View and x.alias is None):
        # siblings of a tensor must find its storage, also those that are made while it is written
        x.detach()
    place = (
        pickler.record(x),
        x.storage_offset(),
        tuple(x.shape),
        tuple(x.stride()),
        tracked,
        hooks,
    )
    if x.dtype in NAMES:
        return _global("torch._utils", "_rebuild_tensor_v2"), place
    return _global("torch._utils", "_rebuild_tensor_v3"), (*place, x.dtype)


def _module(x: Any) -> Any:
    """Describe a module with the fields that PyTorch's have."""
    described = x.__reduce_ex__(2)
    if not isinstance(described, tuple) or len(described) < 3 or type(described[2]) is not dict:
        return described
    state = described[2]
    if not any(x._hooks.values()):
        state = {**{k: v for k, v in state.items() if k != "_hooks"}, **hooks.tables_of_pytorch()}
    if isinstance(x, tg.nn.RNNBase):
        state |= _weights(x)
    return described[0], described[1], state


def _weights(x: tg.nn.RNNBase) -> dict[str, Any]:
    """Return the lists of weights that PyTorch's recurrent layers have beside their parameters."""
    rows = [
        [name + suffix for name in x._shapes(layer)]
        for layer in range(x.num_layers)
        for suffix in x._suffixes(layer)
    ]
    names = [name for row in rows for name in row]
    flat = [getattr(x, name) for name in names]
    return {"_all_weights": rows, "_flat_weights_names": names, "_flat_weights": flat}


def _sparse(x: Any) -> tuple[Any, ...]:
    p = x._parts
    # that its values require grad stands for that the whole does
    values = p.values.detach().requires_grad_(x.requires_grad)
    parts = (*[t.detach() for t in p.tensors], values, x.shape)
    told = (*parts, bool(p.coalesced)) if x.layout is tg.sparse_coo else parts
    return x.layout, told
