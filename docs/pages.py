"""The pages of the reference as reStructuredText: `written()` gives each public name a place."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from docs import surface
from docs.surface import ROOT, TOPICS, Public

TENSOR = "tensor"
"""The page of the class Tensor."""


def page_of(module: str) -> str:
    """Return the name of the page of a module."""
    return module.removeprefix(f"{ROOT}.").replace("tensor.", "tensor-", 1).replace(".", "-")


class Places:
    """Where each public name is described: on one page, whichever modules show it."""

    def __init__(self) -> None:
        self.modules = surface.modules()
        self.home: dict[int, Public] = {}
        self.page: dict[str, str] = {}
        """The page of each full name; several may stand for one thing."""
        root = [p for p in surface.names_of(ROOT) if not inspect.ismodule(p.thing)]
        self.shown = defaultdict[str, list[Public]](list)
        """The names of each page, in order."""
        for public in root:
            if public.source.startswith(f"{TOPICS}."):
                self.put(page_of(public.source), public)
        for module in self.modules[1:]:
            for public in surface.names_of(module):
                if not inspect.ismodule(public.thing):
                    self.put(page_of(module), public)
        for public in root:
            if public.full not in self.page:
                known = self.home.get(id(public.under)) if distinct(public.thing) else None
                self.put(self.page[known.full] if known else aside(public), public)

    def put(self, page: str, public: Public) -> None:
        """Give a name its place; the first name of a thing is the one that the others point to."""
        self.page[public.full] = page
        self.shown[page].append(public)
        if distinct(public.thing):
            known = self.home.get(id(public.under))
            if known is None or (known.module == public.module and own_name(public) == public.name):
                self.home[id(public.under)] = public


def aside(public: Public) -> str:
    """Return the page of a name of the package that belongs to no topic or module: that of its file."""
    if public.source in (f"{ROOT}.tensor", ROOT) and public.name == "Tensor":
        return TENSOR
    kinds = {type(public.thing).__module__, getattr(public.thing, "__module__", "")}
    if f"{ROOT}.core.dtype" in kinds:
        return "dtype"
    if public.source.startswith(f"{ROOT}.exporting"):
        return "export"
    last = public.source.rpartition(".")[2]
    return "constants" if last in ("math", ROOT) else last


def distinct(thing: Any) -> bool:
    """Whether it is one thing wherever it is met: not a number."""
    return callable(thing) or type(thing).__module__.startswith(ROOT)


def own_name(public: Public) -> str:
    """Return the name under which something was defined."""
    under = public.under
    return str(getattr(under, "__name__", None) or getattr(under, "name", public.name))


# -- text -------------------------------------------------------------------------------------------


QUOTED = re.compile(r"(``?)(?=\S)(.+?)\1", re.DOTALL)


def plain(text: str) -> str:
    """Return prose in which only `code` is marked up, as reStructuredText.

    >>> plain("Return x * y_, see `a[1:]`.")
    'Return x \\\\* y\\\\_, see ``a[1:]``.'
    """
    out, at = [], 0
    for m in QUOTED.finditer(text):
        out += [_escaped(text[at : m.start()]), _quoted(" ".join(m[2].split()))]
        at = m.end()
    return "".join([*out, _escaped(text[at:])])


def _escaped(text: str) -> str:
    return re.sub(r"([\\*`|])|(?<=\w)(_)(?!\w)", lambda m: "\\" + m[0], text)


def _quoted(code: str) -> str:
    # a name becomes a link where the reference has it
    return f"`{code}`" if re.fullmatch(r"[A-Za-z_][\w.]*\w", code) else f"``{code}``"


def docstring(lines: list[str]) -> list[str]:
    """Return a docstring as reStructuredText: examples and what is indented stay as they are."""
    out: list[str] = []
    # an example may follow on a line of text
    text = re.sub(r"^(?!>>>|\.\.\. )(.*\S.*)\n(?=>>> )", r"\1\n\n", "\n".join(lines), flags=re.M)
    for block in re.split(r"\n\s*\n", text):
        first = block.lstrip("\n").partition("\n")[0]
        if first.startswith(">>>"):
            out += [*block.splitlines(), ""]
        elif first.startswith("  "):
            marked = any(line.endswith("::") for line in out[-2:])
            out += [*([] if marked else ["::", ""]), *block.splitlines(), ""]
        else:
            out += [*_paragraphs(block), ""]
    return out


def _paragraphs(block: str) -> list[str]:
    """Return a paragraph, with blank lines around a list, and around lines that are indented."""
    out: list[str] = []
    before = ""
    for line in plain(block.strip("\n")).splitlines():
        if line.startswith("- "):
            kind = "item"
        elif line.startswith("  "):
            # what is indented under an item goes on with it
            kind = "item" if before == "item" else "code"
        else:
            kind = "text"
        if before and kind != before:
            marked = kind == "code" and not out[-1].endswith("::")
            out += ["", *(["::", ""] if marked else [])]
        out.append(line)
        before = kind
    return out


def titled(text: str, line: str = "=") -> list[str]:
    """Return a heading."""
    return [text, line * len(text), ""]


def opening(module: str) -> list[str]:
    """Return the docstring of a module."""
    return docstring(inspect.cleandoc(importlib.import_module(module).__doc__ or "").splitlines())


def indented(lines: Iterable[str]) -> list[str]:
    return [f"   {line}".rstrip() for line in lines]


# -- entries ----------------------------------------------------------------------------------------


def entry(public: Public, places: Places) -> list[str]:
    """Return the description of one public name."""
    thing, full = public.thing, public.full
    home = places.home.get(id(public.under)) if distinct(thing) else None
    if home is not None and home.full != full:
        role = "class" if inspect.isclass(thing) else "func" if callable(thing) else "data"
        kind = {"class": "class", "func": "function", "data": "data"}[role]
        what = "The same as" if home.name == public.name else "Another name of"
        shape = signature(thing, False) if role == "func" else ""
        return [
            f".. py:{kind}:: {public.name}{shape}",
            f"   :module: {public.module}",
            "",
            f"   {what} :py:{role}:`{home.full}`.",
            "",
        ]
    if inspect.isclass(thing):
        kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
        return [f".. {kind}:: {full}", "   :members:", "   :exclude-members: extra_repr", ""]
    if inspect.isroutine(thing):
        return [f".. autofunction:: {full}", ""]
    if callable(thing):
        return namespace(public)
    text = inspect.getdoc(type(thing)) if type(thing).__module__.startswith(ROOT) else None
    shown = [] if text is None else docstring(text.splitlines()[:1])
    head = [f".. py:data:: {public.name}", f"   :module: {public.module}", f"   :value: {thing!r}"]
    return [*head, "", *indented(shown), ""]


def namespace(public: Public) -> list[str]:
    """Return the description of an object that is called, and whose attributes are public too."""
    call = type(public.thing).__call__
    out = [f".. py:function:: {public.name}{signature(call)}", f"   :module: {public.module}", ""]
    out += [*indented(docstring((inspect.getdoc(call) or "").splitlines())), ""]
    for name, member in vars(type(public.thing)).items():
        if name[0] != "_" and not isinstance(member, property):
            thing = getattr(public.thing, name)
            kind = "class" if inspect.isclass(thing) else "function"
            shape = "" if inspect.isclass(thing) else signature(thing, False)
            out += [f".. py:{kind}:: {public.name}.{name}{shape}"]
            out += [f"   :module: {public.module}", ""]
            out += [*indented(docstring((inspect.getdoc(thing) or "").splitlines())), ""]
    return out


def signature(fn: Any, bound: bool = True) -> str:
    """Return parameters and result; without `self` for a method."""
    its = inspect.signature(fn)
    given = list(its.parameters.values())[1 if bound else 0 :]
    return str(its.replace(parameters=given)).replace("'", "")


def method(name: str, places: Places) -> list[str]:
    """Return the description of a method of Tensor; of what a function does too, its first sentence."""
    import tabgrad

    thing = inspect.getattr_static(tabgrad.Tensor, name)
    if not callable(thing) and not isinstance(thing, staticmethod | classmethod):
        return [f".. autoattribute:: {ROOT}.Tensor.{name}", ""]
    called = getattr(tabgrad.Tensor, name)
    home = places.home.get(id(surface.beneath(called)))
    if home is None:
        return [f".. automethod:: {ROOT}.Tensor.{name}", ""]
    first = (inspect.getdoc(called) or "").partition("\n")[0]
    head = [f".. py:method:: Tensor.{name}{signature(called)}", f"   :module: {ROOT}"]
    return [
        *head,
        "",
        *indented(docstring([first])),
        *indented([f"See :py:func:`{home.full}`."]),
        "",
    ]


def methods(names: Iterable[str], places: Places) -> list[str]:
    return [line for name in names for line in method(name, places)]


# -- pages ------------------------------------------------------------------------------------------


def topic_page(topic: str, places: Places) -> str:
    """Return the page of one topic of tensors: its functions, and the methods of Tensor."""
    out = [*titled(f"Tensors: {topic.rpartition('.')[2]}"), *opening(topic)]
    for public in places.shown.get(page_of(topic), ()):
        out += entry(public, places)
    names = surface.methods_of(topic)
    if names:
        out += [*titled("Methods of Tensor", "-"), *methods(names, places)]
    return "\n".join(out)


def module_page(module: str, places: Places) -> str:
    """Return the page of a public module, in sections by the file that each name comes from."""
    out = [*titled(module), *opening(module)]
    below = [m for m in places.modules if m.rpartition(".")[0] == module]
    if below:
        out += ["See also " + ", ".join(f":doc:`{m} <{page_of(m)}>`" for m in below) + ".", ""]
    files: dict[str, list[Public]] = {}
    for public in places.shown.get(page_of(module), ()):
        files.setdefault(public.source, []).append(public)
    for source, names in files.items():
        if len(files) > 1:
            about = inspect.getdoc(importlib.import_module(source)) or source
            out += titled(plain(about.partition("\n")[0].rstrip(".")), "-")
        for public in names:
            out += entry(public, places)
    return "\n".join(out)


def tensor_page(places: Places) -> str:
    """Return the page of the class Tensor: what no topic has, and the way to the rest."""
    out = [*titled("Tensor"), f".. autoclass:: {ROOT}.Tensor", ""]
    out += methods(surface.own_methods(), places)
    out += titled("Methods by topic", "-")
    for topic in surface.topics():
        names = ", ".join(f":py:obj:`{n} <{ROOT}.Tensor.{n}>`" for n in surface.methods_of(topic))
        if names:
            out += [f":doc:`{topic.rpartition('.')[2]} <{page_of(topic)}>`", f"   {names}", ""]
    return "\n".join(out)


def other_page(page: str, places: Places) -> str:
    """Return the page of names of the package that belong to no topic and no module."""
    out = titled(f"{ROOT}: {page}")
    files = {p.source for p in places.shown[page]} - {ROOT}
    if len(files) == 1 and page != "constants":
        out += opening(files.pop())
    for public in places.shown[page]:
        out += entry(public, places)
    return "\n".join(out)


def index(pages: Iterable[str], places: Places) -> str:
    """Return the table of contents."""
    topics = [page_of(t) for t in surface.topics()]
    below = [page_of(m) for m in places.modules[1:]]
    rest = sorted(set(pages) - {*topics, *below, TENSOR})
    out = titled("Reference")
    for caption, names in (
        ("Tensors", [TENSOR, *topics]),
        ("The package", rest),
        ("Modules", sorted(below)),
    ):
        out += [".. toctree::", f"   :caption: {caption}", "   :maxdepth: 1", ""]
        out += [*indented(names), ""]
    return "\n".join(out)


def written() -> dict[str, str]:
    """Return the text of each page of the reference by its name."""
    places = Places()
    made = {page_of(t): topic_page(t, places) for t in surface.topics()}
    made |= {page_of(m): module_page(m, places) for m in places.modules[1:]}
    made[TENSOR] = tensor_page(places)
    made |= {page: other_page(page, places) for page in places.shown if page not in made}
    made["index"] = index(made, places)
    return made
