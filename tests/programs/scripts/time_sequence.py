import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm1 = nn.LSTMCell(1, 7)
        self.lstm2 = nn.LSTMCell(7, 7)
        self.linear = nn.Linear(7, 1)

    def forward(self, input, future=0):
        outputs = []
        h_t = torch.zeros(input.size(0), 7, dtype=torch.double)
        c_t = torch.zeros(input.size(0), 7, dtype=torch.double)
        h_t2 = torch.zeros(input.size(0), 7, dtype=torch.double)
        c_t2 = torch.zeros(input.size(0), 7, dtype=torch.double)
        for input_t in input.split(1, dim=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        for i in range(future):
            h_t, c_t = self.lstm1(output, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        return torch.cat(outputs, dim=1)


data = np.sin((np.arange(12)[None, :] + np.array([[0.0], [3.0], [7.0]])) / 2.0).astype("float64")
input = torch.from_numpy(data[1:, :-1])
target = torch.from_numpy(data[1:, 1:])
test_input = torch.from_numpy(data[:1, :-1])
seq = Sequence()
seq.double()
with torch.no_grad():
    for i, p in enumerate(seq.parameters()):
        p.copy_(torch.sin(torch.arange(p.numel(), dtype=torch.double) + i).view_as(p) * 0.4)
criterion = nn.MSELoss()
optimizer = optim.LBFGS(seq.parameters(), lr=0.3, max_iter=4)
for i in range(2):

    def closure():
        optimizer.zero_grad()
        out = seq(input)
        loss = criterion(out, target)
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    print("STEP:", i, "loss: %.5f" % loss.item())
with torch.no_grad():
    y = seq(test_input, future=2).detach().numpy()
print(y.shape, round(float(y.sum()), 3))
