"""Gradient descent in a valley that is narrow one way: too small a rate crawls, too large a one leaps out."""

import tabgrad as tg
from tabgrad.utils import progress

rate = 0.08
momentum = 0.0

STEPS = 60
CURVATURE = tg.tensor([1.0, 12.0])


def height(p: tg.Tensor) -> tg.Tensor:
    return 0.5 * (CURVATURE * p * p).sum()


class Path:
    """The way down, drawn over lines of equal height."""

    def __init__(self, points: list[list[float]]) -> None:
        self.points = points

    def _repr_svg_(self) -> str:
        rings = [
            f'<ellipse cx="0" cy="0" rx="{2.2 * h:.2f}" ry="{2.2 * h / 12**0.5:.2f}"/>'
            for h in (0.2, 0.4, 0.6, 0.8, 1.0)
        ]
        inside = [(x, -y) for x, y in self.points if abs(x) < 9 and abs(y) < 9]
        line = " ".join(f"{x:.3f},{y:.3f}" for x, y in inside)
        dots = "".join(f'<circle cx="{x:.3f}" cy="{y:.3f}" r="0.025"/>' for x, y in inside)
        return (
            '<svg viewBox="-2.5 -1.1 5 2.2" width="560" height="246" role="img" aria-label="way down">'
            '<g fill="none" stroke="currentColor" stroke-opacity="0.3" stroke-width="0.012">'
            f"{''.join(rings)}</g>"
            f'<polyline points="{line}" fill="none" stroke="#2563d9" stroke-width="0.02"/>'
            f'<g fill="#2563d9">{dots}</g></svg>'
        )


def walk() -> None:
    p = tg.tensor([-2.0, 0.8], requires_grad=True)
    speed = tg.zeros(2)
    points = [p.detach()]
    for _ in range(STEPS):
        (slope,) = tg.autograd.grad(height(p), p)
        speed = momentum * speed - rate * slope
        p = (p + speed).detach().requires_grad_()
        points.append(p.detach())
    progress.show(Path(tg.stack(points).tolist()), place="path")
    progress.show(f"height after {STEPS} steps: {height(p).item():.2e}", place="height")


walk()
