import torch
import torch.jit
import torch.nn as nn
import torch.onnx


class MyCell(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, h):
        new_h = torch.tanh(self.linear(x) + h)
        return new_h, new_h


@torch.jit.script
def fused_gelu(x):
    return x * 0.5 * (1.0 + torch.erf(x / 1.41421))


@torch.compile(mode="reduce-overhead")
def f(x, y):
    return torch.sin(x) + torch.cos(y)


cell = MyCell()
cell.linear.weight.data = torch.linspace(-1, 1, 16).view(4, 4)
cell.linear.bias.data.zero_()
x, h = torch.sin(torch.arange(12.0)).view(3, 4), torch.zeros(3, 4)
traced = torch.jit.trace(cell, (x, h))
scripted = torch.jit.script(MyCell())
scripted.load_state_dict(cell.state_dict())
print(traced(x, h)[0].sum().item() - cell(x, h)[0].sum().item(), torch.equal(scripted(x, h)[0], cell(x, h)[0]))
print(isinstance(traced, torch.jit.ScriptModule), list(scripted.state_dict()), fused_gelu(x[0]))
print(f(x, h).shape, torch.allclose(f(x, h), x.sin() + 1, atol=1e-6), torch.compiler.is_compiling())
model = torch.compile(cell, backend="eager", dynamic=False)
out, _ = model(x, h)
out.sum().backward()
print(cell.linear.weight.grad.norm().item(), sorted(k.replace("_orig_mod.", "") for k in model.state_dict()))
frozen = torch.jit.freeze(torch.jit.script(cell.eval()))
print(frozen(x, h)[1].shape, torch.jit.is_scripting(), torch.onnx.is_in_onnx_export())
torch._dynamo.reset()
torch._dynamo.config.suppress_errors = True
