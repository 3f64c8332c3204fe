"""What may be told of a trial: its score at its own threshold, where it went, whose study it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.records.records import read_study
from study.export import cells
from study.export.cells import _hm_at, identity, is_gone
from tests.analysis.conftest import Ledger
from tests.study.export.conftest import CURVE


@pytest.mark.parametrize(
    ("delta", "hm"), [(0.1, 0.25), (0.2, 0.25), (0.21, 0.75), (0.6, 0.75), (1.0, 0.0), (1.1, None), (None, None)]
)
def test_a_score_holds_up_to_and_with_its_threshold(delta: float | None, hm: float | None) -> None:
    assert _hm_at({"validation": {"curve": CURVE}}, delta) == hm


def test_a_trial_is_gone_only_where_that_can_be_told(study: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_study(study.folder)
    assert not is_gone(read, "net-train/0")
    assert is_gone(read, "net-train/7")

    def away(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(cells, "read_whole", away)
    assert not is_gone(read, "net-train/7")


@pytest.mark.parametrize("changed", [{"started": "2026-11-22T22:30:00+00:00"}, {"cohort": {"fingerprint": "ab" * 8}}])
def test_studies_of_other_patients_or_of_another_start_are_others(study: Ledger, changed: dict[str, Any]) -> None:
    before = identity(read_study(study.folder))
    study.described["provenance"] |= changed
    study.save()
    assert identity(read_study(study.folder)) != before
