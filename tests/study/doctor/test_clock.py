"""Names and clocks of machines, and how long they are waited for."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from study.config.resource_settings import ResourceSettings
from study.doctor import gather as module

Ways = list[tuple[float, float]]


@pytest.mark.parametrize(
    ("offset", "ways", "ahead"),
    [
        (0.0, [(30.0, 0.0)] * 5, 0.0),  # an answer that takes long says nothing
        (7.0, [(15.0, 15.0), (0.0, 0.0), (15.0, 15.0), (15.0, 15.0), (15.0, 15.0)], 7.0),
        (-7.0, [(15.0, 15.0), (15.0, 15.0), (15.0, 15.0), (15.0, 15.0), (1.0, 1.0)], -6.0),
    ],
)
def test_a_slow_answer_is_not_taken_for_a_wrong_clock(
    monkeypatch: pytest.MonkeyPatch, offset: float, ways: Ways, ahead: float
) -> None:
    """Seconds there and back, of each question."""
    now, left = 1000.0, iter(ways)

    def remote() -> float:
        nonlocal now
        there, back = next(left)
        reading = now + there + offset
        now += there + back
        return reading

    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now))
    monkeypatch.setattr(module, "answers", lambda asked: (asked, {}))
    assert module._ahead(SimpleNamespace(now=SimpleNamespace(remote=remote))) == pytest.approx(ahead)


def test_nodes_of_one_host_are_told_apart() -> None:
    hosts = {"1111119": "b", "2222229": "a", "3333339": "b"}
    nodes = [{"NodeManagerHostname": host, "NodeID": node} for node, host in hosts.items()]
    named = module._by_name(nodes)
    assert [(name, node["NodeID"]) for name, node in named.items()] == [
        ("a", "2222229"),
        ("b (111111)", "1111119"),
        ("b (333333)", "3333339"),
    ]


def test_machines_that_never_come_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def look(seconds: float) -> None:
        assert len(asked) < 100
        wait(seconds)

    wait = time.sleep
    monkeypatch.setattr(module.time, "sleep", look)
    monkeypatch.setattr(module, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(module, "trial_nodes", list)
    monkeypatch.setattr(module, "_COMING_SECONDS", 0.1)
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.02)
    module._await(1, ResourceSettings(gpus_per_trial=1))
    assert asked[0] == [{"CPU": 1.0, "GPU": 1}]
    assert asked[-1] == []
