"""Functions of functions that PyTorch keeps under this name."""

from tabgrad._higher_order_ops.associative_scan import associative_scan as associative_scan
