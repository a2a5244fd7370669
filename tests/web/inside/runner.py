"""Runs one function inside Pyodide and says how it went. Needs nothing but the standard library."""

from __future__ import annotations

import importlib
import inspect
import json
import traceback


def describe(error: BaseException) -> str:
    """A traceback; with the local variables for a bare assert, since nothing rewrites those."""
    bare = isinstance(error, AssertionError) and not error.args
    stack = traceback.TracebackException.from_exception(error, capture_locals=bare)
    # The first frame is this file's.
    stack.stack = traceback.StackSummary.from_list(stack.stack[1:])
    return "".join(stack.format())


async def call(target: str, args: str) -> str:
    """Call `module:function` with arguments given as JSON, awaiting it if need be.

    Returns JSON: {"value": ...}, or {"error": traceback, "type": name of the exception}.
    """
    module, _, name = target.partition(":")
    try:
        value = getattr(importlib.import_module(module), name)(*json.loads(args))
        if inspect.isawaitable(value):
            value = await value
        return json.dumps({"value": value})
    except BaseException as error:
        return json.dumps({"error": describe(error), "type": type(error).__name__})
