"""The roofline: measured peaks of an adapter, and the share of them that each workload reaches.

A unit of a workload needs at least its operations at the peak of arithmetic, and at least its bytes at the
peak of bandwidth. The share is the greater of these times over the measured one. Operations are those of the
mathematics, bytes what tabgrad's kernels must read and write (`tabgrad/profiler/estimates.py`); a peer that
computes the same with more kernels moves more, which its share shows as lost. Both are estimates: a cache may
hold what is counted.
"""

import time
from pathlib import Path

GROUPS, BYTES, LEAST = 1024, 64 << 20, 0.06
"""As in pages/roofline.js."""


def work_of(backend, run):
    """Return (operations, bytes) of what `run` lets a device of tabgrad compute."""
    from tabgrad.profiler import estimates

    before = {stored: stored.runs for stored in backend.plans.values()}
    run()
    flops = moved = 0
    for (raw, *_), stored in backend.plans.items():
        times = stored.runs - before.get(stored, 0)
        for kernel in stored.plan.kernels:
            one, nbytes = estimates.of_kernel(raw, kernel.origins, max(kernel.turn[1], 1))
            flops += times * (one or 0)
            moved += times * nbytes
    return flops, moved


def shares(work, peaks, ms):
    """Return what part of the peaks `ms` milliseconds reach: (of arithmetic, of bandwidth).

    >>> shares((2e6, 1e6), {"flops": 1e9, "bytes": 1e9}, 4.0)
    (0.5, 0.25)
    """
    return tuple(
        1e3 * w / p / ms for w, p in zip(work, (peaks["flops"], peaks["bytes"]), strict=True)
    )


def percent(share):
    """Return a share as text."""
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.1f} %"


def title(peaks):
    """Return the peaks as text."""
    flops, moved = peaks["flops"] / 1e9, peaks["bytes"] / 1e9
    return f"roofline of {peaks['adapter']}: {flops:.1f} GFLOP/s, {moved:.1f} GB/s"


def peaks():
    """Measure the peaks of the adapter that wgpu-py gives, in operations and bytes a second."""
    import wgpu

    adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
    device = adapter.request_device_sync()
    usage = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC
    buffers = [device.create_buffer(size=BYTES, usage=usage) for _ in range(2)]
    arithmetic = _best(device, "arithmetic", buffers[:1], GROUPS)
    bandwidth = _best(device, "bandwidth", buffers, BYTES // 16 // 256)
    return {
        "adapter": adapter.info["device"],
        "flops": GROUPS * 256 * 256 * 64 / arithmetic,
        "bytes": 2 * BYTES / bandwidth,
    }


def _best(device, name, buffers, groups):
    """Return the seconds of one dispatch, the best of three measurements."""
    code = (Path(__file__).parent / "pages" / f"{name}.wgsl").read_text()
    module = device.create_shader_module(code=code)
    pipeline = device.create_compute_pipeline(
        layout="auto", compute={"module": module, "entry_point": "main"}
    )
    entries = [
        {"binding": i, "resource": {"buffer": b, "offset": 0, "size": BYTES}}
        for i, b in enumerate(buffers)
    ]
    group = device.create_bind_group(layout=pipeline.get_bind_group_layout(0), entries=entries)

    def measure(count):
        encoder = device.create_command_encoder()
        for _ in range(count):
            once = encoder.begin_compute_pass()
            once.set_pipeline(pipeline)
            once.set_bind_group(0, group)
            once.dispatch_workgroups(groups)
            once.end()
        start = time.perf_counter()
        device.queue.submit([encoder.finish()])
        # a read waits for all before it
        device.queue.read_buffer(buffers[0], 0, 16)
        return time.perf_counter() - start

    measure(1)
    count = 1
    while measure(count) < LEAST and count < 4096:
        count *= 2
    return min(measure(count) / count for _ in range(3))


def table(workloads, peaks):
    """Return rows of (workload, way, operations, bytes, share of arithmetic, of bandwidth) as tuples of text.

    `workloads` has for each name its work and the median milliseconds of each way.
    """
    rows = [("workload", "way", "MFLOP", "MB", "of arithmetic", "of bandwidth", "roofline")]
    for name, (work, ways) in workloads.items():
        for way, ms in ways.items():
            both = shares(work, peaks, ms)
            cells = (
                f"{work[0] / 1e6:.2f}",
                f"{work[1] / 1e6:.2f}",
                *map(percent, (*both, max(both))),
            )
            rows.append((name, way, *cells))
    return rows


__all__ = ["peaks", "shares", "table", "title", "work_of"]
