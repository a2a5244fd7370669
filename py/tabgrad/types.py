"""Types for annotations; PyTorch's `types`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, Any

from tabgrad.core.dtype import DType
from tabgrad.core.shape import Size
from tabgrad.hosts.devices import Device as _Device
from tabgrad.tensor import Tensor

Number = int | float | bool
Device = _Device | str | int | None
FileLike = str | os.PathLike[str] | IO[bytes]
_TensorOrTensors = Tensor | Sequence[Tensor]
_dtype = DType
_device = _Device
_size = Size | list[int] | tuple[int, ...]
_int, _float, _bool = int, float, bool
Storage = Any
