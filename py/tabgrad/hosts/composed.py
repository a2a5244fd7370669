"""What a function composes, recorded as one node on devices that record ops.

A function is called once with tensors that have no values, so what it does depends on specs and settings
alone. Later calls record one node, whose op is Composed; lowering writes its steps out, so kernels and results
are those of the ops one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from tabgrad.core.dtype import HALVES
from tabgrad.core.op import Op
from tabgrad.core.spec import NO_PARAMS, Params, Spec
from tabgrad.core.trace import MODE, Box, using, wrap
from tabgrad.hosts.chains import WATCH, Recorded, Recorder, Unrepeatable
from tabgrad.hosts.devices import Device, unlisted
from tabgrad.hosts.near_sizes import sizeless
from tabgrad.hosts.storage import nearest
from tabgrad.lower.ir import FULL

Step = tuple[Op, Params, tuple[int, ...], Spec]


class Form:
    """The steps of a function: the op, the parameters, the operands and the result of each.

    An operand below `operands` is one of the function's, another the step of this number behind these.
    Equal steps are one Form.
    """

    def __init__(self, name: str, operands: int, steps: tuple[Step, ...]) -> None:
        self.name = name
        self.operands = operands
        self.steps = steps
        self.sizeless = (name, tuple([sizeless(*step) for step in steps]))

    def __repr__(self) -> str:
        return f"<op {self.name}>"


FORMS: WeakValueDictionary[Any, Form] = WeakValueDictionary()


class Composed:
    """An op that has the steps of a Form, with the `numbers` of its constants.

    Where only these differ it is equal to another: they are no part of a plan.
    """

    family = "composed"
    fills = may_be_refused = False

    def __init__(self, form: Form, numbers: tuple[Any, ...], specs: dict[Any, Spec]) -> None:
        self.form = form
        self.name, self.steps, self.sizeless = form.name, form.steps, form.sizeless
        self.numbers = numbers
        self.specs = specs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Composed) and other.form is self.form

    def __hash__(self) -> int:
        return id(self.form) >> 4

    def __repr__(self) -> str:
        return repr(self.form)


class LazyRecorder(Recorder):
    """Notes each op and each constant, in order."""

    def __init__(self) -> None:
        self.made: list[Recorded] = []

    def run(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params
    ) -> tuple[Any, Spec]:
        """Return what stands for the result, and its spec."""
        if op.may_be_refused:
            raise Unrepeatable(op.name)
        spec = op.infer(specs, params)
        self.made.append(Recorded(spec, None, op, values, params))
        return self.made[-1], spec

    def constant(self, value: complex, spec: Spec) -> Any:
        """Return what stands for a constant."""
        if spec.dtype in HALVES:
            return Recorded(spec, nearest(value.real, spec.dtype))
        return Recorded(spec, value)

    def adopt(self, data: memoryview, spec: Spec) -> Any:
        """Raise Unrepeatable."""
        raise Unrepeatable("data")

    upload = adopt


RECORDERS: dict[str, Device] = {}
"""The device whose tensors stand for those of a device of each type."""


def composed(
    fn: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any], place: Device
) -> Composed | None:
    """Return the op that does what fn(*args, **named) does; None if it does anything that an op can't."""
    device = RECORDERS.get(place.type)
    if device is None:
        device = RECORDERS[place.type] = unlisted(place.type, LazyRecorder())
    backend: Any = device.backend
    made: list[Recorded] = backend.made
    made.clear()
    operands: list[Recorded] = []

    def stand_in(x: Any) -> Any:
        if isinstance(x, Box):
            operands.append(Recorded(x.spec))
            return wrap(operands[-1], x.spec, device)
        if isinstance(x, list | tuple):
            return type(x)([stand_in(part) for part in x])
        return device if x is place else x

    given = stand_in(args)
    options = {name: stand_in(x) for name, x in named.items()}
    try:
        with using(MODE.get().replace(capture=WATCH)):
            y = fn(*given, **options)
        if not isinstance(y, Box) or y.device is not device or y.alias is not None or y.tracked:
            return None
        return written(fn.__name__.strip("_"), operands, y.value, made)
    except Exception:  # whatever it is, the function itself says it
        return None
    finally:
        made.clear()


def written(
    name: str, operands: list[Recorded], result: Recorded, made: list[Recorded]
) -> Composed | None:
    """Write the recorded ops that `result` needs as a Composed; None if it is one op's, or a view."""
    needed, todo = {result}, [result]
    while todo:
        for a in todo.pop().args:
            if a not in needed:
                needed.add(a)
                todo.append(a)
    ops = [x for x in made if x in needed]
    places = {x: i for i, x in enumerate(operands)}
    if len(ops) < 2 or ops[-1] is not result or result.op is None or result.op.family == "view":
        return None
    steps: list[Step] = []
    numbers: list[Any] = []
    for x in ops:
        for a in x.args:
            if a not in places:
                if a.array is None:
                    return None  # a tensor of another call
                places[a] = len(operands) + len(steps)
                steps.append((FULL, NO_PARAMS, (), a.spec))
                numbers.append(a.array)
        places[x] = len(operands) + len(steps)
        steps.append((x.op, x.params, tuple([places[a] for a in x.args]), x.spec))  # type: ignore[arg-type]
    key = (name, len(operands), tuple(steps))
    form = FORMS.get(key)
    if form is None:
        form = FORMS[key] = Form(*key)
    specs = tuple([x.spec for x in operands])
    return Composed(form, tuple(numbers), {(specs, NO_PARAMS): result.spec})
