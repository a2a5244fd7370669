"""A program whose names are bound to controls."""

import tabgrad as tg
from tabgrad.utils import progress

rate = 0.0
loud: bool = False
kind = "none"


class Table:
    def _repr_html_(self) -> str:
        return f"<table style='color: red'><tr><td>{rate}</td></tr></table>"


def tell() -> None:
    print("rate", rate, loud, kind, (tg.ones(2) * rate).sum().item())
    progress.show(Table(), place="table")


print(__name__, "second" in globals())
tell()
