"""The lazy devices: they record ops, and send plans to a host when a value is needed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from tabgrad.core.capture import capturing
from tabgrad.core.dtype import HALVES
from tabgrad.core.errors import LostValueError, OutOfMemoryError, user_frame
from tabgrad.core.graph import Graph, Line, Value
from tabgrad.core.op import Op
from tabgrad.core.spec import Params, Spec
from tabgrad.hosts.answers import Answers
from tabgrad.hosts.choosing import Choosing
from tabgrad.hosts.encoder import Encoder
from tabgrad.hosts.error_reports import ErrorReports
from tabgrad.hosts.eviction import evict
from tabgrad.hosts.faults import lost_tensor
from tabgrad.hosts.memory_limits import check_count, check_room, largest, out_of_reach
from tabgrad.hosts.moving_slices import MovingSlices, start_of
from tabgrad.hosts.near_sizes import NearSizes
from tabgrad.hosts.plan_explanation import ValueExplanation, planned
from tabgrad.hosts.plan_keys import constant_of, structure
from tabgrad.hosts.pool import Buffer, Pool
from tabgrad.hosts.reads_ahead import ReadsAhead
from tabgrad.hosts.replay import Stored
from tabgrad.hosts.rising import rising
from tabgrad.hosts.rollback import RollbackLog
from tabgrad.hosts.sending import Sender
from tabgrad.hosts.shared_buffers import flat_spec, make_view, own_buffer, part_of, side_by_side
from tabgrad.hosts.storage import nearest, to_storage
from tabgrad.lower.checks import Site
from tabgrad.lower.dialect import Dialect
from tabgrad.lower.dynamic import Dynamic
from tabgrad.lower.ir import FULL
from tabgrad.lower.limits import Limits
from tabgrad.lower.plan import Plan, lower
from tabgrad.lower.record import RECORDS
from tabgrad.lower.windows import TooLarge

if TYPE_CHECKING:
    from tabgrad.hosts.devices import Device
    from tabgrad.hosts.host import Host

MAX_RECORDED = 8192
"""The most recorded nodes: a larger graph is computed even if no value was read."""
MAX_AHEAD = 32
"""How many packets may be in flight before the program waits for the device."""
HOLD = 0.002
"""Seconds after a packet was sent during which further compiled calls share one packet."""
HELD = 64
"""The most bytes of a buffer whose uploaded data are kept, so that reading them need not wait."""
MAX_UPLOAD = 32 << 20
"""The most bytes of uploads that wait for the next flush."""


class Counters:
    """Counts what was sent to a host, for `tabgrad.profiler`."""

    __slots__ = ("bytes_down", "bytes_up", "dispatches", "pipelines", "plans", "submits")

    def __init__(self) -> None:
        self.dispatches = self.submits = self.pipelines = self.plans = 0
        self.bytes_up = self.bytes_down = 0


class DeviceBackend(Answers, RollbackLog, Choosing):
    """Records ops of one device and runs their plans on its host."""

    lock: AbstractContextManager[object] = nullcontext()
    """Held during several steps that must not be interleaved with another thread's; see `threads.py`."""

    def __init__(self, host: Host, device: Device) -> None:
        self.host = host
        self.device = device
        self.graph = Graph()
        self.encoder = Encoder()
        self.counters = Counters()
        self.dialect = _dialect(host.hello.language)
        limits = host.hello.limits
        self.pool = Pool(self, largest(limits))
        self.pool.limit = device.memory_limit
        self.limits = Limits(
            buffers=limits["max_storage_buffers_per_shader_stage"],
            software=host.hello.adapter.software,
            quads="subgroups" in host.hello.features,
            routines=host.hello.routines,
            binding=limits["max_storage_buffer_binding_size"] if self.dialect.windows else 0,
            tensor_cores="tensor-cores" in host.hello.features,
        )
        self.has_float16 = self.dialect.float16 in ("", *host.hello.features)
        self.plans: dict[Any, Stored] = {}
        self.pipelines: dict[Any, int] = {}
        self.kernels: dict[int, Any] = {}
        self.next = 1
        self.ahead = 0
        self.waiting = 0
        self.bound = MAX_RECORDED
        self.shared_leaves: dict[int, Value] = {}
        self.slices = MovingSlices()
        self.sizes = NearSizes()
        self.reports = ErrorReports(self)
        self.reads_ahead = ReadsAhead(self)
        RollbackLog.__init__(self)
        self.sender = Sender(self)
        Choosing.__init__(self)

    @property
    def recorder(self) -> DeviceBackend:
        """This backend: it records ops and runs them later."""
        return self

    def left(self) -> bool:
        """Whether the device no longer uses this backend, because it was lost."""
        return self.device._backend is not self

    def own_buffer(self, value: Value) -> Value | None:
        """Compute a copy of a slice, or of a view of a constant; return None for any other value.

        Such an argument of a compiled call is another part of the data, or another number, at each call. The
        call is captured with the copy's buffer as its input.
        """
        return own_buffer(self, value)

    def side_by_side(self, values: Sequence[Value]) -> tuple[Value, Spec] | None:
        """Copy values into one buffer; see `shared_buffers.py`."""
        return side_by_side(self, values)

    # -- recording ---------------------------------------------------------------------------------

    def run(
        self, op: Op, values: tuple[Value, ...], specs: tuple[Spec, ...], params: Params
    ) -> tuple[Value, Spec]:
        """Record `op`."""
        graph = self.graph
        for v in values:
            if v.graph is not graph:
                raise lost_tensor(op.name)
        spec = op.specs.get((specs, params)) or op.infer(specs, params)
        if op.may_be_refused:
            self.admit(op, specs, params)
        if len(graph.recorded) > self.bound:
            self.relieve()
        frame = user_frame(4)
        line = None if frame is None else (frame.f_code, frame.f_lasti)
        return graph.add(op, params, tuple([v.id for v in values]), spec, None, line), spec

    def admit(self, op: Op, specs: tuple[Spec, ...], params: Params) -> None:
        """Raise the error of operands that this device can't take."""
        rule = RECORDS[op.lowering].refusal
        error = None if rule is None else rule(op, specs, params, self.dialect, self.limits)
        if error is not None:
            raise error

    def relieve(self) -> None:
        """Compute a graph that has grown past its bound, unless a capture needs the whole graph."""
        self.graph.live()
        if capturing() is None:
            self.flush()
        self.bound = len(self.graph.recorded) + MAX_RECORDED

    def constant(self, value: Any, spec: Spec) -> Value:
        """Record a constant; it gets a buffer only if it is read as a whole."""
        if spec.dtype in HALVES:
            value = nearest(value, spec.dtype)
        return self.graph.add(FULL, None, (), spec, value)

    def filling(self, value: Value, spec: Spec) -> complex | None:
        """Return the number that fills a constant, or None for any other value."""
        if value.graph is not self.graph:
            raise lost_tensor("reading a number")
        return self.graph.aux[value.id] if self.graph.op[value.id] is FULL else None

    def adopt(self, data: memoryview, spec: Spec) -> Value:
        """Copy the bytes to a buffer."""
        return self.upload(bytes(data), spec)

    def upload(self, data: Any, spec: Spec) -> Value:
        """Send bytes (row-major, in the dtype's own width) to a new buffer."""
        stored = to_storage(
            self.dialect.widens, data if type(data) is bytes else bytes(data), spec.dtype
        )
        buffer = self.pool.take(self.dialect.nbytes(spec.dtype, spec.size))
        if spec.size:
            self.encoder.write(buffer.id, 0, stored)
            buffer.born = self.encoder.clock
        self.waiting += buffer.nbytes
        held = bytes(data) if buffer.nbytes <= HELD else None
        value = self.graph.add(None, None, (), spec, held)  # type: ignore[arg-type]
        self.graph.buffer[value.id] = buffer
        if self.waiting > MAX_UPLOAD:
            self.submit()
        return value

    # -- running -----------------------------------------------------------------------------------

    def wanted(self) -> list[int]:
        """Return the nodes with handles that need a buffer of their own.

        Views and constants get none; a view's source is stored instead.
        """
        graph = self.graph
        out: dict[int, None] = {}
        for i in graph.live():
            while True:
                op = graph.op[i]
                if op is None or op is FULL:
                    break
                if op.family != "view":
                    out[i] = None
                    break
                i = graph.srcs[i][0]
        return list(out)

    def flush(self, also: Sequence[int] = ()) -> OutOfMemoryError | None:
        """Compute and send the wanted nodes and the nodes `also`; return the result of `compute_all`."""
        error = None
        self.graph.collect()
        with self.graph.held():
            wanted = self.wanted()
            wanted += [i for i in also if i not in wanted and self.graph.buffer[i] is None]
            if wanted:
                error = self.compute_all(wanted)
        if self.encoder.commands:
            self.submit()
        return error

    def flush_all(self) -> None:
        """Compute and send what all threads have recorded; raise OutOfMemoryError if something does not fit."""
        error = self.flush()
        if error is not None:
            raise error

    def advance(self) -> None:
        """Compute the wanted nodes; delay submission, so that a read or the next call can share the packet."""
        self.submit_held()
        self.graph.collect()
        with self.graph.held():
            wanted = self.wanted()
            error = self.compute_all(wanted) if wanted else None
        if error is not None and self.unwritten():
            self.roll_back()
            raise error

    def compute(self, wanted: list[int]) -> None:
        """Lower and run the graph under `wanted`, and realise these nodes."""
        graph = self.graph
        order = graph.ancestors(wanted)
        stored, inputs, values = self.prepare(order, wanted)
        if stored.rising is not None:
            stored = stored.rising.step(self, stored, values, order)
        outputs = stored.run(self.encoder, self.pool, self.buffers_of(inputs), values)
        self.counters.dispatches += stored.dispatches
        self.realise(wanted, stored.plan, outputs)

    def buffers_of(self, inputs: Sequence[int]) -> list[Buffer]:
        """Return the buffers of these nodes."""
        buffers = [self.graph.buffer[i] for i in inputs]
        if self.sender.lost:
            self.sender.check(buffers)
        return buffers

    def compute_all(self, wanted: list[int]) -> OutOfMemoryError | None:
        """Compute the wanted nodes, except those that don't fit in memory or depend on a lost value.

        Using one of the latter raises. Return the first OutOfMemoryError.
        """
        first = None
        try:
            self.compute(wanted)
        except (OutOfMemoryError, LostValueError):
            for i in wanted:
                try:
                    if self.graph.buffer[i] is None:
                        self.compute([i])
                except LostValueError:
                    pass
                except OutOfMemoryError as error:
                    first = first or error.with_traceback(None)
        return first

    def compute_for(self, i: int, wanted: list[int]) -> None:
        """Compute node `i` with all wanted nodes, or alone if another one does not fit in memory."""
        try:
            try:
                self.compute(wanted)
            except (OutOfMemoryError, LostValueError):
                if wanted == [i]:
                    raise
                if self.graph.buffer[i] is None:
                    self.compute([i])
        except OutOfMemoryError:
            self.take_back()
            raise

    def prepare(
        self,
        order: list[int],
        wanted: list[int],
        often: bool = False,
        dynamic: Dynamic | None = None,
    ) -> tuple[Stored, list[int], list[Any]]:
        """Return the stored plan for the nodes `order`, its input nodes, and the values of its uniforms.

        A plan that will run `often` may take longer to compile. `dynamic` is shared by the plans of all sizes.
        """
        graph = self.graph
        raw, places = self.structure(order, wanted)
        moving: frozenset[int] = frozenset()
        if not often:
            raw, moving = self.slices.find(raw, places)
        key: Any = (raw, places, often, dynamic) if often else (raw, places, moving)
        stored = self.plans.get(key)
        if stored is None:
            check_count(graph, order)
            evict(self)
            self.prefer(often, dynamic if often else self.sizes.sharing(raw, places, moving))
            plan = self.lowered(raw, places, moving, order)
            check_room(self, plan, order)
            values = self.numbers(plan, order, moving)
            stored = self.store(plan, values, [graph.line[n] for n in order])
            stored.rising = None if often else rising(key, plan)
            self.plans[key] = stored
        else:
            values = self.numbers(stored.plan, order, moving)
        inputs = [
            graph.srcs[n][0] if k in moving else n
            for k, n in enumerate(order)
            if graph.op[n] is None or k in moving
        ]
        return stored, inputs, values

    def structure(self, order: list[int], wanted: list[int]) -> tuple[Any, tuple[int, ...]]:
        """Return the key of a plan: the nodes `order`, and the wanted ones by their positions in it."""
        return structure(self.graph, order, wanted)

    def planned(self, value: Value, spec: Spec) -> ValueExplanation:
        """Describe how a value would be computed."""
        return planned(self, value, spec)

    def planned_anew(self, order: list[int], wanted: list[int]) -> tuple[Plan, list[int]]:
        """Make a plan that is not kept, for nodes that are computed once; return it and its input nodes."""
        graph = self.graph
        check_count(graph, order)
        self.prefer(False, None)
        self.limits.printed = None
        raw, places = self.structure(order, wanted)
        raw, moving = self.slices.find(raw, places, note=False)
        inputs = [n for k, n in enumerate(order) if graph.op[n] is None or k in moving]
        return self.lowered(raw, places, moving, order), inputs

    def lowered(
        self, raw: Any, wanted: tuple[int, ...], moving: frozenset[int], order: list[int]
    ) -> Plan:
        """Lower a graph to a new plan."""
        try:
            return lower(raw, wanted, self.dialect, self.limits, moving)
        except TooLarge as large:
            error = out_of_reach(self, large, order)
        try:
            raise error
        finally:
            del error  # as in `check_room`

    def sharing(self) -> Dynamic:
        """Make what the plans of one function share over all sizes."""
        return Dynamic()

    def numbers(self, plan: Plan, order: list[int], moving: frozenset[int]) -> list[Any]:
        """Return the values of the uniforms: constants, starts of moving slices, site numbers, fixed words."""
        graph = self.graph
        return [
            self.reports.number(k, graph.line[order[k.origin]])
            if k.__class__ is Site
            else -1 - k
            if k < 0
            else start_of(graph, order[k])
            if k in moving
            else constant_of(graph, order, k)
            for k, _ in plan.uniforms
        ]

    def store(
        self,
        plan: Plan,
        values: list[Any],
        lines: Sequence[Line | None] | Mapping[int, Line | None],
    ) -> Stored:
        """Store a plan at the host: its new pipelines, and its list of commands. `lines` has the lines at which
        its nodes were recorded, by their positions in the plan's graph."""
        self.counters.plans += 1
        pipelines = []
        for kernel in plan.kernels:
            if kernel.routine:
                pipelines.append(self.host.hello.routines.index(kernel.routine))
                continue
            key = (kernel.source, kernel.bindings, kernel.overrides)
            number = self.pipelines.get(key)
            if number is None:
                number = self.next
                self.next += 1
                places = {lines[k] for k in kernel.origins if k >= 0}
                self.kernels[number] = (kernel.label, kernel.ops, {line for line in places if line})
                self.encoder.pipeline(
                    number, kernel.label, kernel.source, kernel.bindings, dict(kernel.overrides)
                )
                self.pipelines[key] = number
                self.counters.pipelines += 1
            pipelines.append(number)
        own = [n for n, k in zip(pipelines, plan.kernels, strict=True) if not k.routine]
        stored = Stored(self.next, plan, self.reports, frozenset(own))
        stored.lines = [[lines[k] for k in kernel.origins if k >= 0] for kernel in plan.kernels]
        self.next += 1
        self.encoder.store(stored.id, max(len(plan.nbytes), 1), stored.commands(pipelines, values))
        return stored

    def realise(self, wanted: list[int], plan: Plan, outputs: dict[int, Buffer]) -> None:
        """Assign buffers to the wanted nodes; nodes that share a buffer become views of it."""
        graph = self.graph
        owners: dict[int, int] = {}
        for slot, _, _ in plan.outputs:
            owners[slot] = owners.get(slot, 0) + 1
        for node, (slot, offset, spec) in zip(wanted, plan.outputs, strict=True):
            if (
                owners[slot] == 1
                and offset == 0
                and plan.nbytes[slot] == self.dialect.nbytes(spec.dtype, spec.size)
            ):
                graph.realise(node, outputs[slot])
            else:
                self.alias(node, slot, offset, plan, outputs)
        self.shared_leaves = {}

    def results(self, plan: Plan, outputs: dict[int, Buffer], specs: Sequence[Spec]) -> list[Value]:
        """Make nodes for the outputs of a replayed plan."""
        graph = self.graph
        leaves: dict[int, Value] = {}
        out = []
        for slot, offset, spec in plan.outputs:
            whole = plan.nbytes[slot] == self.dialect.nbytes(spec.dtype, spec.size)
            if slot not in leaves:
                flat = spec if whole else flat_spec(self.dialect, plan.nbytes[slot], spec.dtype)
                leaves[slot] = graph.add(None, None, (), flat)
                graph.buffer[leaves[slot].id] = outputs[slot]
            leaf = leaves[slot]
            out.append(leaf if graph.spec[leaf.id] is spec else part_of(graph, leaf, offset, spec))
        return out

    def pending(self) -> bool:
        """Whether any recorded node needs computing."""
        return bool(self.graph.recorded) and bool(self.wanted())

    def submit_held(self) -> None:
        """Submit a packet that was delayed for a read, unless another one was sent just before."""
        if self.encoder.commands and time.perf_counter() - self.sender.time > HOLD:
            self.submit()

    def submit_pending(self) -> None:
        """Send the packet unless it is empty."""
        if self.encoder.commands:
            self.submit()

    def alias(
        self, node: int, slot: int, offset: int, plan: Plan, outputs: dict[int, Buffer]
    ) -> None:
        """Make `node` a view of part of a buffer."""
        make_view(self, node, slot, offset, plan, outputs)

    def submit(self) -> None:
        """Send the packet."""
        self.pool.trim()
        self.counters.submits += self.sender.send()
        if self.before:
            self.forget_before()
        self.waiting = 0
        self.ahead += 1
        if self.ahead > MAX_AHEAD and self.host.can_block():
            self.wait()
        if self.probe is not None:
            self.probe.step()


def _dialect(language: str) -> Dialect:
    if language == "wgsl":
        from tabgrad.lower.wgsl import WGSL

        return WGSL()
    from tabgrad.lower.cuda import CUDA

    return CUDA()
