"""What random programs for `tabgrad.compile` are made of: lines of a function, arguments, changes of state."""

from __future__ import annotations

SETUP = """
import numpy as np
import tabgrad as tg
import tabgrad.nn.functional as F
from tabgrad import nn, optim
tg.manual_seed(3)
SCALE, COUNT, P, NAME = 2.0, 0, 0.5, "scale"
LOG, ITEMS, TABLE = [], [0.5, 1.5], {"k": 2, "t": tg.ones(3)}
class Options:
    shift = 0.25
    def __init__(self):
        self.scale, self.count, self.t = 1.5, 0, tg.full((3,), 0.5)
    def move(self, v):
        return v + self.shift
    @property
    def twice(self):
        return self.scale * 2
class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain, self.calls = 0.5, 0
        self.lin = nn.Linear(3, 3)
        self.register_buffer("mean", tg.zeros(3))
    def forward(self, x):
        if self.training:
            with tg.no_grad():
                self.mean.mul_(0.5).add_(x.detach().mean(0), alpha=0.5)
        return self.lin(x - self.mean) * self.gain
class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.h = tg.zeros(3)
    def forward(self, v):
        self.h = tg.tanh(self.h + v).detach()
        return self.h
obj, layer, rnn = Options(), Layer(), Cell()
h = tg.tensor([0.1, -0.2, 0.3])
w = tg.tensor([0.5, -0.5, 1.0], requires_grad=True)
m = tg.tensor([[0.5, 0.1, 0.0], [0.2, -0.4, 0.3], [0.0, 0.6, 0.2]], requires_grad=True)
base = tg.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
piece, twin = base[1:4], base.detach()
extra = tg.tensor([0.3, 0.2, 0.1], requires_grad=True)
ticks = tg.zeros(1, dtype=tg.int32)
gen = tg.Generator(device=tg.get_default_device()).manual_seed(5)
model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 3))
optimizer = OPTIMIZER
sched = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
def helper(r):
    return r * SCALE
def halved(mod, gi, go):
    return (gi[0] * 0.5,) if gi[0] is not None else None
def other(r):
    return r - ITEMS[0]
xs = [tg.rand(2, 3), tg.rand(2, 3), tg.rand(4, 3), tg.rand(2, 3).requires_grad_()]
ys = [tg.rand(3), tg.rand(3), tg.rand(3).requires_grad_()]
arr = np.array([0.5, 0.25, 1.0], np.float32)
handles = []
"""

LINES = [
    "R = {r} * {v} + SCALE",
    "R = tg.tanh({r} @ m)",
    "R = {r} * obj.scale",
    "R = {r} + getattr(obj, NAME)",
    "R = {r} + obj.twice",
    "R = {r} + ITEMS[0]",
    "R = {r} * sum(ITEMS)",
    "R = {r} + TABLE['k'] * TABLE['t']",
    "R = {r} + TABLE.get('n', 0)",
    "R = {r} * cell",
    "R = tg.tanh(model({r}))",
    "R = layer({r})",
    "R = helper({r})",
    "R = F.dropout({r}, P, training=model.training)",
    "R = {r} + tg.rand(3)",
    "R = {r} + tg.randn_like({r}) * 0.1",
    "R = {r} + tg.rand(3, generator=gen, device={r}.device)",
    "R = {r}.view(-1, 3)",
    "R = {r}.detach()",
    "R = {r}[:]",
    "R = {r}.flip(0)",
    "R = {r}.clone()",
    "R = {r} if COUNT < 2 else {r} * 0.5",
    "R = {r} * {r}.shape[0]",
    "V = {r}.sum(0)",
    "V = {r}[0]",
    "V = {r}.mean(0) * w",
    "V = obj.move({v})",
    "V = {v} + obj.t",
    "V = {v} * h",
    "V = tg.tanh({v})",
    "V = {v}.view(3)",
    "V = {v}.detach()",
    "V = {v}.data",
    "V = base[:3]",
    "V = twin[2:]",
    "V = piece",
    "V = piece + {v}",
    "V = h",
    "V = obj.t",
    "V = tg.as_tensor(SCALE) * {v}",
    "V = tg.zeros(3)",
    "V = {v}.unbind(0)[0] + {u}",
    "V = tg.cat([{v}[:1], {u}[1:]])",
    "V = {v} + (1 if tg.is_grad_enabled() else 2)",
    "V = {v} + (1 if w.requires_grad else 2)",
    "V = {v} + (w.grad if w.grad is not None else 1)",
    "V = {v} + optimizer.param_groups[0]['lr']",
    "V = {v} * len(optimizer.param_groups)",
    "V = {v} + sum(p.detach().sum() for p in model.parameters())",
]
"""Lines that change nothing. `{r}` is rows of three, `{v}` and `{u}` vectors of three; R and V are new ones."""

