"""The vocabulary of tabgrad: dtypes, shapes, ops, graphs and interpreters.

Pure Python: nothing in this package depends on arrays or devices.
"""
