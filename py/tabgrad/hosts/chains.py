"""Chains: the ops that a function composes, recorded once for specs of operands, then run by NumPy on `cpu`.

For few elements the way of each op through the interpreter stack takes longer than its arithmetic. A function
is called once with tensors of `RECORDER`, which have no values, so what it does can't depend on any. A chain
has the bodies of the ops that it applied, in their order; what depends on no operand is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache, partial
from operator import itemgetter, methodcaller
from typing import Any, NoReturn

from tabgrad.core import dtype as dt
from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Ints, Op
from tabgrad.core.several import Part
from tabgrad.core.spec import NO_PARAMS, Params, Spec, shape_params, spec as spec_of
from tabgrad.core.trace import MODE, Box, using, wrap
from tabgrad.hosts import reference
from tabgrad.hosts.devices import device, unlisted
from tabgrad.hosts.meta import MetaBackend
from tabgrad.ops.checked import checked
from tabgrad.ops.elementwise import cast
from tabgrad.ops.indexing import gather
from tabgrad.ops.reduction import (
    ONE_BY_ONE,
    first_max,
    one_axis,
    peak,
    reduce_max,
    reduce_min,
    reduce_sum,
)  # fmt: skip
from tabgrad.ops.sorting import argsort
from tabgrad.ops.view import expand, new_axes, permute, reshape, slice_, slices, spread

MANY = 1 << 14
"""The most elements of a result that a chain holds until its end, and of all its constants."""


class Unrepeatable(Exception):
    """A function does something that its ops don't repeat, such as to read a value."""


class Recorded:
    """The value of a tensor of `RECORDER`: an operand, a constant `array`, or the result of an op."""

    __slots__ = ("args", "array", "op", "params", "spec")

    def __init__(
        self, spec: Spec, array: Any = None, op: Op | None = None,
        args: tuple[Recorded, ...] = (), params: Any = NO_PARAMS,
    ) -> None:  # fmt: skip
        self.spec, self.array, self.op, self.args = spec, array, op, args
        self.params: Any = params

    def __array__(self, *_args: Any, **_named: Any) -> NoReturn:
        raise Unrepeatable("there are no numbers here")


class Recorder(MetaBackend):
    """Notes each op; its values are Recorded."""

    def run(
        self, op: Op, values: tuple[Any, ...], specs: tuple[Spec, ...], params: Params
    ) -> tuple[Any, Spec]:
        """Return what stands for the result, and its spec."""
        spec = op.infer(specs, params)
        if spec.size > MANY or any(s.dtype in dt.HALVES for s in (spec, *specs)):
            raise Unrepeatable(op.name)
        return Recorded(spec, None, op, values, params), spec

    def constant(self, value: complex, spec: Spec) -> Any:
        """Return what stands for an array that is filled with `value`."""
        return Recorded(spec, _cpu().constant(value, spec))

    def adopt(self, data: memoryview, spec: Spec) -> Any:
        """Return what stands for an array of these bytes."""
        return Recorded(spec, _cpu().upload(data, spec))

    upload = adopt

    def read(self, value: Any, spec: Spec) -> NoReturn:
        """Raise Unrepeatable."""
        raise Unrepeatable("there are no numbers here")


class _Watch:
    """A capture to which a function may say nothing but which tensors its ops read."""

    active = True

    def note(self, _args: object) -> None:
        """Nothing is to be noted."""

    def __getattr__(self, name: str) -> NoReturn:
        raise (AttributeError if name.startswith("__") else Unrepeatable)(name)


CPU = device("cpu")
RECORDER = unlisted("cpu", Recorder())
WATCH: Any = _Watch()


def _cpu() -> Any:
    return CPU.backend


_PICKED = tuple([itemgetter(i) for i in range(16)])
Step = tuple[Callable[..., Any], int, int | None, Callable[[list[Any]], Any] | None, Any]
"""What to call, the places of its first two operands, what picks more than two, and the dtype of the result."""


