"""Programs with parametrizations, pruning and averaged models, whose results PyTorch has told.

Each is a function of the library and a device, and returns names with tensors, numbers and texts.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

Result = dict[str, Any]


def filled(T: Any, module: Any, device: Any) -> Any:
    """Give parameters numbers of their own, the same in both libraries."""
    with T.no_grad():
        for i, p in enumerate(module.parameters()):
            n = p.numel()
            p.copy_(
                ((T.arange(n, dtype=T.float32, device=device) * 7 + i * 3) % 11 / 5 - 1).reshape(
                    p.shape
                )
            )
    return module.to(device)


def trained(T: Any, net: Any, shape: tuple[int, ...], device: Any, steps: int = 3) -> list[Any]:
    """Return the losses of a few steps."""
    n = 1
    for s in shape:
        n *= s
    x = (T.arange(n, dtype=T.float32, device=device) % 5 - 2).reshape(shape) / 2
    optimizer = T.optim.SGD(net.parameters(), lr=0.05)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = net(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses


def _symmetric(T: Any) -> Any:
    class Symmetric(T.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, a: Any) -> Any:
            return a.triu()

    return Symmetric()


def _halves(T: Any) -> Any:
    class Halves(T.nn.Module):  # type: ignore[misc]
        def forward(self, a: Any, b: Any) -> Any:
            return a + 2 * b

        def right_inverse(self, w: Any) -> Any:
            return w / 2, w / 4

    return Halves()


def _doubled(T: Any) -> Any:
    class Doubled(T.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x * 2

        def right_inverse(self, y: Any) -> Any:
            return y / 2

    return Doubled()


def one_function(T: Any, device: Any) -> Result:
    P = T.nn.utils.parametrize
    layer = filled(T, T.nn.Linear(3, 3), device)
    kept = layer.weight
    out: Result = {"before": layer.weight.detach().clone()}
    P.register_parametrization(layer, "weight", _symmetric(T))
    out["repr"] = repr(layer)
    out["keys"] = list(layer.state_dict())
    out["names"] = [n for n, _ in layer.named_parameters()]
    out["same"] = layer.parametrizations.weight.original is kept
    out["type"] = [
        type(layer).__name__,
        P.type_before_parametrizations(layer).__name__,
        isinstance(layer, T.nn.Linear),
    ]
    out["weight"] = layer.weight
    out["losses"] = trained(T, layer, (4, 3), device)
    with P.cached():
        out["cached"] = layer.weight is layer.weight
    out["not cached"] = layer.weight is layer.weight
    layer.weight = T.ones(3, 3, device=device)
    out["assigned"] = layer.parametrizations.weight.original
    out["is"] = [
        P.is_parametrized(layer),
        P.is_parametrized(layer, "weight"),
        P.is_parametrized(layer, "bias"),
    ]
    P.remove_parametrizations(layer, "weight")
    out["after"] = layer.weight
    out["keys after"] = list(layer.state_dict())
    out["type after"] = type(layer).__name__
    out["still the same"] = layer.weight is kept
    return out


def several_functions(T: Any, device: Any) -> Result:
    P = T.nn.utils.parametrize
    layer = filled(T, T.nn.Linear(2, 2), device)
    P.register_parametrization(layer, "weight", _symmetric(T))
    P.register_parametrization(layer, "weight", _doubled(T))
    P.register_parametrization(layer, "bias", _halves(T))
    out: Result = {"weight": layer.weight, "bias": layer.bias, "keys": list(layer.state_dict())}
    out["losses"] = trained(T, layer, (4, 2), device)
    layer.weight = T.eye(2, device=device)
    layer.bias = T.ones(2, device=device)
    out["state"] = [v for _, v in sorted(layer.state_dict().items())]
    twin = T.nn.Linear(2, 2).to(device)
    P.transfer_parametrizations_and_params(layer, twin)
    out["twin"] = [twin.weight, twin.bias]
    P.remove_parametrizations(layer, "weight", leave_parametrized=False)
    out["left"] = [layer.weight, P.is_parametrized(layer, "bias")]
    P.remove_parametrizations(layer, "bias")
    out["removed"] = [layer.bias, type(layer).__name__, [n for n, _ in layer.named_parameters()]]
    return out


def weight_norm(T: Any, device: Any) -> Result:
    out: Result = {}
    makes = {
        "rows": (T.nn.Linear(3, 2), 0, (4, 3)),
        "columns": (T.nn.Linear(3, 2), 1, (4, 3)),
        "all": (T.nn.Linear(3, 2), None, (4, 3)),
        "conv": (T.nn.Conv1d(2, 3, 2), 0, (2, 2, 4)),
    }
    for name, (layer, dim, shape) in makes.items():
        layer = T.nn.utils.parametrizations.weight_norm(filled(T, layer, device), dim=dim)
        out[name] = [
            layer.weight,
            list(layer.state_dict()),
            layer.parametrizations.weight.original0,
        ]
        out[f"{name} losses"] = trained(T, layer, shape, device)
    old = T.nn.utils.parametrizations.weight_norm(filled(T, T.nn.Linear(2, 2), device))
    old.load_state_dict(
        {
            "bias": T.zeros(2),
            "weight_g": T.ones(2, 1) * 3,
            "weight_v": T.tensor([[3.0, 4.0], [0.0, 1.0]]),
        }
    )
    out["of old names"] = old.weight
    return out


def spectral_norm(T: Any, device: Any) -> Result:
    out: Result = {}
    makes = {
        "linear": (T.nn.Linear(3, 2), (4, 3)),
        "conv": (T.nn.Conv2d(1, 2, 2), (1, 1, 3, 3)),
        "transposed": (T.nn.ConvTranspose1d(2, 3, 2), (1, 2, 3)),
    }
    for name, (layer, shape) in makes.items():
        layer = T.nn.utils.parametrizations.spectral_norm(filled(T, layer, device))
        out[f"{name} keys"] = sorted(layer.state_dict())
        inner = layer.parametrizations.weight[0]
        with T.no_grad():
            for b in (inner._u, inner._v):
                b.copy_(T.nn.functional.normalize(T.arange(1.0, 1 + len(b), device=device), dim=0))
        out[f"{name} losses"] = trained(T, layer, shape, device)
        layer.eval()
        out[f"{name} weight"] = layer.weight
    bias = T.nn.utils.parametrizations.spectral_norm(filled(T, T.nn.Linear(2, 2), device), "bias")
    out["vector"] = bias.bias
    return out


def orthogonal(T: Any, device: Any) -> Result:
    out: Result = {}
    for kind in ("matrix_exp", "cayley", "householder", None):
        for trivial in (True, False):
            for rows, columns in ((3, 3), (2, 3), (3, 2)):
                if trivial and rows != columns:
                    continue  # what completes the matrix is drawn at random
                layer = filled(T, T.nn.Linear(columns, rows, bias=False), device)
                q = T.linalg.qr(
                    layer.weight.detach() if rows >= columns else layer.weight.detach().T
                )[0]
                name = f"{kind} {trivial} {rows}x{columns}"
                with T.no_grad():
                    layer.weight.copy_(q if rows >= columns else q.T)
                if not trivial and kind in ("matrix_exp", "cayley"):
                    layer.weight.data.mul_(0.3)
                try:
                    T.nn.utils.parametrizations.orthogonal(
                        layer, "weight", kind, use_trivialization=trivial
                    )
                except NotImplementedError as error:
                    out[f"{name} refused"] = str(error)
                    continue
                out[name] = layer.weight
                out[f"{name} losses"] = trained(T, layer, (4, columns), device)
                out[f"{name} later"] = layer.weight
    return out


def pruned(T: Any, device: Any) -> Result:
    prune = import_module(f"{T.nn.utils.__name__}.prune")
    out: Result = {}
    layer = filled(T, T.nn.Linear(4, 3), device)
    prune.l1_unstructured(layer, "weight", amount=0.4)
    out["l1"] = [
        layer.weight,
        layer.weight_mask,
        [n for n, _ in layer.named_parameters()],
        sorted(layer.state_dict()),
    ]
    prune.ln_structured(layer, "weight", amount=1, n=2, dim=1)
    out["then l2 of columns"] = layer.weight_mask
    prune.ln_structured(layer, "weight", amount=0.34, n=float("inf"), dim=0)
    out["then of rows"] = layer.weight_mask
    prune.l1_unstructured(
        layer, "bias", 1, importance_scores=T.tensor([3.0, 1.0, 2.0], device=device)
    )
    out["scores"] = layer.bias
    out["losses"] = trained(T, layer, (2, 4), device)
    out["is pruned"] = prune.is_pruned(layer)
    prune.remove(layer, "weight")
    prune.remove(layer, "bias")
    out["removed"] = [
        layer.weight,
        layer.bias,
        [n for n, _ in layer.named_parameters()],
        prune.is_pruned(layer),
    ]
    net = filled(T, T.nn.Sequential(T.nn.Linear(3, 2), T.nn.Linear(2, 3)), device)
    prune.global_unstructured(
        [(net[0], "weight"), (net[1], "weight")], prune.L1Unstructured, amount=5
    )
    out["global"] = [net[0].weight, net[1].weight]
    mask = T.tensor([1.0, 0.0, 1.0], device=device)
    prune.custom_from_mask(net[1], "bias", mask)
    prune.identity(net[0], "bias")
    out["custom"] = [net[1].bias, net[0].bias_mask]
    conv = filled(T, T.nn.Conv2d(2, 4, 2), device)
    with T.no_grad():
        conv.weight.mul_(T.tensor([3.0, 1.0, 4.0, 2.0], device=device).view(4, 1, 1, 1))
    prune.ln_structured(conv, "weight", 0.5, 1, 0)
    out["conv"] = conv.weight_mask.sum((1, 2, 3))
    drawn = prune.random_unstructured(filled(T, T.nn.Linear(4, 4), device), "weight", 5)
    out["random"] = int((drawn.weight_mask == 0).sum())
    drawn = prune.random_structured(filled(T, T.nn.Linear(4, 4), device), "weight", 1, 0)
    out["random rows"] = [int(kept) for kept in drawn.weight_mask.sum(1).sort().values]
    return out


def averaged(T: Any, device: Any) -> Result:
    S = T.optim.swa_utils
    out: Result = {}
    for name, options in {
        "mean": {},
        "ema": {"multi_avg_fn": S.get_ema_multi_avg_fn(0.8)},
        "avg": {"avg_fn": S.get_ema_avg_fn(0.7)},
        "swa": {"avg_fn": S.get_swa_avg_fn()},
        "buffers": {"use_buffers": True},
    }.items():
        net = filled(
            T, T.nn.Sequential(T.nn.Linear(2, 3), T.nn.BatchNorm1d(3), T.nn.Linear(3, 1)), device
        )
        model = S.AveragedModel(net, **options)
        optimizer = T.optim.SGD(net.parameters(), lr=0.05)
        x = (T.arange(8.0, device=device) % 5 - 2).reshape(4, 2)
        for _ in range(3):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            optimizer.step()
            model.update_parameters(net)
        out[name] = [v.float() for _, v in sorted(model.state_dict().items())]
        out[f"{name} keys"] = sorted(model.state_dict())
        S.update_bn([x[:2], [x[2:]]], model)
        out[f"{name} statistics"] = [
            model.module[1].running_mean,
            model.module[1].running_var,
            model.module[1].momentum,
        ]
    for strategy, epochs in (("cos", 5), ("linear", 3), ("cos", 0)):
        optimizer = T.optim.SGD(
            [{"params": [T.zeros(1)]}, {"params": [T.zeros(1)], "lr": 0.5}], lr=1.0
        )
        schedule = S.SWALR(optimizer, [0.05, 0.1], epochs, strategy)
        rates = []
        for _ in range(7):
            optimizer.step()
            schedule.step()
            rates += [g["lr"] for g in optimizer.param_groups]
        out[f"rates {strategy} {epochs}"] = [float(r) for r in rates]
        out[f"state {strategy} {epochs}"] = sorted(
            k for k in schedule.state_dict() if k != "_anneal_func"
        )
    return out


PROGRAMS: dict[str, Callable[[Any, Any], Result]] = {
    f.__name__: f
    for f in (
        one_function,
        several_functions,
        weight_norm,
        spectral_norm,
        orthogonal,
        pruned,
        averaged,
    )
}


def told(T: Any, value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, T.Tensor):
        return {"shape": list(value.shape), "values": value.detach().reshape(-1).tolist()}
    if isinstance(value, dict):
        return {k: told(T, v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [told(T, v) for v in value]
    return value
