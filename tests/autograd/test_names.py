"""PyTorch's other ways to the same functions: older arguments, other modules, switches that do nothing here."""

import inspect
import subprocess
import sys

import pytest

import tabgrad as tg
from tests.transforms.support import close, f64


def parameters(fn):
    return list(inspect.signature(fn).parameters)


def test_arguments_stand_where_pytorch_has_them():
    assert parameters(tg.autograd.grad)[:7] == [
        "outputs", "inputs", "grad_outputs", "retain_graph", "create_graph", "only_inputs", "allow_unused",
    ]  # fmt: skip
    assert parameters(tg.autograd.backward) == [
        "tensors", "grad_tensors", "retain_graph", "create_graph", "grad_variables", "inputs",
    ]  # fmt: skip
    assert parameters(tg.Tensor.backward)[1:] == [
        "gradient",
        "retain_graph",
        "create_graph",
        "inputs",
    ]


def test_arguments_of_before_are_named():
    x = f64([1.0, 2.0], grad=True)
    close(tg.autograd.grad(x.sum(), x, None, None, False, True, True)[0], [1.0, 1.0])
    with pytest.warns(FutureWarning, match="only_inputs"):
        tg.autograd.grad(x.sum(), x, only_inputs=False)
    with pytest.warns(FutureWarning, match="grad_tensors"):
        tg.autograd.backward(x * 1.0, grad_variables=f64([3.0, 4.0]))
    close(x.grad, [3.0, 4.0])
    with pytest.warns(FutureWarning), pytest.raises(RuntimeError, match="grad_variables"):
        tg.autograd.backward(x * 1.0, f64([3.0, 4.0]), grad_variables=f64([3.0, 4.0]))


def test_modules_that_programs_import_from():
    from tabgrad.autograd.function import Function, FunctionCtx, once_differentiable
    from tabgrad.random import (
        fork_rng,
        get_rng_state,
        initial_seed,
        manual_seed,
        seed,
        set_rng_state,
    )

    assert Function is tg.autograd.Function
    assert once_differentiable is tg.autograd.function.once_differentiable
    seen = []

    class Kept(Function):
        @staticmethod
        def forward(ctx, x):
            seen.append(ctx)
            return x * 2.0

    Kept.apply(f64([1.0]))
    assert isinstance(seen[0], FunctionCtx)
    state = get_rng_state()
    with fork_rng():
        manual_seed(5)
        assert initial_seed() == 5
        first = tg.rand(2)
        assert seed() != 5
        set_rng_state(state)
    assert tg.equal(get_rng_state(), state)
    assert first.shape == (2,)


def test_versions_count_writes():
    x = f64([1.0])
    before = x._version
    tg.autograd.graph.increment_version(x)
    tg.autograd.graph.increment_version([x, x])
    assert x._version == before + 3
    with tg.inference_mode(), pytest.raises(TypeError, match="float"):
        tg.autograd.graph.increment_version(1.0)


def test_what_is_saved_can_be_written_to():
    x = f64([1.0, 2.0], grad=True)
    with tg.autograd.graph.allow_mutation_on_saved_tensors() as context:
        y = x * 1.0
        z = (y * y).sum()
        y.zero_()
    z.backward()
    close(x.grad, [2.0, 4.0])
    context.clear()


def test_saved_tensor_hooks_can_be_refused_by_a_decorator():
    @tg.autograd.graph.disable_saved_tensors_hooks("not in here")
    def guarded():
        with tg.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            pass

    for _ in range(2):
        with pytest.raises(RuntimeError, match="not in here"):
            guarded()
    with tg.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        pass


