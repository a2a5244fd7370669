"""An LSTM over all times in NumPy, and its gradient: a loop with few calls for each time."""

from __future__ import annotations

from typing import Any

from tabgrad.core.lazy_numpy import np
from tabgrad.core.op import Array


class Sweep:
    """Runs an LSTM from the first of its times to the last, and keeps what the gradient needs.

    `gates` [T, N, 4H] are the inputs' parts with both biases, `h` and `c` [N, H] the state before, `weight`
    [4H, H] that of the state; the gates are in the order i, f, g, o. `outputs` are [T, N, H], `cell` [N, H].
    """

    def __init__(self, gates: Array, h: Array, c: Array, weight: Array) -> None:
        times, batch, width = gates.shape
        self.size = size = width // 4
        self.weight, self.h = weight, h
        self.gates = np.empty((times, batch, width), gates.dtype)
        self.cells = np.empty((times + 1, batch, size), gates.dtype)
        self.bent = np.empty((times, batch, size), gates.dtype)
        self.outputs = np.empty((times, batch, size), gates.dtype)
        self.cells[0] = c
        turned = np.ascontiguousarray(weight.T)
        with np.errstate(all="ignore"):
            for t in range(times):
                a = self.gates[t]
                np.matmul(h, turned, out=a)
                a += gates[t]
                h = self._step(t, a)
        self.cell = self.cells[times]

    def _step(self, t: int, a: Array) -> Array:
        """Bend the gates in place, and compute the cell and the output."""
        n = self.size
        inner = np.tanh(a[:, 2 * n : 3 * n])
        np.negative(a, out=a)
        np.exp(a, out=a)
        a += 1
        np.reciprocal(a, out=a)
        a[:, 2 * n : 3 * n] = inner
        c = self.cells[t + 1]
        np.multiply(a[:, n : 2 * n], self.cells[t], out=c)
        inner *= a[:, :n]
        c += inner
        np.tanh(c, out=self.bent[t])
        return np.multiply(a[:, 3 * n :], self.bent[t], out=self.outputs[t])

    def pull(self, outputs: Any, cell: Any) -> tuple[Array, Array, Array, Array]:
        """Return the gradients of gates, h, c and weight, from those of the outputs and the cell, or None."""
        times, batch, width = self.gates.shape
        n = self.size
        found = np.empty_like(self.gates)
        dh = np.zeros((batch, n), found.dtype)
        dc = np.zeros_like(dh) if cell is None else cell.copy()
        with np.errstate(all="ignore"):
            for t in reversed(range(times)):
                if outputs is not None:
                    dh = dh + outputs[t]
                self._back(t, found[t], dh, dc)
                dh = np.matmul(found[t], self.weight)
            rows = found.reshape(times * batch, width)
            before = np.concatenate([self.h[None], self.outputs[:-1]]).reshape(times * batch, n)
            return found, dh, dc, np.matmul(rows.T, before)

    def _back(self, t: int, d: Array, dh: Array, dc: Array) -> None:
        """Write the gradient of the gates of one time, and move that of the cell to the time before."""
        n = self.size
        a, bent = self.gates[t], self.bent[t]
        i, f, g, o = (a[:, k * n : (k + 1) * n] for k in range(4))
        slope = bent * bent
        np.subtract(1, slope, out=slope)
        slope *= o
        slope *= dh
        dc += slope
        np.multiply(dc, g, out=d[:, :n])
        np.multiply(dc, self.cells[t], out=d[:, n : 2 * n])
        np.multiply(dh, bent, out=d[:, 3 * n :])
        d[:, 2 * n : 3 * n] = 0
        slopes = 1 - a
        slopes *= a
        d *= slopes
        inner = g * g
        np.subtract(1, inner, out=inner)
        inner *= i
        np.multiply(inner, dc, out=d[:, 2 * n : 3 * n])
        dc *= f
