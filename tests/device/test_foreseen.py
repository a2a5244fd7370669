"""A host that can hears of each new pipeline when its kernel is printed, before the packet that defines it."""

from __future__ import annotations

from typing import Any

import tabgrad as tg
from tabgrad.hosts.commands import Pipeline
from tests.lower import recorder


def text(p: Pipeline) -> Any:
    return p.source, p.bindings, tuple(p.overrides)


def hearing() -> tuple[Any, list[tuple[int, Any]]]:
    """Return a device, and what its host has foreseen, each with the packets until then."""
    where = recorder.device()
    host: Any = where.backend.host
    heard: list[tuple[int, Any]] = []
    host.foresee = lambda p: heard.append((host.packets, text(p)))
    return where, heard


def test_new_pipelines_are_foreseen_once_and_before_their_packet() -> None:
    where, heard = hearing()
    host = where.backend.host
    calls = (
        lambda x, w: tg.softmax(x @ w, -1).log().mean(0).cumsum(0),
        tg.compile(lambda x, w: (x @ w).sin().mean(0).cumsum(0)),
    )
    for call in calls:
        with where:
            x, w = tg.rand(6, 5), tg.rand(5, 4)
            where.backend.synchronize()
            del heard[:]
            packets, known = host.packets, dict(host.pipelines)
            call(x, w).tolist()
            new = [text(p) for number, p in host.pipelines.items() if number not in known]
            assert new
            assert [it for _, it in heard] == new
            assert {at for at, _ in heard} == {packets}
            del heard[:]
            call(x, w).tolist()
            assert heard == []


def test_an_explanation_compiles_nothing() -> None:
    where, heard = hearing()
    with where:
        tg.compiler.explain((tg.rand(6, 5) @ tg.rand(5, 4)).exp())
    assert heard == []
