"""The vocabulary of tabgrad: dtypes, shapes, ops, graphs and interpreters.

Pure Python. Nothing in this package knows what an array or a device is.
"""
