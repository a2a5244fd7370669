"""Reads pickles without running anything: only the types that a table allows are built."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from tabgrad.core.errors import FileFormatError

MOST_KEY_PARTS = 1000
"""The most parts of a tuple that is a key: shared parts could make its hash take for ever."""
MOST_KEY_BITS = 61
"""The longest integer that is a key: longer ones can be chosen so that their hashes collide."""


class Allowed:
    """What a name in a pickle stands for.

    `call` makes an object of the arguments; `new` makes one that gets its state later, `build` gives it.
    None forbids.
    """

    __slots__ = ("build", "call", "name", "new", "value")

    def __init__(
        self, name: str, value: Any = None, call: Callable[..., Any] | None = None,
        new: Callable[..., Any] | None = None, build: Callable[[Any, Any], Any] | None = None,
    ) -> None:  # fmt: skip
        self.name, self.value = name, value
        self.call, self.new, self.build = call, new, build


class _Mark:
    __slots__ = ()


MARK = _Mark()
Lookup = Callable[[str, str], Any]


class Unpickler:
    """A stack machine for the opcodes that `pickle` writes in protocols 2 to 5.

    `find` says what a name stands for, or raises; `builders` gives the state to objects of other types. What
    containers are copied into others is counted, so that a small file makes nothing large.
    """

    def __init__(
        self, data: Any, find: Lookup, persistent: Callable[[Any], Any],
        builders: Mapping[type, Callable[[Any, Any], Any]],
    ) -> None:  # fmt: skip
        self.data, self.at = memoryview(data), 0
        self.find, self.persistent, self.builders = find, persistent, builders
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.left = len(self.data) + 1000

    def load(self) -> Any:
        """Read one pickle and return its object; `at` is then the place after it."""
        while True:
            code = self.take(1)[0]
            if code == 0x2E:
                found = self.pop()
                if self.stack:
                    raise FileFormatError("the pickle leaves more than one object")
                return plain(found)
            step = OPCODES.get(code)
            if step is None:
                raise FileFormatError(
                    f"the pickle has the opcode {code:#04x}, which no file of tensors needs"
                )
            step(self)

    # Bytes and stack

    def take(self, n: int) -> memoryview:
        """Return the next `n` bytes."""
        found = self.data[self.at : self.at + n]
        if len(found) != n:
            raise FileFormatError("the pickle is cut off")
        self.at += n
        return found

    def number(self, code: str) -> int:
        """Read a number of this `struct` format."""
        found: int = struct.unpack(code, self.take(struct.calcsize(code)))[0]
        return found

    def line(self) -> str:
        """Read up to the end of the line."""
        rest = bytes(self.data[self.at : self.at + 1000])
        end = rest.find(b"\n")
        if end < 0:
            raise FileFormatError("the pickle has a name that does not end")
        self.at += end + 1
        return _text(rest[:end])

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the last value from the stack."""
        if not self.stack or self.stack[-1] is MARK:
            raise FileFormatError("the pickle takes more from its stack than there is")
        return self.stack.pop()

    def top(self) -> Any:
        """Return the last value of the stack."""
        self.push(found := self.pop())
        return found

    def marked(self) -> list[Any]:
        """Take all values down to the last mark."""
        at = len(self.stack) - 1
        while at >= 0 and self.stack[at] is not MARK:
            at -= 1
        if at < 0:
            raise FileFormatError("the pickle has no mark where one is needed")
        found = self.stack[at + 1 :]
        del self.stack[at:]
        return found

    def charge(self, n: int) -> None:
        """Count `n` elements that are copied out of one object into another."""
        self.left -= n
        if self.left < 0:
            raise FileFormatError("the pickle copies its parts until they are large")

    # Objects

    def remember(self, index: int) -> None:
        """Keep the last value under a number."""
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        """Push what was kept under a number."""
        if index not in self.memo:
            raise FileFormatError(f"the pickle has no object number {index}")
        self.push(self.memo[index])

    def set_items(self, pairs: list[Any]) -> None:
        """Put keys and values, in turn, in the dict on the stack."""
        target = self.top()
        if not isinstance(target, dict) or len(pairs) % 2:
            raise FileFormatError("the pickle puts items in what is no dict")
        for k, v in zip(pairs[::2], pairs[1::2], strict=True):
            target[checked_key(plain(k))] = plain(v)

    def extend(self, values: list[Any]) -> None:
        """Append values to the list on the stack."""
        target = self.top()
        if type(target) is not list:
            raise FileFormatError("the pickle appends to what is no list")
        target.extend(map(plain, values))

    def add(self) -> None:
        """Add the marked values to the set on the stack."""
        values = self.marked()
        target = self.top()
        if type(target) is not set:
            raise FileFormatError("the pickle adds to what is no set")
        target.update(checked_key(plain(v)) for v in values)

    def apply(self, new: bool) -> None:
        """Call what is on the stack with the arguments there."""
        args, what = self.pop(), self.pop()
        if type(args) is not tuple or type(what) is not Allowed:
            raise FileFormatError("the pickle calls what can't be called")
        made = what.new if new else what.call
        if made is None:
            raise FileFormatError(
                f"the pickle calls {what.name}, which builds nothing that is allowed"
            )
        for a in args:
            if isinstance(a, list | dict | set | bytes | bytearray | tuple | str):
                self.charge(len(a))
        try:
            found = made(*args)
        except FileFormatError:
            raise
        except Exception as fault:
            raise FileFormatError(f"the arguments of {what.name} don't fit: {fault}") from None
        self.push(found)

    def build(self) -> None:
        """Give the object on the stack its state."""
        state = plain(self.pop())
        target = self.top()
        give = self.builders.get(type(target))
        if give is None:
            raise FileFormatError(f"the pickle gives a state to a {type(target).__name__}")
        try:
            give(target, state)
        except FileFormatError:
            raise
        except Exception as fault:
            raise FileFormatError(
                f"the state of a {type(target).__name__} doesn't fit: {fault}"
            ) from None

    def named(self) -> None:
        """Push what a module and a name on the stack stand for."""
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise FileFormatError("the pickle has a name that is no text")
        self.push(self.find(module, name))


