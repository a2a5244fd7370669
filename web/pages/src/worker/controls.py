"""Values of the controls of a page, as the names of a program take them."""

import ast
from typing import Any

TRUTH = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False, "": False}


def fit(name: str, value: Any, old: Any, constant: Any) -> tuple[Any, str]:
    """Return the value of a control like the constant of its name, or the old one and why it stays."""
    try:
        return alike(value, constant), ""
    except (ValueError, LookupError, OverflowError):
        kind = {"float": "a number", "int": "a whole number"}.get(
            type(constant).__name__, "True or False"
        )
        return old, f"{name} stays {old!r}: it is {kind}, and {value!r} is not"


def alike(value: Any, old: Any) -> Any:
    """Return the value of a control as a float, bool or int where the name had one; raises if it is none.

    JavaScript knows no integers, and what is typed into a field is text.
    """
    if isinstance(old, bool):
        return TRUTH[value.strip().lower()] if isinstance(value, str) else bool(value)
    if isinstance(old, float):
        return float(value)
    return int(value) if isinstance(old, int) and isinstance(value, str) else value


def assigned(statement: ast.stmt) -> str:
    """Return the name that a statement gives a constant, as `rate = 0.1` or `rate: float = 0.1` do; or ""."""
    if isinstance(statement, ast.AnnAssign):
        target = statement.target
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    else:
        return ""
    value = statement.value
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub | ast.UAdd):
        value = value.operand
        if not isinstance(value, ast.Constant) or type(value.value) not in (int, float, complex):
            return ""  # -True is computed
    return target.id if isinstance(target, ast.Name) and isinstance(value, ast.Constant) else ""
