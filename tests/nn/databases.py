"""PyTorch's databases of modules and optimizers, run on tabgrad beside PyTorch, where PyTorch is installed.

    python -m tests.nn.databases [--only Linear] [-v]

Every sample of `module_db`: the printed module, the keys of its state dict, outputs, gradients of inputs and
parameters, in training and in evaluation mode, from the same parameters. Every sample of `optim_db`: 20 steps
of the same parameters, and the state dict after them. The last lines are the counts; `databases.txt` keeps
them, with the reasons of what differs. All of it takes some ten minutes.
"""

from __future__ import annotations

import argparse
import collections
import math
import traceback
import warnings
from typing import Any

import tabgrad as tg

STEPS = 20


def ours(torch: Any, x: Any) -> Any:
    """Return a value of PyTorch's with our types, containers included."""
    if isinstance(x, torch.Tensor):
        if x.layout != torch.strided:
            raise NotImplementedError("a sparse sample")
        found = (
            tg.tensor(x.detach().resolve_conj().numpy())
            if x.dtype != torch.bfloat16
            else tg.tensor(x.float().tolist(), dtype=tg.bfloat16)
        )
        return found.requires_grad_(x.requires_grad)
    if isinstance(x, torch.dtype):
        return getattr(tg, str(x).partition(".")[2])
    if isinstance(x, torch.device):
        return tg.device(str(x))
    if isinstance(x, torch.nn.utils.rnn.PackedSequence):
        return tg.nn.utils.rnn.PackedSequence(*[ours(torch, v) for v in x])
    if isinstance(x, torch.nn.Module):
        made = getattr(tg.nn, type(x).__name__)
        if isinstance(x, torch.nn.TransformerEncoderLayer):
            layer = x.self_attn
            module = made(
                layer.embed_dim,
                layer.num_heads,
                x.linear1.out_features,
                x.dropout.p,
                ours(torch, x.activation),
                x.norm1.eps,
                layer.batch_first,
                x.norm_first,
                x.linear1.bias is not None,
            )
        else:
            names = [
                n for n in made.__init__.__code__.co_varnames if n in x.__dict__ and n != "self"
            ]
            module = made(**{n: ours(torch, x.__dict__[n]) for n in names})
        given(torch, x, module)
        return module
    if isinstance(x, dict):
        return type(x)({k: ours(torch, v) for k, v in x.items()})
    if isinstance(x, list | tuple):
        return type(x)(ours(torch, v) for v in x)
    name = getattr(x, "__name__", None)
    if callable(x) and name and hasattr(tg.nn.functional, name):
        return getattr(tg.nn.functional, name)
    if callable(x) and name and hasattr(tg, name):
        return getattr(tg, name)
    return x


def given(torch: Any, theirs: Any, module: Any) -> None:
    """Give our module the state of PyTorch's."""
    module.load_state_dict({k: ours(torch, v) for k, v in theirs.state_dict().items()})


def flat(T: Any, x: Any) -> list[Any]:
    """Return the tensors of a result."""
    if isinstance(x, T.Tensor):
        return [x]
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, list | tuple):
        return [t for v in x for t in flat(T, v)]
    return []


def fresh(torch: Any, x: Any) -> Any:
    """Return a value with leaves in place of its tensors."""
    if isinstance(x, torch.Tensor):
        return x.detach().clone().requires_grad_(x.requires_grad)
    if isinstance(x, dict):
        return {k: fresh(torch, v) for k, v in x.items()}
    return type(x)(fresh(torch, v) for v in x) if type(x) in (list, tuple) else x


def close(
    torch: Any,
    mine: list[Any],
    theirs: list[Any],
    what: str,
    rtol: float = 1e-3,
    atol: float = 1e-5,
) -> None:
    """Raise AssertionError where tensors differ."""
    assert len(mine) == len(theirs), f"{what}: {len(mine)} tensors, not {len(theirs)}"
    for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        if a is None or b is None:
            assert a is b, f"{what} {i}: None in one of them"
            continue
        assert tuple(a.shape) == tuple(b.shape), (
            f"{what} {i}: shape {tuple(a.shape)}, not {tuple(b.shape)}"
        )
        assert repr(a.dtype).rpartition(".")[2] == str(b.dtype).rpartition(".")[2], (
            f"{what} {i}: {a.dtype}, not {b.dtype}"
        )
        found = torch.tensor(a.detach().tolist(), dtype=b.dtype).reshape(b.shape)
        torch.testing.assert_close(
            found,
            b.detach(),
            rtol=rtol,
            atol=atol,
            equal_nan=True,
            msg=lambda m, w=what, i=i: f"{w} {i}: {m}",
        )


