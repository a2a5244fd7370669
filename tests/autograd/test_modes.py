"""Grad modes: context managers and decorators, of functions, generators, coroutines, threads and tasks."""

import asyncio

import pytest

import tabgrad as tg
from tests.transforms.support import f64


def modes() -> tuple[bool, bool]:
    return tg.is_grad_enabled(), tg.is_inference_mode_enabled()


def test_context_managers_nest_and_restore():
    assert modes() == (True, False)
    with tg.no_grad():
        assert modes() == (False, False)
        with tg.enable_grad():
            assert modes() == (True, False)
            with tg.set_grad_enabled(False):
                assert modes() == (False, False)
            assert modes() == (True, False)
        assert modes() == (False, False)
        with tg.inference_mode():
            assert modes() == (False, True)
            with tg.inference_mode(False):
                assert modes() == (True, False)
    assert modes() == (True, False)


def test_one_object_can_be_entered_twice():
    off = tg.no_grad()
    with off, off:
        assert modes() == (False, False)
    assert modes() == (True, False)


def test_set_grad_enabled_acts_at_once():
    tg.set_grad_enabled(False)
    assert modes() == (False, False)
    tg.set_grad_enabled(True)
    assert modes() == (True, False)


def test_restored_after_an_error():
    with pytest.raises(RuntimeError), tg.no_grad():
        raise RuntimeError
    assert modes() == (True, False)


@pytest.mark.parametrize(
    "decorate",
    [
        lambda f: tg.no_grad()(f), tg.no_grad, lambda f: tg.inference_mode()(f), tg.inference_mode,
        lambda f: tg.set_grad_enabled(False)(f),
    ],
    ids=["no_grad()", "no_grad", "inference_mode()", "inference_mode", "set_grad_enabled(False)"],
)  # fmt: skip
def test_decorated_functions(decorate):
    @decorate
    def f(depth):
        """Kept."""
        return modes()[0] or (f(depth - 1) if depth else False)

    assert f(2) is False
    assert f.__doc__ == "Kept."
    assert modes() == (True, False)


def test_enable_grad_decorates_too():
    with tg.no_grad():
        assert tg.enable_grad()(modes)() == (True, False)


def test_generators_run_in_the_mode_and_their_callers_in_their_own():
    log = []

    @tg.no_grad()
    def numbers():
        try:
            got = yield modes()
            log.append((got, modes()))
            yield modes()
        except KeyError:
            log.append(modes())
            yield "caught"
        finally:
            log.append(modes())
        return "done"

    g = numbers()
    assert next(g) == (False, False)
    assert modes() == (True, False)
    assert g.send("sent") == (False, False)
    assert g.throw(KeyError()) == "caught"
    assert modes() == (True, False)
    with pytest.raises(StopIteration) as stop:
        next(g)
    assert stop.value.value == "done"
    assert log == [("sent", (False, False)), (False, False), (False, False)]
    closed = numbers()
    next(closed)
    closed.close()
    assert log[-1] == (False, False)
    assert modes() == (True, False)


def test_coroutines_and_tasks_have_modes_of_their_own():
    @tg.no_grad()
    async def off(event):
        found = [modes()]
        await event.wait()
        return [*found, modes()]

    async def on(event):
        found = [modes()]
        event.set()
        await asyncio.sleep(0)
        return [*found, modes()]

    async def main():
        event = asyncio.Event()
        with tg.no_grad():
            inherited = asyncio.create_task(on(asyncio.Event()))
        both = await asyncio.gather(off(event), on(event))
        return both, await inherited, modes()

    (first, second), inherited, after = asyncio.run(main())
    assert first == [(False, False)] * 2
    assert second == [(True, False)] * 2
    assert inherited == [(False, False)] * 2
    assert after == (True, False)


def test_async_generators():
    @tg.no_grad()
    async def numbers():
        got = yield modes()
        yield got, modes()

    async def main():
        g = numbers()
        first = await g.__anext__()
        between = modes()
        second = await g.asend(7)
        with pytest.raises(StopAsyncIteration):
            await g.__anext__()
        return first, between, second

    assert asyncio.run(main()) == ((False, False), (True, False), (7, (False, False)))


