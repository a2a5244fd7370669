import math

import torch
import torch.fft
import torch.nn.functional as F

fs, n = 64, 128
t = torch.arange(n) / fs
x = torch.sin(2 * math.pi * 5 * t) + 0.5 * torch.sin(2 * math.pi * 12 * t)
X = torch.fft.rfft(x)
freqs = torch.fft.rfftfreq(n, 1 / fs)
peaks = X.abs().topk(2).indices
print(sorted(freqs[peaks].tolist()), X.abs().max().item())
mask = freqs < 8
y = torch.fft.irfft(X * mask, n=n)
print((y - torch.sin(2 * math.pi * 5 * t)).abs().max() < 1e-4)
window = torch.hann_window(32)
S = torch.stft(x, n_fft=32, hop_length=16, window=window, return_complex=True)
back = torch.istft(S, n_fft=32, hop_length=16, window=window, length=n)
print(S.shape, S.abs().mean().item(), torch.allclose(back, x, atol=1e-4))
kernel = torch.tensor([0.25, 0.5, 0.25]).view(1, 1, -1)
smooth = F.conv1d(x.view(1, 1, -1), kernel, padding=1).flatten()
via_fft = torch.fft.irfft(torch.fft.rfft(F.pad(x, (0, 2))) * torch.fft.rfft(kernel.flatten(), n=n + 2), n=n + 2)[1 : n + 1]
print(torch.allclose(smooth, via_fft, atol=1e-5), smooth.sum().item())
img = torch.outer(torch.sin(t[:16]), torch.cos(t[:16]))
shifted = torch.fft.fftshift(torch.fft.fft2(img))
print(shifted.shape, shifted.abs()[8, 8].item(), torch.view_as_real(shifted)[8, 8])
pulse = torch.zeros(16, requires_grad=True)
target = torch.fft.fft(torch.exp(-((torch.arange(16.0) - 8) ** 2) / 4))
opt = torch.optim.SGD([pulse], lr=0.02)
for _ in range(20):
    opt.zero_grad()
    loss = (torch.fft.fft(pulse) - target).abs().pow(2).mean()
    loss.backward()
    opt.step()
print(f"{loss.item():.4f}", pulse.detach()[6:10])
env = torch.cumsum(x.abs(), 0) / torch.arange(1, n + 1)
print(env[-1], torch.diff(x).abs().max(), x.unfold(0, 16, 8).mean(1)[:3], torch.trapezoid(x.abs(), t))