def _random(module: Any) -> bool:
    return any(
        "Dropout" in type(m).__name__ or "RReLU" in type(m).__name__ or getattr(m, "dropout", 0)
        for m in module.modules()
    )


def module_sample(torch: Any, info: Any, sample: Any, training: bool) -> None:
    """Compare one sample of `module_db`."""
    made = getattr(tg.nn, info.module_cls.__name__)
    args, kwargs = sample.constructor_input.args, sample.constructor_input.kwargs
    torch.manual_seed(0)
    module = info.module_cls(*args, **kwargs).train(training)
    twin = made(*ours(torch, list(args)), **ours(torch, kwargs)).train(training)
    lazy = any(
        "Uninitialized" in type(t).__name__ for t in (*module.parameters(), *module.buffers())
    )
    given_args = (
        fresh(torch, list(sample.forward_input.args)),
        fresh(torch, sample.forward_input.kwargs),
    )
    mine = ours(torch, given_args[0]), ours(torch, given_args[1])
    if lazy:
        module(*fresh(torch, given_args[0]), **given_args[1])
        twin(*[x.detach() if isinstance(x, tg.Tensor) else x for x in mine[0]], **mine[1])
        given(torch, module, twin)
    else:
        given(torch, module, twin)
    assert repr(twin) == repr(module), f"printed {twin!r}, not {module!r}"
    assert list(twin.state_dict()) == list(module.state_dict()), "keys of the state dict"
    if training and _random(module):
        return
    try:
        want = module(*given_args[0], **given_args[1])
    except (RuntimeError, ValueError, AssertionError) as refused:
        try:
            twin(*mine[0], **mine[1])
        except (RuntimeError, ValueError, AssertionError):
            return
        raise AssertionError(f"PyTorch refuses it: {refused}") from None
    out = twin(*mine[0], **mine[1])
    close(torch, flat(tg, out), flat(torch, want), "output")
    pairs = [
        (a, b) for a, b in zip(flat(tg, out), flat(torch, want), strict=True) if b.requires_grad
    ]
    assert all(a.requires_grad for a, _ in pairs), "an output has no gradient"
    if not pairs:
        return
    sum(a.abs().sum() if a.is_complex() else (a * 1.5).sum() for a, _ in pairs).backward()
    sum(b.abs().sum() if b.is_complex() else (b * 1.5).sum() for _, b in pairs).backward()
    leaves = (
        [x for x in (*flat(tg, mine[0]), *flat(tg, mine[1]))],
        [x for x in (*flat(torch, given_args[0]), *flat(torch, given_args[1]))],
    )
    at = [i for i, b in enumerate(leaves[1]) if b.requires_grad and b.is_leaf]
    close(
        torch, [leaves[0][i].grad for i in at], [leaves[1][i].grad for i in at], "gradient of input"
    )
    names = [n for n, _ in module.named_parameters()]
    grads = (
        [dict(twin.named_parameters())[n].grad for n in names],
        [dict(module.named_parameters())[n].grad for n in names],
    )
    close(torch, *grads, f"gradient of {names}", atol=1e-4)
    close(
        torch,
        [v for v in twin.state_dict().values()],
        [v for v in module.state_dict().values()],
        "state after it",
    )


