"""Newton against gradient descent: knowing how the slope changes beats knowing the slope alone.

Newton's step needs no matrix: products with the Hessian are enough for conjugate gradients to solve for it.
"""

import math

import tabgrad as tg
from tabgrad import func
from tabgrad.utils import progress

rate = 0.0015
steps = 60
start = [-1.2, 1.4]


def valley(p: tg.Tensor) -> tg.Tensor:
    """Rosenbrock's function: a curved valley, steep across and flat along; the lowest point is (1, 1)."""
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def newton_step(p: tg.Tensor) -> tg.Tensor:
    """Solve H s = -g by conjugate gradients, each of which asks for one product with the Hessian H."""
    slope = func.grad(valley)(p)
    s, rest = tg.zeros_like(p), -slope
    way = rest
    for _ in range(len(p)):
        _, (product,) = func.hvp(valley, (p,), (way,))
        bend = way @ product
        if bend <= 0:  # the valley curves down here: the slope must do
            return s if s.any() else -slope
        size = (rest @ rest) / bend
        s, left = s + size * way, rest - size * product
        way, rest = left + (left @ left) / (rest @ rest) * way, left
        if rest @ rest < 1e-10:
            break
    return s


def careful(p: tg.Tensor, s: tg.Tensor) -> tg.Tensor:
    """Go along a step, or half of it and so on, until it leads down."""
    while valley(p + s) > valley(p):
        s = s / 2
    return p + s


drawing = tg.viz.landscape(valley, (-1.6, 1.6), (-0.6, 1.8), size=36, levels=9)
plain = newton = tg.tensor(start)
ways: dict[str, list[tg.Tensor]] = {"gradient descent": [plain], "Newton": [newton]}
for k in range(steps):
    plain = plain - rate * func.grad(valley)(plain)
    ways["gradient descent"].append(plain)
    if valley(newton) > 1e-9:
        newton = careful(newton, newton_step(newton))
        ways["Newton"].append(newton)
    if k % 10 == 9:
        drawing.paths = {name: tg.stack(way).tolist() for name, way in ways.items()}
        progress.show(drawing, place="valley")

heights = {name: [valley(p).item() for p in way] for name, way in ways.items()}
logs = {name: [math.log10(max(h, 1e-9)) for h in its] for name, its in heights.items()}
print("log10 of the height, step by step:")
progress.show(tg.viz.show(logs), place="heights")
for name, its in heights.items():
    print(f"{name:16} ends at height {its[-1]:.1e} after {len(its) - 1} steps")
