"""Calculus: reverse mode, forward mode, batching. Knows nothing of kernels or hosts."""
