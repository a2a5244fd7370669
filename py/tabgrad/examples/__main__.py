"""`python -m tabgrad.examples spirals noise=0.1 --save pictures` runs a program with settings of your own."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import Any

import tabgrad as tg
from tabgrad.examples.settings import PROGRAMS, compiled, text_of
from tabgrad.utils import progress


class Saver:
    """Takes what a program shows: drawings are saved, the latest of each place; bars are drawn as ever."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.saved: set[pathlib.Path] = set()
        self.bars: dict[int, progress.Sink] = {}

    def __call__(self, event: progress.Event) -> None:
        """Take one event."""
        if "bar" in event:
            self.bars.setdefault(event["bar"], progress.terminal())(event)
        elif event["event"] == "show" and hasattr(event["value"], "save"):
            path = self.folder / f"{self.name}-{event['place'] or 'shown'}.html"
            event["value"].save(path)
            self.saved.add(path)
        elif event["event"] == "show":
            print(event["value"])


def main(arguments: list[str] | None = None) -> None:
    """Run a program, or list them all."""
    parser = argparse.ArgumentParser("python -m tabgrad.examples", description=main.__doc__)
    parser.add_argument("name", nargs="?", choices=PROGRAMS, metavar="name")
    parser.add_argument("settings", nargs="*", metavar="setting=number")
    parser.add_argument("--device", help="webgpu, cuda or cpu (default: the GPU, if there is one)")
    parser.add_argument("--save", metavar="folder", type=pathlib.Path, help="for the drawings")
    options = parser.parse_args(arguments)
    if options.name is None:
        for name in PROGRAMS:
            print(f"{name:13} {text_of(name).splitlines()[0].strip(chr(34))}")
        return
    try:
        code = compiled(options.name, dict(_setting(word) for word in options.settings))
    except ValueError as error:
        parser.error(str(error))
    if options.device:
        tg.set_default_device(options.device)
    names: dict[str, Any] = {"__name__": "__main__"}
    sys.argv = [f"{options.name}.py"]
    if options.save is None:
        exec(code, names)
        return
    options.save.mkdir(parents=True, exist_ok=True)
    saver = Saver(options.save, options.name)
    progress.set_sink(saver)
    try:
        exec(code, names)
    finally:
        progress.set_sink(None)
    for path in sorted(saver.saved):
        print(path)


def _setting(word: str) -> tuple[str, float]:
    name, _, value = word.partition("=")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"expected a setting such as rate=0.1, got {word!r}") from None
    return name, int(number) if number.is_integer() and "." not in value else number


if __name__ == "__main__":
    main()
