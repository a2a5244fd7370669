"""Seeing inside: the autograd graph, a backward pass step by step, the flow of gradients, landscapes, images,
attention, and what notebooks show. Drawings are SVG and HTML without scripts; `save` writes them to files."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from tabgrad.core.submodules import missing_from as _missing_from
from tabgrad.viz.drawing import Drawing as Drawing
from tabgrad.viz.flow import Flow as Flow, flow as flow
from tabgrad.viz.graph import Graph as Graph, graph as graph

if TYPE_CHECKING:
    from tabgrad.viz.images import (
        Attention as Attention,
        Image as Image,
        attention as attention,
        image as image,
    )
    from tabgrad.viz.landscapes import Landscape as Landscape, landscape as landscape
    from tabgrad.viz.planes import Plane as Plane, plane as plane
    from tabgrad.viz.shows import show as show
    from tabgrad.viz.stepping import Steps as Steps, steps as steps
else:
    _HOMES = {
        "Attention": "images", "Image": "images", "attention": "images", "image": "images",
        "Landscape": "landscapes", "landscape": "landscapes", "Plane": "planes", "plane": "planes",
        "show": "shows", "Steps": "stepping", "steps": "stepping",
    }  # fmt: skip

    def __getattr__(name: str) -> object:
        """Import what few programs draw when it is first asked for."""
        if name in _HOMES:
            found = getattr(_import_module(f"tabgrad.viz.{_HOMES[name]}"), name)
            return globals().setdefault(name, found)
        return _missing_from(__name__)(name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})