WRITES = [
    "{v}.mul_(0.5)",
    "{v}.add_({u})\n{v}.tanh_()",
    "{v}[0] = 0.25",
    "{v}[1:] += 0.5",
    "{v}.data.mul_(0.5)",
    "{v}.copy_({r}[0])",
    "{r}.mul_(0.5)",
    "{r}[0].add_(0.5)",
    "{r}[:, 0] = {v}[0]",
    "{r}.detach().tanh_()",
    "with tg.no_grad(): {v}.mul_(0.5)",
    "with tg.no_grad(): {r}.tanh_()",
    "with tg.no_grad(): w.sub_({v}.detach() * 0.1)",
    "with tg.no_grad(): m[0] = {v}.detach()",
    "with tg.no_grad(): w.copy_({v})",
    "h.mul_(0.5)",
    "h.copy_({v}.detach())",
    "base[1:].tanh_()",
    "twin.mul_(0.5)",
    "piece.add_(0.5)\npiece.tanh_()",
    "obj.t.tanh_()",
    "TABLE['t'].mul_(0.5)",
    "ticks.add_(1)",
]
"""Lines that write to tensors."""

TRAINING = [
    "optimizer.zero_grad()\nloss = (tg.tanh(model({r})) ** 2).mean()\nloss.backward()\noptimizer.step()",
    "optimizer.zero_grad()\nloss = ((model({r}) * w) @ m).tanh().mean()\nloss.backward()\noptimizer.step()",
    "optimizer.zero_grad()\n(layer({r}).mean() + w.sum() * {v}.sum()).backward()\noptimizer.step()",
    "loss = (model({r}.detach()) * w).tanh().sum()\nloss.backward()",
    "optimizer.step()",
    "optimizer.zero_grad()",
    "model.zero_grad(set_to_none=False)",
    "w.grad = None",
    "if w.requires_grad: ({r}.detach() * w).sum().backward()",
    "if w.grad is not None: w.grad.zero_()",
    "if w.grad is not None: w.grad.mul_(0.5)",
    "V = tg.autograd.grad((w * {v}.detach()).tanh().sum(), w)[0]",
    "V = tg.func.grad(lambda q: (q * {v}.detach()).tanh().sum())(h)",
    "nn.utils.clip_grad_norm_(model.parameters(), 0.5)",
    "tg.tanh({r} @ m).sum().backward()",
]
"""Lines that work with derivatives."""

EFFECTS = [
    "COUNT += 1",
    "LOG.append(COUNT)",
    "obj.count += 1",
    "layer.calls += 1",
    "ITEMS[1] = COUNT + 0.5",
    "TABLE['n'] = len(LOG)",
    "cell = cell * 0.5",
    "SCALE = 1.0 if SCALE == 2.0 else 2.0",
    "obj.t = {v}.detach()",
    "h = {v}.detach() * 0.5",
    "h = tg.tanh({v})",
    "V = rnn({v})",
    "LOG.append({v}.detach())",
    "sched.step()",
    "if ticks.item() % 2: {v}.detach().add_(0.5)",
    "COUNT += int(ticks)",
    "model.train(not model.training)",
    "w.requires_grad_(not w.requires_grad)",
    "w.grad = {v}.detach()",
    "tg.manual_seed(9)",
    "{v}.register_hook(lambda g: g * 2) if {v}.requires_grad else None",
    "xs.append(x)",
    "ITEMS.reverse()",
    "optimizer.param_groups[0]['lr'] *= 0.5",
]
"""Lines with effects in Python: what can't be replayed, or only with care."""

