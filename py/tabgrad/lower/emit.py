"""Statements of a kernel: the values of a group, element by element, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tabgrad.core import dtype as dt
from tabgrad.core.op import Op
from tabgrad.lower import opaque
from tabgrad.lower.dialect import F32, F64, FOURS, PARTS, U32, Binding, Dialect, Windowed
from tabgrad.lower.group import numbers
from tabgrad.lower.index import ZERO, Atom, Expr, condition, flatten, renamed, text, var
from tabgrad.lower.ir import BITCAST, CAST, FULL, Node
from tabgrad.lower.kernel import Work
from tabgrad.lower.record import record_of
from tabgrad.lower.tokens import Size, Word
from tabgrad.lower.windows import NONE, OWN, Cut, Reach, Span, Windows

Index = tuple[Expr, ...]


FAR = 1024
"""The least constant in an index that is a uniform word instead of text."""
NEAR = 16
"""Places in one buffer that are nearer to each other share a uniform word."""
LARGE = 1 << 20
"""The least elements of a part of a buffer where kernels for other parts have other texts."""


class Scope:
    """A block of statements: the variables that exist in it, and the values it has computed."""

    def __init__(self, head: str, variables: set[str], guarded: bool) -> None:
        self.head = head
        self.variables = variables
        self.guarded = guarded
        self.lines: list[str] = []
        self.values: dict[Any, str] = {}


def lies(n: Node, index: Index) -> Expr:
    """Give the position of element `index` of a node from the first one on."""
    at = flatten(index, n.shape)
    if n.rows is None or n.rows[0] == n.rows[1]:
        return at
    length, apart = n.rows
    return at // length * apart + at % length


class Emitter:
    """Prints the values of one kernel, which makes `nodes`, in one dialect.

    `places` maps stored nodes to (slot, offset in elements). Bindings are named b0, b1, ... in the order in
    which the slots are met, and so are the uniform words of constants, so equal work has equal text. `made`
    is what each name of an element-wise value was made by and of. With `quarters`, words in positions are
    written as multiples of four where they are. An earlier loop of the thread has written what is `held` at
    that index: it is read again, not computed. A slot of `windows` is bound in parts; of a kernel that is
    `cut`, `reach` and `own` tell the dispatch that is printed, see `Cut.take`.
    """

    def __init__(
        self,
        dialect: Dialect,
        nodes: Sequence[Node],
        stored: set[int],
        places: dict[int, tuple[int, int]],
        windows: Windows = NONE,
    ) -> None:
        self.d = dialect
        self.windows = windows
        self.cut: Cut | None = None
        self.reach: dict[int, Reach] = {}
        self.own: tuple[int, ...] = ()
        self.nodes = nodes
        self.stored = stored
        self.members = {m.id for m in nodes}
        self.places = places
        self.slots: dict[int, int] = {}
        self.access: list[list[Any]] = []
        self.uniforms: list[tuple[Any, str]] = []
        self.words = 0
        self.far = FAR
        self.quarters = False
        self.bases: dict[int, list[int]] = {}
        self.word_of: dict[Any, int] = {}
        self.scopes = [Scope("", set(), False)]
        self.names = 0
        self.checks = 0
        self.count, self.each = 0, 1
        self.written: list[tuple[int, Expr]] = []
        self.read: set[int] = set()
        self.made: dict[str, tuple[Op, tuple[str, ...]]] = {}
        self.seen: dict[Node, None] = {}
        self.held: dict[int, Index] = {}

    # -- statements --------------------------------------------------------------------------------

    @property
    def scope(self) -> Scope:
        """The innermost block."""
        return self.scopes[-1]

    def line(self, statement: str) -> None:
        """Add a statement to the innermost block."""
        self.scope.lines.append(statement)

    def open(self, head: str, *variables: str, guarded: bool = False) -> None:
        """Begin a block. Its head is written when it closes, so that values can still be put before it."""
        self.scopes.append(Scope(head, set(variables), guarded))

    def close(self, written: Callable[[list[str]], list[str]] | None = None) -> None:
        """End the innermost block; if `written` is given, it writes the block of these lines, head and all."""
        inner = self.scopes.pop()
        if written is not None:
            self.scope.lines.extend(written(inner.lines))
            return
        self.line(inner.head)
        self.scope.lines.extend("  " + line for line in inner.lines)
        self.line("}")

    def function(self, emit: Callable[[], str]) -> str:
        """Write the body of a function: the lines that `emit` adds, and the one it returns."""
        outside, self.scopes = self.scopes, [Scope("", set(), False)]
        last = emit()
        lines = [*self.scope.lines, *([last] if last else [])]
        self.scopes = outside
        return "".join(f"  {line}\n" for line in lines)

    def head(self, name: str, *variables: str, more: str = "", result: str = "") -> str:
        """Write the head of a function of index variables. In a part of a kernel it is called with the part's
        own index, and computes the index in the whole kernel."""
        cut = self.cut.variable if self.cut is not None else ""
        given = [f"{v}_part: u32" if v == cut else f"{v}: u32" for v in variables]
        arguments = ", ".join([*given, *([more] if more else [])])
        shift = f" let {cut} = {cut}_part + part_start();" if cut in variables else ""
        return f"fn {name}({arguments}){f' -> {result}' if result else ''} {{{shift}"

    def guard(self, name: str, count: int, each: int) -> None:
        """Leave where the number `name` of a thread is not below `count`; a workgroup has `each` numbers."""
        self.line(f"if ({name} >= {Size(count)}) {{ return; }}")
        self.count, self.each = count, each

    def work(self) -> Work:
        """Return what the kernel has to do."""
        return Work(self.count, self.each, tuple(self.written), self.words)

    def name(self) -> str:
        """Make a new name."""
        self.names += 1
        return f"v{self.names - 1}"

    def let(self, kind: str, value: str) -> str:
        """Declare a constant and return its name."""
        name = self.name()
        self.line(self.d.let(name, kind, value))
        return name

    # -- indices -----------------------------------------------------------------------------------

    def at(self, e: Expr) -> str:
        """Write an index."""
        return text(self.simple(e))

    def simple(self, e: Expr) -> Expr:
        """Replace the quotients and remainders in an index by variables: each is computed once, outside of
        the loops that don't change it."""
        return renamed(e, self.known_atom)

    def known_atom(self, atom: Atom) -> str:
        """Find or declare the variable that holds a quotient or remainder."""
        stack = [atom]
        while stack:
            top = stack[-1]
            parts = top.of.terms if self.found(("index", top.id)) is None else ()  # type: ignore[union-attr]
            inner = [
                a for a, _ in parts if a.of is not None and self.found(("index", a.id)) is None
            ]
            stack.extend(inner)
            if not inner:
                name = self.found(("index", top.id)) or self.quotient(top)
                stack.pop()
        return name

    def quotient(self, atom: Atom) -> str:
        """Declare the variable of a quotient or remainder whose parts have theirs, and return its name."""
        depth = len(self.scopes) - 1
        while depth > 0 and not any(v in atom.names for v in self.scopes[depth].variables):
            depth -= 1
        scope = self.scopes[depth]
        name = scope.values["index", atom.id] = f"q{self.names}"
        self.names += 1
        inner = self.at(atom.of)  # type: ignore[arg-type]
        sign = "/" if atom.kind == "div" else "%"
        scope.lines.append(self.d.let(name, U32, f"({inner}) {sign} {Size(atom.n)}"))
        return name

    def found(self, key: Any) -> str | None:
        """Find the name of a value in the present block or one around it."""
        for scope in reversed(self.scopes):
            name = scope.values.get(key)
            if name is not None:
                return name
        return None

    # -- buffers and constants ---------------------------------------------------------------------

    def buffer(self, n: Node, mode: str) -> tuple[str, int]:
        """Bind the buffer that holds `n`; return the name of the binding and the offset of `n` in it."""
        slot, offset = self.places[n.id]
        return self.bind(slot, mode, n.spec.dtype), offset

    def bind(self, slot: int, mode: str, dtype: dt.DType) -> str:
        """Bind the buffer of a slot; return the name of the binding."""
        i = self.slots.get(slot)
        if i is None:
            i = self.slots[slot] = len(self.access)
            self.access.append([slot, mode, dtype])
        elif mode == "w":
            self.access[i][1] = "w"
        return Windowed(f"b{i}x") if slot in self.windows else f"b{i}"

    def bind_fours(self, slot: int, dtype: dt.DType) -> str:
        """Bind the buffer of a slot for reading four elements at a time; return the name of the binding."""
        i = self.slots.get(~slot)
        if i is None:
            i = self.slots[~slot] = len(self.access)
            self.access.append([slot, "r", FOURS[dtype]])
        return f"b{i}"

    def bindings(self) -> list[Binding]:
        """List the bindings, in order."""
        out, base = list[Binding](), len(OWN)
        for i, (slot, mode, dtype) in enumerate(self.access):
            if slot not in self.windows:
                out.append(Binding(f"b{i}", mode, dtype))
                continue
            reach, text = self.reach.get(slot), ""
            if reach is not None:
                text, base = f"{Word(base)}", base + 1
            count = (reach or self.windows.whole(slot)).windows
            out.append(Binding(f"b{i}x", mode, dtype, count, self.windows.each(dtype), text))
        return out

    def bound(self) -> tuple[list[int], tuple[Span | None, ...]]:
        """List the slot of each binding, and the part of it that is bound, None for all of it."""
        slots: list[int] = []
        spans: list[Span | None] = []
        for slot, _, dtype in self.access:
            parts: list[Span | None] = [None]
            if slot in self.windows:
                parts = self.windows.spans(slot, dtype, self.reach.get(slot))
            slots += [slot] * len(parts)
            spans += parts
        return slots, tuple(spans) if any(spans) else ()

    def constant(self, n: Node) -> str:
        """Write the reading of a constant."""
        return self.word(n.id, n.number, self.d.compute_type(n.spec.dtype))

    def word(self, key: Any, number: Any, kind: str) -> str:
        """Write a uniform word, which is made when `key` is first met. Inside of a loop it is a variable
        that was read before: software adapters would read it in each turn."""
        word = self.word_of.get(key)
        if word is None:
            word = self.word_of[key] = self.words
            self.words += self.d.words(kind)
            self.uniforms.append((number, kind))
        made = self.d.uniform(word, kind)
        top = self.scopes[0]
        if len(self.scopes) == 1:
            return made
        name = top.values.get(("word", word))
        if name is None:
            name = top.values["word", word] = self.name()
            top.lines.append(self.d.let(name, kind, made))
        return name

    def load(self, n: Node, index: Index, mode: str = "r") -> str:
        """Write the reading of element `index` of a stored node, mode "w" if this kernel has written it."""
        name, offset = self.buffer(n, mode)
        self.read.add(self.places[n.id][0])
        return self.d.load(name, self.spot(n, index, offset), n.spec.dtype)

    def store(self, n: Node, index: Index, value: str) -> None:
        """Write element `index` of a stored node."""
        name, offset = self.buffer(n, "w")
        self.written.append((self.places[n.id][0], lies(n, index) + offset))
        self.line(self.d.store(name, self.spot(n, index, offset), value, n.spec.dtype))

    def spot(self, n: Node, index: Index, offset: int) -> str:
        """Write the position of element `index` of `n` in its buffer, where `n` begins at `offset`."""
        return self.position(n, self.noted(n, lies(n, index) + offset)) + self.shift(n)

    def noted(self, n: Node, place: Expr) -> Expr:
        """Return `place`, a position in the buffer of `n`; a kernel that may be cut remembers it."""
        if self.cut is not None:
            self.cut.note(self.places[n.id][0], place, n.shift >= 0)
        return place

    def position(
        self,
        n: Node,
        e: Expr,
        whole: Expr | None = None,
        write: Callable[[Expr], str] | None = None,
    ) -> str:
        """Write the position `e` in the buffer of `n`, a term of `whole` if that is given; `write` is that of
        `place`.

        Where these positions are a part of the buffer, others have other parts: the steps of a recurrence, the
        blocks of a loop. Where the part begins is a uniform word, 0 too, so that all have one text. A large
        part costs more time than its text.
        """
        slot, sizes, whole = self.places[n.id][0], self.windows.sizes, whole or e
        count = whole.hi - whole.lo + 1
        reached = self.d.nbytes(n.spec.dtype, count)
        if e.const < 0 or count >= LARGE or slot >= len(sizes) or reached >= sizes[slot]:
            return self.place(e, write)
        return self.apart(e, write, slot)

    def place(self, e: Expr, write: Callable[[Expr], str] | None = None) -> str:
        """Write a position in a buffer; `write` writes an index that needs no statements before it.

        A large constant in it is the position of a tensor in a buffer of many. It is a uniform
        word, so that equal layers of a model have equal kernels.
        """
        return (write or self.at)(e) if e.const < self.far else self.apart(e, write)

    def apart(self, e: Expr, write: Callable[[Expr], str] | None, slot: int = -1) -> str:
        """Write an index whose constant is a uniform word. Near ones in one buffer share it, so that compilers
        see which loads meet."""
        base = e.const
        if slot >= 0:
            bases = self.bases.setdefault(slot, [])
            base = next((b for b in bases if abs(base - b) < NEAR), base)
            bases += [base] * (base not in bases)
        four = self.quarters and not base % 4 and all(c == 1 or not c % 4 for _, c in e.terms)
        word = self.word(("at", slot, base, four), -1 - (base // 4 if four else base), U32)
        near = e - base
        return f"{word}{f' * {Size(4)}' * four}" + (
            f" + {(write or self.at)(near)}" if near != ZERO else ""
        )

    def shift(self, n: Node) -> str:
        """Write the term that is added to the position of an input that moves from run to run."""
        if n.shift < 0:
            return ""
        return f" + {self.word(n.id, n.shift, U32)}"

    # -- values ------------------------------------------------------------------------------------

    def value(self, n: Node, index: Index) -> str:
        """Write the value of element `index` of `n`; compute it unless that was done before."""
        if n.family == "view":
            n, index = self.through(n, index)
        if n.op is FULL:
            return self.constant(n)
        found = self.known(n, index)
        if found is None:
            for m, i in self.below(n, index):
                if self.known(m, i) is None:
                    self.compute_outermost(m, i)
            found = self.known(n, index) or self.compute_outermost(n, index)
        return found

    def computed(self, n: Node, index: Index = ()) -> bool:
        """Test whether this kernel computes element `index` of `n` rather than loading it."""
        mine = n.op is not None and (n.id not in self.stored or n.id in self.members)
        return mine and (n.id not in self.held or self.held[n.id] != index)

    def through(self, n: Node, index: Index) -> tuple[Node, Index]:
        """Follow element `index` through a chain of views, as far as none of them needs a test."""
        while n.family == "view" and self.computed(n):
            inner, conditions = n.op.index(index, n.srcs[0].shape, **n.params)
            if any(e.lo < lo or e.hi >= hi for e, lo, hi in conditions):
                break
            self.seen[n] = None
            n, index = n.srcs[0], numbers(inner)
        return n, index

    def known(self, n: Node, index: Index) -> str | None:
        """Find the name of a value that is computed already."""
        return self.found((n.id, index))

    def compute_outermost(self, n: Node, index: Index) -> str:
        """Compute a value in the outermost block in which its index exists."""
        depth = self.home(index)
        outside = self.scopes[depth + 1 :]
        del self.scopes[depth + 1 :]
        found = self.compute(n, index)
        self.scope.values[n.id, index] = found
        self.scopes.extend(outside)
        return found

    def below(self, n: Node, index: Index) -> list[tuple[Node, Index]]:
        """List what `n` is computed from through element-wise ops and plain views, deepest first, so that a
        long chain is emitted without recursion."""
        out: list[tuple[Node, Index]] = []
        seen: set[Any] = set()
        stack = [(n, index, False)]
        while stack:
            m, i, ready = stack.pop()
            if ready:
                out.append((m, i))
                continue
            if m.family == "view":
                m, i = self.through(m, i)
            if m.family != "elementwise" or (m.id, i) in seen or not self.computed(m, i):
                continue
            seen.add((m.id, i))
            if self.known(m, i) is None:
                stack.append((m, i, True))
                stack.extend((s, i, False) for s in reversed(m.srcs))
        return out

    def home(self, index: Index) -> int:
        """Find the outermost block in which all variables of `index` exist."""
        depth = len(self.scopes) - 1
        while depth > 0 and not self.scopes[depth].guarded:
            if any(e.uses(v) for e in index for v in self.scopes[depth].variables):
                break
            depth -= 1
        return depth

    def compute(self, n: Node, index: Index) -> str:
        """Emit the statements for element `index` of `n`."""
        kind = self.d.compute_type(n.spec.dtype)
        if not self.computed(n, index):
            return self.let(kind, self.load(n, index, "w" if n.id in self.held else "r"))
        self.seen[n] = None
        record = record_of(n)
        if record is not None and record.element is not None:
            return record.element(self, n, index, kind)
        if n.family == "elementwise":
            args = opaque.operands(self, n, [self.value(s, index) for s in n.srcs])
            made = self.let(kind, self.scalar(n, args))
            self.made[made] = (n.op, tuple(args))
            return made
        if n.family == "view":
            return self.viewed(n, index, kind)
        raise AssertionError(f"{n} can't be computed inside a kernel")

    def origin(self, n: Node) -> int:
        """Find the raw node that `n` was recorded as."""
        return n.origin

    def scalar(self, n: Node, args: list[str]) -> str:
        """Write the scalar expression of an element-wise op."""
        assert n.op is not None
        source = n.srcs[-1].spec.dtype
        kind = self.d.compute_type(source)
        if n.op is CAST:
            value = self.d.convert(args[0], kind, self.d.compute_type(n.spec.dtype))
        elif n.op is BITCAST:
            value = self.d.bits(args[0], kind, self.d.compute_type(n.spec.dtype))
        else:
            fields = dict(zip(n.op.operands, args, strict=True))
            real = kind if kind in (F64, *PARTS) else F32
            value = self.d.code(n.op, source).format(**fields, t=kind, f=real)
        return self.d.narrow(value, n.spec.dtype) if self.d.is_narrow(n.spec.dtype) else value

    def viewed(self, n: Node, index: Index, kind: str) -> str:
        """Read through a view; the value is zero where its conditions fail."""
        assert n.op is not None
        inner, conditions = n.op.index(index, n.srcs[0].shape, **n.params)
        inner = numbers(inner)
        tests = [condition(self.simple(e), lo, hi) for e, lo, hi in conditions]
        if any(t is False for t in tests):
            return self.let(kind, self.d.literal(0, kind))
        needed = [t for t in tests if t is not True]
        if not needed:
            return self.value(n.srcs[0], inner)
        # Not `&&`: each would be a branch, and SwiftShader compiles a product full of them for minutes.
        return self.guarded(" & ".join(f"({t})" for t in needed), n.srcs[0], inner, kind)

    def guarded(self, test: str, n: Node, index: Index, kind: str) -> str:
        """Read `n` where `test` holds, else zero."""
        name = self.name()
        self.line(self.d.var(name, kind, self.d.literal(0, kind)))
        self.open(f"if ({test}) {{", guarded=True)
        self.line(f"{name} = {self.value(n, index)};")
        self.close()
        return name

    def computed_index(self, value: str, size: int) -> Expr:
        """Declare a computed index as a variable below `size`."""
        name = f"at{self.names}"
        self.names += 1
        self.line(self.d.let(name, U32, value))
        self.scope.variables.add(name)
        return var(name, max(size, 2))

    def number(self, value: int) -> str:
        """Write a number as the reading of a uniform word, so that the text does not depend on it."""
        return self.word(("number", value), -1 - value, U32)


__all__ = ["Emitter", "Index"]
