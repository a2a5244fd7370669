import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.modules.module import Module
from torch.nn.parameter import Parameter


class GraphConvolution(Module):
    def __init__(self, in_features, out_features, bias=True):
        super(GraphConvolution, self).__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(torch.FloatTensor(in_features, out_features))
        if bias:
            self.bias = Parameter(torch.FloatTensor(out_features))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        stdv = 1.0 / math.sqrt(self.weight.size(1))
        self.weight.data.uniform_(-stdv, stdv)
        if self.bias is not None:
            self.bias.data.uniform_(-stdv, stdv)

    def forward(self, input, adj):
        support = torch.mm(input, self.weight)
        output = torch.spmm(adj, support)
        return output + self.bias if self.bias is not None else output

    def __repr__(self):
        return self.__class__.__name__ + " (" + str(self.in_features) + " -> " + str(self.out_features) + ")"


class GCN(nn.Module):
    def __init__(self, nfeat, nhid, nclass):
        super().__init__()
        self.gc1 = GraphConvolution(nfeat, nhid)
        self.gc2 = GraphConvolution(nhid, nclass, bias=False)

    def forward(self, x, adj):
        return F.log_softmax(self.gc2(F.relu(self.gc1(x, adj)), adj), dim=1)


n = 10
edges = torch.tensor([[i, (i * 3 + 1) % n] for i in range(n)] + [[i, i] for i in range(n)]).t()
both = torch.cat([edges, edges.flip(0)], dim=1)
adj = torch.sparse_coo_tensor(both, torch.ones(both.shape[1]), (n, n)).coalesce()
dense = (adj.to_dense() > 0).float()
dense = dense / dense.sum(1, keepdim=True)
adj = dense.to_sparse()
print(adj.shape, adj.is_sparse, adj.indices().shape[0], dense.sum().item())
x = torch.sin(torch.arange(n * 4.0)).view(n, 4)
labels = torch.arange(n) % 3
model = GCN(4, 6, 3)
with torch.no_grad():
    for i, p in enumerate(model.parameters()):
        p.copy_(torch.cos(torch.arange(p.numel()).float() + i).view_as(p) * 0.5)
optimizer = torch.optim.Adam(model.parameters(), lr=0.05, weight_decay=5e-4)
train = torch.arange(6)
for epoch in range(15):
    model.train()
    optimizer.zero_grad()
    output = model(x, adj)
    loss = F.nll_loss(output[train], labels[train])
    loss.backward()
    optimizer.step()
print(model, f"{loss.item():.3f}")
agg = torch.zeros(n, 4).index_add_(0, edges[1], x[edges[0]])
deg = torch.zeros(n).scatter_add_(0, edges[1], torch.ones(edges.shape[1]))
print(agg.sum().item(), deg, torch.zeros(n).scatter_reduce(0, edges[1], x[edges[0], 0], "amax", include_self=False)[:4])
