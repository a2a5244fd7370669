"""Subclasses of Tensor, classes with __torch_function__, and modes that see calls."""

import copy
import functools
import pickle

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.overrides import (
    TorchFunctionMode,
    get_ignored_functions,
    get_overridable_functions,
    get_testing_overrides,
    handle_torch_function,
    has_torch_function,
    has_torch_function_unary,
    has_torch_function_variadic,
    is_tensor_like,
    is_tensor_method_or_property,
    resolve_name,
)


class Plain(torch.Tensor):
    pass


class Logging(torch.Tensor):
    seen = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        Logging.seen.append((func.__name__, [t.__name__ for t in types]))
        return super().__torch_function__(func, types, args, kwargs or {})


def show(label, fn):
    Logging.seen.clear()
    try:
        r = fn()
        told = type(r).__name__
        if isinstance(r, (tuple, list)):
            told += str([type(q).__name__ for q in r])
    except Exception as e:
        told = type(e).__name__
    print(label, told, Logging.seen)


torch.manual_seed(0)
x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
EXPRESSIONS = """s + 1; 1 + s; x + s; s + x; s * 2; 2 - s; s / x; x / s; s @ x; x @ s; -s; s**2; 2**s; abs(s)
s > 1; x > s; s == x; s[0]; x[s > 2]; s.sum(); s.mean(0); x.add(s); x.matmul(s); torch.mean(s)
torch.cat([x, s]); torch.stack((s, s)); torch.max(s, 0); s.max(0); s.split(1); torch.where(s > 1, s, x)
torch.add(x, s); F.relu(s); F.linear(x, s); F.softmax(s, -1); nn.Linear(2, 2).to(x.device)(s)
nn.Sequential(nn.Linear(2, 3), nn.ReLU()).to(x.device)(s); s.T; s.data; s.mT; s.detach(); s.clone(); s.tolist()
s.size(); s.view(4); s.reshape(-1); s.to(torch.float16); s.long(); [q for q in s]; s.add_(1)
s.new_zeros(2); torch.zeros_like(s); torch.ones_like(s); s.unbind(0); torch.einsum('ij->i', s)
s.clone().requires_grad_(); s.sort(); torch.topk(s, 1); s[0, 0].item(); float(s[0, 0]); bool(s[0, 0] > 0); len(s)
str(s); repr(s); s.as_subclass(torch.Tensor); isinstance(s, torch.Tensor)
torch.is_tensor(s); s.masked_fill(s > 1, 0.); s.clamp(min=2); s.unsqueeze(0); s.expand(2, 2, 2); s.permute(1, 0)
torch.no_grad()(lambda: s * 2)(); K(2, 3); torch.Tensor._make_subclass(K, x); s.unique(); s.bernoulli_(0.5)"""
for K in (Plain, Logging):
    s = x.clone().as_subclass(K)
    for e in EXPRESSIONS.replace("\n", ";").split(";"):
        show(e.strip(), functools.partial(eval, e.strip()))
print(type(copy.copy(s)).__name__, type(pickle.loads(pickle.dumps(s.detach()))).__name__)

HANDLED = {}


def implements(f):
    def decorate(g):
        HANDLED[f] = g
        return g

    return decorate


class Scalar:
    def __init__(self, n, v):
        self._n, self._v = n, v

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func not in HANDLED or not all(issubclass(t, (torch.Tensor, Scalar)) for t in types):
            return NotImplemented
        return HANDLED[func](*args, **(kwargs or {}))


implements(torch.mean)(lambda i: float(i._v) / i._n)
implements(torch.add)(lambda a, b: "added")
implements(F.relu)(lambda i, inplace=False: "relu")
implements(torch.stack)(lambda ts, dim=0: "stacked")
d = Scalar(5, 2)
print(torch.mean(d), torch.add(x, d), torch.add(d, x), F.relu(d), torch.stack([x, d]))
show("mul", lambda: torch.mul(d, x))
show("sub", lambda: x.sub(d))
print(is_tensor_like(d), is_tensor_like(5), is_tensor_like(x))
print(has_torch_function((x, d)), has_torch_function((x,)), has_torch_function((s,)))
print(has_torch_function_unary(d), has_torch_function_variadic(x, 5, d))


class Log(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        print("mode", resolve_name(func))
        return func(*args, **(kwargs or {}))


with Log():
    x + 1
    torch.mean(x)
    x.view(4)
    F.relu(x)
    torch.zeros(2)
    x.as_subclass(Plain) * 2
with Log(), Log():
    x.mul(2)
with torch._C.DisableTorchFunctionSubclass():
    print(type(s + 1).__name__)


def mine(t):
    if has_torch_function((t,)):
        return handle_torch_function(mine, (t,), t)
    return "plain"


HANDLED[mine] = lambda t: "mine"
print(mine(x), mine(d), resolve_name(torch.Tensor.add), resolve_name(F.relu), resolve_name(torch.mean))
print(torch.mean in get_testing_overrides(), torch.mean in get_overridable_functions()[torch])
print(torch.zeros in get_ignored_functions(), is_tensor_method_or_property(torch.Tensor.add))


class Metadata:
    def __init__(self, data, metadata=None, **kwargs):
        self._t = torch.as_tensor(data, **kwargs)
        self._metadata = metadata

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        metadatas = tuple(a._metadata for a in args if hasattr(a, "_metadata"))
        args = [getattr(a, "_t", a) for a in args]
        return Metadata(func(*args, **(kwargs or {})), metadata=metadatas[0])


m = Metadata(torch.tensor([[1.0, 2.0]]), metadata={"owner": "me"})
r = torch.add(m, torch.tensor([[1.0, 2.0]]))
print(r._t, r._metadata, torch.mul(r, m)._t)


class Bad(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        raise AttributeError("mine")


class Below(Plain):
    pass


show("bad", lambda: torch.mean(x.as_subclass(Bad)))
print(type(x.as_subclass(Plain) + x.as_subclass(Below)).__name__)
show("unrelated", lambda: torch.add(x.as_subclass(Plain), x.as_subclass(Logging)))


class Tagged(torch.Tensor):
    def __new__(cls, data, tag):
        made = torch.as_tensor(data).as_subclass(cls)
        made.tag = tag
        return made

    def __init__(self, data, tag):
        pass

    def twice(self):
        return self * 2


w = Tagged(torch.tensor([1.0, 2.0]), "t")
print(w.tag, type(w.twice()).__name__, w.twice(), getattr(w.twice(), "tag", None))
p = x.as_subclass(Plain).clone().requires_grad_()
y = (p * p).sum()
print(type(y).__name__, y)
y.backward()
print(type(p.grad).__name__, p.grad)
