import time

import torch
import torch.nn as nn
from torch.profiler import ProfilerActivity, profile, record_function, schedule

model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
x = torch.ones(4, 8)
with profile(activities=[ProfilerActivity.CPU], record_shapes=True, profile_memory=True) as prof:
    with record_function("model_inference"):
        model(x)
names = [e.key for e in prof.key_averages()]
print("model_inference" in names, isinstance(prof.key_averages().table(sort_by="cpu_time_total", row_limit=5), str))
done = []
with profile(
    activities=[ProfilerActivity.CPU], schedule=schedule(wait=1, warmup=1, active=2, repeat=1),
    on_trace_ready=lambda p: done.append(p.step_num),
) as p:
    for step in range(6):
        model(x).sum().backward()
        p.step()
print(done, [schedule(wait=1, warmup=0, active=2)(i).name for i in range(4)])
with torch.autograd.profiler.profile(enabled=True) as old:
    with torch.autograd.profiler.record_function("block"):
        torch.mm(x, x.t())
print(any(e.key == "block" for e in old.key_averages()))


class Timer:
    def __init__(self):
        self.times = []

    def __enter__(self):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.tik = time.perf_counter()
        return self

    def __exit__(self, *args):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter() - self.tik)


with Timer() as timer:
    for _ in range(3):
        torch.mm(x, x.T)
print(len(timer.times), timer.times[0] > 0)
if torch.cuda.is_available():
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    model.cuda()(x.cuda())
    end.record()
    torch.cuda.synchronize()
    assert start.elapsed_time(end) >= 0
print(torch.get_num_threads() >= 1)
