"""What checkpoints and budgets save on a device."""

import pytest

import tabgrad as tg
from tabgrad.utils.checkpoint import checkpoint_sequential, memory_budget
from tests.autograd.test_budget import LAYERS, ONE, WIDTH, forward, gradients, network


@pytest.mark.one_host("wgpu")
@pytest.mark.parametrize("how", ["sequential", "budget"])
def test_the_peak_of_a_device_falls_as_the_square_root(device, how):
    weights, x = network(device)
    layers = [lambda x, w=w: (x @ w).tanh() for w in weights]

    def within(x):
        with memory_budget(8 * ONE):
            return forward(weights, x)

    ways = {
        "plain": lambda x: forward(weights, x),
        "sequential": lambda x: checkpoint_sequential(layers, 8, x),
        "budget": within,
    }

    def peak(run):
        tg.profiler.memory(reset_peak=True)
        before = tg.profiler.memory().bytes
        gradients(weights, x, run)
        return tg.profiler.memory().peak - before

    peak(ways["plain"])
    weight_gradients = LAYERS * WIDTH * WIDTH * 4
    plain, less = peak(ways["plain"]), peak(ways[how])
    assert plain >= LAYERS * ONE
    # eight activations between groups, eight inside of one, and what is in flight
    assert less - weight_gradients <= 26 * ONE