RESULTS = [
    ("return {r}.detach()", True),
    ("return {r}.detach(), {v}.detach()", True),
    ("return {r}.detach().sum(), {{'v': {v}.detach().clone()}}", True),
    ("return x, y", True),
    ("return [x.view(-1), x]", True),
    ("return y, y.detach(), {v}.detach()", True),
    ("return None", True),
    ("return {r}.detach() * 2, SCALE", True),
    ("return h, piece, base, twin", True),
    ("return w, w.grad", True),
    ("return obj.t, h", True),
    ("V = {v}.detach().clone()\nreturn [V0, V0]".replace("V0", "{v}"), False),
    ("return {r}", False),
    ("return {r}, {v}", False),
    ("return {v}, {v}[1:], {u}", False),
    ("return {r}, {r}.view(-1), {r}.detach(), x", False),
    ("return COUNT, {v}", False),
    ("return LOG, {v}", False),
    ("return TABLE", False),
    ("return ({v} * 2 for _ in range(2))", False),
    ("return model, {v}", False),
    ("return optimizer.param_groups[0]['params'][0], optimizer.param_groups[0]['lr']", True),
    ("return [p.grad for p in model.parameters()]", True),
    ("return a, {r}", False),
]
"""Last lines; False for those that a replay can't always give."""

STATICS: dict[str, tuple[list[str], list[str]]] = {
    "none": ([""], []),
    "number": (["2", "2.0", "0.0", "-0.0", "True", "0.5"], ["R = {r} * a", "V = {v} + tg.as_tensor(1.0 * a)"]),
    "list": (["[1.0, 2.0]", "[2.0]", "ITEMS", "[h, 2.0]"], ["R = {r} + a[0]", "V = {v} * len(a)"]),
    "dict": (
        ["{'s': 1.0}", "{'s': 2.0}", "{'s': w}", "TABLE | {'s': 1}"], ["R = {r} * a['s']", "V = {v} * len(a)"],
    ),
    "array": (
        ["arr", "np.array([1, 2, 3], np.float32)", "arr * 2", "arr[::-1]"],
        ["R = {r} + tg.as_tensor(a, device=x.device)", "V = {v} * float(a.sum())", "R = {r} * tg.tensor(a)",
         "V = {v} + a[0]"],
    ),
    "object": (
        ["obj", "layer", "Options()"],
        ["R = {r} * getattr(a, 'scale', 3)", "V = {v} + len(a.__class__.__name__)"],
    ),
    "set": (["{1, 2}", "{2}", "frozenset({1})", "(1, 2)"], ["R = {r} * len(a)", "V = {v} + sum(a)"]),
}  # fmt: skip
"""Arguments that are no tensors, with lines that use them."""

OWN = [
    ("xs[0]", "ys[0]"),
    ("xs[0]", "ys[0]"),
    ("xs[1]", "ys[1]"),
    ("xs[2]", "ys[0]"),
    ("xs[2]", "ys[1]"),
    ("xs[3]", "ys[0]"),
    ("xs[0]", "ys[2]"),
    ("xs[0].clone()", "ys[0].clone()"),
    ("tg.ones(2, 3)", "tg.zeros(3)"),
    ("tg.rand(5, 3)", "tg.rand(3)"),
    ("xs[0].detach()", "ys[0].detach()"),
]
"""Tensors that a call is given, and that nothing else holds."""

ARGUMENTS = [
    *OWN,
    ("xs[0]", "xs[0][0]"),
    ("xs[0]", "h"),
    ("xs[0]", "w"),
    ("xs[1]", "base[:3]"),
    ("xs[1]", "piece"),
    ("xs[1]", "obj.t"),
    ("xs[2][:2]", "ys[1]"),
    ("xs[1].T.contiguous().T", "ys[1]"),
    ("xs[0] * 1", "w * 2"),
    ("xs[0]", "model[1].weight[0]"),
    ("xs[0]", "extra"),
    ("xs[0]", "TABLE['t']"),
]
"""Those, views of others, and what the function also reads itself."""

MODES = [
    "",
    "",
    "",
    "",
    "no_grad()",
    "inference_mode()",
    "enable_grad()",
    "set_grad_enabled(False)",
]

