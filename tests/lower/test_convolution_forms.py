"""Forms and tiles of convolutions: each computes the same, with what is before and after in one kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.lower.tiles import DirectTile, direct_windows
from tabgrad.lower.variants import Choices
from tabgrad.nn import functional as F
from tests.lower import recorder
from tests.lower.forced import FORMS, QUESTION, Formed, forced
from tests.sampling import takes_samples

CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "plain": ((3, 5, 9, 11), (7, 5, 3, 3), {"padding": 1}),
    "strided": ((2, 4, 11, 9), (6, 4, 3, 2), {"stride": (2, 3), "padding": 1}),
    "groups": ((2, 6, 7, 8), (4, 3, 3, 3), {"groups": 2, "dilation": 2, "padding": 2}),
    "each channel": ((3, 5, 9, 7), (5, 1, 3, 3), {"groups": 5, "padding": 1}),
    "a stored input": ((2, 4, 8, 9), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    "two for each channel": ((2, 3, 8, 7), (6, 1, 3, 3), {"groups": 3}),
    "one tap": ((2, 8, 5, 7), (12, 8, 1, 1), {}),
    "line": ((3, 4, 37), (5, 4, 5), {"padding": 2, "stride": 2}),
    "volume": ((2, 3, 5, 4, 6), (4, 3, 2, 3, 3), {"padding": 1}),
    "one image": ((1, 3, 12, 13), (8, 3, 5, 5), {"stride": 2}),
    "channels last": ((2, 8, 9, 6), (8, 8, 3, 3), {"padding": 1}),
}


def ran(what: str, device: Any, dtype: str = "float32") -> list[Any]:
    """A convolution of small integers with a bias and what follows, and its gradients."""
    shape, kernel, settings = CASES[what]
    rng = np.random.default_rng(len(what))
    made = [rng.integers(-3, 4, s) for s in (shape, kernel, kernel[:1])]
    x, w, b = (tg.tensor(v.astype(dtype), device=device) for v in made)
    if what == "channels last":
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for t in (x, w, b):
        t.requires_grad_()
    call = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[len(shape)]
    y = call(x if "stored" in what else x + 1, w, b, **settings).relu()
    ct = tg.tensor(rng.integers(-2, 3, y.shape).astype(np.float32), device=device).to(y.dtype)
    return [t.float() for t in (y, *tg.autograd.grad(y, (x, w, b), ct))]


def all_close(got: Sequence[Any], want: Sequence[Any], what: str) -> None:
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(mine.detach().cpu().numpy(), theirs, err_msg=what)


@pytest.fixture(scope="module")
def right() -> dict[str, list[Any]]:
    """What the cases are in float64."""
    return {what: [t.detach().numpy() for t in ran(what, "cpu", "float64")] for what in CASES}


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("software", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_forms(device: str, right: dict[str, list[Any]], form: str, software: bool) -> None:
    """Each form of each convolution and of both its gradients; small integers have exact sums."""
    choices = Formed(form, int(software))
    cases = [*CASES]
    if takes_samples(device) and form == "lines":
        cases = ["a stored input"]  # the others have no such form, and take the first one, columns
    elif takes_samples(device) and software:
        cases = cases[FORMS.index(form) % 2 :: 2]
    with forced(device, choices, software):
        made = {what: ran(what, device) for what in cases}
        for what, got in made.items():
            all_close(got, right[what], f"{form}: {what}")
    assert form in choices.taken


OF_FLOAT16 = (
    ["plain"],
    ["channels last"],
    ["plain"],
    ["channels last"],
    ["plain", "a stored input"],
    ["a stored input"],
)
"""Cases that have the form, for each of `FORMS`: what a device runs in float16 (`sampling.py`)."""


@pytest.mark.one_host("wgpu")
def test_forms_in_float16(device: str, right: dict[str, list[Any]]) -> None:
    """Each sum is rounded once, in every form."""
    if not tg.device(device).backend.has_float16:  # type: ignore[attr-defined]
        pytest.skip("the adapter has no float16")
    cases = ["plain", "a stored input", "channels last"]
    for number, (form, some) in enumerate(zip(FORMS, OF_FLOAT16, strict=True)):
        choices = Formed(form, 3 * number)
        with forced(device, choices):
            for what in some if takes_samples(device) else cases:
                for mine, theirs in zip(ran(what, device, "float16"), right[what], strict=True):
                    found = mine.detach().cpu().numpy()
                    rounded = theirs.astype(np.float16).astype(np.float32)
                    np.testing.assert_array_equal(found, rounded, err_msg=f"{form}: {what}")
        assert form in choices.taken


def tiles() -> Iterator[DirectTile]:
    """List each kind of tile in registers."""
    for rows, columns, unroll in (
        (1, 4, 1),
        (2, 2, 2),
        (4, 1, 2),
        (8, 4, 1),
        (16, 2, 2),
        (1, 2, 2),
    ):
        yield DirectTile(rows, columns, unroll, False, threads=64)


@pytest.mark.one_host("wgpu")
def test_tiles_in_registers(device: str, right: dict[str, list[Any]]) -> None:
    for number, tile in enumerate(tiles()):
        choices = Formed(FORMS[number % 2 * 5], 0, tile)
        with forced(device, choices):
            for what in [*CASES][number % 3 :: 3] if takes_samples(device) else CASES:
                all_close(ran(what, device), right[what], f"{tile}: {what}")
        assert str(tile) in choices.taken


def network(where: Any) -> list[Any]:
    """A network of convolutions of many kinds trained, and evaluated."""
    nn = tg.nn
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.GELU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU(),
        nn.Conv2d(8, 16, 1), nn.ConvTranspose2d(16, 4, 2, stride=2),
    ).to(where)  # fmt: skip
    x = tg.rand(4, 3, 16, 16, device=where)
    found = tg.autograd.grad(made(x).square().mean(), list(made.parameters()))
    return [*found, made.eval()(x)]


def recurrent(where: Any) -> list[Any]:
    """Eight steps with one convolution, and the gradient of its weight."""
    layer = tg.nn.Conv2d(4, 4, 3, padding=1).to(where)
    x, h = tg.rand(8, 2, 4, 9, 9, device=where), tg.zeros(2, 4, 9, 9, device=where)
    for t in range(8):
        h = (layer(h) + x[t]).tanh()
    return [tg.autograd.grad(h.sum(), layer.weight)[0]]


PROGRAMS: dict[str, Callable[[Any], list[Any]]] = {
    "network": network,
    "recurrent": recurrent,
    "each channel": lambda where: ran("each channel", where),
    "strided": lambda where: ran("strided", where),
}


@pytest.mark.filterwarnings("ignore:.* has no int64")
def test_no_form_takes_more_dispatches() -> None:
    """Biases, activations and norms stay in the kernels of convolutions, and sums of products are joined."""
    for what, program in PROGRAMS.items():
        counts = {}
        for form in FORMS:
            where = recorder.device()
            with forced(where, Formed(form)) as backend:
                made = program(where)
                backend.compute_all([t.value.id for t in made])
                counts[form] = backend.counters.dispatches
        assert max(counts.values()) == counts["columns"], (what, counts)


def explained(where: Any, make: Callable[[], Any], answers: dict[str, str] | None = None) -> Any:
    """The plan of a value on a device whose kernels are measured, with these answers."""
    where.backend.limits.software = False
    where.backend.known = Choices(answers or {})
    tg.backends.webgpu.benchmark = True
    try:
        return tg.compiler.explain(make())
    finally:
        tg.backends.webgpu.benchmark = None


def test_explain_shows_the_form_and_the_tile() -> None:
    where = recorder.device()
    x, w = tg.rand(4, 8, 15, 17, device=where), tg.rand(6, 8, 3, 3, device=where)
    where.backend.flush()  # type: ignore[attr-defined]

    def make() -> Any:
        return F.conv2d(x, w, stride=2).relu()

    form = f"{QUESTION} float32 4 1 8 8 8 8 3x3 2x2 1x1 - -"
    tile = "convolution float32 1 8 256 128 i- 3x3 2x2 1x1"
    plan = explained(where, make)
    assert plan.choices == {form: "columns (fixed)", tile: "32x32x16 4x4 (fixed)"}
    plan = explained(where, make, {form: "sums"})
    assert plan.choices[form] == "sums (measured)"
    assert plan.dispatches == 1
    assert "const K" not in plan.kernels[0].source
    direct = direct_windows((1, 6, 4 * 7 * 8, 72))[0]
    plan = explained(where, make, {form: "no such form", tile: str(direct)})
    assert plan.choices == {form: "columns (fixed)", tile: f"{direct} (measured)"}
    text = plan.kernels[0].source
    assert "@workgroup_size(64)" in text
    assert "var<workgroup>" not in text
    # one text for a weight that is read by fours, which this tile reads one by one
    assert "fn load_lhs(" in text


def test_forms_that_lie_otherwise_are_another_question() -> None:
    where = recorder.device()
    x, w = tg.rand(2, 8, 9, 7, device=where), tg.rand(8, 8, 3, 3, device=where)
    nhwc = tg.rand(2, 9, 7, 8, device=where)
    where.backend.flush()  # type: ignore[attr-defined]
    for make, lie in (
        (lambda: F.conv2d(x, w), "- -"),
        (lambda: F.conv2d(nhwc.permute(0, 3, 1, 2), w), "0312 -"),
    ):
        (question,) = [q for q in explained(where, make).choices if q.startswith(QUESTION)]
        assert question.endswith(lie)


def test_the_fixed_choice_is_that_of_deterministic_programs() -> None:
    where = recorder.device()
    x, w = tg.rand(2, 8, 9, 7, device=where), tg.rand(8, 8, 3, 3, device=where)
    where.backend.flush()  # type: ignore[attr-defined]
    plain = [k.source for k in tg.compiler.explain(F.conv2d(x, w)).kernels]
    question = next(
        q for q in explained(where, lambda: F.conv2d(x, w)).choices if q.startswith(QUESTION)
    )
    other = [k.source for k in explained(where, lambda: F.conv2d(x, w), {question: "rows"}).kernels]
    assert other != plain
    tg.use_deterministic_algorithms(True)
    try:
        where.backend.known = Choices({question: "rows"})  # type: ignore[attr-defined]
        found = tg.compiler.explain(F.conv2d(x, w))
    finally:
        tg.use_deterministic_algorithms(False)
    assert not found.choices
    where.backend.limits.software = True  # type: ignore[attr-defined]
    again = tg.compiler.explain(F.conv2d(x, w))
    assert "rows" not in str(again.choices)


def test_gradients_of_weights_are_summed_in_parts_of_odd_batches() -> None:
    """A batch of 7 images of 13 x 13, and one of so many that a thread can't walk them."""
    where = recorder.device()
    for (*shape, outs), parts in (
        ((7, 4, 13, 13, 6), ("7", "1")),
        ((50, 4, 25, 25, 6), ("25", "50", "125")),
        ((50, 64, 25, 25, 64), ("1", "5", "25")),
    ):
        x, ct = tg.rand(*shape, device=where), tg.rand(shape[0], outs, *shape[2:], device=where)
        w = tg.rand(outs, shape[1], 3, 3, device=where)
        where.backend.flush()  # type: ignore[attr-defined]
        _, back = tg.func.vjp(lambda w, x=x: F.conv2d(x, w, padding=1), w)
        plan = explained(where, lambda back=back, ct=ct: back(ct)[0])
        question = next(q for q in plan.choices if q.startswith("parts of a product"))
        for answer in parts:
            found = explained(where, lambda back=back, ct=ct: back(ct)[0], {question: answer})
            assert found.choices[question].startswith(f"{answer} "), (shape, answer)
            if answer != "1":
                assert found.dispatches == 2
                assert f"const BATCH = {answer}u;" in found.kernels[0].source