def plain(value: Any) -> Any:
    """Return what a name in a pickle stands for where it is an object itself."""
    if type(value) is not Allowed:
        return value
    if value.value is None:
        raise FileFormatError(f"the pickle keeps {value.name}, which is no object that is allowed")
    return value.value


def checked_key(key: Any) -> Any:
    """Return a key of a dict. Raises FileFormatError for one whose hash could take very long."""
    kind = type(key)
    if kind is str:
        return key
    if kind is int and key.bit_length() > MOST_KEY_BITS:
        raise FileFormatError(f"the pickle has a key of {key.bit_length()} bits")
    if isinstance(key, tuple | frozenset):
        left, rest = MOST_KEY_PARTS, [key]
        while rest:
            part = rest.pop()
            left -= 1
            if left < 0:
                raise FileFormatError("the pickle has a key of too many parts")
            if isinstance(part, tuple | frozenset):
                if len(part) > left:
                    raise FileFormatError("the pickle has a key of too many parts")
                rest.extend(part)
    try:
        hash(key)
    except TypeError:
        raise FileFormatError(f"the pickle has a {kind.__name__} as a key") from None
    return key


def _text(raw: Any) -> str:
    try:
        return str(raw, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise FileFormatError("the pickle has text that is not UTF-8") from None


def _part(value: Any) -> Any:
    """Return a part of a tuple: names without a value can be arguments, so they stay."""
    return value if type(value) is not Allowed or value.value is None else value.value


def _tuple(n: int) -> Callable[[Unpickler], None]:
    def step(u: Unpickler) -> None:
        parts = [_part(u.pop()) for _ in range(n)]
        u.push(tuple(parts[::-1]))

    return step


def _memoize(u: Unpickler) -> None:
    u.remember(len(u.memo))


def _protocol(u: Unpickler) -> None:
    if u.take(1)[0] > 5:
        raise FileFormatError("the pickle has a protocol after 5")


def _items(u: Unpickler) -> None:
    pairs = u.marked()
    u.set_items(pairs)


def _item(u: Unpickler) -> None:
    value, key = u.pop(), u.pop()
    u.set_items([key, value])


def _appends(u: Unpickler) -> None:
    values = u.marked()
    u.extend(values)


def _append(u: Unpickler) -> None:
    value = u.pop()
    u.extend([value])


def _global(u: Unpickler) -> None:
    module = u.line()
    u.push(u.find(module, u.line()))


def _of(length: str, made: Callable[[memoryview], Any]) -> Callable[[Unpickler], None]:
    return lambda u: u.push(made(u.take(u.number(length))))


def _long(raw: memoryview) -> int:
    return int.from_bytes(raw, "little", signed=True)


def _float(u: Unpickler) -> None:
    u.push(struct.unpack(">d", u.take(8))[0])


def _frozen(u: Unpickler) -> None:
    u.push(frozenset([checked_key(plain(v)) for v in u.marked()]))


OPCODES: dict[int, Callable[[Unpickler], Any]] = {
    0x80: _protocol,
    0x95: lambda u: u.take(8),
    ord("("): lambda u: u.push(MARK),
    ord("0"): lambda u: u.stack.pop() if u.stack else u.pop(),
    ord("1"): lambda u: u.marked(),
    ord("2"): lambda u: u.push(u.top()),
    ord("N"): lambda u: u.push(None),
    0x88: lambda u: u.push(True),
    0x89: lambda u: u.push(False),
    ord("K"): lambda u: u.push(u.number("<B")),
    ord("M"): lambda u: u.push(u.number("<H")),
    ord("J"): lambda u: u.push(u.number("<i")),
    0x8A: _of("<B", _long),
    0x8B: _of("<I", _long),
    ord("G"): _float,
    ord("X"): _of("<I", _text),
    0x8C: _of("<B", _text),
    0x8D: _of("<Q", _text),
    ord("T"): _of("<I", _text),
    ord("U"): _of("<B", _text),
    ord("C"): _of("<B", bytes),
    ord("B"): _of("<I", bytes),
    0x8E: _of("<Q", bytes),
    0x96: _of("<Q", bytearray),
    ord("]"): lambda u: u.push([]),
    ord("}"): lambda u: u.push({}),
    ord(")"): lambda u: u.push(()),
    0x8F: lambda u: u.push(set()),
    ord("t"): lambda u: u.push(tuple(map(_part, u.marked()))),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("l"): lambda u: u.push(list(map(plain, u.marked()))),
    ord("a"): _append,
    ord("e"): _appends,
    ord("s"): _item,
    ord("u"): _items,
    0x90: lambda u: u.add(),
    0x91: _frozen,
    ord("c"): _global,
    0x93: lambda u: u.named(),
    ord("R"): lambda u: u.apply(False),
    0x81: lambda u: u.apply(True),
    ord("b"): lambda u: u.build(),
    ord("q"): lambda u: u.remember(u.take(1)[0]),
    ord("r"): lambda u: u.remember(u.number("<I")),
    0x94: _memoize,
    ord("h"): lambda u: u.recall(u.take(1)[0]),
    ord("j"): lambda u: u.recall(u.number("<I")),
    ord("Q"): lambda u: u.push(u.persistent(u.pop())),
}
"""What each opcode does."""
