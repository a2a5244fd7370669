"""Where PyTorch downloads models from; nothing is downloaded here."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from tabgrad.core.settings import setting


@setting
class _Hub:
    folder: str | None = None


def get_dir() -> str:
    """Return the folder for files that a program has put there itself.

    >>> import tabgrad as tg
    >>> tg.hub.set_dir("models")
    >>> tg.hub.get_dir()
    'models'
    """
    cache = os.environ.get("XDG_CACHE_HOME", os.path.join("~", ".cache"))
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return _Hub.folder or os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Set the folder that `get_dir` returns."""
    _Hub.folder = os.path.expanduser(os.fspath(d))


def _refuse(name: str, what: object) -> NoReturn:
    raise RuntimeError(
        f"hub.{name}: {what!r} would be downloaded and run, which tabgrad never does; "
        "download the file yourself and pass its path to `load`"
    )


def load(
    repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any
) -> NoReturn:
    """Raise RuntimeError: models are code, and none is downloaded."""
    _refuse("load", f"{repo_or_dir} {model}")


def list(github: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: nothing is downloaded."""
    _refuse("list", github)


def help(github: str, model: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: nothing is downloaded."""
    _refuse("help", f"{github} {model}")


def load_state_dict_from_url(url: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: nothing is downloaded."""
    _refuse("load_state_dict_from_url", url)


def download_url_to_file(url: str, dst: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise RuntimeError: nothing is downloaded."""
    _refuse("download_url_to_file", url)
