"""Random numbers: the same ones on every device, of the right distributions, in every mode."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tabgrad.core.errors import DTypeError, ShapeError

pytestmark = pytest.mark.every_host


def near(found: Any, wanted: Any) -> bool:
    return all(
        math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-6) for a, b in zip(found, wanted, strict=True)
    )


def words(key: int, call: int, n: int) -> list[int]:
    """Return the first words of Threefry-2x32-20 under (key, call), counted up: written for this test alone."""
    full = 0xFFFFFFFF
    keys = [key, call, key ^ call ^ 0x1BD11BDA]
    out = []
    for i in range(n):
        a, b = (i + keys[0]) & full, keys[1]
        for block in range(5):
            for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[block % 2]:
                a = (a + b) & full
                b = ((b << turn) | (b >> (32 - turn))) & full
                b ^= a
            a = (a + keys[(block + 1) % 3]) & full
            b = (b + keys[(block + 2) % 3] + block + 1) & full
        out.append(a)
    return out


def test_the_oracle_is_threefry() -> None:
    # the known answer of the authors' test vectors
    assert words(0, 0, 1) == [0x6B200159]


def test_every_device_draws_these_numbers() -> None:
    tg.manual_seed(42)
    assert tg.rand(2, 3).flatten().tolist() == [(w >> 8) * 2.0**-24 for w in words(42, 0, 6)]
    first, second = (w := words(42, 1, 8))[:4], w[4:]
    normal = [
        math.sqrt(-2 * math.log(((a >> 8) + 1) * 2.0**-24))
        * math.cos(2 * math.pi * (b >> 8) * 2.0**-24)
        for a, b in zip(first, second, strict=True)
    ]
    assert near(tg.randn(4).tolist(), normal)
    assert tg.randint(-5, 100, (6,)).tolist() == [w % 105 - 5 for w in words(42, 2, 6)]
    drawn = words(42, 3, 8)
    assert tg.randperm(8).tolist() == sorted(range(8), key=drawn.__getitem__)
    clocks = [-math.log(((w >> 8) + 1) * 2.0**-24) for w in words(42, 4, 4)]
    order = sorted(range(4), key=lambda k: clocks[k] / (k + 1))
    assert tg.multinomial(tg.tensor([1.0, 2.0, 3.0, 4.0]), 3).tolist() == order[:3]


def test_a_seed_gives_the_same_draws_and_the_next_draw_others() -> None:
    tg.manual_seed(7)
    a, b = tg.rand(5).tolist(), tg.rand(5).tolist()
    tg.manual_seed(7)
    assert tg.rand(5).tolist() == a
    assert a != b
    tg.manual_seed(7 + (1 << 32))
    assert tg.rand(5).tolist() != a


def test_a_generator_is_a_stream_of_its_own() -> None:
    g = tg.Generator().manual_seed(3)
    tg.manual_seed(3)
    a = tg.rand(3).tolist()
    assert tg.rand(3, generator=g).tolist() == a
    state = g.get_state()
    b = tg.randn(3, generator=g).tolist()
    g.set_state(state)
    assert tg.randn(3, generator=g).tolist() == b
    assert g.initial_seed() == 3
    assert g.seed() == g.initial_seed() != 3
    with pytest.raises(OverflowError):
        g.manual_seed(1 << 64)


def test_a_cloned_state_goes_its_own_way() -> None:
    g = tg.Generator().manual_seed(3)
    tg.rand(3, generator=g)
    other = g.clone_state()
    assert other is not g
    assert other.initial_seed() == 3
    assert other.device == g.device
    ahead = [tg.rand(3, generator=other).tolist() for _ in range(2)]
    assert [tg.rand(3, generator=g).tolist() for _ in range(2)] == ahead


def test_the_state_of_the_default_generator() -> None:
    tg.manual_seed(1)
    tg.rand(2)
    state = tg.get_rng_state()
    with tg.fork_rng():
        a = tg.rand(2).tolist()
    assert tg.rand(2).tolist() == a
    tg.set_rng_state(state)
    assert tg.rand(2).tolist() == a
    assert tg.initial_seed() == 1


def test_uniform_and_normal_numbers_have_their_moments() -> None:
    tg.manual_seed(0)
    u, n = tg.rand(20000), tg.randn(20000)
    assert u.min().item() >= 0
    assert u.max().item() < 1
    assert abs(u.mean().item() - 0.5) < 0.01
    assert abs(u.var().item() - 1 / 12) < 0.003
    assert abs(n.mean().item()) < 0.03
    assert abs(n.std().item() - 1) < 0.02
    assert abs((n**4).mean().item() - 3) < 0.25
    assert abs((n[1:] * n[:-1]).mean().item()) < 0.03


@pytest.mark.parametrize("dtype", [tg.complex64, tg.complex128])
def test_complex_normal_numbers_have_variance_one_in_total(dtype: tg.DType) -> None:
    tg.manual_seed(0)
    like = tg.empty(100, 100, dtype=dtype, device="cpu")
    for x, mean, std in (
        (tg.randn(100, 100, dtype=dtype, device="cpu"), 0, 1),
        (tg.randn_like(like), 0, 1),
        (like.clone().normal_(3.0, 2.0), 3, 2),
        (tg.normal(3.0, 2.0, (100, 100), dtype=dtype, device="cpu"), 3, 2),
    ):
        assert x.dtype is dtype
        z = x.numpy()
        np.testing.assert_allclose(z.mean(), mean, atol=0.04 * std)
        np.testing.assert_allclose(z.real.var(), std**2 / 2, rtol=0.05)
        np.testing.assert_allclose(z.imag.var(), std**2 / 2, rtol=0.05)
        assert abs(np.corrcoef(z.real.ravel(), z.imag.ravel())[0, 1]) < 0.04


def test_integers_cover_their_range() -> None:
    x = tg.randint(-2, 3, (2000,))
    assert tg.unique(x).tolist() == [-2, -1, 0, 1, 2]
    assert min(tg.bincount(x + 2).tolist()) > 300
    assert tg.randint(5, (3,), dtype=tg.float32).dtype is tg.float32
    assert tg.randint(high=2, size=(2, 2)).shape == (2, 2)
    with pytest.raises(ShapeError):
        tg.randint(3, 3, (1,))


def test_a_permutation_has_every_number_once() -> None:
    x = tg.randperm(100)
    assert x.sort().values.tolist() == list(range(100))
    assert x.tolist() != list(range(100))
    assert tg.randperm(0).tolist() == []


def test_normal_takes_numbers_and_tensors() -> None:
    tg.manual_seed(0)
    x = tg.normal(tg.tensor([0.0, 100.0]).expand(5000, 2), tg.tensor([1.0, 0.5]))
    assert near(x.mean(0).round().tolist(), [0.0, 100.0])
    assert abs(x.std(0)[1].item() - 0.5) < 0.05
    assert tg.normal(2.0, 3.0, (4, 5)).shape == (4, 5)
    with pytest.raises(ShapeError):
        tg.normal(0.0, -1.0, (2,))


def test_bernoulli_and_multinomial_follow_their_chances() -> None:
    tg.manual_seed(0)
    p = tg.tensor([0.0, 0.25, 1.0])
    x = tg.bernoulli(p.expand(4000, 3)).mean(0).tolist()
    assert x[0] == 0
    assert abs(x[1] - 0.25) < 0.03
    assert x[2] == 1
    w = tg.tensor([1.0, 0.0, 3.0])
    counts = tg.bincount(tg.multinomial(w, 4000, replacement=True), minlength=3).tolist()
    assert counts[1] == 0
    assert abs(counts[2] / 4000 - 0.75) < 0.03
    one = tg.multinomial(w.expand(1000, 3), 1)
    assert one.shape == (1000, 1)
    assert abs((one == 2).float().mean().item() - 0.75) < 0.05
    assert sorted(tg.multinomial(tg.ones(4), 4).tolist()) == [0, 1, 2, 3]
    with pytest.raises(ShapeError):
        tg.multinomial(w, 4)


def test_in_place_draws() -> None:
    tg.manual_seed(0)
    x = tg.empty(4000)
    y = x.view(40, 100)
    assert abs(x.uniform_(2, 4).mean().item() - 3) < 0.05
    assert 2 <= y.min().item()
    assert abs(x.normal_(1, 2).std().item() - 2) < 0.1
    assert abs(x.exponential_(2).mean().item() - 0.5) < 0.05
    assert abs(x.bernoulli_(0.3).mean().item() - 0.3) < 0.05
    assert set(tg.empty(100, dtype=tg.int32).random_(0, 2).tolist()) == {0, 1}
    assert abs(x.geometric_(0.5).mean().item() - 2) < 0.1
    w = tg.empty(3, requires_grad=True)
    with tg.no_grad():
        w.normal_()
    assert w.is_leaf
    assert w.requires_grad


def test_half_precision_never_reaches_one(device: str) -> None:
    try:
        x = tg.rand(20000, dtype=tg.float16)
    except DTypeError:
        # an adapter may lack it
        assert device == "webgpu"
        return
    assert x.max().item() < 1
    assert (tg.rand(100, dtype=tg.float64).dtype is tg.float64) == (device != "webgpu")


def test_only_floats_can_be_drawn() -> None:
    with pytest.raises(DTypeError):
        tg.rand(2, dtype=tg.int32)


def test_vmap_says_what_draws_do() -> None:
    x = tg.zeros(3)

    def noise(v: tg.Tensor) -> tg.Tensor:
        return v + tg.rand(2)

    different = tg.func.vmap(noise, randomness="different")(x)
    assert len({tuple(row) for row in different.tolist()}) == 3
    same = tg.func.vmap(noise, randomness="same")(x)
    assert len({tuple(row) for row in same.tolist()}) == 1
    with pytest.raises(RuntimeError, match="randomness"):
        tg.func.vmap(noise)(x)


def test_a_compiled_step_draws_new_numbers_each_time_and_obeys_the_seed() -> None:
    @tg.compile
    def draw(x: tg.Tensor) -> tg.Tensor:
        return x + tg.rand(2) + tg.randn(2)

    tg.manual_seed(5)
    x = tg.zeros(2)
    compiled = [draw(x).tolist() for _ in range(3)]
    tg.manual_seed(5)
    eager = [(x + tg.rand(2) + tg.randn(2)).tolist() for _ in range(3)]
    assert len({tuple(row) for row in compiled}) == 3
    for a, b in zip(compiled, eager, strict=True):
        assert near(a, b)
    tg.manual_seed(5)
    assert near(draw(x).tolist(), eager[0])


def test_a_compiled_step_goes_back_in_the_stream_as_the_call_does() -> None:
    def fork(x: tg.Tensor) -> tuple[tg.Tensor, ...]:
        with tg.fork_rng():
            first = x + tg.rand(4)
            with tg.fork_rng():
                other = x + tg.rand(4)
            again = x + tg.rand(4)
        return first, other, again, x + tg.rand(4)

    def seeded(x: tg.Tensor) -> tuple[tg.Tensor, ...]:
        before = x + tg.rand(4)
        tg.manual_seed(11)
        return before, x + tg.rand(4)

    x = tg.zeros(4)
    for program in (fork, seeded):
        step = tg.compile(program)
        tg.manual_seed(2)
        compiled = [[y.tolist() for y in step(x)] for _ in range(4)]
        end = tg.get_rng_state().tolist()
        tg.manual_seed(2)
        eager = [[y.tolist() for y in program(x)] for _ in range(4)]
        assert tg.get_rng_state().tolist() == end
        for rows in zip(compiled, eager, strict=True):
            assert all(near(a, b) for a, b in zip(*rows, strict=True))
        assert near(compiled[0][0], compiled[1][0]) is False


@pytest.mark.every_host
def test_binomial_numbers_follow_their_law(device: str) -> None:
    generator = tg.Generator(device=device).manual_seed(3)
    for n, p in ((7.0, 0.25), (300.0, 0.9)):
        x = tg.binomial(tg.full((4000,), n), tg.tensor(p), generator=generator)
        spread = n * p * (1 - p)
        assert abs(x.mean().item() - n * p) < 5 * (spread / 4000) ** 0.5
        assert x.var().item() == pytest.approx(spread, rel=0.12)
        assert 0 <= x.min().item() <= x.max().item() <= n
        assert bool((x == x.round()).all())
    generator.manual_seed(3)
    again = tg.binomial(tg.full((4000,), 7.0), tg.tensor(0.25), generator)
    generator.manual_seed(3)
    assert again.tolist() == tg.binomial(tg.full((4000,), 7.0), tg.tensor(0.25), generator).tolist()
    nan = float("nan")
    ends = tg.binomial(tg.tensor([-3.0, 5.0, 5.0, 2.0, nan]), tg.tensor([0.5, 1.0, 0.0, nan, 0.5]))
    assert ends[:3].tolist() == [0, 5, 0]
    assert ends[3:].isnan().all()
    with pytest.raises(tg.DTypeError, match="floating-point dtypes for count"):
        tg.binomial(tg.tensor([3]), tg.tensor(0.5))
