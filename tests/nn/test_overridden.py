"""Methods of layers, optimizers, schedules and loaders that programs replace in a subclass are called."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tests.grouped import grouped

X = tg.ones(2, 3, 4, device="cpu")
SQUARE = tg.ones(2, 3, 5, 5, device="cpu")


def sequences() -> Any:
    return nn.utils.rnn.pack_sequence([tg.ones(n, 4, device="cpu") for n in (1, 3)], False)


def wrapped(layer: Any) -> Any:
    return nn.Sequential(nn.Sequential(layer))


CALLS: dict[str, Any] = {
    "TransformerEncoderLayer._sa_block": ((4, 2), lambda m: m(X)),
    "TransformerEncoderLayer._ff_block": ((4, 2), lambda m: m(X)),
    "TransformerDecoderLayer._sa_block": ((4, 2), lambda m: m(X, X)),
    "TransformerDecoderLayer._mha_block": ((4, 2), lambda m: m(X, X)),
    "TransformerDecoderLayer._ff_block": ((4, 2), lambda m: m(X, X)),
    "Transformer._reset_parameters": ((4, 2, 1, 1), lambda m: None),
    "MultiheadAttention._reset_parameters": ((4, 2), lambda m: None),
    "Conv1d._conv_forward": ((3, 2, 1), lambda m: m(X)),
    "Conv2d._conv_forward": ((3, 2, 1), lambda m: m(SQUARE)),
    "Conv3d._conv_forward": ((2, 2, 1), lambda m: m(SQUARE.unsqueeze(0))),
    "ConvTranspose1d._output_padding": ((3, 2, 1), lambda m: m(X)),
    "ConvTranspose2d._output_padding": ((3, 2, 1), lambda m: m(SQUARE)),
    "BatchNorm1d._check_input_dim": ((3,), lambda m: m(X)),
    "BatchNorm2d._check_input_dim": ((3,), lambda m: m(SQUARE)),
    "SyncBatchNorm._check_input_dim": ((3,), lambda m: m(SQUARE)),
    "InstanceNorm2d._check_input_dim": ((3,), lambda m: m(SQUARE)),
    "InstanceNorm2d._apply_instance_norm": ((3,), lambda m: m(SQUARE)),
    "InstanceNorm1d._handle_no_batch_input": ((3,), lambda m: m(X[0])),
    "Embedding._fill_padding_idx_with_zero": ((3, 4), lambda m: None),
    "LSTM.check_forward_args": ((4, 2), lambda m: m(X)),
    "LSTM.check_input": ((4, 2), lambda m: m(X)),
    "LSTM.check_hidden_size": ((4, 2), lambda m: m(X)),
    "LSTM.get_expected_hidden_size": ((4, 2), lambda m: m(sequences())),
    "LSTM.get_expected_cell_size": ((4, 2), lambda m: m(sequences())),
    "LSTM.permute_hidden": ((4, 2), lambda m: m(sequences())),
    "GRU.permute_hidden": ((4, 2), lambda m: m(sequences())),
    "GRU.check_forward_args": ((4, 2), lambda m: m(X)),
    "RNN.check_hidden_size": ((4, 2), lambda m: m(X)),
    "Linear.train": ((4, 2), lambda m: wrapped(m).eval()),
    "Linear._apply": ((4, 2), lambda m: wrapped(m).double()),
    "Linear.reset_parameters": ((4, 2), lambda m: None),
    "Linear.apply": ((4, 2), lambda m: wrapped(m).apply(lambda _: None)),
    "Linear._save_to_state_dict": ((4, 2), lambda m: wrapped(m).state_dict()),
    "Linear.state_dict": ((4, 2), lambda m: wrapped(m).state_dict()),
    "Linear._load_from_state_dict": (
        (4, 2), lambda m: wrapped(m).load_state_dict(wrapped(nn.Linear(4, 2)).state_dict()),
    ),
    "Linear._call_impl": ((4, 2), lambda m: m(X)),
    "AdaptiveLogSoftmaxWithLoss._get_full_log_prob": ((4, 6, [2]), lambda m: m.log_prob(X[0])),
    "LazyLinear.initialize_parameters": ((2,), lambda m: m(X)),
    "LazyLinear.reset_parameters": ((2,), lambda m: m(X)),
    "Linear.named_modules": ((4, 2), lambda m: list(wrapped(m).modules())),
    "Linear.named_parameters": ((4, 2), lambda m: list(m.parameters())),
    "Linear._named_members": ((4, 2), lambda m: list(m.parameters())),
    "Linear.named_buffers": ((4, 2), lambda m: list(m.buffers())),
    "Linear.named_children": ((4, 2), lambda m: list(m.children())),
    "Linear.register_parameter": ((4, 2), lambda m: None),
    "Linear.extra_repr": ((4, 2), lambda m: repr(wrapped(m))),
    "Linear._get_name": ((4, 2), lambda m: repr(wrapped(m))),
}  # fmt: skip


@grouped("name", list(CALLS))
def test_what_a_subclass_replaces_is_called(name: str) -> None:
    kind, _, method = name.partition(".")
    args, use = CALLS[name]
    base = getattr(nn, kind)
    seen: list[str] = []

    def replaced(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(method)
        return getattr(super(made, self), method)(*args, **kwargs)

    made: Any = type(kind, (base,), {method: replaced})
    use(made(*args, device="cpu"))
    assert seen


def test_blocks_change_what_a_layer_computes() -> None:
    class Skipping(nn.TransformerEncoderLayer):
        def _sa_block(self, x: Any, *args: Any, **kwargs: Any) -> Any:
            return tg.zeros_like(x)

    layer = Skipping(4, 2, 8, 0.0, batch_first=True, norm_first=True, device="cpu")
    x = tg.rand(2, 3, 4, device="cpu")
    tg.testing.assert_close(layer(x), x + layer._ff_block(layer.norm2(x)))


class Delegating(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.module, name)


class Answering(nn.Module):
    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return 5


def test_a_module_may_answer_for_any_name() -> None:
    outer = Delegating(Delegating(nn.Linear(2, 3, device="cpu")))
    assert outer.in_features == 2
    assert list(outer.state_dict()) == ["module.module.weight", "module.module.bias"]
    m = Answering()
    m.layer = nn.Linear(1, 1, device="cpu")
    assert m.layer.in_features == 1
    assert m.other == 5
    with pytest.raises(KeyError, match="already exists"):
        m.weight = nn.Parameter(tg.ones(1, device="cpu"))


def test_weights_of_a_recurrent_layer_may_be_plain_tensors() -> None:
    layer = nn.LSTM(4, 2, device="cpu")
    raw = nn.Parameter(layer.weight_hh_l0.detach())
    del layer._parameters["weight_hh_l0"]
    layer.weight_hh_l0 = raw * 0.5
    layer(X)[0].sum().backward()
    assert raw.grad is not None
    plain = nn.LSTM(4, 2, device="cpu")
    plain.load_state_dict({**layer.state_dict(), "weight_hh_l0": raw * 0.5})
    tg.testing.assert_close(plain(X)[0], layer(X)[0])


def test_old_backward_hooks_see_the_gradient_of_the_output() -> None:
    layer = nn.Linear(3, 2, device="cpu")
    seen: list[Any] = []
    handle = layer.register_backward_hook(lambda m, gi, go: seen.append((m, go[0].tolist())))
    with pytest.raises(RuntimeError, match="only one of them"):
        layer.register_full_backward_hook(lambda *_: None)
    layer(tg.ones(1, 3, device="cpu")).backward(tg.tensor([[1.0, 2.0]], device="cpu"))
    assert seen == [(layer, [[1.0, 2.0]])]
    handle.remove()
    layer(tg.ones(1, 3, device="cpu")).sum().backward()
    assert len(seen) == 1
    layer.register_full_backward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="only one of them"):
        layer.register_backward_hook(lambda *_: None)


def test_submodules_are_set_by_dotted_name() -> None:
    net = nn.Sequential(nn.Sequential(nn.ReLU()))
    net.set_submodule("0.0", nn.Tanh(), strict=True)
    net.set_submodule("0.1", nn.Tanh())
    assert [type(m).__name__ for m in net[0]] == ["Tanh", "Tanh"]
    for name, module, strict, error in (
        ("", nn.Tanh(), False, ValueError),
        ("0", 5, False, ValueError),
        ("0.7", nn.Tanh(), True, AttributeError),
        ("1.0", nn.Tanh(), False, AttributeError),
        ("0.forward", nn.Tanh(), False, AttributeError),
    ):
        with pytest.raises(error):
            net.set_submodule(name, module, strict)


def test_batch_norms_become_synchronized() -> None:
    net: Any = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3, affine=False))).to(
        "cpu"
    )
    before = net[1][0]
    found = nn.SyncBatchNorm.convert_sync_batchnorm(net.eval())
    norm = found[1][0]
    assert found is net
    assert type(norm) is nn.SyncBatchNorm
    assert norm.running_mean is before.running_mean
    assert not norm.training
    one = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(3, device="cpu"))
    assert type(one) is nn.SyncBatchNorm


def test_a_state_dict_prints_as_the_dict_it_is() -> None:
    net = nn.Sequential(nn.BatchNorm1d(1, affine=False, device="cpu"))
    found = net.state_dict()
    assert type(found) is OrderedDict
    assert repr(found).startswith("OrderedDict({'0.running_mean': tensor(") or repr(
        found
    ).startswith("OrderedDict([('0.running_mean', tensor(")
    assert found._metadata == OrderedDict([("", {"version": 1}), ("0", {"version": 2})])
    assert type(found._metadata) is OrderedDict
    net._register_state_dict_hook(lambda m, state, prefix, metadata: {"only": 1})
    assert net.state_dict() == {"only": 1}


def test_optimizers_call_what_subclasses_say_of_old_states() -> None:
    class Own(tg.optim.SGD):
        def __setstate__(self, state: Any) -> None:
            super().__setstate__(state)
            for group in self.param_groups:
                group.setdefault("newer", True)

    made = Own([tg.ones(1, device="cpu", requires_grad=True)], 0.1)
    made.load_state_dict(made.state_dict())
    assert made.param_groups[0]["newer"] is True


def test_schedules_and_loaders_call_what_subclasses_replace() -> None:
    seen: list[str] = []

    class Plateau(tg.optim.lr_scheduler.ReduceLROnPlateau):
        def _is_better(self, a: float, best: float) -> bool:
            seen.append("better")
            return super()._is_better(a, best)

        def _reduce_lr(self, epoch: int) -> None:
            seen.append(f"reduce {epoch}")
            super()._reduce_lr(epoch)

    optimizer = tg.optim.SGD([tg.ones(1, device="cpu", requires_grad=True)], 1.0)
    schedule = Plateau(optimizer, patience=0)
    schedule.step(1.0)
    schedule.step(2.0)
    assert seen == ["better", "better", "reduce 2"]
    assert optimizer.param_groups[0]["lr"] == 0.1

    class Loader(tg.utils.data.DataLoader[Any]):
        def _get_iterator(self) -> Any:
            seen.append("iterator")
            return super()._get_iterator()

    assert len(list(Loader([1, 2, 3], batch_size=2))) == 2
    assert seen[-1] == "iterator"


def test_scalers_call_what_subclasses_replace() -> None:
    seen: list[str] = []

    class Scaler(tg.amp.GradScaler):
        def _unscale_grads_(self, *args: Any) -> Any:
            seen.append("unscale")
            return super()._unscale_grads_(*args)

        def _maybe_opt_step(self, *args: Any, **kwargs: Any) -> Any:
            seen.append("step")
            return super()._maybe_opt_step(*args, **kwargs)

    w = tg.ones(2, device="cpu", requires_grad=True)
    optimizer, scaler = tg.optim.SGD([w], 1.0), Scaler("cpu")
    scaler.scale((w * w).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert seen == ["unscale", "step"]
    assert w.tolist() == [-1.0, -1.0]


def test_arguments_go_on_to_other_bases() -> None:
    class Mixin:
        def __init__(self, size: int) -> None:
            self.size = size

    class Both(nn.Module, Mixin):
        call_super_init = True

    assert Both(5).size == 5
    with pytest.raises(TypeError, match="takes no arguments"):
        nn.Module(5)


@grouped(
    "name",
    (
        "ReLU6.min_val", "ReLU6.max_val", "MultiheadAttention._qkv_same_embed_dim", "Upsample.name",
        "TransformerEncoderLayer.activation_relu_or_gelu", "SyncBatchNorm.process_group",
        "Conv2d._reversed_padding_repeated_twice", "Conv2d.transposed",
    ),
)  # fmt: skip
def test_what_pytorchs_forward_reads_of_a_module_is_there(name: str) -> None:
    """A module that is saved whole runs in PyTorch."""
    kind, _, attribute = name.partition(".")
    args, wanted = {
        "min_val": ((), 0.0), "max_val": ((), 6.0), "_qkv_same_embed_dim": ((4, 2), True),
        "name": ((), "Upsample"), "activation_relu_or_gelu": ((4, 2, 8), 1),
        "process_group": ((3,), None), "transposed": ((1, 1, 1), False),
        "_reversed_padding_repeated_twice": ((1, 1, 3, 1, (1, 2)), [2, 2, 1, 1]),
    }[attribute]  # fmt: skip
    assert getattr(getattr(nn, kind)(*args), attribute) == wanted


LISTS = {"SGD": 1, "Adam": 4, "AdamW": 4, "NAdam": 4, "RAdam": 3, "Adamax": 3, "RMSprop": 4, "Adagrad": 2,
         "Adadelta": 3, "ASGD": 4, "Rprop": 3}  # fmt: skip


@grouped("name", LISTS)
def test_a_step_takes_what_init_group_lists(name: str) -> None:
    base: Any = getattr(tg.optim, name)

    class Picky(base):  # type: ignore[misc]
        def _init_group(self, group: Any, params: Any, grads: Any, *states: Any) -> Any:
            told = super()._init_group(group, params, grads, *states)
            assert len(states) == LISTS[name]
            assert all(len(state) in (0, len(params)) for state in states)
            kept = [(p, g) for p, g in zip(params, grads, strict=True) if p.ndim == 1]
            params[:], grads[:] = map(list, zip(*kept, strict=True))
            return told

    vector, matrix, alone = tg.ones(2), tg.ones(2, 2), tg.ones(2)
    for p in (vector, matrix, alone):
        p.requires_grad_()
    picky, plain = Picky([vector, matrix], lr=0.1), base([alone], lr=0.1)
    for _ in range(3):
        for p in (vector, matrix, alone):
            p.grad = p.detach() * 2
        picky.step()
        plain.step()
    assert vector.tolist() == alone.tolist() != [1.0, 1.0]
    assert matrix.tolist() == [[1.0] * 2] * 2


def test_a_step_of_ones_own_collects_with_init_group() -> None:
    class Mine(tg.optim.Adam):
        @tg.no_grad()
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                lists: list[list[Any]] = [[] for _ in range(6)]
                assert self._init_group(group, *lists) is False
                params, grads, means, squares, _, steps = lists
                for p, g, m, v, t in zip(params, grads, means, squares, steps, strict=True):
                    t += 1
                    m.lerp_(g, 1 - 0.9)
                    v.mul_(0.999).addcmul_(g, g, value=1 - 0.999)
                    size = group["lr"] / (1 - 0.9 ** t.item())
                    p.addcdiv_(m, v.sqrt() / (1 - 0.999 ** t.item()) ** 0.5 + 1e-8, value=-size)

    a, b = (tg.tensor([1.0, -2.0], requires_grad=True) for _ in range(2))
    mine, theirs = Mine([a], lr=0.1), tg.optim.Adam([b], lr=0.1)
    for _ in range(3):
        a.grad, b.grad = a.detach() ** 2, b.detach() ** 2
        mine.step()
        theirs.step()
    assert tg.allclose(a, b)
    assert mine.state[a]["step"].item() == 3
    assert tg.allclose(mine.state[a]["exp_avg"], theirs.state[b]["exp_avg"])


def test_other_gradients_in_the_list_are_refused() -> None:
    class Clipped(tg.optim.SGD):
        def _init_group(self, group: Any, params: Any, grads: Any, *states: Any) -> Any:
            super()._init_group(group, params, grads, *states)
            grads[:] = [g.clamp(-1, 1) for g in grads]

    p = tg.ones(2, requires_grad=True)
    p.grad = p.detach() * 5
    with pytest.raises(NotImplementedError, match=r"assign p\.grad instead"):
        Clipped([p], lr=0.1).step()
    assert p.tolist() == [1, 1]
    with pytest.raises(TypeError, match="and of momentum_buffer, got 2 lists"):
        tg.optim.SGD([p])._init_group({"params": [p]}, [], [])


def rates(kind: Any, *args: Any, **named: Any) -> list[float]:
    """Return the first rates that a schedule gives, rounded."""
    optimizer = tg.optim.SGD([tg.ones(1, requires_grad=True)], lr=0.1, momentum=0.9)
    schedule, found = kind(optimizer, *args, **named), []
    for _ in range(4):
        optimizer.step()
        schedule.step()
        found.append(round(optimizer.param_groups[0]["lr"], 6))
    return found


def test_schedules_call_their_formulas() -> None:
    s = tg.optim.lr_scheduler

    class Halved(s.CyclicLR):
        def _triangular2_scale_fn(self, x: float) -> float:
            return 0.25

    class Squared(s.OneCycleLR):
        def _anneal_func(self, start: float, end: float, pct: float) -> float:
            return start + (end - start) * pct * pct

    class AtOnce(s.OneCycleLR):
        @staticmethod
        def _annealing_cos(start: float, end: float, pct: float) -> float:
            return end

    # what PyTorch 2.13 gives
    assert rates(Halved, 0.1, 0.5, step_size_up=2, mode="triangular2") == [0.15, 0.2, 0.15, 0.1]
    assert rates(Squared, 0.5, total_steps=8) == [0.264898, 0.49426, 0.459184, 0.39222]
    assert rates(AtOnce, 0.5, total_steps=8) == [0.5, 2e-06, 2e-06, 2e-06]


def test_parameters_and_buffers_of_a_users_class_stay_of_it() -> None:
    class Mine(tg.Tensor):
        pass

    p: Any = nn.Parameter(tg.ones(2, 2).as_subclass(Mine))
    assert type(p) is Mine
    assert isinstance(p, nn.Parameter)
    assert not isinstance(tg.ones(2).as_subclass(Mine), nn.Parameter)
    assert repr(p) == "Parameter(Mine([[1., 1.],\n      [1., 1.]], requires_grad=True))"
    layer, buffer = nn.Linear(2, 2), nn.Buffer(tg.ones(1).as_subclass(Mine))
    layer.weight, layer.seen = p, buffer
    assert [type(q) for q in layer.parameters()] == [Mine, nn.Parameter]
    assert list(layer.state_dict()) == ["weight", "bias", "seen"]
    assert (type(buffer), isinstance(buffer, nn.Buffer)) == (Mine, True)
    layer(tg.ones(1, 2)).sum().backward()
    tg.optim.SGD(layer.parameters(), lr=0.5).step()
    assert layer.weight.tolist() == [[0.5] * 2] * 2
    twin = copy.deepcopy(layer.double())
    assert isinstance(twin.weight, nn.Parameter)
    assert (type(twin.weight), twin.weight.dtype) == (Mine, tg.float64)
    assert twin.weight.requires_grad
