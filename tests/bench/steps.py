"""Report how long training steps take on the CPU, beside PyTorch where it is installed; the two take turns.

    python -m tests.bench.steps                      # all, the slowest beside PyTorch first
    python -m tests.bench.steps --only lstm,unet     # some
    python -m tests.bench.steps --threads 2          # of BLAS and of PyTorch

Each figure is a median in milliseconds: of the process's own time, and of the clock if there are more threads.
The losses of the two are compared. It gates nothing: compare within one run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

STEPS = {}


def step(make):
    """Register what makes a model: its loss, parameters and optimizer."""
    STEPS[make.__name__] = make
    return make


def numbers(t, *shape, scale=1.0):
    """Return the same numbers in [-scale, scale) in both libraries."""
    count = 1
    for n in shape:
        count *= n
    k = t.arange(count, dtype=t.int64)
    return ((k * 7919 + 17) * 10007 % 65521).to(t.float32).reshape(shape) * (
        2 * scale / 65521
    ) - scale


def classes(t, below, *shape):
    """Return the same classes in both libraries."""
    return ((numbers(t, *shape) + 1) * (below / 2)).long().clamp(max=below - 1)


def filled(t, module):
    """Give the parameters of a module the same numbers in both libraries."""
    with t.no_grad():
        for name, p in module.named_parameters():
            if p.dim() > 1:
                p.copy_(numbers(t, *p.shape, scale=(3 / p[0].numel()) ** 0.5))
            elif "bias" in name:
                p.zero_()
    return module


def classified(t, model, x, y, optimizer=None):
    """Return the step of a classifier."""
    make = optimizer or (lambda p: t.optim.Adam(p, lr=1e-3, eps=1e-6))
    return model, lambda: t.nn.functional.cross_entropy(model(x), y), make(model.parameters())


@step
def mlp(t):
    """Three layers of 256."""
    nn = t.nn
    sizes = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    return classified(t, filled(t, sizes), numbers(t, 128, 784), classes(t, 10, 128))


@step
def small_mlp(t):
    """What courses train: two layers of 32, a batch of 32."""
    nn = t.nn
    model = filled(
        t,
        nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3)),
    )
    sgd = lambda p: t.optim.SGD(p, lr=0.1)  # noqa: E731
    return classified(t, model, numbers(t, 32, 10), classes(t, 3, 32), sgd)


@step
def norm_mlp(t):
    """Layer norms, GELU and dropout of nothing between layers of 384."""
    nn = t.nn
    block = lambda: (nn.LayerNorm(384), nn.Linear(384, 384), nn.GELU())  # noqa: E731
    model = filled(t, nn.Sequential(*block(), *block(), nn.LayerNorm(384), nn.Linear(384, 10)))
    adam = lambda p: t.optim.AdamW(p, lr=1e-3)  # noqa: E731
    return classified(t, model, numbers(t, 256, 384), classes(t, 10, 256), adam)


@step
def cnn(t):
    """Two convolutions with pooling."""
    nn = t.nn
    layers = (
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1568, 10),
    )  # fmt: skip
    sgd = lambda p: t.optim.SGD(p, lr=0.01, momentum=0.9)  # noqa: E731
    return classified(
        t, filled(t, nn.Sequential(*layers)), numbers(t, 32, 1, 28, 28), classes(t, 10, 32), sgd
    )


@step
def batch_norm_cnn(t):
    """Strided convolutions of 16 to 64 channels with batch norm, and an average over what is left."""
    nn = t.nn
    block = lambda i, o: (nn.Conv2d(i, o, 3, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())  # noqa: E731
    layers = (*block(3, 16), *block(16, 32), *block(32, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = filled(t, nn.Sequential(*layers, nn.Linear(64, 10)))
    return classified(t, model, numbers(t, 32, 3, 32, 32), classes(t, 10, 32))


@step
def depthwise(t):
    """Depth-wise separable convolutions."""
    nn = t.nn
    block = lambda i, o: (  # noqa: E731
        nn.Conv2d(i, i, 3, padding=1, groups=i), nn.Conv2d(i, o, 1), nn.GroupNorm(4, o), nn.SiLU(),
    )  # fmt: skip
    layers = (
        nn.Conv2d(3, 16, 3, 2, 1),
        *block(16, 32),
        *block(32, 32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    model = filled(t, nn.Sequential(*layers, nn.Linear(32, 10)))
    return classified(t, model, numbers(t, 16, 3, 32, 32), classes(t, 10, 16))


@step
def unet(t):
    """Down, up by a transposed convolution, and a skip."""
    nn = t.nn
    parts = nn.ModuleDict({
        "first": nn.Conv2d(1, 16, 3, padding=1), "down": nn.Conv2d(16, 32, 3, padding=1),
        "up": nn.ConvTranspose2d(32, 16, 2, stride=2), "last": nn.Conv2d(32, 1, 3, padding=1),
    })  # fmt: skip
    model, F = filled(t, parts), t.nn.functional
    x, y = numbers(t, 8, 1, 32, 32), numbers(t, 8, 1, 32, 32).flip(3)

    def loss():
        a = F.relu(model["first"](x))
        b = F.relu(model["down"](F.max_pool2d(a, 2)))
        return F.mse_loss(model["last"](t.cat([a, model["up"](b)], 1)), y)

    return model, loss, t.optim.Adam(model.parameters(), lr=1e-3)


class Last:
    """The last output of a recurrent module, and a layer behind it."""

    def __init__(self, t, module):
        self.parts = filled(t, t.nn.ModuleList([module, t.nn.Linear(64, 10)]))

    def parameters(self):
        """Return all parameters."""
        return self.parts.parameters()

    def __call__(self, x):
        return self.parts[1](self.parts[0](x)[0][:, -1])


@step
def lstm(t):
    """An LSTM of 64 over 24 steps."""
    model = Last(t, t.nn.LSTM(32, 64, batch_first=True))
    return classified(t, model, numbers(t, 32, 24, 32), classes(t, 10, 32))


@step
def gru(t):
    """Two layers of a GRU of 64 over 24 steps."""
    model = Last(t, t.nn.GRU(32, 64, num_layers=2, batch_first=True))
    return classified(t, model, numbers(t, 32, 24, 32), classes(t, 10, 32))


@step
def rnn(t):
    """A plain recurrent layer of 64 over 24 steps."""
    model = Last(t, t.nn.RNN(32, 64, batch_first=True))
    return classified(t, model, numbers(t, 32, 24, 32), classes(t, 10, 32))


@step
def gpt(t):
    """Two blocks with causal attention, width 64, 64 tokens, 8 at once."""
    nn, F = t.nn, t.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2 = nn.LayerNorm(64), nn.LayerNorm(64)
            self.qkv, self.out = nn.Linear(64, 192), nn.Linear(64, 64)
            self.wide, self.back = nn.Linear(64, 256), nn.Linear(256, 64)

        def forward(self, x):
            q, k, v = [
                a.reshape(8, 64, 4, 16).transpose(1, 2) for a in self.qkv(self.n1(x)).split(64, -1)
            ]
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(a.transpose(1, 2).reshape(8, 64, 64))
            return x + self.back(F.gelu(self.wide(self.n2(x)), approximate="tanh"))

    table, head = nn.Embedding(65, 64), nn.Linear(64, 65, bias=False)
    model = filled(t, nn.Sequential(table, Block(), Block(), nn.LayerNorm(64), head))
    tokens, y = classes(t, 65, 8, 64), classes(t, 65, 8, 64).flip(1)
    adam = t.optim.AdamW(model.parameters(), lr=1e-3)
    return model, lambda: F.cross_entropy(model(tokens).flatten(0, 1), y.flatten()), adam


@step
def encoder(t):
    """PyTorch's own encoder layer, twice, on 50 positions."""
    nn = t.nn
    layer = lambda: nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)  # noqa: E731
    model, head = filled(t, nn.ModuleList([layer(), layer()])), filled(t, nn.Linear(64, 10))
    x, y = numbers(t, 8, 50, 64), classes(t, 10, 8)
    sgd = t.optim.SGD([*model.parameters(), *head.parameters()], lr=0.01)
    return model, lambda: t.nn.functional.cross_entropy(head(model[1](model[0](x)).mean(1)), y), sgd


