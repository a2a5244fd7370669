"""`python -m tabgrad`: `info` on devices and `kernels`, `run` and `check` of programs written for PyTorch."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import tabgrad as tg
from tabgrad.core.errors import TabgradError
from tabgrad.hosts import host as hosts
from tabgrad.hosts.devices import KINDS

PACKAGES = ("numpy", "wgpu", "cupy", "cupy-cuda13x", "safetensors")


def versions() -> dict[str, str]:
    """Return the versions of Python, tabgrad, and the packages that it can use."""
    found = {
        "tabgrad": tg.__version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def device(kind: str) -> dict[str, Any]:
    """Describe one kind of device; `error` says why it is not available."""
    if kind == "cpu":
        if find_spec("numpy") is None:
            return {"error": "device 'cpu' needs NumPy: pip install 'tabgrad[numpy]'"}
        return {"language": "NumPy", "processor": platform.processor() or platform.machine()}
    try:
        host = hosts.connect(kind)
    except (TabgradError, ImportError, OSError, RuntimeError) as error:
        return {"error": str(error) or type(error).__name__}
    try:
        hello = host.hello
        return {
            "language": hello.language,
            "adapter": asdict(hello.adapter),
            "protocol": hello.protocol,
            "features": sorted(hello.features),
            "routines": list(hello.routines),
            "limits": dict(hello.limits),
        }
    finally:
        host.close()


def report() -> dict[str, Any]:
    """Return everything that `info` prints."""
    return {
        "versions": versions(),
        "devices": {kind: device(kind) for kind in KINDS if kind != "meta"},
    }


def text(facts: dict[str, Any]) -> str:
    """Format the report as text."""
    lines = [f"{name:<14}{value}" for name, value in facts["versions"].items()]
    for kind, about in facts["devices"].items():
        if "error" in about:
            lines += ["", f"device {kind}: not available", f"  {about['error']}"]
            continue
        lines += ["", f"device {kind}"]
        for name, value in about.items():
            if isinstance(value, dict):
                lines.append(f"  {name}")
                lines += [f"    {k:<42}{_shown(v)}" for k, v in value.items() if v != ""]
            else:
                lines.append(f"  {name:<11} {_shown(value)}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tabgrad", description=tg.__doc__)
    parser.add_argument("--version", action="version", version=f"tabgrad {tg.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    info = commands.add_parser(
        "info", help="print devices, adapters, features, limits and versions"
    )
    info.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser("run", help="run a program for PyTorch: `import torch` means tabgrad")
    check = commands.add_parser(
        "check", help="list the names of torch that programs use and that are missing"
    )
    check.add_argument("files", nargs="+", metavar="FILE", help="a script or a notebook")
    check.add_argument("--all", action="store_true", help="list all names that are used")
    kernels = commands.add_parser(
        "kernels", help="print which variants of kernels were fastest on the WebGPU adapter"
    )
    kernels.add_argument(
        "--measure", type=float, default=0.0, metavar="SECONDS",
        help="first run common work at several sizes, and time its variants for at most so long",
    )  # fmt: skip
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["run"]:  # what follows is the program's
        from tabgrad.pytorch.running import run

        return run(given[1:])
    args = parser.parse_args(given)
    if args.command is None:
        parser.print_help()
        return 2
    if args.command == "check":
        from tabgrad.pytorch.running import check_command

        return check_command(args.files, args.all)
    if args.command == "kernels":
        from tabgrad.utils.benchmark.kernels import known

        print(known(args.measure))
        return 0
    facts = report()
    print(json.dumps(facts, indent=2) if args.json else text(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
