"""Programs to read and run, and the data they use."""

from tabgrad.examples.datasets import load_digits as load_digits
