"""Write the numbers of the protocol for the bridge: `python -m tests.protocol.constants`."""

from __future__ import annotations

import pathlib

from tabgrad.hosts.commands import COMMANDS, HEADER_WORDS, MAGIC, VERSION, WINDOW_ALIGNMENT

PATH = pathlib.Path(__file__).parents[2] / "web" / "bridge" / "protocol.js"
HEAD = """\
/**
 * The numbers of the protocol, from py/tabgrad/hosts/commands.py: `python -m tests.protocol.constants`
 * writes this file, and a test holds it to the declaration.
 */

"""


def constant(name: str) -> str:
    """Return the name of a command as a constant."""
    words = "".join(f"_{c}" if c.isupper() else c for c in name)
    return words.removeprefix("_").upper()


def text() -> str:
    """Return the file."""
    lines = [
        f"export const MAGIC = {MAGIC:#x};",
        f"export const VERSION = {VERSION};",
        f"export const HEADER_WORDS = {HEADER_WORDS};",
        f"/** Where a binding may begin on every WebGPU device, in bytes. */\n"
        f"export const WINDOW_ALIGNMENT = {WINDOW_ALIGNMENT};",
        "",
    ]
    tags = {c.TAG: c.__name__ for c in sorted(COMMANDS, key=lambda c: c.TAG)}
    lines += [f"export const {constant(name)} = {tag};" for tag, name in tags.items()]
    names = "".join(f'  "{tags.get(tag, "")}",\n' for tag in range(max(tags) + 1))
    return (
        HEAD
        + "\n".join(lines)
        + f"\n\n/** The commands by their tag. */\nexport const NAMES = [\n{names}];\n"
    )


if __name__ == "__main__":
    PATH.write_text(text())
