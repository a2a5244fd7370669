"""The wheel, packed as tightly as its format allows: hatchling has no setting for it."""

from __future__ import annotations

import pathlib
import zipfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Tighter(BuildHookInterface):
    """Packs each file of a wheel that has been built again, with the most thorough search for repeats."""

    PLUGIN_NAME = "custom"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Replace the wheel."""
        made = pathlib.Path(artifact_path)
        packed = made.with_suffix(".packed")
        with zipfile.ZipFile(made) as old, zipfile.ZipFile(packed, "w") as new:
            for file in old.infolist():
                new.writestr(file, old.read(file), zipfile.ZIP_DEFLATED, compresslevel=9)
        packed.replace(made)
