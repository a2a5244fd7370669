"""Fourier transforms along an axis: in the memory of workgroups, long lines in several passes."""

from tabgrad.lower.kernels.fourier import records as records
