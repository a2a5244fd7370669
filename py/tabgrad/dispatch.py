"""The base of the interpreter stack: it runs or records an op on a device, and records it on the tape."""

from __future__ import annotations

from typing import Any

from tabgrad.core import trace
from tabgrad.core.errors import DeviceError
from tabgrad.core.graph import Value
from tabgrad.core.op import Op
from tabgrad.core.several import Several, install
from tabgrad.core.spec import Params, Spec
from tabgrad.core.trace import Mode
from tabgrad.hosts.devices import device as _device
from tabgrad.transforms.tape import record


def process(op: Op, args: tuple[Any, ...], params: Params, mode: Mode) -> Any:
    """Apply `op` to base tensors, or let `mode.around` do it."""
    if mode.around is not None:
        return mode.around(plainly, op, args, params, mode)
    device = args[0].device
    tracked = False
    held, shown = [], []
    for a in args:
        if a.device is not device:
            raise DeviceError(
                f"{op.name}: expected all tensors on one device, got "
                f"{' and '.join(str(x.device) for x in args)}; move them with .to(device)"
            )
        if a.tracked:
            tracked = True
        held.append(a.value)
        shown.append(a.spec)
    if mode.capture is not None:
        mode.capture.note(args)
    values, specs = tuple(held), tuple(shown)
    value, spec = (device._backend or device.backend).run(op, values, specs, params)
    y = trace._Base.wrap(value, spec, device)
    if tracked and mode.grad:
        record(op, params, args, values, specs, y, None, mode)
    return y


def _several(op: Several, args: tuple[Any, ...], params: Params) -> Any:
    """Apply an op with several results; its code is imported at the first use."""
    from tabgrad.transforms.several import applied

    return applied(op, args, params)


install(_several)


def plainly(op: Op, args: tuple[Any, ...], params: Params, mode: Mode) -> Any:
    """Apply `op` to base tensors, without `mode.around`."""
    return process(op, args, params, mode.replace(around=None))


def is_stored(value: object) -> bool:
    """Whether a recorded constant has been realised in a buffer, so that plans would read it as an input."""
    return value.__class__ is Value and value.graph.op[value.id] is None


_CPU = _device("cpu")
_run: Any = None


def at_once(fn: Any, args: tuple[Any, ...]) -> Any:
    """Return fn(*args) if the formula runs as a chain of NumPy's calls, else None."""
    global _run
    mode = trace.MODE.get()
    if not mode.plain or args[0].device is not _CPU:
        return None
    if _run is None:
        from tabgrad.hosts.formulas import at_once as run

        _run = run
    return _run(fn, args, mode)


def formed(op: Op, args: tuple[Any, ...], params: Params) -> Any:
    """Compute a form on `cpu` if nothing is to be recorded, else return None."""
    mode = trace.MODE.get()
    if not mode.plain:
        return None
    for a in args:
        if a.device is not _CPU or a.owner is not None or (a.tracked and mode.grad):
            return None
        if a.alias is not None:
            a.alias.refresh(a)
    values, specs = tuple([a.value for a in args]), tuple([a.spec for a in args])
    value, spec = _CPU.backend.run(op, values, specs, params)
    return trace._Base.wrap(value, spec, _CPU)


trace._Base.formed = staticmethod(formed)
trace._Base.at_once = staticmethod(at_once)
_CONSTANTS: dict[Any, Any] = {}
REMEMBERED = -1
"""The version of a cached constant, which is shared and never written to."""


def operand(value: Any, spec: Spec, device: Any) -> Any:
    """Return a cached tensor of `spec` filled with `value`, because numbers recur. No user may get it."""
    kind = type(value)
    if kind is not float and kind is not int and kind is not bool and kind is not complex:
        return trace.wrap(device.backend.constant(value, spec), spec, device)
    # 0.0 and -0.0 are equal as keys, so a zero is keyed by its text
    backend = device.backend
    key = (value if value or kind is not float else str(value), kind, spec, backend)
    found = _CONSTANTS.get(key)
    if found is None or is_stored(found.value):
        if len(_CONSTANTS) > 512:
            _CONSTANTS.clear()
        data = backend.constant(value, spec)
        found = _CONSTANTS[key] = trace.wrap(data, spec, device)
        found._version = REMEMBERED
        found.born = 0
    return found