class Chain:
    """Computes the results of a function for arrays of certain specs."""

    def __init__(self, operands: list[Recorded], results: list[Recorded]) -> None:
        reference.import_numpy()
        self.places = {x: i for i, x in enumerate(operands)}
        self.constants: list[Any] = []
        self.single: dict[Recorded, Recorded] = {}
        order = list(_in_order(results, self.places))
        for x in order:
            if x.array is not None:
                self.places[x] = len(self.places)
                self.constants.append(x.array)
                if x.array.size and x.array.ndim and not any(x.array.strides):
                    # one number for all elements: NumPy takes it sooner as such than repeated
                    one = self.single[x] = Recorded(x.spec)
                    self.places[one] = len(self.places)
                    self.constants.append(x.array[(*(0,) * x.array.ndim, ...)])
        if sum(x.spec.size for x in order if x.array is not None) > MANY:
            raise Unrepeatable("too many constants")
        self.size = len(self.places)
        self.steps: list[Step] = []
        self.calls: list[tuple[Any, list[int], Params]] = []
        self.told: list[tuple[Op | None, tuple[Spec, ...], Spec]] = []
        self.done: dict[Any, int] = {}
        for x in order:
            if x.array is None and x.op not in _LATER:
                self._place(x)
        self.results = [(self._place(y), y.spec) for y in results]

    def _place(self, x: Recorded) -> int:
        """Return the place of a value, after the step that computes it."""
        found = self.places.get(x)
        if found is None:
            found = self.places[x] = self._step(x)
        return found

    def _step(self, x: Recorded) -> int:
        """Add the step that computes `x`, unless one does already; return the place of its value."""
        op: Any = x.op
        want = np.dtype(reference.array_name(x.spec.dtype))
        if op is gather:
            line = _line(x.args[1], x.params["axis"]) or x.args[1]
            refs = [self._place(x.args[0]), self._place(line)]
            safe = len(line.spec.shape) == 1 and _below(
                line, x.args[0].spec.shape[x.params["axis"]]
            )
            body = np.ndarray.take if safe else op.fn
            return self._once(x, op, body, refs, x.params, want)
        if op.name in _REPEATING and not all([_repeats(a) or a in self.single for a in x.args]):
            refs = [self._thin(a) for a in x.args]
        else:
            refs = [self._place(a) for a in x.args]
        if not isinstance(op, Part):
            direct = _direct(op, x.params, x.args[0].spec, want) if len(refs) == 1 else None
            if direct is not None:
                return self._once(x, op, direct, refs, NO_PARAMS, want)
            return self._once(x, op, op.body(x.spec), refs, x.params, want)
        whole = self._once(x, op, op.several.fn, refs, x.params, None)
        return self._once(x, None, _PICKED[op.index], [whole], NO_PARAMS, want)

    def _thin(self, x: Recorded) -> int:
        """Return the place of what NumPy repeats by itself to get `x`."""
        if not _repeats(x):
            return self._place(self.single.get(x, x))
        if x.op is expand:
            return self._thin(x.args[0])
        added = _indexed(len(x.spec.shape), x.params["axes"])
        return self._once(x, None, added, [self._place(x.args[0])], NO_PARAMS, None)

    def _once(
        self, x: Recorded, op: Op | None, body: Any, refs: list[int], params: Params, want: Any
    ) -> int:
        """Add a step unless there is one like it; `op` is what a profile is told of it."""
        key = (body, params, want, *refs)
        found = self.done.get(key)
        if found is None:
            call = partial(body, **params) if params else body
            first, second, pick = refs[0], refs[1] if len(refs) > 1 else None, None
            if len(refs) > 2:
                pick = itemgetter(*refs)
            self.steps.append((call, first, second, pick, want))
            self.calls.append((body, refs, params))
            self.told.append((op, tuple([a.spec for a in x.args]), x.spec))
            found = self.done[key] = self.size + len(self.done)
        return found

    def __call__(self, operands: list[Any]) -> list[Any]:
        """Return the results as tensors."""
        before = reference.errors.set(reference.quiet)
        try:
            found = (self.run or self._each)(operands)
        finally:
            reference.errors.reset(before)
        return [wrap(y, spec, CPU) for y, (_, spec) in zip(found, self.results, strict=True)]

    run: Any = None
    """A function of the operands that does all steps, once it is known which results are to be converted."""

    def _each(self, operands: list[Any]) -> list[Any]:
        """Take one step after the other; write `run` unless that is False."""
        values = operands + self.constants
        kind, converted = reference.array, set()
        for call, first, second, pick, want in self.steps:
            if second is None:
                y = call(values[first])
            elif pick is None:
                y = call(values[first], values[second])
            else:
                y = call(*pick(values))
            if want is not None and (y.__class__ is not kind or y.dtype is not want):
                converted.add(len(values))
                y = np.asarray(y, dtype=want)
            values.append(y)
        if self.run is None:
            self.run = self._written(len(operands), converted)
        return [values[k] for k, _ in self.results]

    def _written(self, given: int, converted: set[int]) -> Any:
        """Write the steps as one function; the dtype of what a step gives depends on no number."""
        names: dict[str, Any] = {"asarray": np.asarray}
        names |= {f"v{given + k}": x for k, x in enumerate(self.constants)}
        first = "".join([f"v{k}," for k in range(given)])
        lines = ["def run(operands):", *([f" {first} = operands"] if given else [])]
        for k, ((body, refs, params), step) in enumerate(zip(self.calls, self.steps, strict=True)):
            at = self.size + k
            names |= {f"f{k}": body, f"d{k}": step[-1]} | {
                f"p{k}_{n}": v for n, v in params.items()
            }
            options = "".join([f",{n}=p{k}_{n}" for n in params])
            text = f"f{k}({','.join([f'v{r}' for r in refs])}{options})"
            lines.append(f" v{at} = " + (f"asarray({text},d{k})" if at in converted else text))
        lines.append(f" return [{','.join([f'v{k}' for k, _ in self.results])}]")
        exec("\n".join(lines), names)
        return names["run"]


