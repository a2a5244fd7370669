"""Programs run on the host's device."""

from __future__ import annotations

import builtins
import decimal
import logging
import math
import os
import random
import string
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tabgrad as tg
from tests.compile.meaning import support


@pytest.fixture(autouse=True)
def on_device(device: str) -> Any:
    tg.set_default_device(device)
    yield
    tg.set_default_device(None)
    tg.set_default_dtype(tg.float32)


@pytest.fixture
def restored() -> Iterator[None]:
    """Have what cases change of the process be as it was."""
    limit, place, tau = sys.getrecursionlimit(), os.getcwd(), math.tau
    options, errors = np.get_printoptions(), np.geterr()
    states = random.getstate(), np.random.get_state()
    context = decimal.getcontext().copy()
    yield
    decimal.setcontext(context)
    sys.setrecursionlimit(limit)
    os.chdir(place)
    math.tau = tau  # type: ignore[misc]
    np.set_printoptions(**options)
    np.seterr(**errors)
    random.setstate(states[0])
    np.random.set_state(states[1])
    tg.set_default_dtype(tg.float32)
    os.environ.pop("TABGRAD_TEST_K", None)
    logging.getLogger("tests").setLevel(logging.NOTSET)
    for module in (os, string, support, builtins):
        vars(module).pop("extra_of_tests", None)
        vars(module).pop("extra", None)
