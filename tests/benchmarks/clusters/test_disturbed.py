"""What a disturbed study is found to have lost: each kind of loss, and none where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from benchmarks.clusters.disturbed import Disturbed


class Trial:
    """A trial's files, as a study would leave them."""

    def __init__(self, study: Disturbed, name: str) -> None:
        self.folder = study.study / "trials" / "cell" / name
        (self.folder / "checkpoint").mkdir(parents=True)

    def at(self, step: int, *starts: int) -> None:
        for path in (self.folder / "checkpoint").iterdir():
            path.unlink()
        torch.save({"starts": list(starts)}, self.folder / "checkpoint" / f"{step:09}.pt")

    def config(self, **values: Any) -> None:
        (self.folder / "config.json").write_text(json.dumps(values))

    def ends(self, *starts: int, rung: int | None = None) -> None:
        (self.folder / "result.json").write_text(json.dumps({"starts": list(starts), "rung": rung}))

    def goes_on(self) -> None:
        (self.folder / "result.json").unlink()


@pytest.fixture
def study(tmp_path: Path) -> Disturbed:
    return Disturbed(tmp_path)


def losses(study: Disturbed, test_hm: float = 0.9) -> tuple[int, int, int, int]:
    """Run again, lost, steps repeated, rows that differ from those of an undisturbed study."""
    records = pd.DataFrame({"trial": ["cell/0"], "test_hm": [test_hm]})
    study.records = lambda: records  # type: ignore[method-assign]
    count = study.count("x", 1, pd.DataFrame({"trial": ["cell/0"], "test_hm": [0.9]}))
    assert count.clean == (not any((count.again, count.lost, count.repeated, count.different)))
    return count.again, count.lost, count.repeated, count.different


def test_a_trial_that_goes_on_from_its_checkpoint_loses_nothing(study: Disturbed) -> None:
    trial = Trial(study, "0")
    trial.at(20, 0)
    assert study.saved() == {trial.folder: 20}
    study.look()
    trial.ends(0, 20)
    study.look()
    assert study.saved() == {}
    assert losses(study) == (0, 0, 0, 0)
    assert losses(study, test_hm=0.8) == (0, 0, 0, 1)


def test_steps_that_are_taken_again_are_counted(study: Disturbed) -> None:
    trial = Trial(study, "0")
    trial.at(20, 0)
    study.look()
    trial.ends(0, 5)
    assert losses(study) == (0, 0, 15, 0)


def test_results_that_change_or_go_are_counted(study: Disturbed) -> None:
    again, lost = Trial(study, "0"), Trial(study, "1")
    for trial in (again, lost):
        trial.ends(0)
    study.look()
    again.ends(0, 0)
    lost.goes_on()
    assert losses(study) == (1, 1, 0, 0)


def test_a_trial_at_a_rung_has_not_ended(study: Disturbed) -> None:
    """Its result is to be another one; the steps until its rung are not to be taken again."""
    trial = Trial(study, "0")
    trial.config(taken_up=[])
    trial.at(50, 0)
    trial.ends(0, rung=1)
    assert study.at_rungs() == (1, 0)
    study.look()
    trial.config(taken_up=[0.7])
    trial.goes_on()
    assert study.at_rungs() == (1, 1)
    trial.at(100, 0, 50)
    trial.ends(0, 50, rung=2)
    assert study.at_rungs() == (2, 1)
    study.look()
    trial.config(taken_up=[0.7, 0.8])
    trial.ends(0, 50, 100)
    assert losses(study) == (0, 0, 0, 0)
    trial.ends(0, 50, 50)
    assert losses(study) == (0, 0, 50, 0)
