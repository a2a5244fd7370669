"""The benchmark's workloads: ordinary PyTorch code, run with tabgrad, and natively with PyTorch too.

README.md defines them.
"""

import importlib

WORKLOADS = {}


def use(library, device):
    """Run the workloads with `library`, "tabgrad" or "torch", on `device`."""
    global tg, func, optim, F, Parameter, native
    tg = importlib.import_module(library)
    func = importlib.import_module(f"{library}.func")
    optim = importlib.import_module(f"{library}.optim")
    F = importlib.import_module(f"{library}.nn.functional")
    Parameter = importlib.import_module(f"{library}.nn").Parameter
    native = library == "torch"
    tg.set_default_device(device)


async def start():
    """Connect to the GPU."""
    from tabgrad.hosts.devices import connect_async

    await connect_async("webgpu")
    use("tabgrad", "webgpu")


async def first():
    """Return the first number computed."""
    return await (tg.tensor([1.0, 2.0, 3.0, 4.0]) * 2).sum().item_async()


def make(name, mode, inputs):
    """Return a workload; `mode` is eager, jit or jit20."""
    return WORKLOADS[name](inputs, mode)


def tensor(part):
    """Return a tensor of {shape, data}."""
    return tg.frombuffer(part["data"], dtype=tg.float32).reshape(tuple(part["shape"]))


def integers(values, *shape):
    """Return class numbers or tokens. PyTorch takes them as int64 only."""
    found = tg.frombuffer(values, dtype=tg.int32).reshape(shape)
    return found.long() if native or found.is_cpu else found


def workload(cls):
    """Register a workload by the name of its class."""
    WORKLOADS[cls.__name__.lower()] = cls
    return cls


class Work:
    """One workload: `prepare` makes the inputs and returns the function that does the work of a unit."""

    check = None

    def __init__(self, inputs, mode):
        self.mode = mode
        self.run = self.prepare(inputs)

    def jit(self, fn):
        """Return `fn`, compiled unless the mode is eager."""
        return fn if self.mode == "eager" else tg.compile(fn)

    def result(self):
        """Issue the work of one unit; return the tensor that holds the number read."""
        return self.run()

    async def work(self):
        """Return the estimated operations and bytes of one unit."""
        from roofline import work_of

        y = None

        def run():
            nonlocal y
            y = self.result()
            tg.device("webgpu").backend.flush()

        found = work_of(tg.device("webgpu").backend, run)
        await y.item_async()
        return list(found)

    def unit(self, mark):
        """Do one timed unit: wait for its number, as programs do."""
        y = self.result()
        mark()
        return y.item()

    def close(self):
        """Drop everything."""
        self.__dict__.clear()


class Product(Work):
    """A workload whose whole result is checked."""

    def result(self):
        return self.run()[5, 7]

    async def check(self):
        return await (self.run() ** 2).sum().item_async()


@workload
class Roundtrip(Work):
    def prepare(self, inputs):
        x, f = tg.zeros(1000), self.jit(lambda x: x + 1)
        return lambda: f(x)[3]


@workload
class Matmul(Product):
    def prepare(self, inputs):
        a, b, f = tensor(inputs["a"]), tensor(inputs["b"]), self.jit(lambda a, b: a @ b)
        return lambda: f(a, b)


@workload
class Chain(Work):
    def prepare(self, inputs):
        x = tensor(inputs["x"])

        def chain(x):
            y = tg.exp(tg.tanh(x * 1.5 + 0.25) * x) - 0.5
            return (tg.sqrt(tg.abs(y)).clamp(min=0.1) * 0.5).sum()

        f = self.jit(chain)
        return lambda: f(x)


@workload
class Softmax(Product):
    def prepare(self, inputs):
        x, f = tensor(inputs["x"]), self.jit(lambda x: F.softmax(x, dim=-1))
        return lambda: f(x)


@workload
class Fft(Work):
    def prepare(self, inputs):
        x = tg.complex(tensor(inputs["re"]), tensor(inputs["im"]))
        f = self.jit(lambda x: tg.view_as_real(tg.fft.fft(x)))
        return lambda: f(x)

    def result(self):
        return self.run()[0, 7, 0]

    async def check(self):
        return await (self.run() ** 2).sum().item_async()


class Decomposition(Work):
    place = (0, 0)

    def prepare(self, inputs):
        x, f = self.matrix(tensor(inputs["x"])), self.jit(self.factor)
        return lambda: f(x)

    def matrix(self, x):
        return x

    def result(self):
        return self.run()[self.place]

    async def check(self):
        return await (self.run() ** 2).sum().item_async()


@workload
class Cholesky(Decomposition):
    place = (0, 5, 3)

    def matrix(self, x):
        return (x + x.mT) / 2 + x.shape[-1] * tg.eye(x.shape[-1])

    def factor(self, x):
        return tg.linalg.cholesky_ex(x)[0]


@workload
class Lu(Decomposition):
    place = (0, 5, 7)

    def factor(self, x):
        return tg.linalg.lu_factor_ex(x)[0]


@workload
class Qr(Decomposition):
    place = (0, 5, 7)

    def factor(self, x):
        return tg.linalg.qr(x)[1]


