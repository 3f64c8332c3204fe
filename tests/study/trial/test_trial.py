"""Checkpoints of a trial: at their steps, and no more of its time than they may take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sldd.training.outer_settings import OuterSettings
from study.trial import trial as module

STEP, WRITING = 1.0, 3.0  # seconds


class _Trial:
    """Forty steps of a second each by a clock of its own."""

    def __init__(self, settings: OuterSettings) -> None:
        self.now = 0.0
        self.loop = SimpleNamespace(settings=settings, progress=SimpleNamespace(step=0), advance=self._advance)

    @property
    def over(self) -> bool:
        return bool(self.loop.progress.step >= 40)

    def _advance(self) -> None:
        self.loop.progress.step += 1
        self.now += STEP


def _written(monkeypatch: pytest.MonkeyPatch, settings: OuterSettings) -> list[int]:
    """Steps after which checkpoints are written that take three seconds each."""
    trial: Any = _Trial(settings)
    monkeypatch.setattr(module.time, "monotonic", lambda: trial.now)
    steps: list[int] = []

    def checkpoint() -> Any:
        steps.append(trial.loop.progress.step)
        trial.now += WRITING
        return {}

    folder: Any = SimpleNamespace(stopping=lambda: False)
    list(module._improve(trial, folder, checkpoint))
    return steps


def test_checkpoints_take_no_more_than_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _written(monkeypatch, OuterSettings(checkpoint_every=2, checkpoint_share=0.25))
    assert found == [2, 12, 22, 32, 40], "three seconds in twelve, and always after the last step"


def test_without_a_share_every_turn_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _written(monkeypatch, OuterSettings(checkpoint_every=8, checkpoint_share=None)) == [8, 16, 24, 32, 40]
