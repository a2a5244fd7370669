"""The workloads of the long list: `cases.json` has their inputs, README.md says what each computes."""

import workloads
from workloads import Training, Work, integers, workload


class Momentum(Training):
    """A training step of the long list."""

    def data(self, inputs):
        for name in ("x", "y"):
            if name in inputs:
                setattr(self, name, workloads.tensor(inputs[name]))
        if "labels" in inputs:
            labels = inputs["labels"]
            self.labels = integers(labels["data"], *labels["shape"])

    def optim(self, parameters):
        return workloads.optim.SGD(parameters, lr=0.01, momentum=0.9)


class Derivative(Work):
    """A matrix of derivatives; its sum of squares is read."""

    def prepare(self, inputs):
        p = {k: workloads.tensor(v) for k, v in inputs.items()}
        f = self.jit(lambda p: (self.matrix(p) ** 2).sum())
        return lambda: f(p)


@workload
class Jacrev(Derivative):
    def matrix(self, p):
        tanh = workloads.tg.tanh
        return workloads.func.jacrev(lambda x: tanh(tanh(x @ p["w1"]) @ p["w2"]))(p["x"])


@workload
class Hessian(Derivative):
    def matrix(self, p):
        tanh = workloads.tg.tanh
        return workloads.func.hessian(lambda x: (tanh(x @ p["w1"]) * p["w2"]).sum())(p["x"])


@workload
class Strided(Momentum):
    def loss(self, p):
        h = self.x
        for name in ("k1", "k2", "k3"):
            h = workloads.F.relu(workloads.F.conv2d(h, p[name], stride=2, padding=1))
        return workloads.F.cross_entropy(h.mean((2, 3)) @ p["w"], self.labels)


@workload
class Unet(Momentum):
    def loss(self, p):
        conv, relu = workloads.F.conv2d, workloads.F.relu
        top = relu(conv(self.x, p["k1"], padding=1))
        low = relu(conv(workloads.F.max_pool2d(top, 2), p["k2"], padding=1))
        up = workloads.F.conv_transpose2d(low, p["up"], stride=2)
        h = relu(conv(workloads.tg.cat([top, up], 1), p["k3"], padding=1))
        return ((conv(h, p["k4"]) - self.y) ** 2).mean()


@workload
class Separable(Momentum):
    def loss(self, p):
        conv, h = workloads.F.conv2d, self.x
        for i, pad in ((1, 1), (2, 2)):
            h = conv(h, p[f"k{i}"], padding=pad, groups=h.shape[1])
            h = conv(h, p[f"p{i}"])
            mean, var = (
                h.mean((0, 2, 3), keepdim=True),
                h.var((0, 2, 3), correction=0, keepdim=True),
            )
            gain = p[f"g{i}"].reshape(1, -1, 1, 1)
            h = workloads.F.relu((h - mean) / (var + 1e-5).sqrt() * gain)
        return workloads.F.cross_entropy(h.mean((2, 3)) @ p["w"], self.labels)


@workload
class Lstm(Momentum):
    def loss(self, p):
        tg = workloads.tg
        h = c = tg.zeros(16, 64)
        for t in range(24):
            i, f, g, o = (self.x[t] @ p["wx"] + h @ p["wh"] + p["b"]).chunk(4, 1)
            c = tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)
            h = tg.sigmoid(o) * tg.tanh(c)
        return workloads.F.cross_entropy(h @ p["w"], self.labels)


@workload
class Flow(Momentum):
    """Twelve steps of an equation whose right side is a network."""

    def loss(self, p):
        h = self.x
        for _ in range(12):
            h = h + (workloads.tg.tanh(h @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]) / 12
        return ((h - self.y) ** 2).mean()


@workload
class Products(Momentum):
    def loss(self, p):
        scores = p["a"] @ p["b"].mT
        return ((scores @ p["c"]) ** 2).mean()


@workload
class Attention(Momentum):
    def loss(self, p):
        y = workloads.F.scaled_dot_product_attention(p["q"], p["k"], p["v"], is_causal=True)
        return (y**2).mean()


@workload
class Block(Momentum):
    def loss(self, p):
        h = workloads.F.layer_norm(self.x, (200,), p["g"], p["b"], 1e-5)
        h = workloads.F.gelu(h @ p["w1"], approximate="tanh") @ p["w2"]
        return ((self.x + h - self.y) ** 2).mean()


@workload
class Vocabulary(Momentum):
    def loss(self, p):
        return workloads.F.cross_entropy(self.x @ p["w"], self.labels)


@workload
class Reads(Work):
    """Fifty small operations, each result read by the program."""

    def prepare(self, inputs):
        x = workloads.tensor(inputs["x"])

        def run():
            return sum((x * (1 + i)).sum().item() for i in range(50))

        return run

    def unit(self, mark):
        found = self.run()
        mark()
        return found


class Kernel(Work):
    """One function of tensors; element 7 of its result is read."""

    def prepare(self, inputs):
        p = [workloads.tensor(v) for k, v in inputs.items() if k != "labels"]
        f = self.jit(self.function)
        return lambda: f(*p)

    def result(self):
        return self.run().reshape(-1)[7]


@workload
class Matvec(Kernel):
    def function(self, a, x):
        return a @ x


@workload
class Rows(Kernel):
    def function(self, x):
        return workloads.tg.logsumexp(x, 1)


@workload
class Columns(Kernel):
    def function(self, x):
        return x.sum(0)


@workload
class Argmax(Kernel):
    def function(self, x):
        return x.argmax(0)


@workload
class Variance(Kernel):
    def function(self, x):
        var, mean = workloads.tg.var_mean(x, 0, correction=0)
        return var + mean


@workload
class Embedding(Work):
    """The gradient of a table; an element of the first row that was looked up is read."""

    def prepare(self, inputs):
        w, labels = workloads.tensor(inputs["w"]), inputs["labels"]
        self.row = memoryview(labels["data"]).cast("B").cast("i")[0]
        index = integers(labels["data"], *labels["shape"])
        look_up = workloads.F.embedding
        f = self.jit(workloads.func.grad(lambda w: (look_up(index, w) ** 2).sum()))
        return lambda: f(w)

    def result(self):
        return self.run()[self.row, 7]


@workload
class Outersin(Kernel):
    def function(self, a, b):
        return workloads.tg.sin(a[:, None] + b)


@workload
class Transposed(Kernel):
    def function(self, x):
        return x + x.mT


@workload
class Sorted(Kernel):
    def function(self, x):
        return x.sort(0)[0]


@workload
class Sortedrows(Kernel):
    def function(self, x):
        return x.sort(1)[0]


@workload
class Running(Kernel):
    def function(self, x):
        return x.cumsum(0)


@workload
class Runningrows(Kernel):
    def function(self, x):
        return x.cumsum(1)


@workload
class Pooled(Kernel):
    def function(self, x):
        pool = workloads.F.max_pool2d
        return workloads.func.grad(lambda x: (pool(x, 3, 2) ** 2).sum())(x)