@step
def words(t):
    """A table of 5,000 rows, and a loss over as many classes."""
    nn = t.nn
    model = filled(t, nn.Sequential(nn.Embedding(5000, 64), nn.Flatten(), nn.Linear(256, 5000)))
    return classified(t, model, classes(t, 5000, 64, 4), classes(t, 5000, 64))


@step
def autoencoder(t):
    """Sigmoids, and a loss of every pixel."""
    nn, F = t.nn, t.nn.functional
    model = filled(t, nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 784)))
    x = (numbers(t, 128, 784) + 1) / 2
    adam = t.optim.Adam(model.parameters(), lr=1e-3)
    return model, lambda: F.binary_cross_entropy_with_logits(model(x), x), adam


def serve(name, threads):
    """For each line, a workload and a time in seconds, answer the times of steps and the first losses."""
    library = __import__(name)
    if name == "tabgrad":
        library.set_default_device("cpu")
    else:
        library.set_num_threads(threads)
    made, losses = {}, {}
    for line in sys.stdin:
        which, seconds = line.split()
        if which not in made:
            made[which], losses[which] = STEPS[which](library), []
        _, loss, optimizer = made[which]
        clock = time.process_time if threads == 1 else time.perf_counter
        times, end = [], clock() + float(seconds)
        while clock() < end or len(times) < 4:
            start = clock()
            optimizer.zero_grad()
            y = loss()
            y.backward()
            optimizer.step()
            losses[which].append(y.item())
            times.append((clock() - start) * 1e3)
        print(json.dumps([times[2:], losses[which][:6]]), flush=True)


