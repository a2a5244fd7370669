// The roofline of an adapter: its measured peaks of arithmetic and of bandwidth. See ../roofline.py.

const BYTES = 64 << 20; // a buffer of the bandwidth's kernel
const GROUPS = 1024; // workgroups of the arithmetic's kernel
const LEAST = 60; // milliseconds that one measurement takes at least

/** Milliseconds of one dispatch, the best of three measurements. */
async function best(device, pipeline, group, groups) {
  const measure = async (count) => {
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < count; i++) {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(groups);
      pass.end();
    }
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  let count = 1;
  await measure(1);
  while ((await measure(count)) < LEAST && count < 4096) count *= 2;
  const times = [];
  for (let i = 0; i < 3; i++) times.push((await measure(count)) / count);
  return Math.min(...times);
}

/** Peaks in operations and bytes a second. */
export async function peaks() {
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  const device = await adapter.requestDevice();
  const usage = GPUBufferUsage.STORAGE;
  const buffers = [0, 1].map(() => device.createBuffer({ size: BYTES, usage }));
  const time = async (name, used, groups) => {
    const code = await (await fetch(`/pages/${name}.wgsl`)).text();
    const module = device.createShaderModule({ code });
    const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
    const entries = used.map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    return (await best(device, pipeline, group, groups)) / 1e3;
  };
  const arithmetic = await time("arithmetic", [buffers[0]], GROUPS);
  const bandwidth = await time("bandwidth", buffers, BYTES / 16 / 256);
  const { vendor = "", architecture = "", description = "" } = adapter.info ?? {};
  device.destroy();
  return {
    adapter: [vendor, architecture, description].filter(Boolean).join(" "),
    flops: (GROUPS * 256 * 256 * 64) / arithmetic,
    bytes: (2 * BYTES) / bandwidth,
  };
}
