"""Every kind of derivative inside Pyodide, on the browser's own GPU, against closed forms."""

from __future__ import annotations

import math

from tests.web.inside.marks import main_thread, numpy

POINTS = [0.3, -1.2, 0.8]


def f(x):
    """The sum of sin(x) x³; its derivatives are those of one variable."""
    return (x.sin() * x**3).sum()


def first(t):
    return math.cos(t) * t**3 + 3 * math.sin(t) * t**2


def second(t):
    return (6 * t - t**3) * math.sin(t) + 6 * t**2 * math.cos(t)


async def close(x, want, tolerance=1e-4):
    got = await x.tolist_async()
    pairs = zip(flat(got), flat(want), strict=True)
    assert all(abs(a - b) <= tolerance * (1 + abs(b)) for a, b in pairs), (got, want)


def flat(x):
    return [v for part in x for v in flat(part)] if isinstance(x, list) else [x]


@numpy
@main_thread
async def test_reverse_forward_and_both(device):
    import tabgrad as tg

    x = tg.tensor(POINTS, device=device)
    d1, d2 = [first(t) for t in POINTS], [second(t) for t in POINTS]
    diagonal = [[d if i == j else 0.0 for j in range(3)] for i, d in enumerate(d2)]
    await close(tg.func.grad(f)(x), d1)
    await close(tg.func.hessian(f)(x), diagonal)
    await close(tg.func.jacrev(tg.func.jacrev(f))(x), diagonal)
    await close(tg.func.jvp(tg.func.grad(f), (x,), (tg.ones_like(x),))[1], d2)
    await close(
        tg.vmap(tg.func.grad(lambda row: f(row * 1)))(tg.stack([x, -x])),
        [d1, [first(-t) for t in POINTS]],
    )
    leaf = x.clone().requires_grad_()
    (g,) = tg.autograd.grad(f(leaf), leaf, create_graph=True)
    g.sum().backward()
    await close(leaf.grad, d2)
    with tg.autograd.forward_ad.dual_level():
        y = f(tg.autograd.forward_ad.make_dual(x, tg.ones_like(x)))
        await close(tg.autograd.forward_ad.unpack_dual(y).tangent, sum(d1))


@numpy
async def test_rules_of_users(device):
    import tabgrad as tg

    class Cube(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, ct):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * ct

    x = tg.tensor(POINTS, device=device, requires_grad=True)
    (g,) = tg.autograd.grad(Cube.apply(x * 1).sum(), x, create_graph=True)
    g.sum().backward()
    await close(x.grad, [6 * t for t in POINTS])

    @tg.func.custom_jvp
    def cube(x):
        return x**3

    cube.defjvp(lambda primals, tangents: (cube(*primals), 3 * primals[0] ** 2 * tangents[0]))
    await close(tg.func.grad(lambda x: cube(x).sum())(x.detach()), [3 * t**2 for t in POINTS])


@numpy
async def test_hooks_and_checkpoints(device):
    import tabgrad as tg

    seen = []
    x = tg.tensor(POINTS, device=device, requires_grad=True)
    y = tg.utils.checkpoint.checkpoint(f, x * 1, use_reentrant=False)
    handle = x.register_hook(lambda g: seen.append("hook") or g * 2)
    x.register_post_accumulate_grad_hook(lambda x: seen.append("done"))
    y.backward()
    handle.remove()
    await close(x.grad, [2 * first(t) for t in POINTS])
    assert seen == ["hook", "done"]


@numpy
async def test_loops_and_solutions(device):
    import tabgrad as tg

    x = tg.tensor(POINTS, device=device)

    def powers(x):
        last, _ = tg.func.scan(lambda c, _: (c * x, None), tg.ones_like(x), None, length=50)
        return last.sum()

    await close(tg.func.grad(powers)(x), [50 * t**49 for t in POINTS])
    start = tg.ones(3, device=device)

    def root(x):  # of y² = 2 + x, by Newton's steps; dy/dx = 1 / (2 y)
        return tg.func.fixed_point(lambda y, x: (y + (2 + x) / y) / 2, start, x).sum()

    await close(tg.func.grad(root)(x), [0.5 / math.sqrt(2 + t) for t in POINTS], 1e-3)


@main_thread
async def test_modes_are_a_tasks_own_across_a_wait(device):
    """A blocking read lets other tasks run; none of them may see or change the modes of another."""
    import asyncio

    import tabgrad as tg

    seen = []

    async def reads(name, on):
        for _ in range(5):
            with tg.set_grad_enabled(on):
                assert tg.ones(3, device=device).sum().item() == 3
                seen.append((name, on, tg.is_grad_enabled()))
            await asyncio.sleep(0)

    await asyncio.gather(reads("a", False), reads("b", True), reads("c", False))
    assert tg.is_grad_enabled()
    assert len(seen) == 15
    assert all(want is got for _, want, got in seen), seen


async def test_other_batch_sizes_compile_nothing(device):
    import tabgrad as tg
    from tabgrad import nn, optim

    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    @tg.compile(dynamic=True)
    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    for k, n in enumerate((16, 16, 16, 24, 9, 50)):
        x, y = tg.randn(n, 6, device=device), tg.randint(0, 3, (n,), device=device)
        await tg.accelerator.synchronize_async()
        with tg.profiler.count() as counted:
            await step(x, y).item_async()
        assert k < 3 or counted.pipelines == 0, n


@numpy
async def test_an_exported_graph(device):
    import io

    import tabgrad as tg
    from tabgrad import nn

    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)).to(device)
    program = tg.export(model, (tg.export.TensorSpec(("n", 4), device=device),))
    file = io.BytesIO()
    await tg.export.save_async(program, file)
    again = tg.export.load(io.BytesIO(file.getvalue()), device)
    x = tg.randn(5, 4, device=device)
    await close(again(x) - model(x), [[0.0, 0.0]] * 5)
    (g,) = tg.autograd.grad(again(x).sum(), again.parameters()[:1])
    (want,) = tg.autograd.grad(model(x).sum(), [model[0].weight])
    await close(g - want, [[0.0] * 4] * 8)


async def test_half_precision_where_the_adapter_has_it(device):
    import tabgrad as tg

    x = tg.tensor([[1.5, 2.0]], device=device)
    if "shader-f16" not in tg.device(device).backend.host.hello.features:
        assert "shader-f16" in complaint(x.half)
        return
    with tg.autocast(device):
        y = x @ x.T
    assert y.dtype is tg.float16
    await close(y.float(), [[6.25]])


def complaint(call):
    """What `call` says that it lacks; empty if it does not raise."""
    import tabgrad as tg

    try:
        call()
    except tg.DTypeError as error:
        return str(error)
    return ""
