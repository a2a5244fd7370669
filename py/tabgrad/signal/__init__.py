"""Signal processing; PyTorch's `signal`."""

from tabgrad.signal import windows as windows