_LATER = (expand, reshape, spread)
"""Views that are made where a step needs them: many do without."""
_REPEATING = frozenset(
    (
        "add",
        "sub",
        "mul",
        "div",
        "where",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "bitwise_and",
        "bitwise_or",
    )
)
"""Ops whose bodies repeat operands of size 1, and give the same bits for strided operands as for others."""


_EXTREMES = {reduce_max: "maximum", peak: "maximum", first_max: "maximum", reduce_min: "minimum"}


@lru_cache(1024)
def _direct(op: Op, given: Any, spec: Spec, want: Any) -> Any:
    """Return a method of arrays that does to one of `spec` what an op does, in less time, or None."""
    dtype = spec.dtype
    if op is reshape:
        return methodcaller("reshape", given["shape"])
    if op is slice_:
        return itemgetter(slices(given["starts"], given["stops"], given["steps"]))
    if op is permute:
        return methodcaller("transpose", given["dims"])
    if op is reduce_sum and spec.size <= ONE_BY_ONE:
        add, axes = np.add.reduce, one_axis(given["axes"])
        return lambda x: add(x, axes, want)
    if op in _EXTREMES and 0 < spec.size <= ONE_BY_ONE:
        fold, axes = getattr(np, _EXTREMES[op]).reduce, one_axis(given["axes"])
        return lambda x: fold(x, axes)
    target = given.get("dtype")
    if (
        op is cast
        and not dtype.is_complex
        and (dtype.category < dt.FLOAT or target.category >= dt.FLOAT)
    ):
        return methodcaller("astype", want)
    return None


def _repeats(x: Recorded) -> bool:
    return x.array is None and x.op in (expand, spread)


