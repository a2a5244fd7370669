"""The Module class: attributes, traversal, state dicts, hooks, moves, printing."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

import tabgrad as tg
from tabgrad import nn
from tests.grouped import grouped


@pytest.fixture(autouse=True)
def on_cpu() -> Any:
    tg.set_default_device("cpu")
    yield
    tg.set_default_device(None)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(tg.ones(4))
        self.register_buffer("count", tg.zeros(()))
        self.register_buffer("cache", tg.zeros(2), persistent=False)
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(4, 2, bias=False))

    def forward(self, x: Any) -> Any:
        return self.last(self.first(x) * self.scale)


def test_names() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale", "first.weight", "first.bias", "last.1.weight",
    ]  # fmt: skip
    assert [n for n, _ in net.named_buffers()] == ["count", "cache"]
    assert [n for n, _ in net.named_children()] == ["first", "last"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "last", "last.0", "last.1"]
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert list(net.state_dict()) == [
        "scale", "count", "first.weight", "first.bias", "last.1.weight",
    ]  # fmt: skip
    assert net.get_parameter("last.1.weight") is net.last[1].weight
    assert net.get_buffer("count") is net.count
    assert net.get_submodule("last.0") is net.last[0]
    with pytest.raises(AttributeError, match="no submodule `missing`"):
        net.get_submodule("last.missing")
    assert "scale" in dir(net)


def test_shared_parameters_and_modules_come_once() -> None:
    layer = nn.Linear(2, 2)
    net = nn.ModuleList([layer, layer])
    net.append(nn.Linear(2, 2))
    net[2].weight = layer.weight
    assert len(list(net.parameters())) == 3
    assert len(list(net.named_parameters(remove_duplicate=False))) == 6
    assert len(list(net.modules())) == 3


def test_assignment() -> None:
    net = Net()
    order = list(net.state_dict())
    net.first = nn.Linear(3, 5)
    assert net.first.out_features == 5
    net.scale = nn.Parameter(tg.zeros(5))
    assert list(net.state_dict()) == order
    net.scale = None
    assert net.scale is None
    assert [n for n, _ in net.named_parameters(recurse=False)] == []
    net.scale = nn.Parameter(tg.zeros(5))
    net.count = tg.ones(())
    assert net.state_dict()["count"].item() == 1.0
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'scale'"):
        net.scale = tg.zeros(3)
    with pytest.raises(TypeError, match="cannot assign 'int' as module 'first'"):
        net.first = 3
    with pytest.raises(TypeError, match="cannot assign 'str' as buffer 'count'"):
        net.count = "three"
    net.plain = tg.zeros(2)
    assert "plain" not in net.state_dict()
    net.plain = nn.Parameter(tg.zeros(2))
    assert "plain" in net.state_dict()
    del net.plain
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'plain'"):
        net.plain  # noqa: B018
    net.tracked = nn.Buffer(tg.zeros(2))
    assert "tracked" in dict(net.named_buffers())


KINDS: dict[str, Any] = {
    "parameter": lambda m, name: m.register_parameter(name, nn.Parameter(tg.ones(1))),
    "buffer": lambda m, name: m.register_buffer(name, tg.ones(1)),
    "module": lambda m, name: m.add_module(name, nn.ReLU()),
    "absent parameter": lambda m, name: m.register_parameter(name, None),
    "absent buffer": lambda m, name: m.register_buffer(name, None),
    "absent module": lambda m, name: m.register_module(name, None),
    "attribute": lambda m, name: setattr(m, name, 3),
}  # fmt: skip


@grouped("first, second", itertools.product(KINDS, [k for k in KINDS if k != "attribute"]))
def test_a_name_has_one_kind(first: str, second: str) -> None:
    m = nn.Module()
    KINDS[first](m, "0")
    if first.split()[-1] == second.split()[-1]:
        KINDS[second](m, "0")
    else:
        with pytest.raises(KeyError, match=r"^\"attribute '0' already exists\"$"):
            KINDS[second](m, "0")
    kept = [name for table in (m._parameters, m._buffers, m._modules, vars(m)) for name in table]
    assert kept.count("0") == 1


def test_containers_refuse_names_that_are_taken() -> None:
    row = nn.Sequential(nn.ReLU())
    for made, name in (
        (nn.ModuleList([nn.ReLU()]), "0"), (row, "0"),
        (nn.ParameterList([tg.ones(1)]), "0"), (nn.ParameterDict({"a": tg.ones(1)}), "a"),
    ):  # fmt: skip
        with pytest.raises(KeyError, match=f"attribute '{name}' already exists"):
            made.register_buffer(name, tg.ones(1))
    for name in ("keys", "training"):
        with pytest.raises(KeyError, match=f"attribute '{name}' already exists"):
            nn.ModuleDict({name: nn.ReLU()})


def test_registration_errors() -> None:
    net = Net()
    with pytest.raises(KeyError, match=r"name can.*t contain"):
        net.register_parameter("a.b", None)
    with pytest.raises(KeyError, match="empty string"):
        net.register_buffer("", None)
    with pytest.raises(KeyError, match="already exists"):
        net.register_parameter("forward", None)
    with pytest.raises(ValueError, match="non-leaf"):
        net.register_parameter("w", Impostor(tg.zeros(2)))
    with pytest.raises(TypeError, match="is not a Module subclass"):
        net.add_module("m", 3)

    class Hasty(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Hasty()
    with pytest.raises(NotImplementedError, match='missing the required "forward"'):
        nn.Module()(1)


class Impostor(nn.Parameter):
    @property
    def is_leaf(self) -> bool:
        return False


def test_parameters() -> None:
    w = tg.tensor([1.0, 2.0])
    p = nn.Parameter(w)
    assert isinstance(p, tg.Tensor)
    assert p.requires_grad
    assert p.is_leaf
    assert repr(p) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    assert not isinstance(p * 1, nn.Parameter)
    frozen = nn.Parameter(w, requires_grad=False)
    assert not frozen.requires_grad
    twin = copy.deepcopy(p)
    assert isinstance(twin, nn.Parameter)
    with tg.no_grad():
        twin.add_(1)
    assert p.tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="expected a tensor, got list"):
        nn.Parameter([1.0])
    p.note = "mine"
    assert p.note == "mine"


def test_state_dict_round_trip() -> None:
    a, b = Net(), Net()
    state = a.state_dict()
    assert not any(t.requires_grad for t in state.values())
    assert str(b.load_state_dict(state)) == "<All keys matched successfully>"
    x = tg.ones(2, 3)
    assert a(x).tolist() == b(x).tolist()
    kept = list(b.parameters())
    b.load_state_dict(state, assign=True)
    assert b.scale is not kept[0]
    assert a(x).tolist() == b(x).tolist()


def test_state_dict_messages() -> None:
    net = Net()
    state = dict(net.state_dict())
    state["first.bias"] = tg.zeros(7)
    state["other"] = state.pop("scale")
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Net:\n"
        '\tMissing key(s) in state_dict: "scale". \n'
        '\tUnexpected key(s) in state_dict: "other". \n'
        "\tsize mismatch for first.bias: copying a param with shape tabgrad.Size([7]) from checkpoint, the "
        "shape in current model is tabgrad.Size([4])."
    )
    del state["first.bias"]
    keys = net.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["scale", "first.bias"]
    assert keys.unexpected_keys == ["other"]
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1])


def test_extra_state() -> None:
    class WithExtra(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.extra = 0

        def get_extra_state(self) -> Any:
            return self.extra

        def set_extra_state(self, state: Any) -> None:
            self.extra = state

    a, b = WithExtra(), WithExtra()
    a.extra = 5
    b.load_state_dict(a.state_dict())
    assert b.extra == 5
    with pytest.raises(RuntimeError, match="Missing key"):
        b.load_state_dict({})


def test_state_dict_hooks() -> None:
    net, seen = Net(), []
    net.register_state_dict_pre_hook(lambda m, prefix, keep: seen.append("pre"))
    net.register_state_dict_post_hook(lambda m, d, prefix, meta: d.update(more=tg.zeros(1)))
    net.register_load_state_dict_pre_hook(lambda m, d, *rest: d.pop("more"))
    net.register_load_state_dict_post_hook(lambda m, keys: seen.append(keys.missing_keys))
    state = net.state_dict()
    assert "more" in state
    net.load_state_dict(state)
    assert seen == ["pre", []]


def test_forward_hooks() -> None:
    net, seen = Net(), []
    x = tg.ones(2, 3)
    plain = net(x).tolist()
    double = net.register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    assert net(x).tolist() != plain
    double.remove()
    zero = net.register_forward_hook(lambda m, args, out: out * 0)
    assert net(x).abs().sum().item() == 0.0
    zero.remove()
    net.register_forward_pre_hook(lambda m, args, kwargs: ((kwargs["x"],), {}), with_kwargs=True)
    net.register_forward_hook(lambda m, a, k, out: seen.append(k), with_kwargs=True)
    assert net(x=x).tolist() == plain
    assert seen == [{}]
    net.register_forward_hook(lambda m, a, out: seen.append("late"))
    net.register_forward_hook(lambda m, a, out: seen.append("early"), prepend=True)
    net(x=x)
    assert seen[1:] == ["early", {}, "late"]


def test_a_hook_that_is_always_called() -> None:
    seen: list[Any] = []

    class Failing(nn.Module):
        def forward(self) -> None:
            raise ZeroDivisionError

    net = Failing()
    net.register_forward_hook(lambda m, a, out: seen.append(out), always_call=True)
    with pytest.raises(ZeroDivisionError):
        net()
    assert seen == [None]


def test_backward_hooks() -> None:
    layer, seen = nn.Linear(3, 2, bias=False), []
    layer.register_full_backward_pre_hook(lambda m, out: (out[0] * 2,))
    hook = layer.register_full_backward_hook(lambda m, i, o: seen.append((i, o)))
    x = tg.ones(1, 3, requires_grad=True)
    layer(x).sum().backward()
    ((grad_in,), (grad_out,)) = seen[0]
    assert grad_out.tolist() == [[2.0, 2.0]]
    assert grad_in.tolist() == [pytest.approx((layer.weight * 2).sum(0).tolist())]
    hook.remove()
    layer.register_full_backward_hook(lambda m, i, o: (i[0] * 0,))
    x.grad = None
    layer(x).sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0, 0.0]]
    plain = nn.Linear(3, 2)
    plain.register_full_backward_hook(lambda m, i, o: seen.append(i))
    plain(tg.ones(1, 3)).sum().backward()
    assert seen[-1] == (None,)


def test_backward_hook_with_two_inputs() -> None:
    layer, seen = nn.Bilinear(2, 2, 1), []
    layer.register_full_backward_hook(lambda m, i, o: seen.append([g is not None for g in i]))
    a, b = (tg.ones(1, 2, requires_grad=True) for _ in range(2))
    layer(a, b).sum().backward()
    assert seen == [[True, True]]


def test_moves_keep_the_objects() -> None:
    net = Net()
    params = list(net.parameters())
    net(tg.ones(1, 3)).sum().backward()
    net.double()
    assert all(p is q for p, q in zip(net.parameters(), params, strict=True))
    assert {p.dtype for p in net.parameters()} == {tg.float64}
    assert {p.grad.dtype for p in net.parameters()} == {tg.float64}
    assert net.count.dtype is tg.float64
    net.to(tg.float32).to("cpu").to(tg.ones(1)).cpu()
    assert {p.dtype for p in net.parameters()} == {tg.float32}
    assert all(p.is_leaf and p.requires_grad for p in net.parameters())
    net.register_buffer("index", tg.tensor([1, 2]))
    assert net.half().index.dtype is tg.int64
    with pytest.raises(TypeError, match="only accepts floating point"):
        net.to(tg.int32)


def test_modes_and_gradients() -> None:
    net = Net()
    assert net.training
    assert not net.eval().last[0].training
    assert net.train().last.training
    with pytest.raises(ValueError, match="boolean"):
        net.train("yes")
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    net(tg.ones(1, 3)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.tolist() == [0.0] * 4
    net.zero_grad()
    assert net.scale.grad is None
    seen: list[str] = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "ReLU", "Linear", "Sequential", "Net"]


def test_a_deep_copy_is_apart() -> None:
    net = Net()
    twin = copy.deepcopy(net)
    with tg.no_grad():
        twin.scale.zero_()
    assert net.scale.tolist() == [1.0] * 4
    assert list(twin.state_dict()) == list(net.state_dict())


def test_printing() -> None:
    assert repr(Net()) == (
        "Net(\n"
        "  (first): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (last): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Linear(in_features=4, out_features=2, bias=False)\n"
        "  )\n"
        ")"
    )
