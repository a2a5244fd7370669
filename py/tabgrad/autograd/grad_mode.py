"""Switches for the recording of gradients, which hold for a thread or an asyncio task."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Self, TypeVar, overload

from tabgrad.core.errors import warn
from tabgrad.core.trace import MODE, Mode

F = TypeVar("F", bound=Callable[..., Any])


class ModeChange:
    """A context manager that changes the mode, and a decorator of functions, generators and coroutines."""

    def __init__(self) -> None:
        self._entered: list[tuple[Mode, Mode]] = []

    def changed(self, mode: Mode) -> Mode:
        """The mode inside."""
        raise NotImplementedError

    def restored(self, mode: Mode, before: Mode) -> Mode:
        """The mode after the block, given the one at its end and the one before it."""
        return mode.replace(grad=before.grad, inference=before.inference)

    def again(self) -> ModeChange:
        """Make another context manager like this one, for one call of a decorated function."""
        return type(self)()

    def __enter__(self) -> Any:
        before = MODE.get()
        inside = self.changed(before)
        self._entered.append((before, inside))
        MODE.set(inside)
        return None

    def __exit__(self, *exc: object) -> None:
        before, inside = self._entered.pop()
        now = MODE.get()
        MODE.set(before if now is inside else self.restored(now, before))

    def __call__(self, fn: F) -> F:
        """Decorate `fn` to run under the changed mode."""
        if inspect.isclass(fn):
            warn(
                "Decorating classes is deprecated and will be disabled in future versions. You should only "
                f"decorate functions or methods. Making a {fn.__name__} runs under the mode, and nothing else "
                "of it does: decorate its __init__",
                FutureWarning,
            )
        if inspect.iscoroutinefunction(fn):
            return self._coroutine(fn)
        if inspect.isasyncgenfunction(fn):
            return self._async_generator(fn)
        if inspect.isgeneratorfunction(fn):
            return self._generator(fn)

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.again():
                return fn(*args, **kwargs)

        return call  # type: ignore[return-value]

    def _coroutine(self, fn: Any) -> Any:
        @functools.wraps(fn)
        async def call(*args: Any, **kwargs: Any) -> Any:
            with self.again():
                return await fn(*args, **kwargs)

        return call

    def _generator(self, fn: Any) -> Any:
        # the mode holds while the generator runs; the caller's own mode holds between its steps
        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            generator = fn(*args, **kwargs)
            step: Callable[[], Any] = lambda: next(generator)  # noqa: E731
            try:
                while True:
                    with self.again():
                        item = step()
                    try:
                        sent = yield item
                    except GeneratorExit:
                        with self.again():
                            generator.close()
                        raise
                    except BaseException as error:
                        step = functools.partial(generator.throw, error)
                    else:
                        step = functools.partial(generator.send, sent)
            except StopIteration as stop:
                return stop.value

        return call

    def _async_generator(self, fn: Any) -> Any:
        @functools.wraps(fn)
        async def call(*args: Any, **kwargs: Any) -> Any:
            generator = fn(*args, **kwargs)
            step: Callable[[], Any] = generator.__anext__
            try:
                while True:
                    with self.again():
                        item = await step()
                    try:
                        sent = yield item
                    except GeneratorExit:
                        with self.again():
                            await generator.aclose()
                        raise
                    except BaseException as error:
                        step = functools.partial(generator.athrow, error)
                    else:
                        step = functools.partial(generator.asend, sent)
            except StopAsyncIteration:
                return

        return call


class no_grad(ModeChange):
    """Record nothing for gradients inside, so that results don't require grad.

    It is a context manager and a decorator, and holds for the current thread or asyncio task.

    >>> import tabgrad as tg
    >>> x = tg.tensor(1.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    @overload
    def __new__(cls) -> Self: ...
    @overload
    def __new__(cls, orig_func: F) -> F: ...  # type: ignore[misc]
    def __new__(cls, orig_func: Any = None) -> Any:
        """Decorate `orig_func` if the name is used as a decorator without parentheses."""
        return super().__new__(cls) if orig_func is None else cls()(orig_func)

    def __init__(self, orig_func: Any = None) -> None:
        super().__init__()

    def changed(self, mode: Mode) -> Mode:
        """The mode with gradients off."""
        return mode.replace(grad=False)


class enable_grad(no_grad):
    """Record for gradients inside, also under `no_grad`; see there.

    >>> import tabgrad as tg
    >>> x = tg.tensor(1.0, requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    def changed(self, mode: Mode) -> Mode:
        """The mode with gradients on."""
        return mode.replace(grad=True)


class set_grad_enabled(ModeChange):
    """Switch the recording for gradients on or off: at once, and until the end of the block if used with one.

    >>> import tabgrad as tg
    >>> x = tg.tensor(1.0, requires_grad=True)
    >>> with tg.set_grad_enabled(False):
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = bool(mode)
        self.before = MODE.get()
        MODE.set(self.changed(self.before))

    def changed(self, mode: Mode) -> Mode:
        """The mode with gradients on or off, as `mode` says."""
        return mode.replace(grad=self.mode)

    def again(self) -> ModeChange:
        """Make another context manager like this one."""
        return set_grad_enabled(self.mode)

    def __enter__(self) -> None:
        self._entered.append((self.before, MODE.get()))

    def __call__(self, fn: F) -> F:
        """Decorate `fn` to run under the mode, which the decoration itself leaves as it was."""
        MODE.set(self.restored(MODE.get(), self.before))
        return super().__call__(fn)


class inference_mode(ModeChange):
    """Like `no_grad`, for code whose results never meet gradients again.

    A tensor made inside is an inference tensor (`Tensor.is_inference`): outside it can't be written to in
    place, nor be saved for a gradient. A `clone()` of it can.

    >>> import tabgrad as tg
    >>> with tg.inference_mode():
    ...     tg.is_inference_mode_enabled()
    True
    """

    def __new__(cls, mode: Any = True) -> Any:
        """Decorate `mode` if the name is used as a decorator without parentheses."""
        return super().__new__(cls) if isinstance(mode, bool) else cls()(mode)

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.mode = mode if isinstance(mode, bool) else True

    def changed(self, mode: Mode) -> Mode:
        """The mode with gradients off, or on if this was made with False."""
        return mode.replace(grad=not self.mode, inference=self.mode)

    def again(self) -> ModeChange:
        """Make another context manager like this one."""
        return inference_mode(self.mode)


def is_grad_enabled() -> bool:
    """Tell whether operations are recorded for gradients now, in this thread or task."""
    return MODE.get().grad


def is_inference_mode_enabled() -> bool:
    """Tell whether `inference_mode` is on, in this thread or task."""
    return MODE.get().inference


class set_multithreading_enabled(set_grad_enabled):
    """Remember the setting for PyTorch's sake; backward always runs in the thread that calls it."""

    def changed(self, mode: Mode) -> Mode:
        """The mode with the setting."""
        return mode.replace(one_thread=not self.mode)

    def restored(self, mode: Mode, before: Mode) -> Mode:
        """The mode with the setting of before."""
        return mode.replace(one_thread=before.one_thread)

    def again(self) -> ModeChange:
        """Make another context manager like this one."""
        return set_multithreading_enabled(self.mode)


def is_multithreading_enabled() -> bool:
    """Tell the setting of `set_multithreading_enabled` in this thread or task, True at first."""
    return not MODE.get().one_thread
