# a scalar engine, checked against autograd
import math

import torch


class Value:
    def __init__(self, data, _children=(), _op=""):
        self.data, self.grad = data, 0.0
        self._backward, self._prev, self._op = lambda: None, set(_children), _op

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), "+")

        def _backward():
            self.grad += out.grad
            other.grad += out.grad

        out._backward = _backward
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out._backward = _backward
        return out

    def tanh(self):
        t = math.tanh(self.data)
        out = Value(t, (self,), "tanh")

        def _backward():
            self.grad += (1 - t**2) * out.grad

        out._backward = _backward
        return out

    def backward(self):
        topo, visited = [], set()

        def build(v):
            if v not in visited:
                visited.add(v)
                for child in v._prev:
                    build(child)
                topo.append(v)

        build(self)
        self.grad = 1.0
        for node in reversed(topo):
            node._backward()


x1, x2, w1, w2, b = Value(2.0), Value(0.0), Value(-3.0), Value(1.0), Value(6.8813735870195432)
o = (x1 * w1 + x2 * w2 + b).tanh()
o.backward()
T = [torch.Tensor([v]).double() for v in (2.0, 0.0, -3.0, 1.0, 6.8813735870195432)]
for v in T:
    v.requires_grad = True
tx1, tx2, tw1, tw2, tb = T
to = torch.tanh(tx1 * tw1 + tx2 * tw2 + tb)
to.backward()
print(o.data, to.data.item())
for mine, theirs in zip((x1, x2, w1, w2), T):
    print(f"{mine.grad:.4f} {theirs.grad.item():.4f}")
a = torch.tensor([2.0, 3.0], requires_grad=True)
b = torch.tensor([6.0, 4.0], requires_grad=True)
Q = 3 * a**3 - b**2
Q.backward(gradient=torch.tensor([1.0, 1.0]))
print(9 * a**2 == a.grad, -2 * b == b.grad, Q.grad_fn is not None, a.is_leaf, Q.is_leaf)
y = a * 2
n = 0
while y.data.norm() < 100:
    y = y * 2
    n += 1
v = torch.tensor([0.1, 1.0])
a.grad.zero_()
y.backward(v)
print(n, a.grad, y.requires_grad)
with torch.no_grad():
    print((a**2).requires_grad, (a.detach() ** 2).requires_grad)
