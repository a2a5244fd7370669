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


def test_classes_are_not_decorated():
    with pytest.raises(TypeError, match="class Thing"):
        tg.no_grad()(type("Thing", (), {}))


def test_nothing_is_recorded_inside():
    x = f64([1.0], grad=True)
    with tg.no_grad():
        y = x * 2.0
    assert not y.requires_grad
    assert y.grad_fn is None
    with tg.inference_mode():
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad
