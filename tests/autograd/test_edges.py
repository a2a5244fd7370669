"""Where a backward begins and ends, and which hooks it runs on its way: as PyTorch."""

import pytest

import tabgrad as tg
from tabgrad.autograd.graph import GradientEdge, get_gradient_edge
from tabgrad.core.errors import GradientError

pytestmark = pytest.mark.every_host


@pytest.fixture(autouse=True)
def on(device):
    with tg.device(device):
        yield


def ones(*shape):
    return tg.ones(*shape, requires_grad=True)


def leaf_node(x):
    return x.view_as(x).grad_fn.next_functions[0][0]


class Pair(tg.autograd.Function):
    """2 x and 3 x."""

    @staticmethod
    def forward(ctx, x):
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, g, h):
        return 2 * g + 3 * h


def test_edges_stand_for_tensors():
    x = ones(2)
    y = x * 2
    z = (y * 3).sum()
    edge, of_leaf, by_hand = get_gradient_edge(y), get_gradient_edge(x), GradientEdge(y.grad_fn, 0)
    for given in (edge, by_hand):
        (g,) = tg.autograd.grad(z, given, retain_graph=True)
        assert g.tolist() == [3, 3]
    found = tg.autograd.grad(z, (edge, of_leaf), retain_graph=True)
    assert [g.tolist() for g in found] == [[3, 3], [6, 6]]
    (g,) = tg.autograd.grad(get_gradient_edge(z), x, tg.tensor(2.0), retain_graph=True)
    assert g.tolist() == [12, 12]
    z.backward(inputs=(edge,), retain_graph=True)
    assert x.grad is None
    z.backward(inputs=of_leaf, retain_graph=True)
    assert x.grad.tolist() == [6, 6]
    tg.autograd.backward((get_gradient_edge(z), z), (tg.tensor(2.0), None))
    assert x.grad.tolist() == [24, 24]
    unused = get_gradient_edge(ones(1))
    assert tg.autograd.grad(ones(2).sum(), unused, allow_unused=True) == (None,)
    with pytest.raises(GradientError, match="materialize_grads cannot be used"):
        tg.autograd.grad(ones(2).sum(), unused, materialize_grads=True)
    with pytest.raises(GradientError, match="It is not possible to get the gradient edge"):
        get_gradient_edge(tg.ones(2))


def test_what_can_be_gone_through_once():
    a, b = ones(2), ones(2)
    named = {"a": a, "b": b}
    for given in (lambda: iter((a, b)), named.values, lambda: (t for t in (a, b))):
        found = tg.autograd.grad((a * b * 3).sum(), given())
        assert [g.tolist() for g in found] == [[3, 3], [3, 3]]
    found = tg.autograd.grad(
        (t for t in (a * 2, b)), (a, b), grad_outputs=(tg.ones(2) for _ in range(2))
    )
    assert [g.tolist() for g in found] == [[2, 2], [1, 1]]
    layer = tg.nn.Linear(2, 2)
    layer(tg.ones(2)).sum().backward(inputs=layer.parameters())
    assert layer.bias.grad.tolist() == [1, 1]
    tg.autograd.backward(t.sum() for t in (a, b, a))
    assert (a.grad.tolist(), b.grad.tolist()) == ([2, 2], [1, 1])
    with pytest.raises(GradientError, match=r"`inputs` argument to `backward\(\)` cannot be empty"):
        a.sum().backward(inputs=iter(()))
    with pytest.raises(GradientError, match=r"`inputs` argument to `grad\(\)` cannot be empty"):
        tg.autograd.grad(a.sum(), ())


def test_a_backward_inside_another_at_any_depth():
    class Again(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x, n):
            ctx.n = n
            return x * 1

        @staticmethod
        def backward(ctx, g):
            if ctx.n:
                with tg.enable_grad():
                    y = ones(1)
                    Again.apply(y, ctx.n - 1).sum().backward()
                assert y.grad.item() == 2
            elif ctx.n == 0 and failing:
                raise KeyError("the innermost")
            return g * 2, None

    failing = False
    x = ones(1)
    Again.apply(x, 500).sum().backward()
    assert x.grad.item() == 2
    failing = True
    with pytest.raises(KeyError, match="the innermost"):
        Again.apply(x, 40).sum().backward()


def test_the_mode_of_an_inner_backward_is_its_callers():
    seen = []

    class Deep(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x, n):
            ctx.n = n
            return x * 1

        @staticmethod
        def backward(ctx, g):
            seen.append(tg.is_grad_enabled())
            if ctx.n:
                with tg.enable_grad():
                    Deep.apply(ones(1), ctx.n - 1).sum().backward(create_graph=ctx.n % 2 == 0)
            return g, None

    Deep.apply(ones(1), 20).sum().backward()
    assert seen == [False] + [n % 2 == 0 for n in range(20, 0, -1)]


