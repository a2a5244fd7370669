"""Forms of convolutions, parts of products and reductions: each compiles with the engine's compiler, and gives
the same whole numbers. A case is a form, or the number of a variant, which is taken wherever there is a choice.
"""

from __future__ import annotations

from tests.lower.forced import FORMS, Forced, Formed, forced
from tests.web.inside.marks import deadline, each, in_parts
from tests.web.inside.test_variants import numbers, times, whole


def made(seed, first, *rest):
    """Whole numbers from -3 to 3, in lists of lists."""
    if rest:
        return [made(seed + 5 * i, *rest) for i in range(first)]
    return [float((seed * 7 + 3 * i + i * i) % 7 - 3) for i in range(first)]


def zeros(first, *rest):
    return [zeros(*rest) if rest else 0.0 for _ in range(first)]


def convolution(x, w, ct, strides, padding, groups):
    """A convolution of images, and its gradients for x and w where that of the result is `ct`."""
    inner, outs = len(w[0]), len(w) // groups
    high, wide, rows, columns = len(x[0][0]), len(x[0][0][0]), len(w[0][0]), len(w[0][0][0])
    y = zeros(len(x), len(w), len(ct[0][0]), len(ct[0][0][0]))
    gx, gw = zeros(len(x), len(x[0]), high, wide), zeros(len(w), inner, rows, columns)
    terms = [(c, a, b) for c in range(inner) for a in range(rows) for b in range(columns)]
    for n, image in enumerate(ct):
        for o, plane in enumerate(image):
            for i, line in enumerate(plane):
                for j, t in enumerate(line):
                    for c, a, b in terms:
                        p, q = i * strides[0] + a - padding, j * strides[1] + b - padding
                        if 0 <= p < high and 0 <= q < wide:
                            at = o // outs * inner + c
                            y[n][o][i][j] += w[o][c][a][b] * x[n][at][p][q]
                            gx[n][at][p][q] += w[o][c][a][b] * t
                            gw[o][c][a][b] += x[n][at][p][q] * t
    return y, gx, gw


IMAGES = {
    # shapes of x, w and the result, strides, padding, groups
    "plain": ((2, 3, 5, 7), (4, 3, 3, 3), (2, 4, 5, 7), (1, 1), 1, 1),
    "strided": ((2, 4, 7, 5), (6, 2, 3, 2), (2, 6, 4, 6), (2, 1), 1, 2),
    "each channel": ((3, 3, 6, 5), (3, 1, 3, 3), (3, 3, 6, 5), (1, 1), 1, 3),
}


@deadline(150)
@in_parts
@each(lambda device: [*FORMS])
async def test_forms_of_convolutions(device, form):
    """With both gradients, on what passes for a GPU and on what is none, whose tiles are in registers."""
    import tabgrad as tg

    at, seen = FORMS.index(form), set()
    some = ("each channel",) if form == "lines" else ("plain", "strided")
    for number, what in enumerate(some):
        *shapes, strides, padding, groups = IMAGES[what]
        x, w, ct = (made(k + at, *shape) for k, shape in enumerate(shapes))
        choices = Formed(form, at + number)
        with forced(device, choices, software=(at + number) % 2 > 0):
            on = [tg.tensor(v, device=device) for v in (x, w, ct)]
            leaves = [t.requires_grad_() for t in on[:2]]
            y = tg.nn.functional.conv2d(*leaves, None, strides, padding, 1, groups)
            got = (y, *tg.autograd.grad(y, leaves, on[2]))
            want = convolution(x, w, ct, strides, padding, groups)
            for name, mine, right in zip(("value", "of x", "of w"), got, want, strict=True):
                assert (await mine.tolist_async()) == right, (what, name)
        seen |= choices.taken
    assert form in seen


