import numpy as np
import torch
from torch.autograd import Function, gradcheck
from torch.nn.modules.module import Module
from torch.nn.parameter import Parameter


class MyReLU(Function):
    @staticmethod
    def forward(ctx, input):
        ctx.save_for_backward(input)
        return input.clamp(min=0)

    @staticmethod
    def backward(ctx, grad_output):
        (input,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[input < 0] = 0
        return grad_input


class LinearFunction(Function):
    @staticmethod
    def forward(input, weight, bias):
        return input.mm(weight.t()) + bias.unsqueeze(0)

    @staticmethod
    def setup_context(ctx, inputs, output):
        input, weight, bias = inputs
        ctx.save_for_backward(input, weight)

    @staticmethod
    def backward(ctx, grad_output):
        input, weight = ctx.saved_tensors
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = grad_output.mm(weight)
        if ctx.needs_input_grad[1]:
            grad_weight = grad_output.t().mm(input)
        if ctx.needs_input_grad[2]:
            grad_bias = grad_output.sum(0)
        return grad_input, grad_weight, grad_bias


class STEBinarize(Function):
    @staticmethod
    def forward(ctx, x):
        return torch.sign(x)

    @staticmethod
    def backward(ctx, g):
        return torch.nn.functional.hardtanh(g)


class NumpyExp(Function):
    @staticmethod
    def forward(ctx, i):
        result = torch.from_numpy(np.exp(i.detach().cpu().numpy())).to(i.device)
        ctx.save_for_backward(result)
        ctx.mark_non_differentiable()
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        (result,) = ctx.saved_tensors
        return g * result


class MyLinear(Module):
    def __init__(self, i, o):
        super().__init__()
        self.weight = Parameter(torch.linspace(-1, 1, i * o, dtype=torch.float64).view(o, i))
        self.bias = Parameter(torch.zeros(o, dtype=torch.float64))

    def forward(self, x):
        return LinearFunction.apply(x, self.weight, self.bias)

    def extra_repr(self):
        return "in={}, out={}".format(*self.weight.shape[::-1])


layer = MyLinear(4, 2)
x = torch.tensor([[0.5, -1.0, 2.0, -0.3]], dtype=torch.float64, requires_grad=True)
print(layer, layer(x))
y = MyReLU.apply(layer(x)).sum() + NumpyExp.apply(x).sum() + STEBinarize.apply(3 * x).sum()
y.backward()
print(x.grad, layer.weight.grad)
print(
    gradcheck(LinearFunction.apply, (x, layer.weight, layer.bias), eps=1e-6, atol=1e-2)
    if x.dtype == torch.float64
    else True
)
