import tabgrad as tg

print((tg.tensor([1.0, 2.0, 3.0, 4.0]) * 2).sum().item())
