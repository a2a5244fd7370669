"""Which names of torch a program uses, and which are missing: read from its text, without running it."""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import tabgrad
from tabgrad.core.places import nearest
from tabgrad.pytorch.alias import ELSEWHERE, NAME
from tabgrad.pytorch.homes import OURS

METHODS = frozenset(
    "apply_ as_subclass const_data_ptr dim_order hash_tensor is_pinned is_set_to is_shared map2_ map_ "
    "module_load q_per_channel_scales q_scale q_zero_point record_stream reinforce resize_as_sparse_ "
    "share_memory_ slice_inverse storage_type to_mkldnn to_padded_tensor untyped_storage".split()
)
"""Methods of PyTorch's tensors that no other classes have; those that are here are not missed."""


class Use(NamedTuple):
    """A name of torch in a program: where, what is wrong with it, and whether a `try`, or an
    `if` that asks for it, is around all uses."""

    file: str
    name: str
    lines: list[int]
    problem: str
    guarded: bool


def check(texts: dict[str, str]) -> list[Use]:
    """Return the names of torch that a program uses, in the order of its lines.

    `texts` has its parts by the name of the file, or of the cell of a notebook. Raises SyntaxError as Python
    does.

    >>> for use in check({"a.py": "import torch\\ntorch.linspaec(2, 3)"}):
    ...     print(use.lines, use.name, use.problem or "-")
    [1] torch -
    [2] torch.linspaec is missing; the nearest is 'linspace'
    """
    reader, uses = _Reader(), []
    for file, text in texts.items():
        tree = ast.parse(text, file)
        reader.found, reader.unguarded = {}, set()
        for node in _of_the_module(tree.body):
            reader.bind_imports(node)
        reader.visit(tree)
        for name, lines in reader.found.items():
            guarded = name not in reader.unguarded
            uses.append(Use(file, name, sorted(set(lines)), problem_of(name), guarded))
    return uses


def problem_of(name: str) -> str:
    """Tell what is wrong with a dotted name of torch, nothing where it is there.

    >>> problem_of("torch.nn.functional.relu"), problem_of("torch.hosts")
    ('', 'is missing')
    """
    found: Any = tabgrad
    parts = name.split(".")[1:]
    for i, part in enumerate(parts):
        inside = ".".join(parts[: i + 1])
        if parts[0] == "ops" and len(parts) > 1 and parts[1] not in ("aten", "prims"):
            return ""  # custom ops are made when the program runs
        if not i and part in ELSEWHERE:
            found = ELSEWHERE[part]
            continue
        hidden = not i and part in OURS and isinstance(vars(tabgrad).get(part), ModuleType)
        inner = None if hidden else _part(found, part, inside)
        if inner is None:
            where = "" if i == len(parts) - 1 else f" (torch.{inside})"
            return f"is missing{where}" + nearest(part, dir(found))
        if not isinstance(inner, ModuleType) and not _is_whole(inner) and inside != "ops.aten":
            return ""
        found = inner
    return ""


def _part(found: Any, part: str, inside: str) -> Any:
    if hasattr(found, part):
        inner = getattr(found, part)
        return part if inner is None else inner
    # only a package has modules below it
    if hasattr(found, "__path__") and find_spec(f"tabgrad.{inside}") is not None:
        return import_module(f"tabgrad.{inside}")
    return None


def _is_whole(thing: Any) -> bool:
    """Whether a class shows all that its instances have."""
    return isinstance(thing, type) and issubclass(thing, tabgrad.Tensor | enum.Enum)


def _of_the_module(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when the module does, those of blocks too."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for part in ("body", "orelse", "finalbody"):
            yield from _of_the_module(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from _of_the_module(handler.body)


class _Reader(ast.NodeVisitor):
    """Follows what the names of a program mean: paths below torch, or anything else (None)."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, str | None]] = [{}]
        self.found: dict[str, list[int]] = {}
        self.unguarded: set[str] = set()
        self.tries = 0

    def use(self, name: str, line: int) -> None:
        self.found.setdefault(name, []).append(line)
        if not self.tries:
            self.unguarded.add(name)

    def bind_imports(self, node: ast.AST) -> list[str]:
        """Bind the names that an import binds; return the paths below torch that it names."""
        here, paths = self.scopes[-1], []
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == NAME:
                    paths.append(alias.name)
                    here[alias.asname or NAME] = alias.name if alias.asname else NAME
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module.partition(".")[0] == NAME:
                for alias in node.names:
                    if alias.name == "*":
                        paths.append(node.module)
                        here.update({n: f"{node.module}.{n}" for n in _starred(node.module)})
                    else:
                        paths.append(f"{node.module}.{alias.name}")
                        here[alias.asname or alias.name] = paths[-1]
        return paths

    def path(self, node: ast.AST) -> str | None:
        """Return the path below torch that a name, or an attribute of one, stands for."""
        if isinstance(node, ast.Attribute):
            above = self.path(node.value)
            return above and f"{above}.{node.attr}"
        if isinstance(node, ast.Name):
            for scope in reversed(self.scopes):
                if node.id in scope:
                    return scope[node.id]
        return None

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for path in self.bind_imports(node):
            self.use(path, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.visit_Import(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        path = self.path(node)
        if path is not None:
            self.use(path, node.lineno)
            return
        if node.attr in METHODS and not hasattr(tabgrad.Tensor, node.attr):
            self.use(f"{NAME}.Tensor.{node.attr}", node.lineno)
        self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> None:
        path = self.path(node)
        if path is not None and "." in path and isinstance(node.ctx, ast.Load):
            self.use(path, node.lineno)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        path = self.path(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                if path is not None or self.path(target) is not None:
                    self.scopes[-1][target.id] = path
            else:
                self.visit(target)

    def visit_Try(self, node: ast.Try) -> None:
        self.tries += bool(node.handlers)
        for statement in node.body:
            self.visit(statement)
        self.tries -= bool(node.handlers)
        for rest in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(rest)

    def visit_If(self, node: ast.If | ast.IfExp) -> None:
        asked = any(map(_asks, ast.walk(node.test)))
        self.tries += asked
        self.generic_visit(node)
        self.tries -= asked

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit_If(node)

    def scoped(self, node: Any) -> None:
        """Visit a function with its parameters as names of their own."""
        its = node.args
        for outside in (*getattr(node, "decorator_list", ()), *its.defaults, *its.kw_defaults):
            if outside is not None:
                self.visit(outside)
        every = [*its.posonlyargs, *its.args, *its.kwonlyargs, its.vararg, its.kwarg]
        given = [a for a in every if a is not None]
        for a in (*given, node):
            note = getattr(a, "annotation", None) or getattr(a, "returns", None)
            if note is not None:
                self.visit(note)
        self.scopes.append(dict.fromkeys([a.arg for a in given]))
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(statement)
        self.scopes.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = scoped


def _asks(node: ast.AST) -> bool:
    """Whether a condition asks if a name is there, by hasattr or getattr."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    return node.func.id in ("hasattr", "getattr")


def _starred(module: str) -> list[str]:
    inside = module.partition(".")[2]
    try:
        found = import_module(f"tabgrad.{inside}" if inside else "tabgrad")
    except ImportError:
        return []
    names = getattr(found, "__all__", None)
    return [n for n in dir(found) if n[0] != "_"] if names is None else list(names)
