"""What goes wrong inside, for the tests of the driver."""

from __future__ import annotations


def failed_assert() -> None:
    left = 3
    right = 4
    assert left == right


def print_and_raise() -> None:
    print("just before")
    raise ValueError("then")


def loop() -> None:
    while True:
        pass


def drop_long_chain() -> None:
    """Drop a chain of linked objects, which overflows the stack of the WebAssembly engine."""
    link: object = None
    for _ in range(200_000):
        link = (lambda before: lambda: before)(link)
    del link


def where_tabgrad_is() -> str:
    import tabgrad

    return str(tabgrad.__path__[0])


async def run_program(source):
    """Run a program as the page does, with top-level `await`."""
    from pyodide.code import eval_code_async

    await eval_code_async(source, {})
