"""Hosts for programs outside a browser: wgpu-py for WebGPU, CuPy for CUDA."""