@cache
def _indexed(rank: int, axes: Ints) -> Any:
    """Return what adds axes of size 1 to an array; one for each, so that equal steps are known."""
    added: Any = new_axes(rank, axes)
    return itemgetter(added)


def _line(index: Recorded, axis: int) -> Recorded | None:
    """Return the line of indices that is repeated over all axes but one, None if there is none."""
    n, rank = index.spec.shape[axis], len(index.spec.shape)
    if index.op is spread:
        line = index.args[0]
        return line if len(line.spec.shape) == 1 and axis not in index.params["axes"] else None
    if index.op is not expand:
        return None
    line = index.args[0]
    shape = (1,) * (rank - len(line.spec.shape)) + line.spec.shape
    if shape != tuple([n if k == axis else 1 for k in range(rank)]):
        return None
    if line.op is reshape and len(line.args[0].spec.shape) == 1:
        return line.args[0]
    return Recorded(spec_of((n,), line.spec.dtype), None, reshape, (line,), shape_params((n,)))


def _below(index: Recorded, n: int) -> bool:
    """Whether it is known that all indices are in [0, n)."""
    while index.op is slice_:
        index = index.args[0]
    if index.op is argsort:
        return index.args[0].spec.shape[index.params["axis"]] == n
    return index.op is checked and index.params["size"] == n and index.params["ignore"] is None


def _in_order(results: list[Recorded], given: dict[Recorded, int]) -> Iterator[Recorded]:
    """Yield what the results depend on, each after its arguments; ops of constants become constants."""
    seen = set(given)
    todo = [(x, False) for x in reversed(results)]
    while todo:
        x, ready = todo.pop()
        if x in seen:
            continue
        if not ready:
            todo.append((x, True))
            todo.extend((a, False) for a in reversed(x.args) if a not in seen)
            continue
        seen.add(x)
        if x.op is not None and all(a.array is not None for a in x.args):
            arrays, specs = tuple([a.array for a in x.args]), tuple([a.spec for a in x.args])
            x.array, _ = _cpu().run(x.op, arrays, specs, x.params)
        elif x.op is None and x.array is None:
            raise Unrepeatable("a tensor of another call")
        yield x


def recorded(fn: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Return the Chain of fn(*args, **named), and what makes the function's result of the tensors.

    It is None if the function does anything that a chain can't repeat.
    """

    def stand_in(x: Any) -> Any:
        if isinstance(x, Box):
            return wrap(Recorded(x.spec), x.spec, RECORDER)
        if isinstance(x, list | tuple):
            return type(x)([stand_in(part) for part in x])
        return RECORDER if x is CPU else x

    given = stand_in(args)
    options = {name: stand_in(x) for name, x in named.items()}
    operands = [x.value for x in parts_of([*given, *options.values()]) if isinstance(x, Box)]
    try:
        with using(MODE.get().replace(capture=WATCH)):
            y = fn(*given, **options)
        found = list(y) if isinstance(y, tuple) else [y]
        if not all(_is_new(x, operands) for x in found) or len({*map(id, found)}) < len(found):
            return None
        chain = Chain(operands, [x.value for x in found])
    except Exception:  # whatever it is, the function itself says it
        return None
    if not isinstance(y, tuple):
        return chain, itemgetter(0)
    return chain, (lambda ys: type(y)(*ys)) if hasattr(y, "_fields") else tuple


def parts_of(given: list[Any]) -> list[Any]:
    """Return the arguments, and behind them the elements of those that are lists or tuples."""
    for x in given:
        if isinstance(x, list | tuple):
            given.extend(x)
    return given


def _is_new(x: Any, operands: list[Recorded]) -> bool:
    """Whether a result is a tensor of this call that shares nothing with another."""
    if not isinstance(x, Box) or x.device is not RECORDER or x.alias is not None or x.tracked:
        return False
    return x.value.__class__ is Recorded and x.value not in operands
