"""gradcheck, gradgradcheck, anomaly detection, GradientTape."""

import pytest

import tabgrad as tg
from tabgrad.autograd import AnomalyError, GradcheckError, GradientTape, gradcheck, gradgradcheck
from tabgrad.core.errors import GradientError
from tests.transforms.support import close, f64, random


class Wrong(tg.autograd.Function):
    """x squared, with three times x for its derivative."""

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, ct):
        return ct * 3.0 * ctx.saved_tensors[0]

    @staticmethod
    def jvp(ctx, t):
        return t * 3.0 * ctx.saved_tensors[0]


class WrongTwice(tg.autograd.Function):
    """A right first derivative that hides its dependence on x."""

    @staticmethod
    def forward(ctx, x):
        ctx.slope = (2.0 * x).detach()
        return x * x

    @staticmethod
    def backward(ctx, ct):
        return ct * ctx.slope


def tracked(*shape, seed=0):
    return random(*shape, seed=seed).requires_grad_()


OPTIONS = [
    {}, {"fast_mode": True}, {"method": "richardson", "eps": 1e-4},
    {"check_forward_ad": True, "check_backward_ad": False},
    {"check_forward_ad": True, "fast_mode": True, "check_backward_ad": False},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradcheck_tells_right_from_wrong(options):
    assert gradcheck(
        lambda x, y, k: (x.sin() * y.sum() * k, x * x),
        (tracked(3), tracked(2, seed=1), 3.0),
        **options,
    )
    with pytest.raises(GradcheckError, match="input 0"):
        gradcheck(Wrong.apply, (tracked(3),), **options)
    assert gradcheck(Wrong.apply, tracked(3), raise_exception=False, **options) is False


def test_gradgradcheck_tells_right_from_wrong():
    x = tracked(3)
    assert gradgradcheck(lambda x: x.sin() * x.sum(), (x,))
    assert gradgradcheck(lambda x: x.sin() * x.sum(), (x,), fast_mode=True, check_fwd_over_rev=True)
    w = random(3, 2, seed=1)
    assert gradgradcheck(lambda x: (x.sin() @ w).exp(), (x,), check_fwd_over_rev=True)
    assert gradcheck(WrongTwice.apply, (x,))
    with pytest.raises(GradcheckError):
        gradgradcheck(WrongTwice.apply, (x,))


def test_gradcheck_batched():
    x = tracked(3)
    f = lambda x: x.sin() * x.sum()  # noqa: E731
    assert gradcheck(
        f, (x,), check_batched_grad=True, check_forward_ad=True, check_batched_forward_grad=True
    )


def test_gradcheck_by_a_complex_step():
    f = lambda x, y: (x.T.sin() * y).exp().cumsum(0)  # noqa: E731
    # differences of two values can't tell at this tolerance, a complex step can
    assert gradcheck(
        f, (tracked(2, 3), tracked(2, seed=1)), method="complex", atol=1e-13, rtol=1e-12
    )
    with pytest.raises(GradcheckError):
        gradcheck(f, (tracked(2, 3), tracked(2, seed=1)), atol=1e-13, rtol=1e-12)
    with pytest.raises(GradcheckError, match="input 0"):
        gradcheck(Wrong.apply, (tracked(2, 3),), method="complex")
    assert gradcheck(f, (tracked(2, 3), tracked(2, seed=1)), method="complex", fast_mode=True)


def test_gradcheck_needs_something_to_check():
    with pytest.raises(ValueError, match="requires grad"):
        gradcheck(lambda x: x, (random(3),))
    with pytest.raises(ValueError, match="method"):
        gradcheck(lambda x: x, (tracked(3),), method="guess")


def test_gradcheck_warns_of_single_precision():
    x = tracked(2, 3).float().detach().requires_grad_()
    with pytest.warns(UserWarning, match=r"input 1 is tabgrad\.float32.*float64"):
        assert gradcheck(lambda y, x: x.T * 2.0, (tracked(2), x), eps=1e-2, atol=1e-2)


def test_gradcheck_sees_a_derivative_that_changes():
    calls = []

    class Restless(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, ct):
            calls.append(1)
            return ct * (1.0 + 1e-5 * len(calls))

    with pytest.raises(GradcheckError, match="two backward passes"):
        gradcheck(Restless.apply, (tracked(1),), atol=1.0)


# -- anomalies -------------------------------------------------------------------------------------


def test_backward_names_the_op_and_the_line():
    x = f64([0.0], grad=True)
    with tg.autograd.detect_anomaly():
        y = tg.sqrt(x * 0.0)  # this line
        with pytest.raises(
            AnomalyError,
            match=r"^Function '(Sqrt|Mul)Backward0' returned nan values in its [01]th output\.",
        ) as raised:
            (y * 0.0).sum().backward()
    assert "test_checking.py" in str(raised.value)
    assert "test_backward_names_the_op_and_the_line" in str(raised.value)
    assert not tg.autograd.is_anomaly_enabled()


def test_forward_names_the_op_and_the_line():
    x = f64([-1.0])
    with tg.autograd.detect_anomaly(check_forward=True, check_inf=True):
        with pytest.raises(AnomalyError, match=r"log: computed NaN.*test_checking\.py"):
            x.log()
        with pytest.raises(AnomalyError, match=r"div: computed infinity"):
            x / 0.0
        assert float(x * 2.0) == -2.0


def test_errors_in_rules_name_the_op():
    class Fails(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, ct):
            raise ValueError("no")

    x = f64([1.0], grad=True)
    with tg.autograd.set_detect_anomaly(True):
        y = Fails.apply(x)
        with pytest.raises(ValueError, match="no") as raised:
            y.backward()
    assert any("FailsBackward" in note for note in raised.value.__notes__)


def test_backward_names_the_line_of_a_call_with_several_outputs():
    class Spoils(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0, x * 2.0

        @staticmethod
        def backward(ctx, c1, c2):
            return c1 * float("nan")

    x = f64([[1.0, 2.0], [3.0, 4.0]], grad=True)
    with tg.autograd.detect_anomaly():
        y, _ = Spoils.apply(x.T * 2.0)
        with pytest.raises(AnomalyError, match="SpoilsBackward") as raised:
            y.sum().backward()
    assert "in test_backward_names_the_line_of_a_call_with_several_outputs" in str(raised.value)


def test_anomaly_is_a_decorator_and_a_switch():
    @tg.autograd.detect_anomaly()
    def f():
        return tg.autograd.is_anomaly_enabled(), tg.autograd.is_anomaly_check_nan_enabled()

    assert f() == (True, True)
    tg.autograd.set_detect_anomaly(True, check_nan=False)
    assert tg.autograd.is_anomaly_enabled()
    assert not tg.autograd.is_anomaly_check_nan_enabled()
    tg.autograd.set_detect_anomaly(False)
    assert not tg.autograd.is_anomaly_enabled()


# -- GradientTape ----------------------------------------------------------------------------------


def test_tape_watches_and_answers_once():
    x = f64(3.0)
    with GradientTape() as tape:
        tape.watch(x)
        y = x * x
    close(tape.gradient(y, x), 6.0)
    with pytest.raises(GradientError, match="persistent"):
        tape.gradient(y, x)
    del tape
    assert not x.requires_grad


def test_tape_persistent_trees_and_unconnected():
    x, z = f64(3.0), f64([1.0])
    with GradientTape(persistent=True) as tape:
        tape.watch([x, {"z": z}])
        y = x * x
    found = tape.gradient(y, {"a": x, "b": [z]})
    close(found["a"], 6.0)
    assert found["b"][0] is None
    close(tape.gradient(y, z, unconnected_gradients="zero"), [0.0])
    close(tape.gradient([y, y], x, output_gradients=[f64(1.0), f64(10.0)]), 66.0)
    close(tape.gradient([f64(5.0), y], x, output_gradients=[f64(7.0), f64(10.0)]), 60.0)
    assert len(tape.watched_variables()) == 2


def test_nested_tapes():
    x = f64(2.0)
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = x**3
        first = inner.gradient(y, x)
    close(first, 12.0)
    close(outer.gradient(first, x), 12.0)


def test_tape_jacobians():
    x = random(4, 3)
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x.sin() * x.sum(1, keepdim=True)
    whole = tape.jacobian(y, x)
    rows = tape.batch_jacobian(y, x)
    assert tuple(whole.shape) == (4, 3, 4, 3)
    assert tuple(rows.shape) == (4, 3, 3)
    for b in range(4):
        close(rows[b], whole[b, :, b])


def test_tape_that_watches_only_what_it_is_told():
    w, x = f64(2.0, grad=True), f64(3.0)
    with GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = w * x
    found = tape.gradient(y, [w, x])
    assert found[0] is None
    close(found[1], 2.0)
    with GradientTape() as tape:
        y = w * w
    close(tape.gradient(y, w), 4.0)


def test_tape_errors():
    x = f64([1.0])
    tape = GradientTape()
    with pytest.raises(GradientError, match="not recording"):
        tape.watch(x)
    with tape:
        with pytest.raises(TypeError, match="float"):
            tape.watch(1.0)
        with pytest.raises(GradientError, match="recording already"):
            tape.__enter__()
    with pytest.raises(ValueError, match="unconnected"):
        tape.gradient(x, x, unconnected_gradients="maybe")


def test_gradcheck_of_complex_numbers():
    z = tg.tensor([1 + 2j, 0.3 - 0.7j], dtype=tg.complex128, device="cpu", requires_grad=True)
    r = tg.tensor([1.0, 2.0], dtype=tg.float64, device="cpu", requires_grad=True)
    functions = {
        "complex": lambda z, r: z.exp() * z.conj() * r,
        "real": lambda z, r: (z * r).abs(),
        "of both": lambda z, r: tg.polar(r, z.real),
    }
    for f in functions.values():
        assert gradcheck(f, (z, r), check_forward_ad=True)
        assert gradcheck(f, (z, r), fast_mode=True)
        assert gradgradcheck(f, (z, r))

    class Unconjugated(tg.autograd.Function):
        """The gradient of z * z without its conjugate."""

        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx, ct):
            return 2 * ctx.saved_tensors[0] * ct

    with pytest.raises(GradcheckError, match="reverse mode disagrees"):
        gradcheck(Unconjugated.apply, (z,))