def started(python, name, threads):
    """Start a process that serves one of the libraries."""
    return subprocess.Popen(
        [python, "-m", "tests.bench.steps", "--serve", name, "--threads", str(threads)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": str(threads)},
    )  # fmt: skip


def measured(servers, names, rounds, seconds):
    """Return the times of each workload by library, and the first losses; the libraries take turns."""
    times = {name: {which: [] for which in names} for name in servers}
    losses = {name: {} for name in servers}
    for _ in range(rounds):
        for which in names:
            for name, server in servers.items():
                server.stdin.write(f"{which} {seconds}\n")
                server.stdin.flush()
                found, losses[name][which] = json.loads(server.stdout.readline())
                times[name][which] += found
    return times, losses


def has_torch(python):
    """Tell whether this Python has PyTorch."""
    return not subprocess.run(
        [python, "-c", "import torch"], capture_output=True, check=False
    ).returncode


def main():
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="comma list of workloads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds", type=float, default=0.4, help="for each workload in each round"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--python", default=sys.executable, help="the Python that has PyTorch")
    given = parser.parse_args()
    if given.serve:
        return serve(given.serve, given.threads)
    names = [name for name in given.only.split(",") if name] or list(STEPS)
    servers = {"tabgrad": started(sys.executable, "tabgrad", given.threads)}
    if has_torch(given.python):
        servers["torch"] = started(given.python, "torch", given.threads)
    try:
        times, losses = measured(servers, names, given.rounds, given.seconds)
    finally:
        for server in servers.values():
            server.stdin.close()
            server.wait()
    report(names, times, losses)
    return None


def report(names, times, losses):
    """Print the table, the slowest beside PyTorch first."""
    middle = {
        lib: {w: statistics.median(ms) for w, ms in found.items()} for lib, found in times.items()
    }
    ours, theirs = middle["tabgrad"], middle.get("torch", middle["tabgrad"])
    print(
        f"{'step':16}{'tabgrad':>10}{'least':>10}{'torch':>10}{'least':>10}{'ratio':>8}  losses differ by"
    )
    for which in sorted(names, key=lambda which: -ours[which] / theirs[which]):
        row = f"{which:16}{ours[which]:10.2f}{min(times['tabgrad'][which]):10.2f}"
        if "torch" in times:
            pairs = zip(losses["tabgrad"][which], losses["torch"][which], strict=True)
            apart = max(abs(a - b) / max(1, abs(b)) for a, b in pairs)
            row += f"{theirs[which]:10.2f}{min(times['torch'][which]):10.2f}"
            row += f"{ours[which] / theirs[which]:8.2f}  {apart:.0e}"
        print(row)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