@workload
class Eigh(Decomposition):
    def matrix(self, x):
        return (x + x.mT) / 2

    def factor(self, x):
        return tg.linalg.eigh(x)[0]


@workload
class Svd(Decomposition):
    def factor(self, x):
        return tg.linalg.svd(x, full_matrices=False)[1]


@workload
class Tiny(Work):
    def prepare(self, inputs):
        x = tensor(inputs["x"])
        calls = 10 if self.mode == "jit20" else 1

        def block(x):
            for _ in range(100 // calls):
                x = x * 0.99
                x = x + 0.01
            return x

        f = self.jit(block)

        def run():
            y = x
            for _ in range(calls):
                y = f(y)
            return y[3]

        return run


@workload
class Record(Work):
    """A thousand operations whose results nobody wants, but the last."""

    def prepare(self, inputs):
        x, y = tensor(inputs["x"]), tensor(inputs["y"])

        def run():
            for _ in range(500):
                z = x * 1.5 + y
            return z[3]

        return run


class Training(Work):
    """A training step: `loss(parameters)` after `prepare`d parameters, data and optimizer."""

    def prepare(self, inputs):
        self.p = {k: Parameter(tensor(v)) for k, v in inputs["params"].items()}
        self.data(inputs)
        self.optimizer = self.optim(list(self.p.values()))

        def step():
            self.optimizer.zero_grad()
            loss = self.loss(self.p)
            loss.backward()
            self.optimizer.step()
            return loss.detach()

        return self.jit(step)

    def optim(self, parameters):
        return optim.Adam(parameters, lr=1e-3, eps=1e-6)


@workload
class Mlp(Training):
    def data(self, inputs):
        self.x, self.y = tensor(inputs["x"]), integers(inputs["labels"], 128)

    def loss(self, p):
        h = self.x
        for k in range(3):
            h = h @ p[f"w{k}"] + p[f"b{k}"]
            h = F.relu(h) if k < 2 else h
        return F.cross_entropy(h, self.y)


@workload
class Cnn(Training):
    """tabgrad's convolutions are channels-first: weights are permuted once, outside of the timing."""

    def data(self, inputs):
        p = self.p
        with tg.no_grad():
            for k in ("k1", "k2"):
                p[k] = Parameter(p[k].permute(3, 2, 0, 1).contiguous())
            p["w"] = Parameter(p["w"].reshape(7, 7, 32, 10).permute(2, 0, 1, 3).reshape(1568, 10))
        self.x = tensor(inputs["x"]).reshape(32, 1, 28, 28)
        self.y = integers(inputs["labels"], 32)

    def optim(self, parameters):
        return optim.SGD(parameters, lr=0.01, momentum=0.9)

    def loss(self, p):
        h = F.max_pool2d(F.relu(F.conv2d(self.x, p["k1"], p["c1"], padding=1)), 2)
        h = F.max_pool2d(F.relu(F.conv2d(h, p["k2"], p["c2"], padding=1)), 2)
        return F.cross_entropy(h.flatten(1) @ p["w"] + p["b"], self.y)


@workload
class Gpt(Training):
    def data(self, inputs):
        self.shape = tuple(int(inputs[k]) for k in ("B", "S", "D", "H", "L"))
        batch, length = self.shape[:2]
        self.tokens = integers(inputs["tokens"], batch, length)
        self.targets = integers(inputs["targets"], batch * length)

    def loss(self, p):
        batch, length, width, heads, layers = self.shape
        norm = lambda x, g, b: F.layer_norm(x, (width,), g, b, 1e-5)  # noqa: E731
        x = F.embedding(self.tokens, p["wte"]) + p["wpe"]
        for layer in range(layers):
            q = lambda name, at=layer: p[f"l{at}_{name}"]  # noqa: E731
            qkv = norm(x, q("ln1g"), q("ln1b")) @ q("wqkv") + q("bqkv")
            split = [
                t.reshape(batch, length, heads, -1).transpose(1, 2) for t in qkv.split(width, -1)
            ]
            a = F.scaled_dot_product_attention(*split, is_causal=True)
            x = x + (a.transpose(1, 2).reshape(batch, length, width) @ q("wo") + q("bo"))
            h = F.gelu(norm(x, q("ln2g"), q("ln2b")) @ q("w1") + q("b1"), approximate="tanh")
            x = x + (h @ q("w2") + q("b2"))
        logits = norm(x, p["lnfg"], p["lnfb"]) @ p["head"]
        return F.cross_entropy(logits.reshape(batch * length, -1), self.targets)


@workload
class Hvp(Work):
    """Forward over reverse."""

    def prepare(self, inputs):
        p = {k: tensor(v) for k, v in inputs["params"].items()}
        v = {k: tensor(t) for k, t in inputs["v"].items()}
        x, y = tensor(inputs["x"]), tensor(inputs["y"])

        def loss(p):
            out = tg.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
            return ((out - y) ** 2).mean()

        def product(p, v):
            _, hv = func.jvp(func.grad(loss), (p,), (v,))
            return sum((hv[k] * v[k]).sum() for k in hv)

        f = self.jit(product)
        return lambda: f(p, v)


__all__ = ["first", "make", "start", "use"]
