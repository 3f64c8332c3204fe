"""Time of a trial: its checkpoints take no more of it than they may, and all of it is counted."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sldd.training.outer_settings import OuterSettings
from study.config.loader import load
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


def test_what_a_trial_takes_to_be_built_is_part_of_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core set is chosen there: by what it looks at, not at what the steps on it take."""
    loop = SimpleNamespace(
        settings=SimpleNamespace(steps=1), progress=SimpleNamespace(step=0, history=[]), best=None,
        state_dict=dict, close=lambda: None,
    )  # fmt: skip

    def build(*_: object) -> Any:
        begun = time.process_time()
        while time.process_time() - begun < 0.1:
            pass
        spec = SimpleNamespace(cell=SimpleNamespace(method="herding"))
        return SimpleNamespace(loop=loop, fingerprints={}, over=False, spec=spec, learner=None)

    monkeypatch.setattr(module, "build_trial", build)
    monkeypatch.setattr(module, "_improve", lambda trial, folder, checkpoint: iter([checkpoint()]))
    saved: list[dict[str, Any]] = []
    folder: Any = SimpleNamespace(
        trials=None, load_checkpoint=lambda _: None, measured=lambda: {"seconds": 20.0, "core_seconds": 10.0},
        save_checkpoint=lambda _, state: saved.append(state),
    )  # fmt: skip
    context: Any = SimpleNamespace(config=load("demo", ["resources.threads=1"]))
    (report,) = module.run_trial(cast(Any, None), context, folder)
    assert report["seconds"] == saved[0]["seconds"] >= 20.1
    assert saved[0]["core_seconds"] >= 10.1
