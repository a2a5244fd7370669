"""PyTorch's writer of ONNX files, which tabgrad has not: the names are there, and say so when they are used."""

from __future__ import annotations

from typing import Any, NoReturn


class OnnxExporterError(RuntimeError):
    """A model can't be written as ONNX."""


def is_in_onnx_export() -> bool:
    """Whether a model is being written as ONNX: never.

    >>> import tabgrad as tg
    >>> tg.onnx.is_in_onnx_export()
    False
    """
    return False


def export(model: Any, args: Any = (), f: Any = None, **kwargs: Any) -> NoReturn:
    """Raise OnnxExporterError: tabgrad writes no ONNX; `tabgrad.export` saves a static graph."""
    raise OnnxExporterError(
        "onnx.export: tabgrad writes no ONNX files; `tabgrad.export(model, args)` makes a static graph, and "
        "`tabgrad.export.save` a file of it"
    )
