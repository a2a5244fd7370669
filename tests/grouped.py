"""Many small cases in one test, because pytest takes longer for a test than most of them run.

A test runs its cases one after the other and reports all that fail. `--case TEXT` runs only those whose
id contains the text. Lines of `xfails/` name a case as they name a test: `file::test[id]`.
"""

from __future__ import annotations

import fnmatch
import inspect
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests import sampling

SIZE = 64
SHOWN = 3


def grouped(
    names: str,
    cases: Iterable[Any],
    ids: Callable[[Any], str] = str,
    size: int = SIZE,
    sampled: int = 1,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a test of one case; `names` and `cases` are as in `pytest.mark.parametrize`.

    `ids` makes the id of a case. A test has `size` cases; a device runs each `sampled`-th one (`sampling.py`).
    """
    arguments = [name.strip() for name in names.split(",")]
    listed = list(cases)
    groups = [listed[i : i + size] for i in range(0, len(listed), size)]
    parameter = pytest.mark.parametrize(
        "group", groups, ids=[f"{i}-{ids(group[0])}" for i, group in enumerate(groups)]
    )

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        fixtures = [p for p in inspect.signature(test).parameters if p not in arguments]

        def run(request: pytest.FixtureRequest, group: list[Any], **given: Any) -> None:
            wanted = request.config.getoption("--case")
            chosen = [case for case in group if wanted is None or wanted in ids(case)]
            if wanted is None and sampling.takes_samples(given.get("device", "cpu")):
                chosen = chosen[::sampled]
            if not chosen:
                pytest.skip(f"no case here contains {wanted!r}")
            failures = {}
            for case in chosen:
                values = (case,) if len(arguments) == 1 else case
                found = failure(
                    lambda v=values: test(**dict(zip(arguments, v, strict=True)), **given)
                )
                reason = known(request, test.__name__, ids(case))
                if reason is not None:
                    found = None if found else f"passes, but xfails says: {reason}\n"
                if found:
                    failures[ids(case)] = found
            if failures:
                pytest.fail(report(failures, len(chosen)), pytrace=False)

        run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
        run.__wrapped__ = test  # type: ignore[attr-defined]
        kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, kinds) for name in ("request", "group", *fixtures)]
        )
        run.pytestmark = list(getattr(test, "pytestmark", ()))  # type: ignore[attr-defined]
        return parameter(run)

    return decorate


def of_one_case(test: Any) -> Callable[..., None]:
    """Return the decorated function, which tests one case."""
    found: Callable[..., None] = test.__wrapped__
    return found


def failure(call: Callable[[], None]) -> str | None:
    """Run a case; return the traceback of what it raises. A case can't skip."""
    try:
        call()
    except pytest.skip.Exception as skipped:
        return f"a case among others can't be skipped: {skipped}\n"
    except (Exception, pytest.fail.Exception):
        return traceback.format_exc()
    return None


def known(request: pytest.FixtureRequest, test: str, case: str) -> str | None:
    """Find the reason for which `xfails/` says that a case fails on this host."""
    name = f"{request.node.nodeid.partition('::')[0]}::{test}[{case}]"
    return next(
        (why for pattern, why in request.config.stash[KNOWN] if fnmatch.fnmatchcase(name, pattern)),
        None,
    )


KNOWN: pytest.StashKey[list[tuple[str, str]]] = pytest.StashKey()
"""Where `conftest.py` keeps the known failures of the host."""


def report(failures: dict[str, str], size: int) -> str:
    """Write which cases fail, and the tracebacks of the first ones."""
    lines = [f"{len(failures)} of {size} cases fail; --case TEXT runs those with TEXT in their ids"]
    lines += [f"  {name}" for name in failures]
    lines += [f"\n--- {name}\n{text}" for name, text in list(failures.items())[:SHOWN]]
    return "\n".join(lines)
