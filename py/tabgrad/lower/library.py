"""The shaders folder: library functions to prepend to printed code, and whole kernels.

Front matter stands in `//!` comments before each function and at the head of each kernel:
a line `name: what it computes`, more text, and tags such as `@error 2 ulp`. Which other
functions a function needs is read from its calls, so nothing has to be listed twice.
"""

from __future__ import annotations

import functools
import importlib.resources
import pathlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable

from tabgrad.core.errors import TabgradError

NAME_CALLED = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
FUNCTION_START = re.compile(r"^fn (\w+)\(", re.MULTILINE)
FUNCTION = re.compile(r"((?:^//!.*\n)+)(^fn (\w+)\([\s\S]*?^}\n)", re.MULTILINE)
BLOCK = re.compile(r"^( *)//@begin (\w+)\n([\s\S]*?)^ *//@end\n", re.MULTILINE)
HALF = re.compile(r"\bf16\b")
SUBGROUP = re.compile(r"\b(subgroup|quad)[A-Z]\w*\(")
ALIAS = "alias elem = f32;"


class ShaderError(TabgradError):
    """A shader file, or a request for one, breaks the rules of the shaders folder."""


@dataclass(frozen=True)
class FrontMatter:
    """The `//!` comment of a function or kernel: `summary`, `text`, and `tags` in file order.

    >>> parse_front_matter("//! twice: x + x.\\n//! @error exact\\n").tags
    {'error': ('exact',)}
    """

    name: str
    summary: str
    text: str
    tags: Mapping[str, tuple[str, ...]]

    def tag(self, name: str) -> str:
        """Return the value of tag `name`; raise ShaderError unless there is exactly one."""
        values = self.tags.get(name, ())
        if len(values) != 1:
            raise ShaderError(
                f"{self.name}: expected one @{name} in the front matter, found {len(values)}"
            )
        return values[0]


@dataclass(frozen=True)
class Function:
    """One function of `shaders/lib`: its WGSL without comments, and the functions it calls."""

    name: str
    source: str
    front_matter: FrontMatter
    uses: tuple[str, ...]
    file: str


@dataclass(frozen=True)
class KernelFile:
    """One complete module of `shaders/kernels`, with marked blocks that may be replaced."""

    name: str
    source: str
    front_matter: FrontMatter

    @property
    def blocks(self) -> dict[str, str]:
        """The text between each `//@begin name` and `//@end`."""
        return {match[2]: match[3] for match in BLOCK.finditer(self.source)}

    def with_blocks(self, blocks: Mapping[str, str], alias_elem: str = "f32") -> str:
        """Return the module's text with whole marked blocks replaced, without comments.

        Library functions called by the new text are prepended. The result depends on the
        arguments alone, so equal arguments give equal text and one compiled pipeline.
        """
        unknown = sorted(set(blocks) - set(self.blocks))
        if unknown:
            known = ", ".join(sorted(self.blocks))
            raise ShaderError(
                f"kernel {self.name}: no block named {', '.join(unknown)}; it has {known}"
            )

        def replace(match: re.Match[str]) -> str:
            text = blocks.get(match[2], match[3])
            return text if text.endswith("\n") or not text else text + "\n"

        text = BLOCK.sub(replace, self.source)
        if alias_elem != "f32":
            if ALIAS not in text:
                raise ShaderError(
                    f"kernel {self.name}: has no line '{ALIAS}' to replace by {alias_elem}"
                )
            text = text.replace(ALIAS, f"alias elem = {alias_elem};")
        return with_library(without_comments(text))


def parse_front_matter(comment: str) -> FrontMatter:
    """Parse the `//!` lines of `comment`."""
    lines = [
        line.removeprefix("//!").strip() for line in comment.splitlines() if line.startswith("//!")
    ]
    name, colon, summary = lines[0].partition(":") if lines else ("", "", "")
    if not colon:
        raise ShaderError(
            f"front matter must begin '//! name: what it computes', found {comment[:60]!r}"
        )
    text = [summary.strip()]
    tags: dict[str, list[str]] = {}
    tag = None
    for line in lines[1:]:
        if line.startswith("@"):
            tag, _, value = line[1:].partition(" ")
            tags.setdefault(tag, []).append(value.strip())
        elif tag is None:
            text.append(line)
        elif line:
            tags[tag][-1] += " " + line
    return FrontMatter(
        name.strip(), summary.strip(), "\n".join(text), {key: tuple(v) for key, v in tags.items()}
    )


def without_comments(text: str) -> str:
    """Drop comments and blank lines, so that editing a comment does not cause a new compile."""
    lines = (line.split("//", 1)[0].rstrip() for line in text.splitlines())
    return "".join(line + "\n" for line in lines if line)


