"""What printed names of sizes, dtypes and types begin with: "tabgrad", or "torch" under the alias."""

from tabgrad.core.settings import setting


@setting
class Package:
    """The name that a program has imported the package by."""

    name = "tabgrad"
