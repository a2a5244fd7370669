"""Which variants of kernels were fastest on an adapter, kept for the next session.

Outside of a browser they are in a file of the user's cache folder, in a browser in its database, and for some
adapters they come with the package. What can't be read or written is left out: the fixed variants serve.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tabgrad.hosts.commands import Adapter

EDITION = 3
"""The number of the kernels that were measured: raised when variants change so much that what was found before
says nothing of them."""
MOST = 4096
"""The most answers that are kept for one adapter; the oldest ones go first."""
BETWEEN = " | "


def load(host: Any) -> dict[str, str]:
    """Return the answers that are known for a host's adapter."""
    its = name(host.hello.adapter)
    return {**shipped(its), **answers_in(_text(host), its)}


def keep(host: Any, answers: dict[str, str]) -> None:
    """Keep the answers for a host's adapter."""
    its = name(host.hello.adapter)
    newest = dict(list(answers.items())[-MOST:])
    with suppress(OSError, ValueError, RuntimeError):
        adapter = its.rpartition(BETWEEN)[0]
        others = {
            k: v for k, v in _known(_text(host)).items() if k.rpartition(BETWEEN)[0] != adapter
        }
        text = json.dumps({**others, its: newest}, indent=1)
        if hasattr(host, "keep"):
            host.keep(text)
        else:
            _write(file(), text)


def name(adapter: Adapter) -> str:
    """Name an adapter, with its driver as far as that says something, and the edition of the kernels.

    >>> from tabgrad.hosts.commands import Adapter
    >>> name(Adapter(vendor="intel", architecture="xe", backend="Vulkan"))
    'intel | xe |  |  | Vulkan | kernels 3'
    """
    its = (
        adapter.vendor,
        adapter.architecture,
        adapter.device,
        adapter.description,
        adapter.backend,
        f"kernels {EDITION}",
    )
    return BETWEEN.join(map(str, its))


def entry(host: Any) -> str:
    """Write what is known of a host's adapter as a row of `known_adapters.py`, whatever its driver."""
    adapter = host.hello.adapter
    its = BETWEEN.join(map(str, (adapter.vendor, adapter.architecture, adapter.device))).lower()
    rows = (f"        {json.dumps(q)}: {json.dumps(a)}," for q, a in sorted(load(host).items()))
    return "\n".join([f"    {json.dumps(its)}: {{", *rows, "    },"])


def shipped(its: str) -> dict[str, str]:
    """Return the answers that come with the package for an adapter, whatever the version of its driver."""
    from tabgrad.hosts.known_adapters import KNOWN

    return dict(next((found for part, found in KNOWN.items() if part in its.lower()), {}))


def answers_in(text: str, its: str) -> dict[str, str]:
    """Read the answers for an adapter from what was kept; anything unexpected is ignored.

    >>> answers_in('{"a": {"q": "2"}}', "a"), answers_in('{"a": [', "a"), answers_in('{"a": 3}', "a")
    ({'q': '2'}, {}, {})
    """
    found = _known(text).get(its)
    if not isinstance(found, dict):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, str)}


def _known(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def file() -> Path:
    """Return the file in the user's cache folder."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return Path(folder).expanduser() / "tabgrad" / "kernels.json"


def _text(host: Any) -> str:
    """Return what was kept for all adapters: by the host where it can, else in the file."""
    if hasattr(host, "keep"):
        return str(host.kept)
    try:
        return file().read_text(encoding="utf-8")
    except (OSError, ValueError, RuntimeError):
        return ""


def _write(path: Path, text: str) -> None:
    """Replace the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{os.getpid()}")
    made.write_text(text, encoding="utf-8")
    os.replace(made, path)
