"""State dicts of modules: writing and reading."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import tabgrad as tg
from tabgrad.core.errors import warn
from tabgrad.nn import hooks
from tabgrad.nn.parameter import Parameter, UninitializedParameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tabgrad.nn.module import Module
    from tabgrad.tensor import Tensor

EXTRA = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """The keys of a state dict that did not fit a module."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"_IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


def state_dict(module: Module, destination: Any, prefix: str, keep_vars: bool) -> Any:
    """Write the state of `module` and its submodules into `destination`, made if None, and return it."""
    if destination is None:
        destination = OrderedDict()
        destination._metadata = OrderedDict()  # the versions of the modules by prefix
    metadata = {"version": module._version}
    if hasattr(destination, "_metadata"):
        destination._metadata[prefix[:-1]] = metadata
    for hook in hooks.of_kind(module, "state_dict_pre"):
        hook.fn(module, prefix, keep_vars)
    module._save_to_state_dict(destination, prefix, keep_vars)
    for name, child in module._modules.items():
        if child is not None:
            child.state_dict(
                destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
            )
    for hook in hooks.of_kind(module, "state_dict_post"):
        hook.fn(module, destination, prefix, metadata)
    for hook in hooks.of_kind(module, "state_dict_made"):
        changed = hook.fn(module, destination, prefix, metadata)
        destination = destination if changed is None else changed
    return destination


def parameters_of(module: Module) -> Iterable[tuple[str, Any]]:
    """List the parameters of the module itself."""
    return module._parameters.items()


def buffers_of(module: Module) -> Iterable[tuple[str, Any]]:
    """List the buffers of the module itself."""
    return module._buffers.items()


def _persistent(module: Module) -> dict[str, Any]:
    skip = module._non_persistent_buffers_set
    kept = {name: b for name, b in module._buffers.items() if name not in skip}
    return {name: t for name, t in {**module._parameters, **kept}.items() if t is not None}


def _has_extra(module: Module) -> bool:
    return type(module).get_extra_state is not no_extra_state


def no_extra_state(self: Module) -> Any:
    """Give the further state that a subclass wants in its state dict; `set_extra_state` restores it."""
    raise RuntimeError("get_extra_state: this module has no extra state")


def save_own(module: Module, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    """Write the tensors of `module` itself."""
    for name, t in _persistent(module).items():
        whole = keep_vars or isinstance(t, UninitializedParameter)
        destination[prefix + name] = t if whole else t.detach()
    if _has_extra(module):
        destination[prefix + EXTRA] = module.get_extra_state()


class _Loading:
    """One `load_state_dict`, with the keys and errors collected so far."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def load(
        self, module: Module, given: Mapping[str, Any], metadata: dict[str, Any], prefix: str
    ) -> None:
        local = dict(metadata.get(prefix[:-1], {}))
        for hook in hooks.of_kind(module, "load_state_dict_pre"):
            hook.fn(
                module, given, prefix, local, True, self.missing, self.unexpected, self.errors
            )  # fmt: skip
        if metadata.get("assign"):
            local["assign_to_params_buffers"] = True
        module._load_from_state_dict(
            given, prefix, local, True, self.missing, self.unexpected, self.errors
        )
        for name, child in module._modules.items():
            if child is not None:
                self.load(child, given, metadata, f"{prefix}{name}.")
        keys = IncompatibleKeys(self.missing, self.unexpected)
        for hook in hooks.of_kind(module, "load_state_dict_post"):
            hook.fn(module, keys)


def load_state_dict(
    module: Module, given: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Read `given` into `module`; see `Module.load_state_dict`."""
    if not hasattr(given, "items"):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(given).__name__}.")
    metadata = dict(getattr(given, "_metadata", {}))
    if assign:
        metadata["assign"] = {"": True}
    loading = _Loading(strict)
    loading.load(module, dict(given), metadata, "")
    if strict:
        if loading.unexpected:
            loading.errors.insert(
                0, f"Unexpected key(s) in state_dict: {_quoted(loading.unexpected)}. "
            )
        if loading.missing:
            loading.errors.insert(0, f"Missing key(s) in state_dict: {_quoted(loading.missing)}. ")
    if loading.errors:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t"
            + "\n\t".join(loading.errors)
        )
    return IncompatibleKeys(loading.missing, loading.unexpected)


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{k}"' for k in keys)


def load_own(
    module: Module, given: Mapping[str, Any], prefix: str, local_metadata: dict[str, Any],
    strict: bool, missing: list[str], unexpected: list[str], errors: list[str],
) -> None:  # fmt: skip
    """Read the tensors of `module` itself."""
    own = _persistent(module)
    assign = local_metadata.get("assign_to_params_buffers", False)
    for name, t in own.items():
        key = prefix + name
        if key not in given:
            if strict:
                missing.append(key)
            continue
        _take(module, name, key, t, given[key], assign, errors)
    if _has_extra(module):
        if prefix + EXTRA in given:
            module.set_extra_state(given[prefix + EXTRA])
        elif strict:
            missing.append(prefix + EXTRA)
    if not strict:
        return
    known = {*own, *module._modules}
    for key in given:
        if key.startswith(prefix) and key != prefix + EXTRA:
            rest = key[len(prefix) :].split(".", 1)
            if len(rest) > 1 and rest[0] in module._modules:
                continue
            if rest[0] not in known or (len(rest) == 1 and rest[0] not in own):
                unexpected.append(key)
        elif key == prefix + EXTRA and not _has_extra(module):
            unexpected.append(key)


def _take(
    module: Module, name: str, key: str, t: Tensor, value: Any, assign: bool, errors: list[str]
) -> None:
    if not isinstance(value, tg.Tensor):
        errors.append(
            f'While copying the parameter named "{key}", expected a Tensor from the checkpoint but '
            f"received {type(value).__name__}"
        )
        return
    if isinstance(value, UninitializedParameter):
        if not isinstance(t, UninitializedParameter):
            errors.append(f"{key}: the checkpoint was made before this lazy parameter had a shape")
        return
    if isinstance(t, UninitializedParameter):
        t.materialize(value.shape)
    elif tuple(value.shape) != tuple(t.shape):
        errors.append(
            f"size mismatch for {key}: copying a param with shape {value.shape} from "
            f"checkpoint, the shape in current model is {t.shape}."
        )
        return
    if not assign:
        if t.device.type == "meta" != value.device.type:
            warn(
                f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the "
                "current model, which is a no-op. (Did you mean to pass `assign=True` to assign items in the "
                "state dictionary to their corresponding key in the module instead of copying them in place?)",
                UserWarning,
            )
        with tg.no_grad():
            t.copy_(value)
    elif name in module._parameters:
        taken = value if isinstance(value, Parameter) else Parameter(value, t.requires_grad)
        module._parameters[name] = taken
    else:
        module._buffers[name] = value