@pytest.mark.parametrize(
    ("cut", "nodes"),
    [
        (lambda x: x.unbind(), 2), (lambda x: x.split(1), 2), (lambda x: x.chunk(2), 2),
        (lambda x: x.split([1, 1]), 2), (lambda x: tuple(x), 2), (Pair.apply, 2),
        (lambda x: x.unbind(1), 3),
    ],
)  # fmt: skip
def test_hooks_of_a_node_with_several_results_see_a_gradient_for_each(cut, nodes):
    x = ones(2, 3)
    pieces = cut(x)
    node = pieces[0].grad_fn
    assert all(p.grad_fn is node for p in pieces)
    assert [p.output_nr for p in pieces] == list(range(nodes))
    before, after = [], []
    node.register_prehook(lambda gs: before.append([g is None for g in gs]))
    node.register_hook(lambda gi, go: after.append((len(gi), len(go))))
    node.register_prehook(lambda gs: (gs[0] * 2, *gs[1:]))
    pieces[0].sum().backward(retain_graph=True)
    assert before == [[False] + [True] * (nodes - 1)]
    assert after == [(1, nodes)]
    first = x.grad
    x.grad = None
    (pieces[0].sum() * 5 + pieces[1].sum()).backward()
    plain = ones(2, 3)
    pieces = cut(plain)
    (pieces[0].sum() * 10 + pieces[1].sum()).backward()
    assert x.grad.tolist() == plain.grad.tolist()
    assert first.sum().item() == 2 * pieces[0].numel() * (2 if cut == Pair.apply else 1)


def test_pieces_have_second_derivatives():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    a, b = x.unbind()
    (g,) = tg.autograd.grad((a * a * b).sum(), x, create_graph=True)
    (gg,) = tg.autograd.grad(g.sum(), x)
    # 2 a b and a², summed: their derivatives are 2 b + 2 a and 2 a
    assert gg.tolist() == [[8, 12], [2, 4]]
    found = tg.func.vmap(tg.func.grad(lambda r: r.split(1)[0].sum() * 3))(x.detach())
    assert found.tolist() == [[3, 0], [3, 0]]


def test_inputs_run_the_hooks_of_what_made_them():
    a = ones(2)
    b = a * 2
    log = []
    b.grad_fn.register_prehook(lambda g: log.append(("pre", g[0].tolist())))
    b.grad_fn.register_hook(lambda gi, go: log.append(("post", gi, go[0].tolist())))
    (b * 3).sum().backward(inputs=(b,))
    assert log == [("pre", [3, 3]), ("post", (None, None), [3, 3])]
    assert b.grad.tolist() == [3, 3]
    assert a.grad is None
    p, q = Pair.apply(a)
    p.grad_fn.register_prehook(lambda g: log.append([t is None for t in g]))
    (p * 3 + q).sum().backward(inputs=p)
    assert log[2] == [False, False]


def test_retained_gradients_and_inputs_are_added_once():
    a = ones(2)
    b = a * 2
    b.retain_grad()
    (b * 3).sum().backward(inputs=(b, b), retain_graph=True)
    assert b.grad.tolist() == [3, 3]
    (b * 3).sum().backward(inputs=(a, a))
    assert a.grad.tolist() == [6, 6]
    assert b.grad.tolist() == [6, 6]


@pytest.mark.parametrize("inputs", [False, True])
def test_hooks_of_a_leaf_run_in_their_order(inputs):
    a = ones(2)
    log = []
    leaf_node(a).register_hook(lambda gi, go: log.append(("post", gi, a.grad.tolist())))
    leaf_node(a).register_prehook(lambda g: log.append("pre"))
    a.register_post_accumulate_grad_hook(lambda t: log.append(("added", t.grad.tolist())))
    a.register_hook(lambda g: log.append("tensor"))
    (a * 2).sum().backward(**({"inputs": a} if inputs else {}))
    assert log == ["tensor", "pre", ("added", [2, 2]), ("post", (), [2, 2])]


def test_hooks_that_return_what_they_may_not():
    a = ones(2)
    handle = a.register_post_accumulate_grad_hook(lambda t: 5)
    with pytest.raises(TypeError, match="expected Variable, but hook returned 'int'"):
        (a * 2).sum().backward()
    handle.remove()
    with leaf_node(a).register_hook(lambda gi, go: (tg.ones(2),)):
        with pytest.raises(GradientError, match=r"got 1, but expected 0"):
            (a * 2).sum().backward()
    b = a.exp()
    b.grad_fn.register_hook(lambda gi, go: gi[0])
    with pytest.raises(TypeError, match="expected tuple, but hook returned 'Tensor'"):
        b.sum().backward()
