"""The programs of this folder as texts, and with settings in the place of those that they begin with."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Mapping
from types import CodeType

PROGRAMS = (
    "tensors", "neuron", "descent", "curvature", "throw", "spirals", "digits", "autoencoder", "ode",
    "attention", "gpt", "diffusion",
)  # fmt: skip
"""In the order of a course: derivatives, descent, networks, and what is made of them."""


def text_of(name: str) -> str:
    """Return a program as text.

    >>> text_of("spirals").splitlines()[0][:15]
    '\"\"\"Two spirals:'
    """
    data = pkgutil.get_data(__package__, f"{name}.py")
    if data is None:
        raise FileNotFoundError(
            f"{name}.py is missing from the installed tabgrad: install it again"
        )
    return data.decode()


def compiled(name: str, settings: Mapping[str, float]) -> CodeType:
    """Compile a program whose lines `name = number` have other numbers.

    Raises ValueError where there is no such line.

    >>> compiled("throw", {"wind": 2.5}).co_filename
    'throw.py'
    """
    text = text_of(name)
    known = re.findall(r"^([a-z]\w*) = -?[\d.]+\b", text, flags=re.M)
    for key, value in settings.items():
        if key not in known:
            told = ", ".join(known) or "none"
            raise ValueError(f"{name} has no setting {key!r}; it has {told}")
        text = re.sub(rf"^{key} = -?[\d.]+", f"{key} = {value!r}", text, count=1, flags=re.M)
    return compile(text, f"{name}.py", "exec")
