"""Names of PyTorch's checkpoints of spread tensors and of Hugging Face's files: what they say when called."""

from __future__ import annotations

from typing import Any, NoReturn

_WHY = "it is for tensors that are spread over processes, of which there are none; use checkpoint.save and load"


class HuggingFaceStorageReader:
    """Would read the parts of spread tensors from safetensors; nothing is an instance of it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError(f"{cls.__name__}: {_WHY}")


class HuggingFaceStorageWriter(HuggingFaceStorageReader):
    """Would write the parts of spread tensors to safetensors; nothing is an instance of it."""


class DefaultLoadPlanner(HuggingFaceStorageReader):
    """Would plan which part is read where; nothing is an instance of it."""


class StateDictOptions(HuggingFaceStorageReader):
    """Would say how spread tensors are collected; nothing is an instance of it."""


def consolidate_safetensors_files(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise NotImplementedError."""
    raise NotImplementedError(f"consolidate_safetensors_files: {_WHY}")


def get_model_state_dict(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise NotImplementedError."""
    raise NotImplementedError(f"get_model_state_dict: {_WHY}")


def get_optimizer_state_dict(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise NotImplementedError."""
    raise NotImplementedError(f"get_optimizer_state_dict: {_WHY}")


def set_model_state_dict(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise NotImplementedError."""
    raise NotImplementedError(f"set_model_state_dict: {_WHY}")


def set_optimizer_state_dict(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise NotImplementedError."""
    raise NotImplementedError(f"set_optimizer_state_dict: {_WHY}")