@pytest.mark.parametrize(
    ("mode", "level"), [("warn", 1), (2, 2), ("error", 2), (0, 0), ("default", 0)]
)
def test_the_wish_for_determinism_is_remembered(mode, level):
    try:
        tg.set_deterministic_debug_mode(mode)
        assert tg.get_deterministic_debug_mode() == level
        assert tg.are_deterministic_algorithms_enabled() is (level > 0)
        assert tg.is_deterministic_algorithms_warn_only_enabled() is (level == 1)
    finally:
        tg.use_deterministic_algorithms(False)
    with pytest.raises(RuntimeError, match="loud"):
        tg.set_deterministic_debug_mode("loud")


def test_autocast_is_asked_about_at_the_top():
    assert not tg.is_autocast_enabled("cpu")
    with tg.autocast("cpu", dtype=tg.float16):
        assert tg.is_autocast_enabled("cpu")
        assert tg.get_autocast_dtype("cpu") is tg.float16


def test_switches_answer_what_they_were_told():
    assert tg.autograd.is_multithreading_enabled()
    with tg.autograd.set_multithreading_enabled(False):
        assert not tg.autograd.is_multithreading_enabled()
    assert tg.autograd.is_multithreading_enabled()
    from tabgrad.utils.checkpoint import checkpoint, set_checkpoint_debug_enabled

    x = f64([1.0], grad=True)
    with set_checkpoint_debug_enabled(True):
        checkpoint(tg.sin, x).backward()
    close(x.grad, x.detach().cos())


@pytest.mark.parametrize("name", ["utils.checkpoint", "utils.data", "utils.hooks", "random"])
def test_a_module_needs_no_import_of_its_own(name):
    program = f"import tabgrad; print(tabgrad.{name}.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"tabgrad.{name}"


def test_functionalize_gives_the_same_function():
    def fn(x):
        y = x.clone()
        y[0].mul_(3.0)
        return y.add_(x)

    x = f64([1.0, 2.0])
    pure = tg.func.functionalize(fn)
    assert pure.__name__ == "fn"
    close(pure(x), fn(x))
    close(x, [1.0, 2.0])
    close(tg.func.grad(lambda x: pure(x).sum())(x), [4.0, 2.0])
    close(
        tg.func.vmap(tg.func.functionalize(fn, remove="mutations_and_views"))(x[None]), fn(x)[None]
    )
    with pytest.raises(RuntimeError, match="mutations_and_views"):
        tg.func.functionalize(fn, remove="views")


def test_debug_unwrap_shows_what_is_below():
    x = f64([[1.0, 2.0], [3.0, 4.0]])
    seen = []

    def fn(row):
        seen.extend([tg.func.debug_unwrap(row, recurse=False), tg.func.debug_unwrap(row)])
        return (row * row).sum()

    tg.func.vmap(tg.func.grad(fn))(x)
    below, whole = seen
    assert below.shape == (2,)
    assert whole is x
    assert tg.func.debug_unwrap(x) is x
    tg.func.jvp(lambda v: seen.append(tg.func.debug_unwrap(v)) or v, (x,), (x,))
    assert seen[-1] is x


def test_variable_is_another_name_of_tensor():
    x = f64([1.0, 2.0])
    v = tg.autograd.Variable(x, requires_grad=True)
    assert isinstance(v, tg.Tensor)
    assert isinstance(v, tg.autograd.Variable)
    assert isinstance(x, tg.autograd.Variable)
    assert not isinstance(1.0, tg.autograd.Variable)
    (v * v).sum().backward()
    close(v.grad, [2.0, 4.0])
    assert not x.requires_grad
    x.add_(1.0)
    close(v, [2.0, 3.0])
    assert tg.autograd.Variable().shape == (0,)


def test_inplace_functions_are_functions():
    class Half(tg.autograd.function.InplaceFunction):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(0.5)

        @staticmethod
        def backward(ctx, grad):
            return grad * 0.5

    w = f64([2.0, 4.0], grad=True)
    y = w * 1.0
    assert Half.apply(y) is y
    y.sum().backward()
    close(w.grad, [0.5, 0.5])
    assert Half(inplace=True).inplace
