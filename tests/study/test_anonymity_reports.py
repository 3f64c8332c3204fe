"""Which reports are current, and which packages are measured anew."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.anonymity import _calibrating, _digest, _has_current_report
from study.trial.finished_study import OpenedStudy
from tests.analysis.reports import anonymity_report, found

ASKED = {"references": 0, "features": "convnet_w32", "seed": 0}
ANEW = ASKED | {"references": 8}


@pytest.mark.parametrize(
    ("said", "number", "control", "now", "current"),
    [
        (ASKED, 0, None, {}, True),
        (ASKED, 0, None, {"folds": ["a-f0/3"]}, False),
        (ASKED, 2, None, {"folds": ["a-f0/3", "a-f1/4"]}, True),
        (ASKED, 2, None, {"folds": ["a-f0/3", "a-f1/3", "a-f1/4"]}, False),
        (ASKED | {"folds": ["a-f0/3"]}, 1, None, {"folds": ["a-f0/3"]}, True),
        (ASKED | {"folds": ["a-f0/3"]}, 1, None, {"folds": ["a-f0/4"]}, False),
        (ANEW, 8, None, {}, True),
        (ANEW, 8, None, {"control": "train/0"}, False),
        (ANEW, 8, "train/0", {"control": "train/0"}, True),
        (ANEW, 8, "train/0", {"control": "train/1"}, False),
        (ANEW | {"control": "train/0"}, 8, None, {"control": "train/0"}, True),  # too few patients for one
        (ASKED, 0, None, {"weights": "1f"}, True),  # nobody knows better
        (ASKED | {"weights": "1f"}, 0, None, {"weights": "1f"}, True),
        (ASKED | {"weights": "1f"}, 0, None, {"weights": "2e"}, False),
    ],
)
def test_a_report_is_current_where_nothing_was_missing(
    tmp_path: Path, said: dict[str, Any], number: int, control: str | None, now: dict[str, Any], current: bool
) -> None:
    """Reports of old have settings that say nothing of folds, control and weights."""
    trial: Any = SimpleNamespace(folder=tmp_path, content=b"package")
    report = anonymity_report() | {"settings": said, "package": _digest(trial)}
    report["membership"]["references"] |= {"number": number}
    report["membership"]["control"] = control and {"trial": control, "found": found(0.6)}
    (tmp_path / "anonymity.json").write_text(json.dumps(report))
    settings = {name: said[name] for name in ASKED} | now
    assert _has_current_report(trial, settings) is current
    assert not _has_current_report(trial, settings | {"seed": 1})
    another: Any = SimpleNamespace(folder=tmp_path, content=b"another")
    assert not _has_current_report(another, settings)


def test_settings_name_the_folds_that_calibrate_and_the_control() -> None:
    names = {"a-f1/4": "a", "a-f0/4": "a", "b-f0/3": "b", "a-f0/3": "a"}
    confirmed: Any = [SimpleNamespace(name=name, family=family) for name, family in names.items()]
    trained: Any = SimpleNamespace(name="a-train/0")
    study: Any = SimpleNamespace(confirmed=confirmed, training_beside=lambda _: trained)
    study.other_folds = lambda trial: OpenedStudy.other_folds(study, trial)
    for folds, named in ((2, {"folds": ["a-f0/3", "a-f0/4"]}), (None, {})):
        study.config = SimpleNamespace(confirm=SimpleNamespace(folds=folds))
        assert _calibrating(study, confirmed[0], 0) == named
        assert _calibrating(study, confirmed[0], 2) == {"control": "a-train/0"}
    study.training_beside = lambda _: None
    assert _calibrating(study, confirmed[0], 2) == {}