def test_one_convolution_for_all_remainders_or_one_for_each_is_measured() -> None:
    where = recorder.device()
    x, w = tg.rand(4, 32, 12, 11, device=where), tg.rand(32, 24, 3, 3, device=where)
    where.backend.flush()  # type: ignore[attr-defined]

    def make() -> Any:
        return F.conv_transpose2d(x, w, stride=2, padding=1)

    plan = explained(where, make)
    (question,) = [q for q in plan.choices if q.startswith("parts of a convolution")]
    assert plan.choices[question] == "one (fixed)"
    other = explained(where, make, {question: "each"})
    assert other.choices[question] == "each (measured)"
    assert sum("matmul" in k.ops for k in other.kernels) > sum(
        "matmul" in k.ops for k in plan.kernels
    )


def test_tiles_in_registers_fit_the_shape() -> None:
    for m, n, first in ((1, 9000, 1), (3, 9000, 4), (64, 9000, 16)):
        found = direct_windows((1, m, n, 27))
        assert len(set(found)) == len(found) == 4
        assert all(t.threads == 64 and t.rows * t.columns <= 32 for t in found)
        assert found[0].rows == first, (m, found)


@pytest.mark.every_host
def test_a_convolution_of_many_windows_stores_what_comes_before_it(device: tg.device) -> None:
    """A sum would compute it again for each tap. Of few windows it takes no kernel of its own."""
    rng = np.random.default_rng(3)
    for images, texts in ((2, 1), (40, 2)):
        data, w = rng.normal(size=(images, 6, 13, 18)), rng.normal(size=(6, 1, 5, 5))
        where = recorder.device()
        found = []
        for at in ("cpu", device, where):
            x, k = (tg.tensor(a, dtype=tg.float32, device=at) for a in (data, w))
            scale = x.square().mean((0, 2, 3), keepdim=True)
            if at is where:
                where.backend.flush()
            found.append(F.conv2d(F.relu(x * scale), k, padding=2, groups=6))
        tg.testing.assert_close(found[1].cpu(), found[0], rtol=1e-4, atol=1e-4)
        where.backend.flush()
        plan = recorder.last_plan(where)
        assert len(plan.kernels) == texts, images
        assert ("TILE_COLUMNS" in plan.kernels[-1].source) == (texts == 2), images
