"""Report how long the commonest calls take on small tensors of the CPU, beside PyTorch where it is installed.

    python -m tests.bench.small                 # the whole table, the slowest first
    python -m tests.bench.small --only softmax  # calls with the text in them
    python -m tests.bench.small --python /path/to/python/with/torch

Each figure is the least of many turns, in microseconds of the thread's own time. The two libraries take turns,
one process each, so that other work on the machine disturbs both. It gates nothing: compare within one run.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time

CALLS = (
    """
x+y|x*2|x-y|x/y|x**2|-x|abs(x)|x@m|m@m|t.matmul(m,m)|t.mm(m,m)|t.exp(x)|t.log(p)|t.sqrt(p)|t.sin(x)|t.tanh(x)
t.sigmoid(x)|t.relu(x)|F.relu(x)|F.gelu(x)|F.softmax(m,1)|F.log_softmax(m,1)|F.cross_entropy(m,c)|F.mse_loss(x,y)
F.linear(m,m,x)|F.layer_norm(m,(6,))|F.one_hot(c,6)|F.pad(m,(1,1))|F.normalize(m)|F.dropout(m,0.5)|F.embedding(c,m)
x.sum()|x.mean()|m.sum(0)|m.mean(1)|m.std()|m.var(0)|x.max()|m.max(1)|m.argmax(1)|x.min()|m.norm()|m.prod()
m.cumsum(0)|t.cat([m,m])|t.stack([x,y])|m.reshape(36)|m.view(-1)|m.T|m.t()|m.transpose(0,1)|m.permute(1,0)
m.unsqueeze(0)|m[None].squeeze(0)|m.flatten()|m[0]|m[:,1]|m[1:3]|m[c]|m[m>0]|m.expand(3,6,6)|m.repeat(2,1)|m.clone()
m.detach()|m.contiguous()|m.float()|m.long()|m.double()|m.to(t.float64)|t.zeros(6)|t.ones(6)|t.full((6,),2.)
t.arange(6)|t.linspace(0,1,6)|t.eye(6)|t.rand(6)|t.randn(6)|t.randint(0,6,(6,))|t.randint(6,(1,))|t.randperm(6)
t.tensor([1.,2.,3.])|t.tensor(3.)|t.zeros_like(x)|t.ones_like(x)|t.randn_like(x)|t.where(x>0,x,y)|x>y|x==y
(x>0).any()|(x>0).all()|t.clamp(x,0,1)|x.clamp(min=0)|t.maximum(x,y)|t.sort(x)|t.topk(x,3)|t.argsort(x)|t.unique(c)
t.bincount(c)|t.multinomial(p,2)|t.einsum('ij,jk->ik',m,m)|t.outer(x,y)|t.dot(x,y)|t.triu(m)|t.tril(m)
m.masked_fill(m>0,0.)|m.gather(1,c[:,None])|x[0].item()|x.tolist()|m.chunk(2)|m.split(3)|t.logsumexp(m,1)
t.isnan(x).any()|t.allclose(x,y)|z.add_(0)|z.mul_(1)|z.copy_(y)|F.conv2d(i,w)|F.max_pool2d(i,2)|F.avg_pool2d(i,2)
t.flip(x,(0,))|t.roll(x,1)|t.meshgrid(x,y,indexing='ij')|t.bmm(b,b)|t.floor(x)|t.round(x)|t.sign(x)|t.nonzero(x>0)
t.cdist(m,m)|t.linalg.norm(m)|t.linalg.inv(q)|t.linalg.solve(q,x)
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
TURNS, REPEATS = 6, 60


def operands(library):
    """Return the names that the calls use, made by one of the libraries."""
    numbers = [math.sin(k * 1.7) for k in range(36)]
    m = library.tensor(numbers).reshape(6, 6).clone()
    x, y = m[0].clone(), m[1].clone()
    return {
        "t": library, "F": library.nn.functional, "m": m, "x": x, "y": y, "z": x.clone(), "p": abs(x) + 0.1,
        "c": library.tensor([0, 3, 1, 5, 2, 2]), "q": m @ m.T + library.eye(6), "b": m[None].repeat(3, 1, 1),
        "i": library.tensor(numbers * 2).reshape(1, 2, 6, 6).clone(),
        "w": library.tensor(numbers).reshape(2, 2, 3, 3).clone(),
    }  # fmt: skip


def serve(name):
    """Answer each call that a line names with its time in microseconds, until the input ends."""
    library = __import__(name)
    if name == "tabgrad":
        library.set_default_device("cpu")
    else:
        library.set_num_threads(1)
    names = operands(library)
    for line in sys.stdin:
        program = f"def run():\n for _ in range({REPEATS}):\n  {line}"
        exec(program, names)
        names["run"]()
        best = math.inf
        for _ in range(TURNS):
            start = time.thread_time()
            names["run"]()
            best = min(best, time.thread_time() - start)
        print(json.dumps(best / REPEATS * 1e6), flush=True)


def started(python, name):
    """Start a process that serves one of the libraries."""
    return subprocess.Popen(
        [python, "-m", "tests.bench.small", "--serve", name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip


def has_torch(python):
    """Tell whether this Python has PyTorch."""
    found = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    return found.returncode == 0


def measured(servers, calls, rounds):
    """Return the least time of each call by library; the libraries take turns."""
    found = {name: dict.fromkeys(calls, math.inf) for name in servers}
    for _ in range(rounds):
        for call in calls:
            for name, server in servers.items():
                server.stdin.write(call + "\n")
                server.stdin.flush()
                found[name][call] = min(found[name][call], json.loads(server.stdout.readline()))
    return found


def main():
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="calls with this text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="the Python that has PyTorch")
    given = parser.parse_args()
    if given.serve:
        return serve(given.serve)
    calls = [call for call in CALLS if given.only in call]
    servers = {"tabgrad": started(sys.executable, "tabgrad")}
    if has_torch(given.python):
        servers["torch"] = started(given.python, "torch")
    try:
        found = measured(servers, calls, given.rounds)
    finally:
        for server in servers.values():
            server.stdin.close()
            server.wait()
    ours, theirs = found["tabgrad"], found.get("torch", {})
    for call in sorted(calls, key=lambda call: -ours[call]):
        beside = f"{theirs[call]:8.1f} {ours[call] / theirs[call]:6.1f}x" if theirs else ""
        print(f"{call:32s}{ours[call]:8.1f} {beside}")
    print(f"\n{len(calls)} calls, {sum(t <= 10 for t in ours.values())} of at most 10 us", end="")
    near = sum(ours[call] <= 3 * theirs[call] for call in theirs)
    print(f", {near} within 3 times PyTorch's" if theirs else "; PyTorch is not installed")
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    return None


if __name__ == "__main__":
    main()