CHANGES = [
    "SCALE = 0.5",
    "SCALE = -0.0",
    "SCALE = 0.0",
    "SCALE = 2",
    "COUNT = 5",
    "P = 0.25",
    "NAME = 'shift'",
    "ITEMS[0] = 1.0",
    "ITEMS.append(0.5)",
    "TABLE['k'] = 3",
    "TABLE['n'] = 1",
    "TABLE['t'] = tg.full((3,), 0.5)",
    "TABLE['t'] = h",
    "obj.scale = 0.5",
    "obj.note = 1",
    "Options.shift = 1.0",
    "obj.shift = 0.5",
    "Options.move = lambda self, v: v * 0.5",
    "Options.twice = 1.0",
    "obj.t = obj.t * 0.5",
    "obj.t = h",
    "obj.t = base[2:]",
    "obj = Options()",
    "put(0.25)",
    "put(-0.5)",
    "helper = other",
    "helper.__defaults__ = None",
    "helper.__code__ = other.__code__",
    "h = tg.tensor([0.5, 0.5, 0.5])",
    "h = h.clone()",
    "h = base[:3]",
    "h.mul_(0.5)",
    "h.requires_grad_()",
    "twin = base",
    "twin = base.detach()",
    "piece = base[:3]",
    "base = tg.arange(5.0) * 0.1",
    "base.mul_(0.5)",
    "piece = piece.clone()",
    "w.requires_grad_(False)",
    "w.requires_grad_(True)",
    "w = tg.tensor([0.25, 0.5, 0.5], requires_grad=True)",
    "w.data = tg.tensor([0.25, 0.5, 0.5])",
    "w.grad = None",
    "w.grad = tg.ones(3)",
    "handles.append(w.register_hook(lambda g: g * 0.5)) if w.requires_grad else None",
    "m.requires_grad_(False)",
    "handles.append(model.register_forward_hook(lambda mod, args, out: out * 0.5))",
    "handles.append(model[1].register_forward_pre_hook(lambda mod, args: (args[0] * 0.5,)))",
    "handles.append(model[1].register_full_backward_hook(halved))",
    "handles.append(optimizer.register_step_post_hook(lambda *_: LOG.append(1)))",
    "handles.append(optimizer.register_step_pre_hook(lambda *_: None))",
    "[k.remove() for k in handles]",
    "model.eval()",
    "model.train()",
    "layer.eval()",
    "layer.gain = 0.25",
    "layer.calls = 0",
    "layer.lin = nn.Linear(3, 3, bias=False)",
    "layer.mean = tg.full((3,), 0.1)",
    "layer.forward = lambda x: x * 0.5",
    "model[0].momentum = 0.5",
    "model[0].eps = 0.1",
    "model[0].track_running_stats = False",
    "model[0].reset_running_stats()",
    "model[1].requires_grad_(False)",
    "model[1].requires_grad_(True)",
    "model[1].weight.requires_grad_(False)",
    "model[1].bias = None",
    "model[1] = nn.Linear(3, 4)",
    "model[3].p = 0.25",
    "model[3].p = 0.0",
    "model[3] = nn.Identity()",
    "model.append(nn.Tanh())",
    "model[4].weight = nn.Parameter(tg.full((3, 4), 0.1))",
    "model[4].weight.data = tg.full((3, 4), 0.1)",
    "model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True)",
    "model.load_state_dict({k: v * 0.5 if '.' in k and v.dim() else v for k, v in model.state_dict().items()})",
    "nn.init.constant_(model[1].weight, 0.1)",
    "optimizer.param_groups[0]['lr'] = 0.01",
    "optimizer.param_groups[0]['weight_decay'] = 0.1",
    "optimizer.param_groups[0]['momentum'] = 0.25",
    "optimizer.param_groups[0]['maximize'] = True",
    "optimizer.param_groups[0]['params'].pop()",
    "optimizer.add_param_group({'params': [extra]}) if len(optimizer.param_groups) == 1 else None",
    "optimizer.zero_grad()",
    "optimizer.state.clear()",
    "optimizer.load_state_dict(optimizer.state_dict())",
    "sched.step()",
    "tg.manual_seed(7)",
    "gen.manual_seed(2)",
    "gen.set_state(gen.get_state())",
    "xs[0] = tg.rand(3, 3)",
    "xs[0].mul_(0.5)",
    "xs[0].requires_grad_()",
    "xs[1] = xs[0]",
    "ys[0] = xs[1][1]",
    "ys[0] = ys[1]",
    "ys[0].requires_grad_()",
    "arr[0] = 0.75",
    "rnn.h = tg.ones(3)",
    "ticks.add_(1)",
    "m = m.detach()",
]
"""What may change between calls."""