def optimizer_sample(torch: Any, info: Any, sample: Any) -> None:
    """Compare 20 steps of one sample of `optim_db`."""
    name = info.optim_cls.__name__
    shapes = [(5, 4), (4, 3)] if name == "Muon" else [(5, 4), (4,), (2, 3)]
    start = [torch.linspace(-1, 1, math.prod(s)).reshape(s) * (i + 1) for i, s in enumerate(shapes)]
    grads = [
        [
            torch.sin(torch.arange(p.numel()).reshape(p.shape) ** 2 * 0.37 + i + 3 * k)
            for i, p in enumerate(start)
        ]
        for k in range(STEPS)
    ]
    if info.only_supports_sparse_grads:
        grads = [
            [
                torch.where(torch.arange(len(g)).view(-1, *[1] * (g.ndim - 1)) % 2 == k % 2, g, 0.0)
                for g in row
            ]
            for k, row in enumerate(grads)
        ]
    results = []
    for T, turn in ((tg, lambda x: ours(torch, x)), (torch, lambda x: x)):
        params = [T.nn.Parameter(turn(p.clone())) for p in start]
        options = {k: turn(v) for k, v in sample.kwargs.items()}
        optimizer = getattr(T.optim, name)(params, **options)
        for row in grads:
            for p, g in zip(params, row, strict=True):
                given_grad = turn(g.clone())
                p.grad = given_grad.to_sparse() if info.only_supports_sparse_grads else given_grad
            if info.step_requires_closure:

                def closure(T: Any = T, ps: Any = params, o: Any = optimizer) -> Any:
                    o.zero_grad()
                    loss = sum(
                        ((p - 0.3) ** 2 * (1 + i)).sum() + (p**4).sum() for i, p in enumerate(ps)
                    )
                    loss.backward()
                    return loss

                optimizer.step(closure)
            else:
                optimizer.step()
        results.append((params, optimizer.state_dict()))
    (mine, state), (theirs, wanted) = results
    # Muon computes in bfloat16
    close(
        torch,
        mine,
        theirs,
        "parameter",
        2e-2 if name == "Muon" else 2e-3,
        2e-3 if name == "Muon" else 1e-5,
    )
    if name == "LBFGS":
        # where it has converged rounding decides which directions are kept
        assert list(state["state"][0]) == list(wanted["state"][0]), "keys of the state"
        return
    assert state["param_groups"][0].keys() == wanted["param_groups"][0].keys(), "keys of the groups"
    for i, kept in wanted["state"].items():
        assert list(state["state"][i]) == list(kept), (
            f"keys of the state: {list(state['state'][i])}, not {list(kept)}"
        )
        close(torch, flat(tg, state["state"][i]), flat(torch, kept), f"state of {i}", 2e-3)


def main() -> None:
    """Run both databases."""
    import torch
    from torch.testing._internal.common_modules import module_db
    from torch.testing._internal.common_optimizers import optim_db

    read = argparse.ArgumentParser()
    read.add_argument("--only", default="")
    read.add_argument("-v", action="store_true")
    options = read.parse_args()
    counts: dict[str, collections.Counter[str]] = {
        "module_db": collections.Counter(),
        "optim_db": collections.Counter(),
    }
    failures: dict[str, list[str]] = {}

    def tried(database: str, entry: str, run: Any) -> bool:
        try:
            run()
            counts[database]["samples equal"] += 1
            return True
        except Exception as error:
            counts[database]["samples that differ"] += 1
            text = f"{type(error).__name__}: {error}".strip().splitlines()[0][:170]
            failures.setdefault(entry, [])
            if text not in failures[entry]:
                failures[entry].append(text)
                if options.v:
                    traceback.print_exc()
            return False

    for info in module_db:
        entry = info.name
        if options.only and options.only not in entry:
            continue
        fine = []
        for training in (True, False):
            for sample in info.module_inputs_func(
                info, device="cpu", dtype=torch.float32, requires_grad=True, training=training
            ):
                fine.append(
                    tried(
                        "module_db",
                        entry,
                        lambda s=sample, t=training, n=info: module_sample(torch, n, s, t),
                    )
                )
        counts["module_db"]["entries equal" if all(fine) else "entries that differ"] += 1
    for info in optim_db:
        entry = info.optim_cls.__name__
        if options.only and options.only not in entry:
            continue
        fine = [
            tried("optim_db", entry, lambda s=sample, n=info: optimizer_sample(torch, n, s))
            for sample in info.optim_inputs_func(device="cpu", dtype=torch.float32)
        ]
        counts["optim_db"]["entries equal" if all(fine) else "entries that differ"] += 1
    for entry, texts in failures.items():
        for text in texts[:4]:
            print(f"{entry} # {text}")
    for database, found in counts.items():
        print(database, dict(found))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tg.device("cpu"):
        main()