@deadline(150)
@in_parts
@each(lambda device: ["one", "each"])
async def test_convolutions_of_an_input_with_gaps(device, form):
    """One for all remainders, and one for each: of an input with few numbers that are not zero."""
    import tabgrad as tg

    w, (high, wide) = made(1, 8, 3, 3, 3), (57, 87)
    points = [(c, 5 * c % high, 11 * c % wide, c - 3.5) for c in range(8)]
    x, want = zeros(1, 8, high, wide), zeros(1, 3, 2 * high + 1, 2 * wide + 1)
    for c, i, j, v in points:
        x[0][c][i][j] = v
        for o in range(3):
            for a in range(3):
                for b in range(3):
                    want[0][o][2 * i + a][2 * j + b] += v * w[c][o][a][b]
    names = []

    class Parted(Forced):
        def chosen(self, question, known):
            if not question.startswith("parts of a convolution"):
                return known[0]
            names.append(form)
            return form

    with forced(device, Parted()):
        y = tg.nn.functional.conv_transpose2d(
            *(tg.tensor(v, device=device) for v in (x, w)), stride=2
        )
        assert (await y.tolist_async()) == want
    assert names


@deadline(150)
@in_parts
@each(numbers(8))
async def test_products_in_registers_and_in_parts(device, case):
    """As on what is no GPU: odd sizes, and few elements with a long sum; operands as they lie and turned."""
    import random

    import tabgrad as tg

    rng, at = random.Random(3), int(case)
    with forced(device, Forced(at), software=True) as backend:
        for turn, (m, n, k) in enumerate(((13, 7, 9), (5, 3, 1024))):
            x, y = whole(rng, m, k), whole(rng, k, n)
            left, right = ((at + turn) >> bit & 1 for bit in (0, 1))
            one, two = (
                tg.tensor([*map(list, zip(*v, strict=True))] if turned else v, device=device)
                for v, turned in ((x, left), (y, right))
            )
            got = (one.mT if left else one) @ (two.mT if right else two)
            assert (await got.tolist_async()) == times(x, y), (m, n, k)
        asked = [a for s in backend.plans.values() for a in s.plan.asked.items()]
        (parts,) = [a for q, a in asked if q.startswith("parts of a product")]
    assert parts.taken == parts.names()[at % len(parts.names())]


@deadline(150)
@in_parts
@each(numbers(5))
async def test_parts_of_a_reduction(device, case):
    import tabgrad as tg

    at = int(case)
    rows = [[float((i * i + 7 * j * j + j) % 19 - 9) for j in range(6000)] for i in range(3)]
    with forced(device, Forced(at), software=at % 2 > 0) as backend:
        x = tg.tensor(rows, device=device)
        assert (await x.sum(1).tolist_async()) == [sum(r) for r in rows]
        assert (await x.amax(1).tolist_async()) == [max(r) for r in rows]
        asked = [a for s in backend.plans.values() for a in s.plan.asked.items()]
        parts = [a for q, a in asked if q.startswith("parts of a reduce")]
    assert {a.taken for a in parts} == {parts[0].names()[at % len(parts[0].names())]}


def gradient_forms(device):
    """The numbers of the forms of attention's gradient."""
    from tabgrad.lower.kernels.attention_gradient import FORMS

    return [str(number) for number in range(len(FORMS))]


@deadline(150)
@in_parts
@each(gradient_forms)
async def test_tiles_of_attentions_gradient(device, case):
    """Where all scores are alike every weight is a half: four keys of which half are masked, whole numbers."""
    import tabgrad as tg
    from tabgrad.core.op import REGISTRY

    q, k, v, ct = zeros(19, 4), made(1, 4, 4), made(2, 4, 7), made(3, 19, 7)
    mask = [[0.0 if (i + j) % 2 else -1e30 for j in range(4)] for i in range(19)]
    weights = [[0.5 if m == 0 else 0.0 for m in row] for row in mask]
    inner = times(ct, [*map(list, zip(*v, strict=True))])
    lost = [
        sum(w * d for w, d in zip(*both, strict=True)) for both in zip(weights, inner, strict=True)
    ]
    scores = [
        [w * (d - s) for w, d in zip(row, line, strict=True)]
        for row, line, s in zip(weights, inner, lost, strict=True)
    ]
    want = times(scores, [[0.25 * c for c in row] for row in k]), zeros(4, 4)
    want = (*want, times([*map(list, zip(*weights, strict=True))], ct))
    with forced(device, Forced(int(case))):
        given = [tg.tensor([m], device=device) for m in (ct, q, k, v, mask)]
        got = REGISTRY["attention_gradient"].bind(*given, causal=False, scale=0.25)
        for name, mine, right in zip(("q", "k", "v"), got, want, strict=False):
            assert (await mine.tolist_async())[0] == right, name
