"""What tests of programs with tensors need; PyTorch's `testing`."""

from tabgrad.testing.comparison import assert_close as assert_close
from tabgrad.testing.creation import make_tensor as make_tensor
