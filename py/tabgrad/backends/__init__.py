"""PyTorch's `backends`, with what scripts ask about available backends."""

from tabgrad.backends.switches import (
    Backend as Backend,
    CUDABackend as CUDABackend,
    WebGPUBackend as WebGPUBackend,
    cuda as cuda,
    cudnn as cudnn,
    mkl as mkl,
    mkldnn as mkldnn,
    mps as mps,
    openmp as openmp,
    webgpu as webgpu,
)  # fmt: skip