@pytest.mark.parametrize("decorate", [tg.no_grad(), tg.no_grad, tg.inference_mode()])
def test_a_decorated_class_is_made_under_the_mode(decorate):
    class Thing:
        def __init__(self, x):
            self.y = x * 2

        def method(self, x):
            return x * 2

    x = f64([1.0], grad=True)
    with pytest.warns(FutureWarning, match="Decorating classes is deprecated"):
        make = decorate(Thing)
    thing = make(x)
    assert isinstance(thing, Thing)
    assert not thing.y.requires_grad
    assert thing.method(x).requires_grad


def test_nothing_is_recorded_inside():
    x = f64([1.0], grad=True)
    with tg.no_grad():
        y = x * 2.0
    assert not y.requires_grad
    assert y.grad_fn is None
    with tg.inference_mode():
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


# -- inference tensors -----------------------------------------------------------------------------


def made_in_inference():
    with tg.inference_mode():
        return tg.tensor([1.0, 2.0], device="cpu") * 2


def test_what_inference_mode_makes_is_an_inference_tensor():
    normal = tg.ones(2, device="cpu")
    assert not normal.is_inference()
    assert not tg.is_inference(normal)
    x = made_in_inference()
    assert x.is_inference()
    assert tg.is_inference(x)
    # a view is what its base is, wherever it is made
    assert x[1:].is_inference()
    assert x.detach().is_inference()
    assert x.view(1, 2)[0].detach().is_inference()
    assert not x.clone().is_inference()
    assert not (x + 1).is_inference()
    with tg.inference_mode():
        assert (normal + 1).is_inference()
        assert not normal[1:].is_inference()
        assert not normal.add_(1).is_inference()
        assert not normal.detach().is_inference()
        with tg.inference_mode(False):
            assert not (normal + 1).is_inference()
    assert tg.func.vmap(lambda v: v.is_inference() or v * 1)(normal).tolist() == [2.0, 2.0]


def test_inference_tensors_are_written_to_in_inference_mode_only():
    x = made_in_inference()
    for write in (
        lambda: x.add_(1),
        lambda: x[1:].zero_(),
        lambda: x.detach().mul_(2),
        lambda: x.copy_(tg.zeros(2, device="cpu")),
        lambda: x.__setitem__(0, 1.0),
    ):
        with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside"):
            write()
        with tg.no_grad(), pytest.raises(RuntimeError, match="clone"):
            write()
    assert x.tolist() == [2.0, 4.0]
    with tg.inference_mode():
        x.add_(1)
    assert x.tolist() == [3.0, 5.0]
    assert x.clone().add_(1).tolist() == [4.0, 6.0]


def test_inference_tensors_are_not_saved_for_backward():
    x = made_in_inference()
    w = tg.tensor([3.0, 4.0], device="cpu", requires_grad=True)
    with tg.inference_mode():
        index = tg.tensor([0, 1], device="cpu")
        mask = tg.tensor([True, False], device="cpu")
    for save in (
        lambda: w * x,
        lambda: x * w,
        lambda: x[:1] * w[:1],
        lambda: w.dot(x),
        lambda: tg.where(mask, w, 0.0),
        lambda: w.gather(0, index),
        lambda: Kept.apply(w, x),
    ):
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
            save()
        with tg.no_grad():
            save()
        with tg.inference_mode():
            save()
    (w * x.clone() + x - x).sum().backward()
    assert w.grad.tolist() == [2.0, 4.0]
    with pytest.raises(RuntimeError, match="requires_grad=True on inference tensor"):
        x.requires_grad_()


class Kept(tg.autograd.Function):
    @staticmethod
    def forward(ctx, w, x):
        ctx.save_for_backward(x)
        return w * x

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0], None


def test_numbers_that_inference_mode_met_first_can_be_saved():
    with tg.inference_mode():
        made_in_inference() * 0.123456
    w = tg.ones(2, device="cpu", requires_grad=True)
    (w * 0.123456).sum().backward()
    assert w.grad.is_inference() is False


def test_a_model_that_was_run_in_inference_mode_still_trains():
    model = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.BatchNorm1d(3), tg.nn.Linear(3, 1)).to("cpu")
    opt = tg.optim.Adam(model.parameters())
    x = tg.rand(4, 2, device="cpu")
    for _ in range(2):
        with tg.inference_mode():
            assert model(x).is_inference()
        opt.zero_grad()
        model(x).square().mean().backward()
        opt.step()
        assert not any(p.is_inference() for p in (*model.parameters(), *model.buffers()))