def with_library(text: str) -> str:
    """Complete a module with the library functions that its text calls and the extensions it needs."""
    full = functions(names_used(text) - set(FUNCTION_START.findall(text))) + text
    return directives(full) + full


def directives(text: str) -> str:
    """Find the `enable` lines that `text` needs at its head."""
    # a plain search comes first: few texts need any, and the patterns are slow
    found = {
        "f16": "f16" in text and HALF.search(text),
        "subgroups": ("subgroup" in text or "quad" in text) and SUBGROUP.search(text),
    }
    return "".join(f"enable {name};\n" for name, needed in found.items() if needed)


def folder() -> Traversable:
    """Find the shaders folder: inside the package in a wheel, beside `py` in a checkout."""
    packaged = importlib.resources.files("tabgrad") / "_shaders"
    if packaged.is_dir():
        return packaged
    checkout = pathlib.Path(__file__).parents[3] / "shaders"
    if checkout.is_dir():
        return checkout
    raise ShaderError(
        f"no shaders: expected {packaged} in an installed package or {checkout} in a checkout"
    )


@functools.cache
def all_functions() -> Mapping[str, Function]:
    """Read every function of `shaders/lib`, by name, in the order of the files."""
    found: dict[str, tuple[str, FrontMatter, str]] = {}
    for file in sorted((folder() / "lib").iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".wgsl"):
            continue
        text = file.read_text(encoding="utf-8")
        matches = list(FUNCTION.finditer(text))
        if len(matches) != len(FUNCTION_START.findall(text)):
            raise ShaderError(
                f"lib/{file.name}: every function needs front matter, ending in column 0"
            )
        for match in matches:
            front_matter = parse_front_matter(match[1])
            if front_matter.name != match[3]:
                raise ShaderError(
                    f"lib/{file.name}: front matter of {front_matter.name} stands before {match[3]}"
                )
            if match[3] in found:
                raise ShaderError(
                    f"lib/{file.name}: {match[3]} is already defined in lib/{found[match[3]][2]}"
                )
            found[match[3]] = (without_comments(match[2]), front_matter, file.name)
    return {
        name: Function(name, source, front_matter, calls(source, found, name), file_name)
        for name, (source, front_matter, file_name) in found.items()
    }


def calls(source: str, known: Iterable[str], itself: str = "") -> tuple[str, ...]:
    """Find the names in `known` that `source` calls, except `itself`, in the order of `known`."""
    called = set(NAME_CALLED.findall(source)) - {itself}
    return tuple(name for name in known if name in called)


def names_used(text: str) -> set[str]:
    """Find the library functions that `text` calls directly.

    >>> sorted(names_used("let y = tanh_f32(x) + exp(x);"))
    ['tanh_f32']
    """
    return set(calls(text, all_functions()))


def functions(names: Iterable[str]) -> str:
    """Collect the WGSL of `names` and of all functions they need, each once, callees first.

    The order depends on the set of names only.
    """
    library = all_functions()
    unknown = sorted(set(names) - set(library))
    if unknown:
        raise ShaderError(f"no library function named {', '.join(unknown)}; see shaders/lib")
    ordered: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in ordered:
            for used in library[name].uses:
                visit(used)
            ordered[name] = None

    for name in sorted(set(names)):
        visit(name)
    return "".join(library[name].source for name in ordered)


@functools.cache
def kernel(name: str) -> KernelFile:
    """Read the kernel in `shaders/kernels/<name>.wgsl`."""
    file = folder() / "kernels" / f"{name}.wgsl"
    if not file.is_file():
        raise ShaderError(f"no kernel named {name}; there are {', '.join(kernel_names())}")
    source = file.read_text(encoding="utf-8")
    return KernelFile(name, source, parse_front_matter(source))


@functools.cache
def kernel_names() -> tuple[str, ...]:
    """List the names of all kernels, sorted."""
    names = (entry.name for entry in (folder() / "kernels").iterdir())
    return tuple(sorted(name.removesuffix(".wgsl") for name in names if name.endswith(".wgsl")))


@functools.cache
def prelude(language: str, complex_too: bool = False) -> str:
    """Read the text to put before printed code in `language`: all of `lib/prelude.cu` for "cuda", and of
    `lib/complex.cu` for code with complex numbers.

    WGSL needs none: `functions` gives exactly what is called.
    """
    if language == "wgsl":
        return ""
    if language == "cuda":
        names = ("prelude.cu", "complex.cu") if complex_too else ("prelude.cu",)
        return "".join((folder() / "lib" / name).read_text(encoding="utf-8") for name in names)
    raise ShaderError(f'no prelude for language {language!r}; expected "wgsl" or "cuda"')


@functools.cache
def tensor_cores() -> str:
    """Read the functions of CUDA that multiply on tensor cores; they follow the prelude."""
    return (folder() / "lib" / "tensor.cu").read_text(encoding="utf-8")
