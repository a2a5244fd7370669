import torch
import torch.nn as nn

activation, gradients, log = {}, {}, []


def get_activation(name):
    def hook(model, input, output):
        activation[name] = output.detach()

    return hook


def save_gradient(module, grad_input, grad_output):
    gradients[module.__class__.__name__] = grad_output[0].clone()


model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
with torch.no_grad():
    for p in model.parameters():
        p.copy_(torch.linspace(-1, 1, p.numel()).view_as(p))
handles = [m.register_forward_hook(get_activation(n)) for n, m in model.named_modules() if n]
handles.append(model[1].register_full_backward_hook(save_gradient))
pre = model[2].register_forward_pre_hook(lambda m, args: (args[0] * 2,))
x = torch.tensor([[0.1, 0.2, 0.3], [1.0, -1.0, 0.5]], requires_grad=True)
x.register_hook(lambda g: log.append(g.norm().item()) or g * 0.5)
y = model(x)
y.retain_grad()
y.sum().backward()
print({k: tuple(v.shape) for k, v in activation.items()}, gradients["Tanh"])
print(y.grad, x.grad, log)
print(
    torch.allclose(activation["2"], torch.tanh(model[0](x)) * 2 @ model[2].weight.T + model[2].bias)
)
for h in handles:
    h.remove()
pre.remove()
activation.clear()
model(x)
print(activation, len(model[1]._forward_hooks))
w = model[0].weight
shapes = []
h = w.register_post_accumulate_grad_hook(lambda p: shapes.append(p.grad.shape))
model.zero_grad()
model(x).pow(2).mean().backward()
print(log[1:], shapes, w.grad.abs().sum().item())
h.remove()


class GradReverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, alpha):
        ctx.alpha = alpha
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.neg() * ctx.alpha, None


z = torch.ones(3, requires_grad=True)
GradReverse.apply(z, 0.1).sum().backward()
print(z.grad)
